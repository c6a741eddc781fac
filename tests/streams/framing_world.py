"""A detector around which the column shell's tests turn: frames, and what is said of them."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

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
from tests.streams.counting import Witness, clock

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
    assert producer.flush(20) == 0


@asynccontextmanager
async def running(
    kafka: KafkaSettings, detect: Detect, *, save_s: float = 30.0
) -> AsyncIterator[ColumnShell]:
    """A shell in this process, left in order at the end; raises what it failed of."""
    shell = made_shell(ColumnShell, kafka, detect, save_s)
    scene = asyncio.current_task()
    assert scene is not None
    shell.failed.add_done_callback(lambda _: scene.cancel())
    try:
        await shell.start()
        yield shell
    except asyncio.CancelledError:
        shell.failed.result()
        raise
    finally:
        await shell.stop()


def made_shell(
    kind: type[ColumnShell], kafka: KafkaSettings, detect: Detect, save_s: float
) -> ColumnShell:
    """The shell, not started."""
    loop = asyncio.get_running_loop()
    return kind(STAGE, detect, kafka, save_s=save_s, clock=clock, loop=loop)


class Dying(ColumnShell):
    """Kills its process once it has learned so many frames; half way it saves one partition."""

    frames = 0
    learned = 0

    async def handle(self, events: list[Any]) -> None:
        """As the shell does it, then perhaps the end."""
        await super().handle(events)
        before, self.learned = self.learned, self.learned + len(events)
        if before < self.frames / 2 <= self.learned:
            await self._save(0, 0)
        if self.learned >= self.frames:
            os.kill(os.getpid(), signal.SIGKILL)


def serve(kafka: KafkaSettings, frames: int, output: str) -> None:
    """Learn until it dies."""
    with Path(output).open("wb", buffering=0) as file:
        os.dup2(file.fileno(), 2)
    Dying.frames = frames

    async def live() -> None:
        shell = made_shell(Dying, kafka, detector(), save_s=1000.0)
        await shell.start()
        await shell.failed

    sys.exit(asyncio.run(live()))
