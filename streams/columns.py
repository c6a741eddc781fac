"""The shell around the data plane: frames in, events out, state saved in blocks.

A consumer of frames keeps its numbers as arrays. They are too large to save with every frame,
so each block goes to the changelog every `save_s`, staggered, with the offset that it
includes; a frame is acknowledged once every block that it changed has been saved since. After
a crash the blocks are read back, the frames since are read again, and a block skips those
that it includes. A consumer may put a saved block out of memory: it reads it again from what
it was given to `load`.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar, runtime_checkable

from schemas.errors import Rejected, SentinelError
from schemas.event import Event
from schemas.frames import (
    Samples,
    read_coded_lines,
    read_samples,
    service_of,
    warm_up,
    write_samples,
)
from schemas.topics import LOGLINES, SAMPLES
from streams.connection import KafkaSettings
from streams.deadletters import dead_letter
from streams.group.application import send
from streams.group.member import LostError, Member
from streams.group.message import Record, decoded, encoded
from streams.group.tables import keep, large_table, table
from streams.model_signal import Modelling, ModelSignal
from streams.series_signal import Limited, SeriesSignal
from streams.stage import Stage
from streams.stage_metrics import StageMetrics
from streams.turns import Turns

log = logging.getLogger(__name__)
BATCH = 16  # frames scored between two looks at the clock
LAST_SAVES_S = 2.0  # a rebalance waits for us; what is not saved is read again

READERS: dict[str, Callable[[bytes], Any]] = {
    SAMPLES.name: read_samples,
    LOGLINES.name: read_coded_lines,
}
Frame_contra = TypeVar("Frame_contra", contravariant=True)


class SavedBlock(Protocol):
    """A part of a partition's state that is saved at once."""

    included: int  # offset of the last frame in it
    saved: int  # offset of the last frame in it as saved, -1 before
    changed: bool  # since it was saved

    def dump(self) -> bytes:
        """Everything, with the offset that it includes."""


class FrameConsumer(Protocol[Frame_contra]):
    """What reads frames of its stage's topic and keeps blocks."""

    def blocks(self, partition: int) -> Sequence[SavedBlock]:
        """The partition's blocks; a block keeps its place."""

    def load(self, partition: int, saved: Mapping[int, bytes]) -> Sequence[str] | None:
        """Take up a partition from its saved blocks, by number; what is begun anew, and why.

        `saved` goes on giving what was saved last of each block.
        """

    def drop(self, partition: int) -> None:
        """Forget a partition."""

    def feed(self, frame: Frame_contra, partition: int, offset: int) -> Sequence[Event | Samples]:
        """Learn a frame; what there is to say of it: events with ids of their own, and samples.

        Samples, of one service at a time, go where intake's go. They may be sent again after a
        crash, with the same times: whoever reads them leaves out what is not newer.
        """


@runtime_checkable
class Hearing(Protocol):
    """A consumer of frames that also hears events, and keeps of them what is small."""

    def hear(self, event: Event, partition: int) -> bytes | None:
        """All to be kept of the partition's events, None when that has not changed.

        Raises Rejected for an event that it has no use for.
        """

    def recall(self, partition: int, kept: bytes) -> None:
        """Take up what was kept; called after `load`. Raises Rejected when it is damaged."""


class _Saved(Mapping[int, bytes]):
    """What is saved of a partition's blocks, by number, out of all that the table holds."""

    def __init__(self, table: Mapping[bytes, bytes], partition: int) -> None:
        self._table, self._partition = table, partition

    def __getitem__(self, number: int) -> bytes:
        return self._table[f"{self._partition}/{number}".encode()]

    def __iter__(self) -> Iterator[int]:
        places = (_place(key) for key in self._table)
        return iter([number for partition, number in places if partition == self._partition])

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _place(key: bytes) -> tuple[int, int]:
    """Partition and number of a block, from the changelog's key."""
    partition, number = key.split(b"/")
    return int(partition), int(number)


