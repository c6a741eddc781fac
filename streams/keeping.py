"""The shell around a sink: batches of events, written, then acknowledged.

A sink is idempotent by event id, so a batch that is written again changes nothing. While what
it writes to is away, it waits without leaving its group; nothing is dropped and no other
stage is held up.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from schemas.errors import Rejected
from streams.connection import KafkaSettings
from streams.deadletters import dead_letter
from streams.group.application import send
from streams.group.member import Member
from streams.group.message import Record, decoded
from streams.stage import Position, Sink, Stage
from streams.stage_metrics import StageMetrics

if TYPE_CHECKING:
    from schemas.event import Event

BATCH = 500  # events in one transaction of the sink


class SinkShell:
    """One sink as a Faust application."""

    def __init__(
        self,
        stage: Stage,
        sink: Sink,
        kafka: KafkaSettings,
        *,
        clock: Callable[[], datetime],
        loop: asyncio.AbstractEventLoop,
        metrics: StageMetrics | None = None,
    ) -> None:
        self.stage, self.sink, self.kafka, self.clock = stage, sink, kafka, clock
        self.member = Member(
            stage.name, kafka, stage.source, self, batch=BATCH, loop=loop, metrics=metrics
        )
        self.failed = self.member.failed

    async def start(self) -> None:
        """Join the group and begin."""
        await self.member.start()

    async def stop(self) -> None:
        """Leave the group; what was not written is read again by whoever comes next."""
        await self.member.stop()

    async def assigned(self, partitions: set[int]) -> None:
        """Nothing: a sink keeps no state of its own."""

    async def revoked(self, *, finished: bool) -> None:
        """Nothing: what was written is acknowledged, or will be written again."""

    async def handle(self, events: list[Any]) -> None:
        """Write a batch, then acknowledge it."""
        batch: list[tuple[Event, Position]] = []
        letters: list[Record] = []
        for event in events:
            message = event.message
            try:
                said = decoded(message)
            except Rejected as error:
                letters.append(dead_letter(self.stage.name, message, str(error), self.clock()))
                continue
            batch.append((said, Position(message.topic, message.partition, message.offset)))
        if letters:
            await self.member.check()
            await send(self.member.app, self.kafka, letters)
            self.member.signal.wrote(self.kafka, letters)
        if batch:
            await self.member.insist(lambda: self.sink.write(batch))
        for event in events:
            event.ack()
