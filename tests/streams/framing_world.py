"""A detector around which the column shell's tests turn: frames, and what is said of them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import numpy as np
from confluent_kafka import Producer

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from schemas.frames import Samples, canonical, write_samples
from schemas.topics import ANOMALIES, DEADLETTERS, SAMPLES
from streams.columns import ColumnShell
from streams.connection import KafkaSettings
from streams.stage import Stage
from streams.topics import create
from tests.streams.column_world import die, made_shell
from tests.streams.counting import Witness, in_order

STAGE = Stage("detect", (SAMPLES,), (ANOMALIES,), lambda _: detector())
T0 = 1_767_323_045_000  # ms
FRAMES = 33  # of ten samples a series
SERVICES = 4  # one a partition


def detector() -> Detect:
    """A new one."""
    return Detect(DetectSettings(), {})


def frames(partition: int) -> Iterator[Samples]:
    """A service's frames: five quiet series, the first of which is far up for a while."""
    names = [canonical(f"m{n}", {"service": f"s{partition}"}) for n in range(5)]
    draw = np.random.default_rng(partition)
    values = draw.normal(100, 3, (10 * FRAMES, 5))
    values[250:280, 0] += 80
    for first in range(0, 10 * FRAMES, 10):
        code = np.tile(np.arange(5, dtype=np.int32), 10)
        at = np.repeat(T0 + 1000 * np.arange(first, first + 10, dtype=np.int64), 5)
        yield Samples(names, code, at, values[first : first + 10].ravel())


def undisturbed() -> tuple[Detect, set[str]]:
    """A detector that has read all frames in one go, and the ids of what it said."""
    whole = detector()
    said = [
        anomaly.id
        for partition in range(SERVICES)
        for offset, frame in enumerate(frames(partition))
        for anomaly in whole.feed(frame, partition, offset)
        if anomaly.change != "weak"  # what a restart may forget
    ]
    return whole, set(said)


def strong(witness: Witness) -> set[str]:
    """The ids of what was said, but for weak evidence, which a restart may forget."""
    return {event.id for event in witness.events() if getattr(event, "change", "") != "weak"}


def made(bootstrap: str, prefix: str) -> KafkaSettings:
    """Settings with names of their own, and the topics made."""
    kafka = KafkaSettings(brokers=bootstrap, prefix=f"{prefix}-", topic_prefix=f"{prefix}-")
    create(kafka, (SAMPLES, ANOMALIES, DEADLETTERS))
    return kafka


def put_frames(kafka: KafkaSettings, first: int = 0, last: int = FRAMES) -> None:
    """Every service's frames of these numbers, each in its partition."""
    producer = Producer(kafka.confluent())
    every = [list(frames(partition)) for partition in range(SERVICES)]
    for number in range(first, last):
        for partition in range(SERVICES):
            value = write_samples(every[partition][number])
            producer.produce(kafka.topic(SAMPLES), value, partition=partition)
    assert producer.flush(120) == 0


@asynccontextmanager
async def running(
    kafka: KafkaSettings, detect: Detect, *, save_s: float = 30.0
) -> AsyncIterator[ColumnShell]:
    """A shell in this process, as `in_order` runs it."""
    async with in_order(made_shell(ColumnShell, STAGE, detect, kafka, save_s)) as shell:
        yield shell


def serve(kafka: KafkaSettings, frames: int, output: str) -> None:
    """Learn so many frames and die; one partition is saved half way."""
    die(STAGE, detector(), kafka, frames=frames, half_way=(0,), output=output)