def _record(said: Event | Samples) -> Record:
    """What a consumer says, as it travels."""
    if isinstance(said, Samples):
        return SAMPLES, service_of(said.names[0]), write_samples(said), {}
    return encoded(said)


class ColumnShell:
    """One consumer of frames as a Faust application."""

    def __init__(
        self,
        stage: Stage,
        consumer: FrameConsumer[Any],
        kafka: KafkaSettings,
        *,
        save_s: float,
        clock: Callable[[], datetime],
        loop: asyncio.AbstractEventLoop,
        metrics: StageMetrics | None = None,
    ) -> None:
        self.stage, self.consumer, self.kafka, self.clock = stage, consumer, kafka, clock
        self._turns = Turns(save_s)
        self._readers = {
            kafka.topic(topic): READERS[topic.name] for topic in stage.source if not topic.event
        }
        metrics = metrics or StageMetrics()
        self.member = Member(
            stage.name, kafka, stage.source, self, batch=BATCH, loop=loop, metrics=metrics
        )
        warm_up()
        self.failed = self.member.failed
        self._table = large_table(self.member.app, "blocks")
        hears = isinstance(consumer, Hearing)
        self._kept: Any = table(self.member.app, "heard") if hears else None
        self._waiting: dict[int, deque[Any]] = {}  # frames not yet acknowledged, by partition
        self._saver: asyncio.Task[None] | None = None
        self._stopping = False
        told = metrics.registry
        self._signal = (
            SeriesSignal(stage.name, consumer, told) if isinstance(consumer, Limited) else None
        )
        self._models = (
            ModelSignal(stage.name, consumer, told) if isinstance(consumer, Modelling) else None
        )

    async def start(self) -> None:
        """Join the group and begin."""
        await self.member.start()
        self._saver = self.member.app.loop.create_task(self._save_always())

    async def stop(self) -> None:
        """Save what has changed, acknowledge it and leave the group."""
        self._stopping = True
        if self._saver is not None:
            self._saver.cancel()
        await self.member.stop()

    # ---- state over rebalances

    async def assigned(self, partitions: set[int]) -> None:
        """Take up every partition from its saved blocks; the frames since are read again."""
        for partition in self._waiting:
            self.consumer.drop(partition)
        store = self._table.data.data
        for key in [key for key in store if _place(key)[0] not in partitions]:
            del store[key]
        self._waiting = {partition: deque() for partition in partitions}
        self._turns.forget()
        for partition in partitions:
            wrong = self.consumer.load(partition, _Saved(store, partition))
            for what in wrong or ():
                log.warning("%s: partition %d: begun anew: %s", self.stage.name, partition, what)
        self._recall(partitions)

    def _recall(self, partitions: set[int]) -> None:
        """What was heard before, before any frame is read again."""
        if self._kept is None:
            return
        store = self._kept.data.data
        for key in list(store):
            if int(key) not in partitions:
                del store[key]
                continue
            try:
                self.consumer.recall(int(key), store[key])  # type: ignore[attr-defined] # Hearing
            except Rejected as error:
                topic = self._kept.changelog_topic.get_topic_name()
                raise Rejected(
                    f"{self.stage.name}: partition {int(key)}: {error}: run the version that wrote"
                    f" it, or delete the topic {topic} to begin without what was heard before"
                ) from error

    async def revoked(self, *, finished: bool) -> None:
        """Save what fits in the time there is, so that the next owner has less to read again.

        Not when a batch was given up half-way: its blocks know of frames whose anomalies were
        never sent.
        """
        end = time.monotonic() + LAST_SAVES_S
        for partition in self._waiting if finished else ():
            for number, block in enumerate(self.consumer.blocks(partition)):
                if block.changed and time.monotonic() < end:
                    await self._save(partition, number)
        for partition in self._waiting:
            self._acknowledge(partition)
            self.consumer.drop(partition)
        self._waiting = {}

    # ---- frames

    async def handle(self, events: list[Any]) -> None:
        """Learn a batch and say what it shows; it is acknowledged once it has been saved."""
        records: list[Record] = []
        frames = [event for event in events if event.message.topic in self._readers]
        heard = [event for event in events if event.message.topic not in self._readers]
        await self._hear(heard, records)
        for event in frames:
            message = event.message
            try:
                frame = self._readers[message.topic](message.value or b"")
            except Rejected as error:
                records.append(dead_letter(self.stage.name, message, str(error), self.clock()))
            else:
                said = self.consumer.feed(frame, message.partition, message.offset)
                records.extend(map(_record, said))
        if records:
            await self.member.check()
            await send(self.member.app, self.kafka, records)
            self.member.signal.wrote(self.kafka, records)
        for event in heard:
            event.ack()
        for event in frames:
            event.message.value = event.value = None  # large, and waits long for its turn
            self._waiting[event.message.partition].append(event)
        for partition in {event.message.partition for event in frames}:
            self._acknowledge(partition)

    async def _hear(self, events: list[Any], records: list[Record]) -> None:
        """Events beside the frames: what they leave is in the changelog before all else."""
        rows: dict[int, bytes] = {}
        for event in events:
            message = event.message
            try:
                kept = self.consumer.hear(decoded(message), message.partition)  # type: ignore[attr-defined] # Hearing
            except Rejected as error:
                records.append(dead_letter(self.stage.name, message, str(error), self.clock()))
            else:
                if kept is not None:
                    rows[message.partition] = kept
        if rows:
            await self.member.check()
        for partition, kept in rows.items():
            key = str(partition).encode()
            await keep(self.member.app, self._kept, partition, {key: kept})
            self._kept.data.data[key] = kept

    def _acknowledge(self, partition: int) -> None:
        """Acknowledge the frames that every block includes as saved."""
        waiting = self._waiting[partition]
        limit = min((b.saved for b in self.consumer.blocks(partition) if b.changed), default=None)
        while waiting and (limit is None or waiting[0].message.offset <= limit):
            waiting.popleft().ack()

    # ---- blocks

    async def _save_always(self) -> None:
        """A few blocks a second, the longest unsaved first, so that each has its turn in time."""
        while not self.failed.done():
            await asyncio.sleep(1.0)
            try:
                await self._save_share()
                async with self.member.lock:
                    if self._signal is not None:
                        self._signal.look(time.monotonic())
                    if self._models is not None:
                        self._models.look()
            except LostError:
                continue  # a rebalance is under way
            except asyncio.CancelledError as error:
                if not self._stopping:  # a write that was given up, not we
                    self.member.fail(SentinelError(f"{self.stage.name}: not saved: {error!r}"))
                raise
            except Exception as error:  # noqa: BLE001 - a saver that breaks must not be lost silently
                self.member.fail(error)

    async def _save_share(self) -> None:
        """Those whose turn it is, one by one: frames that have come meanwhile go between them."""
        async with self.member.lock:
            changed = [
                (partition, number)
                for partition in self._waiting
                for number, block in enumerate(self.consumer.blocks(partition))
                if block.changed
            ]
        for partition, number in self._turns.next(changed):
            async with self.member.lock:
                if self._is_changed(partition, number):
                    await self._save(partition, number)

    def _is_changed(self, partition: int, number: int) -> bool:
        """Whether it is ours, still, and not as it was saved."""
        blocks = self.consumer.blocks(partition) if partition in self._waiting else ()
        return number < len(blocks) and blocks[number].changed

    async def _save(self, partition: int, number: int) -> None:
        await self.member.check()
        block = self.consumer.blocks(partition)[number]
        key, raw = f"{partition}/{number}".encode(), block.dump()
        await keep(self.member.app, self._table, partition, {key: raw})
        self._table.data.data[key] = raw
        block.saved, block.changed = block.included, False
        self.member.worked()
        self._acknowledge(partition)
