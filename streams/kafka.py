"""The shell around a decision: raw bytes in, decode, run, send, keep, acknowledge.

For each batch, in this order: outputs are sent and acknowledged by Kafka; then each key's
state, with the offsets that it includes, is in the changelog; then the messages are
acknowledged. A crash in between repeats messages with the same outputs under the same ids,
which the next stage drops. A message that was applied is recognised by its offset, a copy of
it by its id.

`Rejected` sends the message to the dead letters; `Unavailable` tries again; anything else
stops the worker loudly.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.errors import Rejected
from schemas.event import Event
from schemas.operations import Tick
from schemas.topics import TICKS
from schemas.turn import Job, Turn
from streams.connection import KafkaSettings
from streams.deadletters import dead_letter
from streams.group.application import send
from streams.group.member import LostError, Member
from streams.group.message import Record, decoded, encoded, home
from streams.group.tables import keep, table
from streams.stage import Acting, Stage
from streams.stage_metrics import StageMetrics

BATCH = 64  # messages handled between two acknowledgements
REMEMBERED = 512  # ids a key; copies come within seconds, an incident has fewer events


class Place(NamedTuple):
    """Where a state lives: a key is one only within its partition."""

    partition: int
    key: str

    @classmethod
    def of(cls, raw: bytes) -> "Place":
        """From the changelog's key."""
        partition, _, key = raw.decode().partition("/")
        return cls(int(partition), key)

    def __bytes__(self) -> bytes:
        return f"{self.partition}/{self.key}".encode()


class Kept(BaseModel):
    """What the changelog holds for one key: the state and what it includes."""

    model_config = ConfigDict(frozen=True)

    offsets: dict[str, int]  # topic -> last offset applied
    seen: tuple[str, ...]
    state: dict[str, Any] | None


