"""The shell around a decision: raw bytes in, decode, run, send, keep, acknowledge.

For each message, in this order: outputs are sent and acknowledged by Kafka; then the key's
state, with the offset that it includes, is in the changelog; then the message is
acknowledged. A crash in between repeats the message with the same outputs under the same
ids, which the next stage drops. A message that was applied is recognised by its offset, a
copy of it by its id.

`Rejected` sends the message to the dead letters; `Unavailable` tries again; anything else
stops the worker loudly.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.avro import encode
from schemas.errors import Rejected, Unavailable
from schemas.event import Event
from schemas.operations import Tick
from schemas.topics import TICKS
from schemas.turn import Job, Turn
from streams.connection import KafkaSettings
from streams.deadletters import Record, dead_letter
from streams.faust_app import MAX_REQUEST, batches, decoded, make_app, read, send, topic_of
from streams.stage import Acting, Stage

log = logging.getLogger(__name__)
BATCH = 64  # messages handled between two acknowledgements
REMEMBERED = 512  # ids a key; copies come within seconds, an incident has fewer events
FIRST_RETRY_S, LAST_RETRY_S = 0.2, 10.0


class Kept(BaseModel):
    """What the changelog holds for one key: the state and what it includes."""

    model_config = ConfigDict(frozen=True)

    partition: int
    offsets: dict[str, int]  # topic -> last offset applied
    seen: tuple[str, ...]
    state: dict[str, Any] | None


class Entry:
    """A key's state in memory, decoded."""

    __slots__ = ("offsets", "partition", "seen", "state")

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.offsets: dict[str, int] = {}
        self.seen: dict[str, None] = {}
        self.state: BaseModel | None = None

    @classmethod
    def loaded(cls, raw: bytes, model: type[BaseModel]) -> "Entry":
        """From the changelog. Raises Rejected when this version cannot read it."""
        try:
            kept = Kept.model_validate_json(raw)
            entry = cls(kept.partition)
            entry.offsets, entry.seen = dict(kept.offsets), dict.fromkeys(kept.seen)
            entry.state = None if kept.state is None else model.model_validate(kept.state)
        except ValidationError as error:
            raise Rejected(f"state of an unknown version: {error.errors()[0]['msg']}") from error
        return entry

    def dumped(self) -> bytes:
        """For the changelog."""
        while len(self.seen) > REMEMBERED:
            del self.seen[next(iter(self.seen))]
        state = None if self.state is None else self.state.model_dump(mode="json")
        return (
            Kept(
                partition=self.partition,
                offsets=self.offsets,
                seen=tuple(self.seen),
                state=state,
            )
            .model_dump_json()
            .encode()
        )


