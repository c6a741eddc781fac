"""Four tenants, one of which may send ten times its share, and how old it is what comes of it.

What each sends is its own topic's; what the test watches may be frames or anomalies.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import numpy as np
from confluent_kafka import Producer

from schemas.topics import Topic
from streams.connection import KafkaSettings
from streams.intake.settings import IntakeSettings
from streams.intake.tenants import Tenant
from tests.streams.intake.test_exactly_once import WORKER
from tests.streams.kafka_world import reader

HOT, OTHERS = "hot", ("one", "two", "three")
NAMES = (HOT, *OTHERS)
TOPICS = {name: Topic(f"{name}.metrics", None, "", 3_600_000) for name in NAMES}
SHARE = 1000  # records a second: what each tenant sends while none sends more
SECONDS, ROUNDS = 8.0, 4  # by turns: what else the machine does falls on both
STEP_S = 0.01

Record = Callable[[str, int, float], tuple[bytes | None, bytes]]
"""Key and value of a tenant's record number so and so, and of the time when it is sent."""


class Part(NamedTuple):
    """A time in which was sent, epoch seconds."""

    begin: float
    end: float


class Ages:
    """How old things are when whoever reads a topic can have them, in seconds."""

    def __init__(
        self, kafka: KafkaSettings, topic: Topic, of: Callable[[Any], Iterable[tuple[str, float]]]
    ) -> None:
        """`of` a message are the things in it: whose each is, and when it was sent."""
        self._consumer = reader(kafka, topic)
        self._of = of
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.seen: list[tuple[str, float, float]] = []  # tenant, sent at, age

    def _read(self) -> None:
        while not self._stop.is_set():
            for message in self._consumer.consume(500, 0.05):
                now = time.time()
                assert message.error() is None, message.error()
                self.seen.extend((name, sent, now - sent) for name, sent in self._of(message))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def since(self, moment: float) -> set[str]:
        """Of whom something has come that was sent after that."""
        return {name for name, sent, _ in list(self.seen) if sent > moment}

    def p99(self, part: Part, a_second: float) -> float:
        """Of what the others sent in this time, seconds; nine tenths of so many must have come."""
        begin, end = part
        ages = [age for name, sent, age in list(self.seen) if name != HOT and begin <= sent < end]
        assert len(ages) > 0.9 * a_second * (end - begin), (len(ages), a_second * (end - begin))
        return float(np.percentile(ages, 99))


class Compared(NamedTuple):
    """The others' p99 in seconds, the median of all rounds."""

    alone: float  # while each sends its share
    beside: float  # while one sends ten times that

    def told(self, what: str) -> str:
        """The figures of T23."""
        return (
            f"T23, {what}: p99 of three tenants at {SHARE}/s: {self.alone * 1000:.0f} ms; while a"
            f" fourth sends {10 * SHARE}/s: {self.beside * 1000:.0f} ms"
            f" ({self.beside / self.alone:.2f} times)"
        )


def by_turns(send: Callable[[int], Part]) -> list[tuple[Part, Part]]:
    """Rounds of sending: the hot one as much as the others, then ten times that."""
    return [(send(1), send(10)) for _ in range(ROUNDS)]


def compared(ages: Ages, rounds: list[tuple[Part, Part]], a_second: float) -> Compared:
    """What came of the rounds; `a_second` is what must have come of what the others sent."""
    p99 = [[ages.p99(part, a_second) for part in turn] for turn in rounds]
    return Compared(*np.median(p99, axis=0).tolist())


@contextmanager
def intake(kafka: KafkaSettings) -> Iterator[None]:
    """An intake in a process of its own that knows the tenants by their topics."""
    settings = IntakeSettings(
        topics={topic.name: "json" for topic in TOPICS.values()},
        tenants={name: Tenant(topics=(topic.name,)) for name, topic in TOPICS.items()},
        instance="t23",
    )
    command = [sys.executable, "-c", WORKER, settings.model_dump_json(), kafka.model_dump_json()]
    with subprocess.Popen(command) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def send(kafka: KafkaSettings, seconds: float, hot: int, record: Record) -> Part:
    """Let all tenants send, the hot one `hot` times as much; when it began and ended."""
    producer = Producer(kafka.confluent() | {"linger.ms": 5, "partitioner": "murmur2_random"})
    begin = now = time.time()
    sent = dict.fromkeys(NAMES, 0)
    while now < begin + seconds:
        for name in NAMES:
            due = int((now - begin) * SHARE * (hot if name == HOT else 1))
            for number in range(sent[name], due):
                key, value = record(name, number, now)
                producer.produce(kafka.topic(TOPICS[name]), value, key)
            sent[name] = due
        producer.poll(STEP_S)
        now = time.time()
    assert producer.flush(60) == 0
    return Part(begin, now)
