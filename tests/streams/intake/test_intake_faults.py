"""Intake under faults: each raw record is in the frames once, or in the dead letters.

The short form of the kills and of the rebalances, and the zombies, are in
test_exactly_once.py; that of the poison is in test_intake.py.
"""

import json
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from confluent_kafka import Producer
from prometheus_client import CollectorRegistry

from schemas.topics import PARTITIONS, RAW_METRICS, SAMPLES
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.intake.calls import AbortError
from streams.intake.settings import IntakeSettings
from streams.intake.transactions import Read, Transactions
from tests.streams.intake.test_exactly_once import (
    SLOW,
    join,
    listens,
    progress,
    require_exactly,
    require_good_end,
    said,
    worker,
)
from tests.streams.intake.test_intake import POISON, event, working
from tests.streams.kafka_world import letters, put, reader, records, rows, samples, until, world

pytestmark = pytest.mark.broker
LONG_S = 600.0  # for two cores that others use, too
SERVICES = 7  # of `event`


def keyed(numbers: range, partitions: int) -> list[bytes]:
    """One key for all, which is one partition; or one for each service."""
    return [b"%d" % (number % SERVICES if partitions > 1 else 0) for number in numbers]


@pytest.mark.faults
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("partitions", "events"),
    [
        pytest.param(1, 33_333, id="33,333 in one partition"),
        pytest.param(PARTITIONS, 100_000, id="100,000 in four"),
    ],
)
def test_killed_three_times_each_event_is_there_once_and_in_order(
    broker: EmbeddedBroker, topic_prefix: str, partitions: int, events: int
) -> None:
    """SIGKILL at 20, 40 and 60 % of the way, wherever it stands then."""
    kafka = world(broker.bootstrap, topic_prefix)
    numbers = range(events)
    places = put(kafka, RAW_METRICS, [event(n) for n in numbers], keys=keyed(numbers, partitions))
    with progress(kafka) as watched:
        for share in (0.2, 0.4, 0.6):
            with worker(kafka, "a") as process:
                until(watched.reaches(round(share * events)), LONG_S)
                process.kill()
                assert process.wait() == -signal.SIGKILL
        killed_at = watched.seen
        assert killed_at < events
        with worker(kafka, "a") as process:
            until(watched.reaches(events), LONG_S)
            require_good_end(process)
    found = samples(kafka)
    print(  # noqa: T201 - the figures that are promised
        f"events {events} in {len({p for p, _ in places})} partitions, last kill at {killed_at},"
        f" found {len(found)}, different {len({row.value for row in found})}"
    )
    require_exactly(found, events)
    assert not letters(kafka)


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_in_a_storm_of_rebalances_each_event_is_there_once_and_in_order(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    """A worker joins or leaves every 5 s, 5 minutes long, while 1,000 events a second come."""
    kafka, draw = world(broker.bootstrap, topic_prefix), random.Random(4)
    sent, ending = 0, threading.Event()

    def feed() -> None:
        nonlocal sent
        while not ending.wait(0.1):
            numbers = range(sent, sent + 100)
            put(kafka, RAW_METRICS, [event(n) for n in numbers], keys=keyed(numbers, PARTITIONS))
            sent += 100

    feeding = threading.Thread(target=feed)
    with ExitStack() as stack:
        stack.callback(ending.set)
        watched = stack.enter_context(progress(kafka))
        lives = [stack.enter_context(worker(kafka, "w0"))]
        join(lives[0])
        feeding.start()
        left, began = [], time.monotonic()
        for change in range(60):
            if len(lives) == 1 or (len(lives) < PARTITIONS and draw.random() < 0.5):
                lives.append(stack.enter_context(worker(kafka, f"w{change + 1}")))
            else:
                until(lambda: any(map(listens, lives)), LONG_S)
                leaver = draw.choice(list(filter(listens, lives)))
                lives.remove(leaver)
                leaver.terminate()
                left.append(leaver)
            until(lambda due=began + 5 * (change + 1): time.monotonic() > due)  # type: ignore[misc] # what mypy cannot infer of it
        ending.set()
        feeding.join()
        until(watched.reaches(sent), LONG_S)
        require_good_end(*lives)
        for process in left:
            assert process.wait(60) == 0, said(process)
    found = samples(kafka)
    print(f"changes 60, workers {len(left) + len(lives)}, events {sent}, found {len(found)}")  # noqa: T201 - the figures that are promised
    require_exactly(found, sent)
    assert not letters(kafka)


@pytest.mark.parametrize("events", [4000, pytest.param(100_000, marks=pytest.mark.faults)])
def test_of_aborted_transactions_nothing_is_seen(
    broker: EmbeddedBroker,
    topic_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    events: int,
) -> None:
    """30 % of those of the producer before us, and 30 % of our own."""
    kafka, draw = world(broker.bootstrap, topic_prefix), random.Random(5)
    aborted = written = aborted_events = 0
    producer = Producer(kafka.confluent() | {"transactional.id": f"{kafka.prefix}aborts"})
    producer.init_transactions(60)
    while written < events:
        abort = draw.random() < 0.3
        producer.begin_transaction()
        for number in range(written, written + 100):
            value = event(-1 - number if abort else number)
            producer.produce(kafka.topic(RAW_METRICS), value, key=b"%d" % (number % SERVICES))
        producer.flush(60)
        if abort:
            producer.abort_transaction(60)
            aborted, aborted_events = aborted + 1, aborted_events + 100
        else:
            producer.commit_transaction(60)
            written += 100
    send, ours = Transactions._send_offsets, [0, 0]

    def sometimes(its: Transactions, read: Read, timeout: float) -> None:
        abort = draw.random() < 0.3
        ours[abort] += 1
        if abort:
            raise AbortError
        send(its, read, timeout)

    monkeypatch.setattr(Transactions, "_send_offsets", sometimes)
    settings = IntakeSettings.model_validate(SLOW | {"instance": "a"})
    with progress(kafka) as watched, working(kafka, settings, CollectorRegistry()):
        until(watched.reaches(events), LONG_S)
    found = samples(kafka)
    print(  # noqa: T201 - the figures that are promised
        f"before us {aborted} of {aborted + written // 100} aborted with {aborted_events} events,"
        f" ours {ours[1]} of {sum(ours)} aborted, events {events}, found {len(found)}"
    )
    assert aborted > 0
    assert ours[1] > 0
    require_exactly(found, events)
    assert not letters(kafka)


# ---- poison at speed


class Passage(NamedTuple):
    """How the good events of a run came through."""

    p99_ms: float
    peak_mib: float


def paced(kafka: KafkaSettings, values: list[bytes], a_second: int) -> None:
    """Write records at a rate."""
    producer = Producer(kafka.confluent() | {"linger.ms": 5, "message.max.bytes": 10_000_000})
    began = time.monotonic()
    for i, value in enumerate(values):
        if i % 100 == 0:
            until(lambda due=began + i / a_second: time.monotonic() >= due, LONG_S)  # type: ignore[misc] # what mypy cannot infer of it
        producer.produce(kafka.topic(RAW_METRICS), value)
        producer.poll(0)
    assert producer.flush(60) == 0


class Arrivals:
    """When each sample was there for a reader, in a thread of its own."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.at: dict[int, float] = {}  # epoch ms by number
        self._consumer, self._ending = reader(kafka, SAMPLES), threading.Event()
        self._thread = threading.Thread(target=self._read)

    @contextmanager
    def reading(self) -> Iterator["Arrivals"]:
        """From now until the end."""
        self._thread.start()
        try:
            yield self
        finally:
            self._ending.set()
            self._thread.join()
            self._consumer.close()

    def _read(self) -> None:
        while not self._ending.is_set():
            for message in self._consumer.consume(100, 0.05):
                now = time.time() * 1000
                self.at |= {round(row.value): now for row in rows(message)}


def peak_mib(pid: int) -> float:
    """The most memory that a process ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def passage(kafka: KafkaSettings, values: list[bytes], good: int) -> Passage:
    """Send records through a worker of their own and see how long the good ones take."""
    with (
        worker(kafka, "a", batch_records=10_000, commit_ms=50) as process,
        Arrivals(kafka).reading() as arrivals,
    ):
        join(process)
        paced(kafka, values, 2000)
        until(lambda: len(arrivals.at) == good, LONG_S)
        peak = peak_mib(process.pid)
        require_good_end(process)
    sent: dict[int, int] = {}
    for message in records(kafka, RAW_METRICS):
        number = told_number(message.value() or b"")
        if number >= 0:
            sent[number] = message.timestamp()[1]
    # Not of the first tenth: it meets a worker whose first frames take a second or two.
    took = [arrivals.at[number] - at for number, at in sent.items() if number >= good // 10]
    return Passage(float(np.percentile(took, 99)), peak)


def told_number(value: bytes) -> int:
    """Which good event this is; -1 for none."""
    if len(value) > 500 or value in POISON.values():
        return -1
    try:
        return int(json.loads(value)["value"])
    except (ValueError, KeyError, TypeError):
        return -1


MORE_POISON = [
    b"certainly no JSON",
    b"\xff\xff\xff\xff\0\0\0\x40",
    b'{"a":',
    b"[" + b" " * 2 * 1024 * 1024 + b"]",
    b'{"service":"a","metric":"m","at":1767323045,"value":NaN}',
]


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_poison_neither_delays_the_good_nor_fills_the_memory(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    """1,000 among 100,000 good ones, at 2,000 a second; the same without them before."""
    kinds = [*POISON.values(), *MORE_POISON]
    good = [event(number) for number in range(100_000)]
    mixed = [
        value
        for number, one in enumerate(good)
        for value in ((kinds[number // 100 % len(kinds)], one) if number % 100 == 50 else (one,))
    ]
    assert len(mixed) == len(good) + 1000
    before = passage(world(broker.bootstrap, f"{topic_prefix}-good"), good, len(good))
    kafka = world(broker.bootstrap, topic_prefix)
    after = passage(kafka, mixed, len(good))
    dead = letters(kafka)
    print(  # noqa: T201 - the figures that are promised
        f"poison of {len(kinds)} kinds; p99 without {before.p99_ms:.0f} ms, with"
        f" {after.p99_ms:.0f} ms; peak without {before.peak_mib:.0f} MiB, with"
        f" {after.peak_mib:.0f} MiB; dead letters {len(dead)}"
    )
    assert sorted(row.value for row in samples(kafka)) == list(range(100_000))
    bad = {
        (message.topic(), message.partition(), message.offset())
        for message in records(kafka, RAW_METRICS)
        if told_number(message.value() or b"") < 0
    }
    assert {(d.topic, d.partition, d.offset) for d in dead} == bad
    assert len(dead) == len(bad) == 1000
    assert all(d.rule and d.reason and d.cause for d in dead)
    assert after.p99_ms <= 2 * before.p99_ms
    assert after.peak_mib <= before.peak_mib + 100