class Shell:
    """One stage as a Faust application."""

    def __init__(
        self,
        stage: Stage,
        decision: Any,
        kafka: KafkaSettings,
        *,
        clock: Callable[[], datetime],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.stage, self.decision, self.kafka, self.clock = stage, decision, kafka, clock
        self.app = make_app(kafka, stage.name, loop=loop)
        self.failed: asyncio.Future[None] = loop.create_future()
        self._jobs: dict[str, dict[str, asyncio.Task[None]]] = {}  # by key, by job
        self._entries: dict[str, Entry] = {}
        self._table = self.app.Table(
            "state",
            key_type=bytes,
            value_type=bytes,
            extra_topic_configs={"max.message.bytes": MAX_REQUEST},
        )
        sources = (*stage.source, TICKS) if stage.ticks else stage.source
        self.app.agent(read(self.app, kafka, sources), name=stage.name)(self._agent)
        self.app.on_rebalance_complete.connect(self._on_assigned)
        self.app.on_partitions_revoked.connect(self._on_revoked)

    async def start(self) -> None:
        """Join the group and begin."""
        await self.app.start()

    async def stop(self) -> None:
        """Leave the group; what was not acknowledged is read again by whoever comes next."""
        self._cancel_jobs()
        await self.app.stop()

    async def _agent(self, stream: Any) -> None:
        try:
            async for events in batches(stream, BATCH):
                await self._handle(events)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker must stop for it
            self._fail(error)
            await asyncio.Event().wait()  # nothing more is read until the worker is gone

    def _fail(self, error: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    # ---- state over rebalances

    async def _on_assigned(self, *_: Any, **__: Any) -> None:
        """Drop what is not ours any more, forget decoded copies, take up intended work."""
        actives = {tp.partition for tp in self.app.assignor.assigned_actives()}
        store = self._table.data.data
        self._entries = {}
        for key, raw in list(store.items()):
            entry = Entry.loaded(raw, self.decision.State)
            if entry.partition in actives:
                self._entries[key.decode()] = entry
            else:
                del store[key]
        for key in self._entries:
            self._start_jobs(key)

    async def _on_revoked(self, *_: Any, **__: Any) -> None:
        self._cancel_jobs()

    # ---- messages

    async def _handle(self, events: list[Any]) -> None:
        records: list[Record] = []
        changed: dict[str, Entry] = {}
        for event in events:
            message = event.message
            if message.topic == self.kafka.topic(TICKS):
                self._on_tick(message, records, changed)
            else:
                await self._on_message(message, records, changed)
        await self._send(records)
        await self._keep(changed)
        for event in events:
            event.ack()
        for key in changed:
            self._start_jobs(key)

    async def _on_message(
        self, message: Any, records: list[Record], changed: dict[str, Entry]
    ) -> None:
        try:
            event = decoded(message)
            key = self.decision.key(event)
            if not key:
                return
            entry = self._entries.get(key) or Entry(message.partition)
            if message.offset <= entry.offsets.get(message.topic, -1) or event.id in entry.seen:
                return
            turn = await self._run(event, entry.state)
        except Rejected as error:
            records.append(self._dead_letter(message, error))
            return
        had_none = entry.state is None
        self._apply(turn, key, entry, event, records)
        if had_none and turn.state is None:
            return  # nothing to remember; a copy of this message says the same again
        entry.offsets[message.topic] = message.offset
        entry.seen[event.id] = None
        self._entries[key] = changed[key] = entry

    def _on_tick(self, message: Any, records: list[Record], changed: dict[str, Entry]) -> None:
        try:
            tick = decoded(message)
        except Rejected as error:
            records.append(self._dead_letter(message, error))
            return
        if not isinstance(tick, Tick):
            return
        for key, entry in list(self._entries.items()):
            if entry.partition != message.partition or entry.state is None:
                continue
            before = entry.state
            turn = self.decision.run(tick, before, tick.at)
            self._apply(turn, key, entry, tick, records)
            if turn.state != before or turn.events:
                changed[key] = entry

    async def _run(self, event: Event, state: BaseModel | None) -> Turn[Any]:
        pause = FIRST_RETRY_S
        while True:
            try:
                return self.decision.run(event, state, self.clock())  # type: ignore[no-any-return]
            except Unavailable as error:
                log.warning("%s: %s; again in %.1f s", self.stage.name, error, pause)
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                pause = min(pause * 2, LAST_RETRY_S)

    def _apply(
        self, turn: Turn[Any], key: str, entry: Entry, event: Event, records: list[Record]
    ) -> None:
        entry.state = turn.state
        for number, said in enumerate(turn.events):
            stamped = said.stamped(
                stage=self.stage.name,
                cause=event.id,
                position=f"{key}/{number}",
                trace=event.trace,
            )
            records.append(self._record(stamped))

    @staticmethod
    def _record(event: Event) -> Record:
        value, headers = encode(event)
        return topic_of(event), event.group, value, headers

    def _dead_letter(self, message: Any, error: Exception) -> Record:
        return dead_letter(self.stage.name, message, str(error), self.clock())

    async def _send(self, records: list[Record]) -> None:
        if records:
            await send(self.app, self.kafka, records)

    async def _keep(self, changed: dict[str, Entry]) -> None:
        """State into the store that recovery fills and, before we go on, into the changelog."""
        pending = []
        for key, entry in changed.items():
            name = key.encode()
            raw = None if entry.state is None else entry.dumped()
            if raw is None:
                self._table.data.data.pop(name, None)
                del self._entries[key]
            else:
                self._table.data.data[name] = raw
            changelog = self._table.changelog_topic.get_topic_name()
            pending.append(
                await self.app.producer.send(changelog, name, raw, entry.partition, None, None)
            )
        await asyncio.gather(*pending)

    # ---- work beside the stream

    def _start_jobs(self, key: str) -> None:
        """Start what the key's state intends; forget what it no longer does."""
        if not isinstance(self.decision, Acting):
            return
        entry = self._entries.get(key)
        state = None if entry is None else entry.state
        intended = {} if state is None else {job.id: job for job in self.decision.pending(state)}
        running = self._jobs.get(key, {})
        tasks = {ident: task for ident, task in running.items() if ident in intended}
        for ident, job in intended.items():
            if ident not in tasks:
                tasks[ident] = self.app.loop.create_task(self._work(job))
        self._jobs[key] = tasks
        if not tasks:
            del self._jobs[key]

    async def _work(self, job: Job) -> None:
        pause = FIRST_RETRY_S
        while True:
            try:
                number = 0
                async for said in self.decision.act(job):
                    stamped = said.stamped(
                        stage=self.stage.name,
                        cause=job.cause,
                        position=f"{job.id}/{number}",
                        trace=job.trace,
                    )
                    await self._send([self._record(stamped)])
                    number += 1
            except Unavailable as error:
                log.warning("%s: %s; again in %.1f s", self.stage.name, error, pause)
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                pause = min(pause * 2, LAST_RETRY_S)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - a job that breaks must not be lost silently
                self._fail(error)
                return
            else:
                return

    def _cancel_jobs(self) -> None:
        for tasks in self._jobs.values():
            for task in tasks.values():
                task.cancel()
        self._jobs.clear()
