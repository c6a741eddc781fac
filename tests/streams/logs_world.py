"""Shops that log, around which the log stage's test turns: raw lines in, a worker that dies."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from agents.logs.settings import LogSettings
from agents.logs.stage import Logs
from schemas.event import Event
from schemas.frames import Samples, read_coded_lines
from schemas.topics import ANOMALIES, LOGLINES, SAMPLES, TEMPLATES
from streams.columns import ColumnShell
from streams.connection import KafkaSettings
from streams.stage import Stage
from tests.streams.column_world import die, made_shell
from tests.streams.counting import in_order
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
    """A shell in this process, as `in_order` runs it."""
    async with in_order(made_shell(ColumnShell, STAGE, stage, kafka)) as shell:
        yield shell


def serve(kafka: KafkaSettings, frames: int, output: str) -> None:
    """Learn so many frames and die; two partitions are saved half way."""
    die(STAGE, logs(), kafka, frames=frames, half_way=(0, 2), output=output)
