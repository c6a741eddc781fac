"""Exactly once, whoever dies: real workers in processes of their own, killed, frozen, fenced."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from prometheus_client import CollectorRegistry

from schemas.topics import RAW_METRICS, SAMPLES
from streams.broker import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.intake_settings import IntakeSettings
from tests.streams.kafka_world import Row, letters, put, reader, rows, samples, until, world
from tests.streams.test_intake import count, event, working

WORKER = """
import logging, sys
from streams.connection import KafkaSettings
from streams.intake import serve
from streams.intake_settings import IntakeSettings
logging.basicConfig(level=logging.INFO)
settings = IntakeSettings.model_validate_json(sys.argv[1])
sys.exit(serve(settings, KafkaSettings.model_validate_json(sys.argv[2])))
"""
EVENTS = 30_000
# Small batches, so that there is a middle to kill it in; short time-outs, so that it is quick.
SLOW = {
    "limits": {"late_s": 0, "future_s": 0},
    "batch_records": 200,
    "commit_ms": 10,
    "session_timeout_ms": 2000,
    "transaction_timeout_ms": 5000,
}


@contextmanager
def worker(kafka: KafkaSettings, instance: str) -> Iterator[subprocess.Popen[bytes]]:
    """An intake in a process of its own, killed at the end if it still runs."""
    settings = json.dumps({**SLOW, "instance": instance})
    command = [sys.executable, "-c", WORKER, settings, kafka.model_dump_json()]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()


class Progress:
    """How many samples are committed; reads on from where it was."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._consumer = reader(kafka, SAMPLES)
        self.seen = 0

    def reaches(self, wanted: int) -> Callable[[], bool]:
        """Whether `wanted` samples are committed, as a question to ask again."""

        def reached() -> bool:
            for message in self._consumer.consume(100, 0.05):
                if message.error() is None:
                    self.seen += sum(1 for _ in rows(message))
            return self.seen >= wanted

        return reached


@contextmanager
def progress(kafka: KafkaSettings) -> Iterator[Progress]:
    """Progress, and its consumer closed."""
    watched = Progress(kafka)
    try:
        yield watched
    finally:
        watched._consumer.close()


def fill(kafka: KafkaSettings, numbers: range) -> None:
    """Events in order, each service's under one key."""
    put(
        kafka,
        RAW_METRICS,
        [event(number) for number in numbers],
        keys=[b"%d" % (number % 7) for number in numbers],
    )


def require_exactly(found: list[Row], events: int) -> None:
    """Each event once, and each service's in order."""
    assert sorted(row.value for row in found) == list(range(events))
    for service in range(7):
        own = [row.value for row in found if f'"service-{service}"' in row.series]
        assert own == sorted(own)


@pytest.mark.broker
def test_killed_three_times_in_the_middle(broker: EmbeddedBroker, topic_prefix: str) -> None:
    kafka = world(broker.bootstrap, topic_prefix)
    fill(kafka, range(EVENTS))
    with progress(kafka) as watched:
        for share in (0.2, 0.4, 0.6):
            with worker(kafka, "a") as process:
                until(watched.reaches(int(share * EVENTS)))
                process.kill()
                assert process.wait() == -signal.SIGKILL
            assert watched.seen < EVENTS
        with worker(kafka, "a") as process:
            until(watched.reaches(EVENTS))
            process.terminate()
            assert process.wait(30) == 0
    require_exactly(samples(kafka), EVENTS)
    assert not letters(kafka)


@pytest.mark.broker
def test_a_frozen_worker_that_wakes_up_commits_nothing_twice(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    """A zombie: frozen past its session, its partitions given away, then awake again."""
    kafka = world(broker.bootstrap, topic_prefix)
    fill(kafka, range(EVENTS))
    with progress(kafka) as watched, worker(kafka, "a") as first:
        until(watched.reaches(EVENTS // 5))
        os.kill(first.pid, signal.SIGSTOP)
        with worker(kafka, "b") as second:
            until(watched.reaches(EVENTS // 2))
            os.kill(first.pid, signal.SIGCONT)
            until(watched.reaches(EVENTS))
            for process in (first, second):
                process.terminate()
            assert [process.wait(30) for process in (first, second)] == [0, 0]
    require_exactly(samples(kafka), EVENTS)


@pytest.mark.broker
def test_workers_that_come_and_go_share_the_work(broker: EmbeddedBroker, topic_prefix: str) -> None:
    kafka = world(broker.bootstrap, topic_prefix)
    fill(kafka, range(EVENTS))
    with progress(kafka) as watched, worker(kafka, "a") as stays:
        for visitor in ("b", "c"):
            with worker(kafka, visitor) as process:
                until(watched.reaches(min(EVENTS, watched.seen + EVENTS // 4)))
                process.terminate()
                assert process.wait(30) == 0
        until(watched.reaches(EVENTS))
        stays.terminate()
        assert stays.wait(30) == 0
    require_exactly(samples(kafka), EVENTS)


@pytest.mark.broker
def test_a_worker_whose_name_was_taken_stops_and_says_so(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    kafka = world(broker.bootstrap, topic_prefix)
    fill(kafka, range(100))
    with progress(kafka) as watched, worker(kafka, "same") as first:
        until(watched.reaches(100))
        registry = CollectorRegistry()
        settings = IntakeSettings.model_validate({**SLOW, "instance": "same"})
        with working(kafka, settings, registry):
            sent = 100
            while first.poll() is None:  # it notices when it has something to commit
                fill(kafka, range(sent, sent + 100))
                sent += 100
                assert sent < 100_000
            until(watched.reaches(sent))
        assert first.returncode == 1
        assert first.stderr is not None
        said = first.stderr.read().decode()
        assert "has taken over: give each worker a name of its own" in said
        assert "Traceback" not in said
    assert sorted(row.value for row in samples(kafka)) == list(range(sent))


@pytest.mark.broker
def test_a_broker_that_goes_and_comes_back_costs_nothing(
    topic_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedBroker() as own:
        kafka = world(own.bootstrap, topic_prefix)
        registry = CollectorRegistry()
        settings = IntakeSettings.model_validate({**SLOW, "instance": "a"})
        fill(kafka, range(3000))
        with working(kafka, settings, registry):
            until(lambda: count(registry, "records") > 500)
            own.kill(1)
            until(lambda: "still trying" in caplog.text)
            own.restart(1)
            fill(kafka, range(3000, 6000))
            until(lambda: count(registry, "records") == 6000, 120)
        require_exactly(samples(kafka), 6000)


@pytest.mark.broker
def test_a_stop_with_the_brokers_away_ends_in_time(
    topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that cannot reach Kafka must still be stoppable."""
    monkeypatch.setattr("streams.exactly_once.PATIENCE_S", 0.5)
    monkeypatch.setattr("streams.exactly_once.CALL_S", 0.5)
    kafka = KafkaSettings(brokers="127.0.0.1:9", prefix=topic_prefix)
    from schemas.errors import Unavailable  # noqa: PLC0415
    from streams.intake import Intake  # noqa: PLC0415

    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Unavailable, match="stopped; could not reach the transaction coordinator"):
        Intake(IntakeSettings(), kafka).run(stop)
    assert time.monotonic() - began < 60
