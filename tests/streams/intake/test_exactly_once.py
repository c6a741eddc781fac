"""Exactly once, whoever dies: real workers in processes of their own, killed, frozen, fenced."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from prometheus_client import CollectorRegistry

from schemas.errors import Unavailable
from schemas.topics import RAW_METRICS, SAMPLES
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.intake.intake import Intake
from streams.intake.settings import IntakeSettings
from tests.streams.intake.test_intake import count, event, working
from tests.streams.kafka_world import Row, letters, put, reader, rows, samples, until, world

WORKER = """
import logging, sys
from streams.connection import KafkaSettings
from streams.intake.intake import serve
from streams.intake.intake import Intake
from streams.intake.settings import IntakeSettings
logging.basicConfig(level=logging.INFO)
settings = IntakeSettings.model_validate_json(sys.argv[1])
sys.exit(serve(settings, KafkaSettings.model_validate_json(sys.argv[2])))
"""
JOIN_S = 600.0  # imports and kernels, on two cores that others use, too; the test's time is less
PART = 8000  # events written before each blow: there is always something left to do
# Small batches, so that there is a middle to strike in; short time-outs, so that it is quick.
SLOW = {
    "limits": {"late_s": 0, "future_s": 0},
    "batch_records": 100,
    "commit_ms": 10,
    "session_timeout_ms": 2000,
    "transaction_timeout_ms": 5000,
}


class Working(subprocess.Popen[bytes]):
    """An intake in a process of its own; what it says goes to a file, which never fills up."""

    log: IO[bytes]

    def told(self) -> bytes:
        """All that it has said."""
        self.log.seek(0)
        return self.log.read()


@contextmanager
def worker(kafka: KafkaSettings, instance: str, **changes: object) -> Iterator[Working]:
    """An intake that works, killed at the end if it still does."""
    settings = json.dumps({**SLOW, "instance": instance, **changes})
    command = [sys.executable, "-c", WORKER, settings, kafka.model_dump_json()]
    with tempfile.TemporaryFile("a+b") as log, Working(command, stderr=log) as process:
        process.log = log
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
            for message in self._consumer.consume(10, 0.05):
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


def listens(process: Working) -> bool:
    """Whether it handles SIGTERM by now: one that is still starting would just be ended by it."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    caught = next(line for line in lines if line.startswith("SigCgt:")).split()[1]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def require_good_end(*workers: Working) -> None:
    """Workers that are asked to stop do, and have nothing to complain of."""
    for process in workers:
        until(lambda p=process: listens(p))  # type: ignore[misc] # what mypy cannot infer of it
        assert process.poll() is None, said(process)
        process.terminate()
    for process in workers:
        assert process.wait(120) == 0, said(process)


def join(process: Working) -> None:
    """Wait until a worker has partitions of the raw metrics."""

    def reading() -> bool:
        assert process.poll() is None, said(process)
        return any(b"reading" in x and b"raw.metrics" in x for x in process.told().splitlines())

    until(reading, JOIN_S)


def said(process: Working) -> str:
    """The end of what a worker has said."""
    return process.told().decode()[-3000:]


