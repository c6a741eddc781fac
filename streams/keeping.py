"""The shell around a sink: batches of events, written, then acknowledged.

A sink is idempotent by event id, so a batch that is written again changes nothing. While what
it writes to is away, it waits without leaving its group; nothing is dropped and no other
stage is held up.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

from schemas.errors import Rejected, Unavailable
from schemas.event import Event
from streams.connection import KafkaSettings
from streams.deadletters import Record, dead_letter
from streams.faust_app import batches, decoded, make_app, read, send
from streams.kafka import FIRST_RETRY_S, LAST_RETRY_S
from streams.stage import Position, Sink, Stage

log = logging.getLogger(__name__)
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
    ) -> None:
        self.stage, self.sink, self.kafka, self.clock = stage, sink, kafka, clock
        self.app = make_app(kafka, stage.name, loop=loop)
        self.failed: asyncio.Future[None] = loop.create_future()
        self.app.agent(read(self.app, kafka, stage.source), name=stage.name)(self._agent)

    async def start(self) -> None:
        """Join the group and begin."""
        await self.app.start()

    async def stop(self) -> None:
        """Leave the group; what was not written is read again by whoever comes next."""
        await self.app.stop()

    async def _agent(self, stream: Any) -> None:
        try:
            async for events in batches(stream, BATCH):
                await self._handle(events)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker must stop for it
            if not self.failed.done():
                self.failed.set_exception(error)
            await asyncio.Event().wait()  # nothing more is read until the worker is gone

    async def _handle(self, events: list[Any]) -> None:
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
            await send(self.app, self.kafka, letters)
        if batch:
            await self._write(batch)
        for event in events:
            event.ack()

    async def _write(self, batch: list[tuple[Event, Position]]) -> None:
        pause = FIRST_RETRY_S
        while True:
            try:
                return await self.sink.write(batch)
            except Unavailable as error:
                log.warning("%s: %s; again in %.1f s", self.stage.name, error, pause)
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                pause = min(pause * 2, LAST_RETRY_S)
