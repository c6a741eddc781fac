"""Shops that log, around which the log stage's test turns: raw lines in, a worker that dies."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agents.logs.settings import LogSettings
from agents.logs.stage import Logs
from schemas.event import Event
from schemas.frames import Samples, read_coded_lines
from schemas.topics import ANOMALIES, LOGLINES, SAMPLES, TEMPLATES
from streams.columns import ColumnShell
from streams.connection import KafkaSettings
from streams.stage import Stage
from tests.streams.counting import clock
from tests.streams.kafka_world import records

STAGE = Stage("logs", (LOGLINES,), (TEMPLATES, SAMPLES, ANOMALIES), lambda _: logs())
T0 = 1_767_323_040_000  # ms
SERVICES = ("s0", "s1", "s3", "s5", "checkout")
CARD = "4111 1111 1111 1111"
MINUTES = 40


def logs() -> Logs:
    """A new one."""
    return Logs(LogSettings(learn_s=300, learn_lines=50), {})


def raw_lines(service: str) -> Iterator[bytes]:
    """What a service logs in forty minutes: a new error after half an hour, then a storm."""
    for second in range(0, MINUTES * 60, 4):
        yield _line(service, second, "info", f"order {second} paid with card {CARD}")
        if second % 8:
            yield _line(service, second, "info", "stock is in sync")
        if second % 200 == 0:
            yield _line(service, second, "error", f"payment {second} was refused")
        if second == 1800:
            yield _line(service, second, "error", f"disk 7 fails for user {service}@example.com")
            yield _line(service, second, "error", "\tat disk.Write(Disk.java:7)")
            yield _line(service, second, "error", "Caused by: disk.FullError: no space")
        if 2000 < second < 2200:
            yield _line(service, second, "error", f"payment {second} was refused")


def _line(service: str, second: int, severity: str, text: str) -> bytes:
    at = T0 + 1000 * second
    return json.dumps(
        {"service": service, "at": at, "severity": severity, "message": text}
    ).encode()


def undisturbed(kafka: KafkaSettings) -> tuple[Logs, list[Event | Samples]]:
    """A stage that has read all frames in one go, and what it said."""
    whole = logs()
    said: list[Event | Samples] = []
    for message in records(kafka, LOGLINES):
        lines = read_coded_lines(message.value())
        said += whole.feed(lines, message.partition(), message.offset())
    return whole, said


def state(stage: Logs) -> list[bytes]:
    """Every partition's block."""
    return [stage.blocks(p)[0].dump() for p in range(LOGLINES.partitions)]


@asynccontextmanager
async def running(kafka: KafkaSettings, stage: Logs) -> AsyncIterator[ColumnShell]:
    """A shell in this process, left in order at the end; raises what it failed of."""
    shell = made_shell(ColumnShell, kafka, stage)
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


def made_shell(kind: type[ColumnShell], kafka: KafkaSettings, stage: Logs) -> ColumnShell:
    """The shell, not started."""
    loop = asyncio.get_running_loop()
    return kind(STAGE, stage, kafka, save_s=1000.0, clock=clock, loop=loop)


class Dying(ColumnShell):
    """Kills its process once it has learned so many frames; half way it saves two partitions."""

    frames = 0
    learned = 0

    async def handle(self, events: list[Any]) -> None:
        """As the shell does it, then perhaps the end."""
        await super().handle(events)
        before, self.learned = self.learned, self.learned + len(events)
        if before < self.frames / 2 <= self.learned:
            await self._save(0, 0)
            await self._save(2, 0)
        if self.learned >= self.frames:
            os.kill(os.getpid(), signal.SIGKILL)


def serve(kafka: KafkaSettings, frames: int, output: str) -> None:
    """Learn until it dies."""
    with Path(output).open("wb", buffering=0) as file:
        os.dup2(file.fileno(), 2)
    Dying.frames = frames

    async def live() -> None:
        shell = made_shell(Dying, kafka, logs())
        await shell.start()
        await shell.failed

    sys.exit(asyncio.run(live()))
