"""A member of a consumer group: it works on partitions while they are its own, and not after.

Kafka moves partitions while work is under way. Before they go, the batch under way is finished,
or given up if it cannot end soon; what was taken from the queue and not begun is left to the
next owner. A worker that was frozen for so long that the group has given its partitions away
must not write on waking: it asks first.

Faust may crash inside, wait for a changelog's end that never comes, or read no more in a group
at peace. That stops the worker, so that whoever supervises it starts it again.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from schemas.errors import SentinelError, Unavailable
from schemas.topics import Topic
from streams.connection import KafkaSettings
from streams.group.application import SESSION_S, batches, make_app, read
from streams.group.progress import complete, ended, heard, reached, remaining, standing, waiting
from streams.group.standstill import Mark, Place, Standstill, Unmoved
from streams.stage_metrics import StageMetrics

log = logging.getLogger(__name__)
FIRST_RETRY_S, LAST_RETRY_S = 0.2, 10.0
HAND_OVER_S = 4.0  # of the 10 s that the group waits for us at a rebalance
STUCK_S = 60.0  # a rebalance takes seconds, and a large changelog moves while it is read
LOOK_S = 1.0
ASKED = 4  # times in which Kafka is asked how far its partitions go before that is a standstill
ANSWER_S = 10.0  # for two requests; who is away for longer is told of elsewhere

R = TypeVar("R")


class LostError(Exception):
    """The partitions are no longer ours: what was under way is given up, unacknowledged."""


class Work(Protocol):
    """What a shell does with its partitions; `handle` is never under way beside the others."""

    async def handle(self, events: list[Any]) -> None:
        """Handle a batch and acknowledge it."""

    async def assigned(self, partitions: set[int]) -> None:
        """Take up these partitions and no others; the tables are complete."""

    async def revoked(self, *, finished: bool) -> None:
        """Put down what is put down in a second or two: nothing may be written after.

        `finished` is False when a batch was given up half-way, so that the state in memory
        is ahead of what was sent.
        """


class Member:
    """One stage's application and its place in the group."""

    def __init__(
        self,
        name: str,
        kafka: KafkaSettings,
        sources: tuple[Topic, ...],
        work: Work,
        *,
        batch: int,
        loop: asyncio.AbstractEventLoop,
        metrics: StageMetrics | None = None,
    ) -> None:
        self.name = name
        self.signal = (metrics or StageMetrics()).of(name)
        self.stuck_s = STUCK_S
        self.failed: asyncio.Future[None] = loop.create_future()
        self.app = make_app(kafka, name, loop=loop)
        self.app.hand_over = self._hand_over
        self.lock = asyncio.Lock()  # held by whoever touches the work's state
        self._sources = {kafka.topic(topic) for topic in sources}
        self._work, self._batch = work, batch
        self._generation: int | None = None  # the one in which we may write
        self._gone: int | None = None  # the one that was handed over last
        self._leaving = asyncio.Event()
        self._away = False
        self._done = 0  # batches handled, and whatever else the work says it has done
        self._asked_at = 0  # what it was when Kafka was asked last
        self._queue: Any = None  # what was read and waits for us
        self._handling: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self.app.agent(read(self.app, kafka, sources), name=name)(self._agent)
        self.app.on_rebalance_complete.connect(self._on_complete)

    async def start(self) -> None:
        """Join the group; returns when the tables are back."""
        self._watch = self.app.loop.create_task(self._look())
        await self.app.start()

    async def stop(self) -> None:
        """Finish what is under way, commit and leave the group."""
        if self._watch is not None:
            self._watch.cancel()
        await self._hand_over()
        await self.app.stop()

    def worked(self) -> None:
        """Say that something was done beside the batches that lets acknowledgements come."""
        self._done += 1

    def fail(self, error: BaseException) -> None:
        """Stop the worker for this reason; the first one counts."""
        self._generation = None
        self._leaving.set()
        if not self.failed.done():
            self.failed.set_exception(error)

    # ---- while they are ours

    async def check(self) -> None:
        """Before a write: the group must have heard of us within its time-out.

        Otherwise another worker may have our partitions by now; the next heartbeat tells.
        Raises LostError when they are gone.
        """
        while time.monotonic() - heard(self.app) > SESSION_S:
            await self._pause(LOOK_S / 4)
        if self._generation is None:
            raise LostError

    async def insist(self, attempt: Callable[[], Awaitable[R]]) -> R:
        """What `attempt` gives, tried again for as long as it raises Unavailable.

        Raises LostError when the partitions go meanwhile.
        """
        pause = FIRST_RETRY_S
        while True:
            try:
                return await attempt()
            except Unavailable as error:
                log.warning("%s: %s; again in %.1f s", self.name, error, pause)
            await self._pause(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            pause = min(pause * 2, LAST_RETRY_S)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._leaving.wait(), seconds)
        except TimeoutError:
            return
        raise LostError

    async def _agent(self, stream: Any) -> None:
        self._queue = stream.channel.queue
        try:
            async for events in batches(stream, self._batch):
                async with self.lock:
                    ours = [e for e in events if e.message.generation_id == self._generation]
                    if ours and not self._leaving.is_set():
                        await self._handle(ours)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker must stop for it
            self.fail(error)
            await asyncio.Event().wait()  # nothing more is read until the worker is gone

    async def _handle(self, events: list[Any]) -> None:
        """A task of its own, which a rebalance may cancel without ending the agent."""
        began, messages = time.monotonic(), [event.message for event in events]
        task = self._handling = self.app.loop.create_task(self._work.handle(events))
        try:
            await asyncio.wait({task})
        finally:
            self._handling = None
            task.cancel()
        try:
            task.result()
        except (LostError, asyncio.CancelledError) as error:
            self._generation = None  # what is in memory is ahead of what was sent
            if not self._leaving.is_set():  # nobody takes our partitions, and nobody reads it again
                self.fail(SentinelError(f"{self.name}: a batch was given up: {error!r}"))
        else:
            self._done += 1
            self.signal.handled(messages, time.monotonic() - began)

    # ---- rebalances

    async def _hand_over(self) -> None:
        """Before the partitions go."""
        self._leaving.set()
        self._gone = self.app.consumer_generation_id
        task = self._handling
        if task is not None:
            await asyncio.wait({task}, timeout=HAND_OVER_S)
            if not task.done():
                log.warning("%s: gives up a batch at a rebalance", self.name)
                task.cancel()
        async with self.lock:
            try:  # still ours: what is put down now is saved
                await self._work.revoked(finished=self._generation is not None)
            except LostError:
                log.warning("%s: the partitions went before all was saved", self.name)
            except Exception as error:  # noqa: BLE001 - Faust would go on with half a rebalance
                self.fail(error)
            finally:
                self._generation = None

    async def _on_complete(self, *_: Any, **__: Any) -> None:
        """The partitions are known and the tables complete; nothing is read before this ends."""
        async with self.lock:
            generation = self.app.consumer_generation_id
            if self.failed.done() or generation == self._gone or not complete(self.app):
                return
            try:
                await self._work.assigned(self._partitions())
            except Exception as error:  # noqa: BLE001 - whatever it is, the worker must stop for it
                self.fail(error)
                return
            self._generation = generation
            self._leaving.clear()

    def _partitions(self) -> set[int]:
        """Our partitions, which where there is state must be the same of every topic.

        Of a changelog there may be more, as long as a worker of another release is in the group.
        """
        changelogs: set[str] = self.app.tables.changelog_topics
        by_topic: dict[str, set[int]] = {topic: set() for topic in self._sources | changelogs}
        for topic, partition in self.app.consumer.assignment():
            by_topic.setdefault(topic, set()).add(partition)
        ours = set().union(*(by_topic[topic] for topic in self._sources))
        if changelogs and not (
            all(by_topic[topic] == ours for topic in self._sources)
            and all(by_topic[topic] >= ours for topic in changelogs)
        ):
            said = ", ".join(f"{topic} {sorted(held)}" for topic, held in sorted(by_topic.items()))
            raise SentinelError(
                f"{self.name}: its topics must have equally many partitions, but it has {said}"
            )
        return ours

    # ---- what Faust does not tell

    async def _look(self) -> None:
        """Fail when Faust has crashed, or stands still in whatever it does."""
        now = time.monotonic()
        rebalance, standstill, due = Unmoved(now), Standstill(), now
        began = self._generation
        try:
            while not self.failed.done():
                await asyncio.sleep(LOOK_S)
                now = time.monotonic()
                self._listen(now)
                ours = {p: to for p, to in reached(self.app).items() if p[0] in self._sources}
                self.signal.look(ours)
                reason = self._broken() or self._stuck(rebalance, now)
                if self._generation is None or self._generation != began:
                    standstill.forget()
                    began, due = self._generation, now + self.stuck_s / ASKED
                elif now >= due and not reason:
                    reason = await self._idle(standstill)
                    due = time.monotonic() + self.stuck_s / ASKED
                if reason:
                    self.fail(SentinelError(f"{self.name}: {reason}: starting over"))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - without this look a standstill is silent
            self.fail(error)

    def _broken(self) -> str:
        """What has ended that the application cannot do without."""
        if self.app.crashed:
            reason = self.app.crash_reason
            said = str(reason).partition("\n")[0] or "no reason given"
            return f"{type(reason).__name__}: {said}"
        part = ended(self.app)
        return f"{part} has ended" if part else ""

    def _stuck(self, rebalance: Unmoved, now: float) -> str:
        """A rebalance or a changelog's reading that stands still.

        Faust may take a rebalance for ended that is not, so we go by what we were told.
        """
        generation, left = self.app.consumer_generation_id, remaining(self.app)
        under_way = self.app.rebalancing or (self._generation is None and generation > 0)
        still = rebalance.look(now, (generation, left) if under_way else None)
        if still <= self.stuck_s:
            return ""
        return (
            f"a rebalance has stood still for {still:.0f} s with {left} changelog records to read"
        )

    async def _idle(self, standstill: Standstill) -> str:
        """A partition of ours that has records and is not read, in a group at peace."""
        began, done = self._generation, self._asked_at
        self._asked_at, worked = self._done, self._done != done
        marks: dict[Place, Mark] = {}
        if not self._busy(worked=worked):
            with suppress(Unavailable):  # those who need Kafka tell of it, and wait
                marks = await standing(self.app, ANSWER_S)
        if not marks or self._generation != began:
            standstill.forget()
            return ""
        ours = {place: mark for place, mark in marks.items() if place[0] in self._sources}
        return standstill.look(time.monotonic(), ours, worked=worked, patience_s=self.stuck_s) or ""

    def _busy(self, *, worked: bool) -> bool:
        """Whether reading waits for work: for a batch's end, or for room in the queue."""
        if not worked:
            return self.lock.locked()  # a database is away, or a decision takes its time
        return waiting(self.app) or not self._queue.empty()

    def _listen(self, now: float) -> None:
        """Say that Kafka is silent, once, and that it is back."""
        silent = now - heard(self.app)
        if self._away:
            if silent < SESSION_S:
                self._away = False
                log.warning("%s: Kafka answers again", self.name)
        elif silent > SESSION_S and self._generation is not None and not self.app.rebalancing:
            self._away = True
            log.warning("%s: Kafka has been silent for %.0f s", self.name, silent)
