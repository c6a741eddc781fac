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
    Working,
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
from tests.streams.test_brokers_die import Feed

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


def shares(process: Working) -> int:
    """How often a worker was given partitions."""
    return sum(b"reading" in x and b"raw.metrics" in x for x in process.told().splitlines())


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_in_a_storm_of_rebalances_each_event_is_there_once_and_in_order(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    """A worker joins or leaves every 5 s, 5 minutes long, while 1,000 events a second come."""
    kafka, draw = world(broker.bootstrap, topic_prefix), random.Random(4)
    with ExitStack() as stack:
        watched = stack.enter_context(progress(kafka))

        def begun(instance: str) -> Working:
            return stack.enter_context(worker(kafka, instance, batch_records=1000))

        lives, left = [begun("w0")], list[Working]()
        join(lives[0])
        with Feed(kafka).flowing() as feed:
            began = time.monotonic()
            for change in range(60):
                if len(lives) == 1 or (len(lives) < PARTITIONS and draw.random() < 0.5):
                    lives.append(begun(f"w{change + 1}"))
                else:
                    until(lambda: any(map(listens, lives)), LONG_S)
                    leaver = draw.choice(list(filter(listens, lives)))
                    lives.remove(leaver)
                    leaver.terminate()
                    left.append(leaver)
                until(lambda due=began + 5 * (change + 1): time.monotonic() > due)  # type: ignore[misc] # what mypy cannot infer of it
            took = time.monotonic() - began
        until(watched.reaches(feed.sent), LONG_S)
        require_good_end(*lives)
        for process in left:
            assert process.wait(60) == 0, said(process)
        given = [shares(process) for process in (*lives, *left)]
    found = samples(kafka)
    print(  # noqa: T201 - the figures that are promised
        f"changes 60 in {took:.0f} s, workers {len(given)}, of which {sum(map(bool, given))} had"
        f" partitions, given {sum(given)} times; events {feed.sent}, found {len(found)}"
    )
    assert len(feed.acknowledged) == feed.sent
    require_exactly(found, feed.sent)
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

GOOD, ROUNDS = 100_000, 5


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


class Passage:
    """A worker with topics of its own, and how the good events that it is sent come through."""

    def __init__(self, kafka: KafkaSettings, process: Working, arrivals: Arrivals) -> None:
        self._kafka, self._process, self._arrivals = kafka, process, arrivals
        self.peak_mib = 0.0  # of memory

    @classmethod
    @contextmanager
    def opened(cls, kafka: KafkaSettings) -> Iterator["Passage"]:
        """Ready for records, and ended in order."""
        with (
            worker(kafka, "a", batch_records=10_000, commit_ms=50) as process,
            Arrivals(kafka).reading() as arrivals,
        ):
            join(process)
            its = cls(kafka, process, arrivals)
            yield its
            its.peak_mib = peak_mib(process.pid)
            require_good_end(process)

    def send(self, values: list[bytes], good: int) -> None:
        """Send records, and wait until so many good ones have come through since the beginning."""
        paced(self._kafka, values, 2000)
        until(lambda: len(self._arrivals.at) == good, LONG_S)

    def took_ms(self) -> dict[int, float]:
        """How long each good event was on its way, by number."""
        return {
            number: self._arrivals.at[number] - message.timestamp()[1]
            for message in records(self._kafka, RAW_METRICS)
            if (number := told_number(message.value() or b"")) >= 0
        }

    def p99_ms(self) -> list[float]:
        """Of each round."""
        took = self.took_ms()
        # Not of the first tenth: it meets a worker whose first frames take a second or two.
        rounds = [[took[n] for n in turn if n >= GOOD // 10] for turn in turns()]
        return [round(float(np.percentile(times, 99))) for times in rounds]


def turns() -> list[range]:
    """The numbers of the good events of each round."""
    return [range(first, first + GOOD // ROUNDS) for first in range(0, GOOD, GOOD // ROUNDS)]


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
    """1,000 among 100,000 good ones, at 2,000 a second; another worker has the good ones alone.

    By turns: what else the machine does falls on both.
    """
    kinds = [*POISON.values(), *MORE_POISON]
    clean, kafka = (world(broker.bootstrap, f"{topic_prefix}{name}") for name in ("-good", ""))
    with Passage.opened(clean) as without, Passage.opened(kafka) as among:
        for numbers in turns():
            good = [event(number) for number in numbers]
            without.send(good, numbers.stop)
            mixed = [
                value
                for number, one in zip(numbers, good, strict=True)
                for value in (
                    (kinds[number // 100 % len(kinds)], one) if number % 100 == 50 else (one,)
                )
            ]
            assert len(mixed) == len(good) + 1000 // ROUNDS
            among.send(mixed, numbers.stop)
    dead = letters(kafka)
    before, after = without.p99_ms(), among.p99_ms()
    print(  # noqa: T201 - the figures that are promised
        f"poison of {len(kinds)} kinds; p99 of each round without {before} ms, with {after} ms;"
        f" peak without {without.peak_mib:.0f} MiB, with {among.peak_mib:.0f} MiB;"
        f" dead letters {len(dead)}"
    )
    assert sorted(row.value for row in samples(kafka)) == list(range(GOOD))
    bad = {
        (message.topic(), message.partition(), message.offset())
        for message in records(kafka, RAW_METRICS)
        if told_number(message.value() or b"") < 0
    }
    assert {(d.topic, d.partition, d.offset) for d in dead} == bad
    assert len(dead) == len(bad) == 1000
    assert all(d.rule and d.reason and d.cause for d in dead)
    assert np.median(after) <= 2 * np.median(before)
    assert among.peak_mib <= without.peak_mib + 100
