"""T23 in full: how long the others' records take while one tenant sends ten times its share."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import numpy as np
import pytest
from confluent_kafka import Producer

from schemas.frames import read_samples
from schemas.topics import SAMPLES, Topic
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.intake.settings import IntakeSettings
from streams.intake.tenants import Tenant
from streams.topics import create
from tests.streams.intake.test_exactly_once import WORKER
from tests.streams.kafka_world import reader, until, world

NAMES = ("hot", "one", "two", "three")
TOPICS = {name: Topic(f"{name}.metrics", None, "", 3_600_000) for name in NAMES}
SHARE = 1000  # records a second: what each tenant sends while none sends more
SECONDS, ROUNDS = 8.0, 4  # by turns: what else the machine does falls on both
STEP_S = 0.01


class Latencies:
    """How old samples are when whoever reads frames can have them, in seconds."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._consumer = reader(kafka, SAMPLES)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.seen: list[tuple[str, float, float]] = []  # service, sent at, age

    def _read(self) -> None:
        while not self._stop.is_set():
            for message in self._consumer.consume(500, 0.05):
                now = time.time()
                assert message.error() is None, message.error()
                frame = read_samples(message.value())
                services = [name.split('service="')[1].split('"')[0] for name in frame.names]
                for code, sent in zip(frame.code.tolist(), frame.value.tolist(), strict=True):
                    self.seen.append((services[code], sent, now - sent))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def p99(self, begin: float, end: float) -> float:
        """Of the others' samples that were sent in this time, seconds."""
        ages = [age for name, sent, age in list(self.seen) if name != "hot" and begin <= sent < end]
        assert len(ages) > 0.9 * SHARE * (len(NAMES) - 1) * (end - begin), len(ages)
        return float(np.percentile(ages, 99))


@contextmanager
def intake(kafka: KafkaSettings) -> Iterator[None]:
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


def send(kafka: KafkaSettings, seconds: float, hot: int) -> tuple[float, float]:
    """Let all tenants send, the hot one `hot` times as much; when it began and ended."""
    producer = Producer(kafka.confluent() | {"linger.ms": 5})
    begin = now = time.time()
    sent = dict.fromkeys(NAMES, 0)
    while now < begin + seconds:
        for name in NAMES:
            due = int((now - begin) * SHARE * (hot if name == "hot" else 1))
            for number in range(sent[name], due):
                value = {
                    "service": name, "metric": f"m{number % 50}", "at": int(now * 1000),
                    "value": now, "labels": {"path": "/a/path/that/is/as/long/as/they/are"},
                }  # fmt: skip
                producer.produce(kafka.topic(TOPICS[name]), json.dumps(value).encode())
            sent[name] = due
        producer.poll(STEP_S)
        now = time.time()
    assert producer.flush(60) == 0
    return begin, now


@pytest.mark.faults
@pytest.mark.alone
@pytest.mark.broker
@pytest.mark.timeout(400)
def test_the_others_p99_is_at_most_doubled(broker: EmbeddedBroker, topic_prefix: str) -> None:
    kafka = world(broker.bootstrap, topic_prefix)
    create(kafka, tuple(TOPICS.values()))
    with intake(kafka), Latencies(kafka) as latencies:
        begin, _ = send(kafka, 2.0, 1)
        until(lambda: any(sent >= begin for _, sent, _ in latencies.seen))  # it is up
        fair, hot = [], []
        for _ in range(ROUNDS):
            fair.append(send(kafka, SECONDS, 1))
            hot.append(send(kafka, SECONDS, 10))
        last = hot[-1][1] - 0.1
        until(lambda: {n for n, sent, _ in latencies.seen if sent > last} == set(NAMES))
        alone = float(np.median([latencies.p99(*part) for part in fair]))
        beside = float(np.median([latencies.p99(*part) for part in hot]))
    print(  # noqa: T201 - the figures of T23
        f"T23: p99 of three tenants at {SHARE}/s: {alone * 1000:.0f} ms; while a fourth sends"
        f" {10 * SHARE}/s: {beside * 1000:.0f} ms ({beside / alone:.2f} times)"
    )
    assert beside <= 2 * alone
