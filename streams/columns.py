"""The shell around the data plane: frames in, events out, state saved in blocks.

A consumer of frames keeps its numbers as arrays. They are too large to save with every frame,
so each block goes to the changelog every `save_s`, staggered, with the offset that it
includes; a frame is acknowledged once every block that it changed has been saved since. After
a crash the blocks are read back, the frames since are read again, and a block skips those
that it includes.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from schemas.avro import encode
from schemas.errors import Rejected
from schemas.event import Event
from schemas.frames import Samples, read_samples
from streams.connection import KafkaSettings
from streams.deadletters import Record, dead_letter
from streams.faust_app import MAX_REQUEST, batches, make_app, read, send, topic_of
from streams.stage import Stage

log = logging.getLogger(__name__)
BATCH = 16  # frames scored between two looks at the clock


class SavedBlock(Protocol):
    """A part of a partition's state that is saved at once."""

    included: int  # offset of the last frame in it
    saved: int  # offset of the last frame in it as saved, -1 before
    changed: bool  # since it was saved

    def dump(self) -> bytes:
        """Everything, with the offset that it includes."""


class FrameConsumer(Protocol):
    """What reads frames of samples and keeps blocks."""

    def blocks(self, partition: int) -> Sequence[SavedBlock]:
        """The partition's blocks; a block keeps its place."""

    def load(self, partition: int, saved: Mapping[int, bytes]) -> None:
        """Take up a partition from its saved blocks, by number."""

    def drop(self, partition: int) -> None:
        """Forget a partition."""

    def feed(self, samples: Samples, partition: int, offset: int) -> Sequence[Event]:
        """Learn a frame; what there is to say of it, with ids of its own."""


class ColumnShell:
    """One consumer of frames as a Faust application."""

    def __init__(
        self,
        stage: Stage,
        consumer: FrameConsumer,
        kafka: KafkaSettings,
        *,
        save_s: float,
        clock: Callable[[], datetime],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.stage, self.consumer, self.kafka, self.clock = stage, consumer, kafka, clock
        self._save_s = save_s
        self.app = make_app(kafka, stage.name, loop=loop)
        self.failed: asyncio.Future[None] = loop.create_future()
        self._waiting: dict[int, deque[Any]] = {}  # frames not yet acknowledged, by partition
        self._lock = asyncio.Lock()  # blocks are not saved while a frame changes them
        self._saver: asyncio.Task[None] | None = None
        self._table = self.app.Table(
            "blocks",
            key_type=bytes,
            value_type=bytes,
            extra_topic_configs={"max.message.bytes": MAX_REQUEST},
        )
        self.app.agent(read(self.app, kafka, stage.source), name=stage.name)(self._agent)
        self.app.on_rebalance_complete.connect(self._on_assigned)

    async def start(self) -> None:
        """Join the group and begin."""
        await self.app.start()
        self._saver = self.app.loop.create_task(self._save_always())

    async def stop(self) -> None:
        """Save what has changed, acknowledge it and leave the group."""
        if self._saver is not None:
            self._saver.cancel()
        async with self._lock:
            for partition in () if self.failed.done() else tuple(self._waiting):
                for number, block in enumerate(self.consumer.blocks(partition)):
                    if block.changed:
                        await self._save(partition, number)
        await self.app.stop()

    # ---- state over rebalances

    async def _on_assigned(self, *_: Any, **__: Any) -> None:
        actives = {tp.partition for tp in self.app.assignor.assigned_actives()}
        async with self._lock:
            for partition in self._waiting.keys() - actives:
                self.consumer.drop(partition)
            self._waiting = {partition: deque() for partition in actives}
            store = self._table.data.data
            saved: dict[int, dict[int, bytes]] = {partition: {} for partition in actives}
            for key, raw in list(store.items()):
                partition, number = (int(part) for part in key.decode().split("/"))
                if partition in actives:
                    saved[partition][number] = raw
                else:
                    del store[key]
            for partition, blocks in saved.items():
                self.consumer.load(partition, blocks)

    # ---- frames

    async def _agent(self, stream: Any) -> None:
        try:
            async for events in batches(stream, BATCH):
                async with self._lock:
                    await self._handle(events)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker must stop for it
            self._fail(error)
            await asyncio.Event().wait()  # nothing more is read until the worker is gone

    def _fail(self, error: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    async def _handle(self, events: list[Any]) -> None:
        records: list[Record] = []
        for event in events:
            message = event.message
            if message.partition not in self._waiting:
                continue  # of a partition that has gone: its new owner reads it
            try:
                samples = read_samples(message.value or b"")
            except Rejected as error:
                records.append(dead_letter(self.stage.name, message, str(error), self.clock()))
            else:
                for said in self.consumer.feed(samples, message.partition, message.offset):
                    value, headers = encode(said)
                    records.append((topic_of(said), said.group, value, headers))
            message.value = event.value = None  # waits long for its acknowledgement, and is large
            self._waiting[message.partition].append(event)
        if records:
            await send(self.app, self.kafka, records)
        for partition in {event.message.partition for event in events} & self._waiting.keys():
            self._acknowledge(partition)

    def _acknowledge(self, partition: int) -> None:
        """Acknowledge the frames that every block includes as saved."""
        waiting = self._waiting[partition]
        limit = min((b.saved for b in self.consumer.blocks(partition) if b.changed), default=None)
        while waiting and (limit is None or waiting[0].message.offset <= limit):
            waiting.popleft().ack()

    # ---- blocks

    async def _save_always(self) -> None:
        """A few blocks a second, the longest unsaved first, so that each has its turn in time."""
        while True:
            await asyncio.sleep(1.0)
            async with self._lock:
                blocks = [
                    (block.saved, partition, number)
                    for partition in self._waiting
                    for number, block in enumerate(self.consumer.blocks(partition))
                    if block.changed
                ]
                share = math.ceil(len(blocks) / self._save_s)
                for _, partition, number in sorted(blocks)[:share]:
                    await self._save(partition, number)

    async def _save(self, partition: int, number: int) -> None:
        block = self.consumer.blocks(partition)[number]
        key, raw = f"{partition}/{number}".encode(), block.dump()
        changelog = self._table.changelog_topic.get_topic_name()
        sent = await self.app.producer.send(changelog, key, raw, partition, None, None)
        await sent
        self._table.data.data[key] = raw
        block.saved, block.changed = block.included, False
        self._acknowledge(partition)