@pytest.mark.broker
def test_killed_three_times_in_the_middle(broker: EmbeddedBroker, topic_prefix: str) -> None:
    kafka = world(broker.bootstrap, topic_prefix)
    with progress(kafka) as watched:
        for part in range(3):
            fill(kafka, range(part * PART, (part + 1) * PART))
            with worker(kafka, "a") as process:
                until(watched.reaches(part * PART + PART // 4))
                process.kill()
                assert process.wait() == -signal.SIGKILL
        assert watched.seen < 3 * PART
        with worker(kafka, "a") as process:
            until(watched.reaches(3 * PART))
            require_good_end(process)
    require_exactly(samples(kafka), 3 * PART)
    assert not letters(kafka)


@pytest.mark.broker
def test_a_frozen_worker_that_wakes_up_commits_nothing_twice(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    """A zombie: frozen past its session, its partitions given away, then awake again."""
    kafka = world(broker.bootstrap, topic_prefix)
    fill(kafka, range(PART))
    with progress(kafka) as watched, worker(kafka, "a") as first:
        until(watched.reaches(PART // 4))
        os.kill(first.pid, signal.SIGSTOP)
        with worker(kafka, "b") as second:
            join(second)
            fill(kafka, range(PART, 2 * PART))
            until(watched.reaches(PART + PART // 2))
            os.kill(first.pid, signal.SIGCONT)
            fill(kafka, range(2 * PART, 3 * PART))
            until(watched.reaches(3 * PART))
            require_good_end(first, second)
    require_exactly(samples(kafka), 3 * PART)


@pytest.mark.broker
def test_a_frozen_worker_that_was_replaced_stops(broker: EmbeddedBroker, topic_prefix: str) -> None:
    """It must not take its name back from the one that does its work now."""
    kafka = world(broker.bootstrap, topic_prefix)
    fill(kafka, range(PART))
    with progress(kafka) as watched, worker(kafka, "a") as first:
        until(watched.reaches(PART // 4))
        os.kill(first.pid, signal.SIGSTOP)
        with worker(kafka, "a") as second:
            until(watched.reaches(PART))
            os.kill(first.pid, signal.SIGCONT)
            sent = PART
            while first.poll() is None:  # it notices when it has something to commit
                fill(kafka, range(sent, sent + 100))
                sent += 100
                assert sent < 100_000
            assert first.returncode == 1
            assert "has taken over" in said(first)
            until(watched.reaches(sent))
            require_good_end(second)
    require_exactly(samples(kafka), sent)


@pytest.mark.broker
def test_workers_that_come_and_go_share_the_work(broker: EmbeddedBroker, topic_prefix: str) -> None:
    kafka = world(broker.bootstrap, topic_prefix)
    with progress(kafka) as watched, worker(kafka, "a") as stays:
        for part, visitor in enumerate("bc"):
            with worker(kafka, visitor) as process:
                join(process)
                fill(kafka, range(part * PART, (part + 1) * PART))
                until(watched.reaches(part * PART + PART // 2))
                require_good_end(process)
        until(watched.reaches(2 * PART))
        require_good_end(stays)
    require_exactly(samples(kafka), 2 * PART)


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
        last_words = said(first)
        assert "has taken over: give each worker a name of its own" in last_words
        assert "Traceback" not in last_words
    assert sorted(row.value for row in samples(kafka)) == list(range(sent))


@pytest.mark.broker
def test_brokers_that_are_away_for_longer_than_a_transaction_cost_nothing(
    topic_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Away past the group's session and the transaction's time; they come back and give both up."""
    with EmbeddedBroker() as own:
        kafka = world(own.bootstrap, topic_prefix)
        registry = CollectorRegistry()
        settings = IntakeSettings.model_validate({**SLOW, "instance": "a"})
        fill(kafka, range(3000))
        with working(kafka, settings, registry):
            until(lambda: count(registry, "records") > 500)
            own.pause(1)
            until(lambda: "still trying" in caplog.text)
            own.resume(1)
            fill(kafka, range(3000, 6000))
            until(lambda: count(registry, "records") == 6000, 100)
        require_exactly(samples(kafka), 6000)


@pytest.mark.broker
def test_a_stop_while_the_brokers_are_dead_ends_in_time(topic_prefix: str) -> None:
    """Killed among transactions: the client forgets its time-outs, the worker may not."""
    with EmbeddedBroker() as own:
        kafka = world(own.bootstrap, topic_prefix)
        registry, stop = CollectorRegistry(), threading.Event()
        intake = Intake(IntakeSettings.model_validate({**SLOW, "instance": "a"}), kafka, registry)
        ended = list[BaseException]()

        def run() -> None:
            try:
                intake.run(stop)
            except Unavailable as error:
                ended.append(error)

        seen: dict[threading.Thread, float] = {}

        def held_up() -> bool:
            now = time.monotonic()
            calls = [t for t in threading.enumerate() if t.name == "bounded call"]
            return any(now - seen.setdefault(one, now) > 1.0 for one in calls)

        fill(kafka, range(20_000))
        thread = threading.Thread(target=run)
        thread.start()
        until(lambda: count(registry, "records") > 500)
        own.kill(1)
        until(held_up)
        stop.set()
        thread.join(120)
        assert not thread.is_alive()
        assert "stopped; could not" in str(ended[0])


@pytest.mark.broker
def test_a_stop_with_the_brokers_away_ends_in_time(
    topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that cannot reach Kafka must still be stoppable."""
    monkeypatch.setattr("streams.intake.calls.PATIENCE_S", 0.5)
    monkeypatch.setattr("streams.intake.calls.CALL_S", 0.5)
    kafka = KafkaSettings(brokers="127.0.0.1:9", prefix=topic_prefix)
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    with pytest.raises(Unavailable, match="stopped; could not reach the transaction coordinator"):
        Intake(IntakeSettings(), kafka).run(stop)