class Entry:
    """A key's state in memory, decoded."""

    __slots__ = ("offsets", "seen", "state")

    def __init__(self) -> None:
        self.offsets: dict[str, int] = {}
        self.seen: dict[str, None] = {}
        self.state: BaseModel | None = None

    @classmethod
    def loaded(cls, raw: bytes, model: type[BaseModel]) -> "Entry":
        """From the changelog. Raises Rejected when this version cannot read it."""
        try:
            kept = Kept.model_validate_json(raw)
            entry = cls()
            entry.offsets, entry.seen = dict(kept.offsets), dict.fromkeys(kept.seen)
            entry.state = None if kept.state is None else model.model_validate(kept.state)
        except ValidationError as error:
            wrong = error.errors()[0]
            where = ".".join(map(str, wrong["loc"]))
            raise Rejected(f"{where}: {wrong['msg']}" if where else wrong["msg"]) from error
        return entry

    def dumped(self) -> bytes:
        """For the changelog."""
        while len(self.seen) > REMEMBERED:
            del self.seen[next(iter(self.seen))]
        state = None if self.state is None else self.state.model_dump(mode="json")
        kept = Kept.model_construct(offsets=self.offsets, seen=tuple(self.seen), state=state)
        return kept.model_dump_json().encode()


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
        metrics: StageMetrics | None = None,
    ) -> None:
        self.stage, self.decision, self.kafka, self.clock = stage, decision, kafka, clock
        sources = (*stage.source, TICKS) if stage.ticks else stage.source
        self.member = Member(
            stage.name, kafka, sources, self, batch=BATCH, loop=loop, metrics=metrics
        )
        self.failed = self.member.failed
        self._table = table(self.member.app, "state")
        self._entries: dict[Place, Entry] = {}
        self._jobs: dict[Place, dict[str, asyncio.Task[None]]] = {}

    async def start(self) -> None:
        """Join the group and begin."""
        await self.member.start()

    async def stop(self) -> None:
        """Leave the group; what was not acknowledged is read again by whoever comes next."""
        await self.member.stop()

    # ---- state over rebalances

    async def assigned(self, partitions: set[int]) -> None:
        """Drop what is not ours any more, decode what is, take up intended work."""
        store = self._table.data.data
        for raw in [raw for raw in store if Place.of(raw).partition not in partitions]:
            del store[raw]
        places = {Place.of(raw): value for raw, value in store.items()}
        self._entries = {place: self._loaded(place, value) for place, value in places.items()}
        self._jobs = {place: tasks for place, tasks in self._jobs.items() if place in self._entries}
        for place in self._entries:
            self._start_jobs(place)

    def _loaded(self, place: Place, raw: bytes) -> Entry:
        try:
            return Entry.loaded(raw, self.decision.State)
        except Rejected as error:
            topic = self._table.changelog_topic.get_topic_name()
            raise Rejected(
                f"{self.stage.name}: the state of {place.key!r} cannot be read ({error}): run the"
                f" version that wrote it, or delete the topic {topic} to begin without any state"
            ) from error

    async def revoked(self, *, finished: bool) -> None:  # noqa: ARG002 - jobs end either way
        """End the jobs that are under way: whoever has their keys next begins them again.

        A finished one stays known, so that it is not begun again here.
        """
        running = [t for tasks in self._jobs.values() for t in tasks.values() if not t.done()]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        self._jobs = {
            place: kept
            for place, tasks in self._jobs.items()
            if (kept := {name: task for name, task in tasks.items() if not task.cancelled()})
        }

    # ---- messages

    async def handle(self, events: list[Any]) -> None:
        """A batch, in the order that the module tells."""
        records: list[Record] = []
        changed: dict[Place, Entry] = {}
        for event in events:
            message = event.message
            if message.topic == self.kafka.topic(TICKS):
                await self._on_tick(message, records, changed)
            else:
                await self._on_message(message, records, changed)
        await self._send(records)
        await self._keep(changed)
        for event in events:
            event.ack()
        for place in changed:
            self._start_jobs(place)

    async def _on_message(
        self, message: Any, records: list[Record], changed: dict[Place, Entry]
    ) -> None:
        try:
            event = decoded(message)
            key = self.decision.key(event)
            if not key:
                return
            _at_home(message, event)
            place = Place(message.partition, key)
            entry = self._entries.get(place) or Entry()
            if message.offset <= entry.offsets.get(message.topic, -1) or event.id in entry.seen:
                return
            turn = await self._run(event, entry.state, self.clock())
        except Rejected as error:
            records.append(self._dead_letter(message, error))
            return
        had_none = entry.state is None
        self._apply(turn, key, entry, event, records)
        if had_none and turn.state is None:
            return  # nothing to remember; a copy of this message says the same again
        entry.offsets[message.topic] = message.offset
        entry.seen[event.id] = None
        self._entries[place] = changed[place] = entry

    async def _on_tick(
        self, message: Any, records: list[Record], changed: dict[Place, Entry]
    ) -> None:
        try:
            tick = decoded(message)
        except Rejected as error:
            records.append(self._dead_letter(message, error))
            return
        if not isinstance(tick, Tick):
            return
        for place, entry in list(self._entries.items()):
            before = entry.state
            if place.partition != message.partition or before is None:
                continue
            if message.offset <= entry.offsets.get(message.topic, -1):
                continue
            turn = await self._run(tick, before, tick.at)
            self._apply(turn, place.key, entry, tick, records)
            entry.offsets[message.topic] = message.offset
            if turn.state != before or turn.events:
                changed[place] = entry

    async def _run(self, event: Event, state: BaseModel | None, now: datetime) -> Turn[Any]:
        async def once() -> Turn[Any]:
            return self.decision.run(event, state, now)  # type: ignore[no-any-return]

        return await self.member.insist(once)

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
            records.append(encoded(stamped))

    def _dead_letter(self, message: Any, error: Exception) -> Record:
        return dead_letter(self.stage.name, message, str(error), self.clock())

    async def _send(self, records: list[Record]) -> None:
        if records:
            await self.member.check()
            await send(self.member.app, self.kafka, records)
            self.member.signal.wrote(self.kafka, records)

    async def _keep(self, changed: dict[Place, Entry]) -> None:
        """State into the store that recovery fills and, before we go on, into the changelog."""
        if not changed:
            return
        await self.member.check()
        rows: dict[int, dict[bytes, bytes | None]] = {}
        for place, entry in changed.items():
            raw = None if entry.state is None else entry.dumped()
            rows.setdefault(place.partition, {})[bytes(place)] = raw
        await asyncio.gather(
            *(keep(self.member.app, self._table, number, rows[number]) for number in rows)
        )
        for place, entry in changed.items():
            if entry.state is None:
                self._table.data.data.pop(bytes(place), None)
                del self._entries[place]
            else:
                self._table.data.data[bytes(place)] = rows[place.partition][bytes(place)]

    # ---- work beside the stream

    def _start_jobs(self, place: Place) -> None:
        """Start what the key's state intends; what it no longer does may still end by itself."""
        if not isinstance(self.decision, Acting):
            return
        entry = self._entries.get(place)
        state = None if entry is None else entry.state
        intended = {} if state is None else {job.id: job for job in self.decision.pending(state)}
        running = self._jobs.pop(place, {})
        tasks = {n: task for n, task in running.items() if n in intended or not task.done()}
        for name, job in intended.items():
            if name not in tasks:
                tasks[name] = self.member.app.loop.create_task(self._work(job))
        if tasks:
            self._jobs[place] = tasks

    async def _work(self, job: Job) -> None:
        async def once() -> None:
            number = 0
            async for said in self.decision.act(job):
                stamped = said.stamped(
                    stage=self.stage.name,
                    cause=job.cause,
                    position=f"{job.id}/{number}",
                    trace=job.trace,
                )
                await self._send([encoded(stamped)])
                number += 1

        try:
            await self.member.insist(once)
        except LostError as error:
            raise asyncio.CancelledError from error
        except Exception as error:  # noqa: BLE001 - a job that breaks must not be lost silently
            self.member.fail(error)


def _at_home(message: Any, event: Event) -> None:
    """Elsewhere its state would be another: an answer to a plan that nobody knows of."""
    partition = home(event.group)
    if message.partition != partition:
        raise Rejected(
            f"group {event.group!r} belongs to partition {partition}, not {message.partition}:"
            " use its name as the key, and the partitioner murmur2"
        )
