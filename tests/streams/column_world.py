"""A column shell around any consumer of frames: made, and in a process of its own that dies."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any, TypeVar

from streams.columns import ColumnShell, FrameConsumer
from streams.connection import KafkaSettings
from streams.stage import Stage
from tests.streams.counting import clock

NEVER_S = 1000.0  # between two saves: none comes by itself
S = TypeVar("S", bound=ColumnShell)


def made_shell(
    kind: type[S],
    stage: Stage,
    consumer: FrameConsumer[Any],
    kafka: KafkaSettings,
    save_s: float = NEVER_S,
) -> S:
    """The shell, not started."""
    loop = asyncio.get_running_loop()
    return kind(stage, consumer, kafka, save_s=save_s, clock=clock, loop=loop)


class Dying(ColumnShell):
    """Kills its process once it has learned so many frames; half way it saves some partitions."""

    frames = 0
    half_way: tuple[int, ...] = ()
    learned = 0

    async def handle(self, events: list[Any]) -> None:
        """As the shell does it, then perhaps the end."""
        await super().handle(events)
        before, self.learned = self.learned, self.learned + len(events)
        if before < self.frames / 2 <= self.learned:
            for partition in self.half_way:
                await self._save(partition, 0)
        if self.learned >= self.frames:
            os.kill(os.getpid(), signal.SIGKILL)


def die(
    stage: Stage,
    consumer: FrameConsumer[Any],
    kafka: KafkaSettings,
    *,
    frames: int,
    half_way: tuple[int, ...],
    output: str,
) -> None:
    """Learn until it dies; what it says goes to a file."""
    with Path(output).open("wb", buffering=0) as file:
        os.dup2(file.fileno(), 2)

    async def live() -> None:
        shell = made_shell(Dying, stage, consumer, kafka)
        shell.frames, shell.half_way = frames, half_way
        await shell.start()
        await shell.failed

    sys.exit(asyncio.run(live()))
