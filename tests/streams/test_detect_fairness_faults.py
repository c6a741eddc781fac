"""T23 beyond intake: one tenant sends far more than its share, and the others' alarms come as ever.

The short form looks at no clock: of what lies before detect together with a hot tenant's backlog
each of the others' alarms is told, once. The long form, under `make faults`, measures times.
"""

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer

from schemas.avro import HEADER, decode
from schemas.frames import Samples, canonical, write_samples
from schemas.topics import ANOMALIES, BARS, PARTITIONS, SAMPLES
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.intake.framing import partition_of
from streams.topics import create
from tests.streams.detect_world import Life, caught_up, in_order_of, made, told, undisturbed
from tests.streams.fairness_world import (
    HOT,
    NAMES,
    OTHERS,
    SECONDS,
    SHARE,
    TOPICS,
    Ages,
    by_turns,
    compared,
    intake,
    send,
)
from tests.streams.kafka_world import until, world

pytestmark = pytest.mark.broker
SERVICES = {  # one of each tenant in each partition of frames: all share theirs with the hot one's
    name: [
        next(s for s in (f"{name}-{n}" for n in range(100)) if partition_of(s, PARTITIONS) == p)
        for p in range(PARTITIONS)
    ]
    for name in NAMES
}

# ---- the short form

T0 = 1_767_323_045_000  # ms
STEP_MS = 30_000
SERIES = 5  # of a service of the others; the hot one's have ten times as many
TICKS, UP = 200, range(150, 158)  # the first series of each leaves its range


def backlog(kafka: KafkaSettings) -> None:
    """Every tenant's frames, tick by tick; all of it lies there before anybody reads."""
    producer = Producer(kafka.confluent() | {"enable.idempotence": True})
    draw = np.random.default_rng(23)
    for tick in range(TICKS):
        for name, services in SERVICES.items():
            series = SERIES * (10 if name == HOT else 1)
            at = np.full(series, T0 + STEP_MS * tick, np.int64)
            for partition, service in enumerate(services):
                names = [canonical(f"m{n}", {"service": service}) for n in range(series)]
                value = 100 + 3 * draw.standard_normal(series)
                value[0] += 80 * (tick in UP)
                frame = Samples(names, np.arange(series, dtype=np.int32), at, value)
                producer.produce(kafka.topic(SAMPLES), write_samples(frame), partition=partition)
        producer.poll(0)
    assert producer.flush(120) == 0


def test_of_a_hot_tenants_backlog_the_others_alarms_are_told_once_each(
    broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    kafka = made(broker.bootstrap, topic_prefix)
    backlog(kafka)
    with Life(kafka, tmp_path) as life:
        until(caught_up(kafka, life), 600)
        life.ends()
    events = told(kafka)
    assert in_order_of(events) == in_order_of(undisturbed(kafka).said)  # the hot one's, too
    said = {event.id: event for event in events}.values()  # a lost session may say it again
    lives = Counter((e.series, e.change, e.ending) for e in said if e.change != "updated")
    assert lives == {
        (canonical("m0", {"service": service}), *change): 1
        for services in SERVICES.values()
        for service in services
        for change in (("opened", ""), ("cleared", "recovered"))
    }


# ---- the long form

EACH = 400  # series of each tenant: 2.5 samples a second each
WARM = 320  # samples of each before the first jump: with fewer, one far out is doubted
EVERY = 80  # samples of a series between two jumps
JUMP = 9000.0


class Load:
    """Each tenant's series in turn; those of the others jump, each at a sample of its own."""

    def __init__(self) -> None:
        self._draw = random.Random(23)
        self._sent = dict.fromkeys(NAMES, 0)

    def record(self, name: str, _number: int, now: float) -> tuple[bytes, bytes]:
        """Its next sample."""
        lap, series = divmod(self._sent[name], EACH)
        self._sent[name] += 1
        up = name != HOT and lap >= WARM and lap % EVERY == series % EVERY
        value = self._draw.gauss(200.0, 12.0) + JUMP * up
        service = SERVICES[name][series % PARTITIONS]
        event = (
            f'{{"service":"{service}","metric":"m","at":{int(now * 1000)},"value":{value:.3f},'
            f'"labels":{{"path":"/a/path/that/is/as/long/as/they/are/{series}"}}}}'
        )
        return service.encode(), event.encode()

    def warm(self, kafka: KafkaSettings, now: float) -> None:
        """What the others have sent until now, at once."""
        producer = Producer(
            kafka.confluent()
            | {
                "linger.ms": 5,
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        for number in range(WARM * EACH):
            at = now - WARM * EACH / SHARE + number / SHARE
            for name in OTHERS:
                key, value = self.record(name, number, at)
                producer.produce(kafka.topic(TOPICS[name]), value, key)
            producer.poll(0)
        assert producer.flush(120) == 0


def jumps(message: Any) -> Iterator[tuple[str, float]]:
    """Whose jump has become an anomaly, and when it was sent."""
    event: Any = decode(message.value(), dict(message.headers())[HEADER].decode())
    if event.change == "opened" and event.value > JUMP / 2:
        yield event.service.partition("-")[0], event.since.timestamp()


@pytest.mark.faults
@pytest.mark.alone
@pytest.mark.timeout(900)
def test_the_others_p99_to_an_anomaly_is_at_most_doubled(
    broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """From a record's production until whoever reads anomalies has what came of it."""
    kafka = world(broker.bootstrap, topic_prefix)
    create(kafka, (ANOMALIES, BARS, *TOPICS.values()))
    load = Load()
    with (
        intake(kafka),
        Life(kafka, tmp_path) as detect,
        Ages(kafka, ANOMALIES, jumps) as ages,
    ):
        detect.joins(300)
        load.warm(kafka, time.time())
        begin, _ = send(kafka, 2.0, 1, load.record)
        until(lambda: ages.since(begin) == set(OTHERS), 300)  # it is up, and through
        rounds = by_turns(lambda hot: send(kafka, SECONDS, hot, load.record))
        last = rounds[-1][1].end - 0.5
        until(lambda: ages.since(last) == set(OTHERS), 300)
        found = compared(ages, rounds, SHARE * len(OTHERS) / EVERY)
        detect.ends()
    print(found.told("to anomalies"))  # noqa: T201 - the figures of T23
    assert found.beside <= 2 * found.alone
