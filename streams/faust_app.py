"""Faust applications as we need them: one a stage, acknowledged by hand, reading only committed.

Every number that is not Faust's default is here with its reason. Faust's `exactly_once` is not
used: it passes no group metadata to its transactions and lost state under kill -9. Instead a
stage acknowledges after its outputs and its state are safely in Kafka, and drops by offset and
id what it has seen.
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import faust
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2
from faust.stores import STORES, memory
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from yarl import URL

from schemas.avro import HEADER, decode
from schemas.errors import Rejected, Unavailable
from schemas.event import Event
from schemas.topics import BY_EVENT, PARTITIONS, Topic
from streams.connection import KafkaSettings
from streams.scratch import Scratch
from streams.stage_metrics import Reached
from streams.standstill import Mark

MAX_REQUEST = 16 * 1024 * 1024  # bytes; state blocks are the largest messages
LARGE_BUFFER = 16  # values of a changelog held in memory while it is read: Faust's 1000 were 1 GB
SEEN_S, SEE_AGAIN_S = 60.0, 0.1  # a new topic reaches all brokers in a fraction of a second
SESSION_S = 6.0  # with Faust's 60 a restart after kill -9 stalled for 57 s

# A changelog is read whole at every start: small segments, so that compaction, which spares
# the newest, has something to compact.
CHANGELOG = {
    "max.message.bytes": MAX_REQUEST,
    "segment.bytes": 64 * 1024 * 1024,
    "segment.ms": 3_600_000,
    "min.cleanable.dirty.ratio": 0.2,
}

# Both tell every join, every rebalance, every coordinator that is not loaded yet as an error,
# with Kafka away ten lines a second, and then try again by themselves. What a person should
# hear of, a silent Kafka, a rebalance without end, a crash inside, is told by `Member`.
logging.getLogger("faust").setLevel(logging.WARNING)
logging.getLogger("mode").setLevel(logging.WARNING)
for _loud in ("aiokafka", "faust.app", "faust.tables", "faust.transport", "mode.timers", __name__):
    logging.getLogger(_loud).setLevel(logging.CRITICAL)


class _Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc] # Faust is untyped
    """Reads committed records alone, and knows when the group last heard of us."""

    heard: float = 0.0  # monotonic; the group keeps our partitions for SESSION_S from then

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - Faust passes it only with its own transactions
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        coordinator = self._consumer._coordinator  # noqa: SLF001 - no event tells of a heartbeat
        beat = coordinator._do_heartbeat  # noqa: SLF001 - see above

        async def noted() -> bool:
            asked = time.monotonic()
            answered: bool = await beat()
            if answered:
                self.heard = asked
            return answered

        coordinator._do_heartbeat = noted  # noqa: SLF001 - see above

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Join the group once Kafka shows all of these topics.

        A broker may not know yet what the controller has just created, and a leader that does
        not see a changelog shares out the sources without it.
        """
        await self.call_thread(self._see, frozenset(topics))
        if not self.should_stop:
            await super().subscribe(topics)

    async def _see(self, topics: frozenset[str]) -> None:
        """In the reader's thread. Raises Unavailable when Kafka does not show them in time."""
        client = self._ensure_consumer()._client  # noqa: SLF001 - a consumer's own look asks for all topics
        began = time.monotonic()
        while not self.should_stop:
            client.set_topics(topics)
            await client.force_metadata_update()
            cluster = client.cluster
            unseen = [
                topic
                for topic in topics - cluster.unauthorized_topics  # which the reading tells of
                if not cluster.partitions_for_topic(topic)
            ]
            if not unseen:
                return
            if time.monotonic() - began > SEEN_S:
                raise Unavailable(
                    f"Kafka does not show {', '.join(sorted(unseen))}, {SEEN_S:g} s after they were"
                    " created: see whether its controller is there and its brokers follow it"
                )
            await asyncio.sleep(SEE_AGAIN_S)

    async def getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        """Records of these partitions, none of them when the flow was stopped meanwhile.

        Faust hands down its own set, which a rebalance empties while a fetch waits, and of an
        empty set aiokafka gives every partition's records. Faust drops what it did not ask for,
        and reads on behind it: the rest of a changelog never comes, its recovery never ends.
        """
        stops = self.consumer.stops
        places = frozenset(active_partitions)
        records = await self.call_thread(self._fetch, places, timeout, stops)
        return records if self.consumer.stops == stops else {}

    async def _fetch(self, places: frozenset[Any], patience: float, stops: int) -> Any:
        """In the reader's thread; what came too late is put back at once."""
        consumer = self._ensure_consumer()
        if self.consumer.stops != stops:
            return {}
        records = await self._fetch_records(
            consumer, places, timeout=patience, max_records=consumer._max_poll_records  # noqa: SLF001 - as Faust asks
        )  # fmt: skip
        if self.consumer.stops == stops:
            return records
        for place, taken in records.items():
            consumer.seek(place, taken[0].offset)
        return {}

    async def standing(self) -> dict[tuple[str, int], Mark]:
        """How far each of our partitions has come. Runs in the reader's thread."""
        consumer = self._ensure_consumer()
        assignment = consumer._subscription.subscription.assignment  # noqa: SLF001 - `position` waits for one
        changelogs, given = self.app.tables.changelog_topics, self.consumer.given
        places = [place for place in assignment.tps if place.topic not in changelogs]
        ends = await consumer.end_offsets(places)
        committed = await consumer._coordinator.fetch_committed_offsets(places)  # noqa: SLF001 - `committed` is of one partition
        found = {}
        for place in places:
            state = assignment.state_value(place)
            done = committed[place].offset if place in committed else 0
            at = state.position if state.has_valid_position else done
            last = given.get((place.topic, place.partition), -1)
            found[place.topic, place.partition] = Mark(last, at, ends[place], done)
        return found

    async def on_partitions_assigned(self, assigned: Any, generation_id: int = 0) -> None:
        self.heard = time.monotonic()
        await super().on_partitions_assigned(assigned, generation_id)

    async def seek_to_committed(self) -> Any:
        """Where nothing is committed yet, back to the beginning.

        aiokafka leaves such a partition where it is, and that is behind what Faust fetched, and
        threw away, before the tables were complete.
        """
        return await self.call_thread(self._seek_to_committed)

    async def _seek_to_committed(self) -> Any:
        consumer = self._ensure_consumer()
        committed = await consumer.seek_to_committed()
        for place, offset in committed.items():
            if not offset and place.topic not in self.app.tables.changelog_topics:
                consumer.seek(place, 0)
        return committed


class _Consumer(driver.Consumer):  # type: ignore[misc] # Faust is untyped
    stops: int = 0  # how often the flow was stopped: each time, all is read from where it belongs

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.given: dict[tuple[str, int], int] = {}  # the last record of each since then
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def subscribe(self, topics: Any) -> None:
        """Never without the tables' changelogs.

        An application that is stopped while it starts would join for its sources alone, and the
        group would share out these apart from the changelogs, to others as well.
        """
        if self.app.tables.changelog_topics <= set(topics):
            await super().subscribe(topics)

    def stop_flow(self) -> None:
        """And forget what was given: a seek follows."""
        self.stops += 1
        self.given = {}
        super().stop_flow()

    def _to_message(self, tp: Any, record: Any) -> Any:
        self.given[record.topic, record.partition] = record.offset
        return super()._to_message(tp, record)

    async def on_partitions_assigned(self, assigned: Any, generation_id: int = 0) -> None:
        """Nothing is read before the recovery of these partitions has said from where.

        Faust has all of them read for a moment; and a recovery that ends while its partitions
        go starts the flow, which nobody stops again.
        """
        self.stop_flow()
        self._paused_partitions.update(assigned)
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Before Faust forgets what was acknowledged: finish what is under way, and commit it."""
        if revoked:
            self.stop_flow()
            await self.app.hand_over()
        try:
            if revoked:
                await self.commit()
        finally:  # what could not be committed is read again by the next owner
            await super().on_partitions_revoked(revoked)

    def resume_partitions(self, tps: Any) -> None:
        """Faust resumes before it seeks: nothing may be fetched until it resumes the flow.

        What came in between would count as read, and what the seek went back for be dropped.
        """
        self.stop_flow()
        super().resume_partitions(tps)

    def _new_offset(self, tp: Any) -> int | None:
        """We acknowledge each partition in order, so the last one is the offset to commit.

        Faust looks for holes, and stops committing for good at two of the records that
        transactions leave in a topic right after its first message.
        """
        acked = self._acked[tp]
        if not acked:
            return None
        last: int = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return last + 1

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """No holes are looked for."""

    def verify_event_path(self, now: float, tp: Any) -> None:
        """Nothing: it counts offsets, of which a transaction's end is one that is never read."""


class _Transport(driver.Transport):  # type: ignore[misc] # Faust is untyped
    Consumer = _Consumer


class App(faust.App):  # type: ignore[misc] # Faust is untyped
    """A stage's application; `hand_over` is awaited before its partitions go."""

    hand_over: Callable[[], Awaitable[None]]

    def _create_directories(self) -> None:
        """None: tables are in memory and in their changelogs."""


def make_app(
    kafka: KafkaSettings, name: str, *, loop: asyncio.AbstractEventLoop | None = None
) -> Any:
    """A Faust application whose group is the stage's, nothing started yet."""
    brokers = [URL(f"kafka://{address.strip()}") for address in kafka.brokers.split(",")]
    app = App(
        id=f"{kafka.prefix}{name}",
        broker=brokers,
        loop=loop,
        store="memory://",
        datadir=Path(os.devnull),  # Faust wants a name; nothing is written
        topic_partitions=PARTITIONS,
        topic_replication_factor=kafka.replication,
        topic_disable_leader=True,
        table_standby_replicas=0,  # our stores hold what is ours; recovery hung with them
        web_enabled=False,
        autodiscover=False,
        stream_wait_empty=False,  # `hand_over` waits, for what it knows and no longer
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=1.0,
        broker_rebalance_timeout=10.0,
        broker_commit_interval=1.0,  # what a crash repeats
        # a sink waits for its database, and a worker for partitions, without leaving the group
        broker_max_poll_interval=30 * 86_400.0,
        stream_processing_timeout=3600.0,
        producer_linger=0,  # seconds, not milliseconds
        producer_acks=-1,
        producer_max_request_size=MAX_REQUEST,
        consumer_max_fetch_size=MAX_REQUEST,
        consumer_auto_offset_reset="earliest",
        **kafka.faust(),
    )
    app.transport = _Transport(brokers, app, loop=loop)
    return app


def heard(app: Any) -> float:
    """When the group last heard of us, on the monotonic clock."""
    moment: float = app.consumer._thread.heard  # noqa: SLF001 - our own class, behind Faust's
    return moment


def reached(app: Any) -> dict[tuple[str, int], Reached]:
    """How far each partition was fetched that we have, changelogs included."""
    thread = app.consumer._thread  # noqa: SLF001 - Faust tells of positions only by waiting for them
    subscribed = thread._consumer and thread._consumer._subscription.subscription  # noqa: SLF001 - as above
    if not subscribed or not subscribed.assignment:
        return {}
    last, found = app.consumer._read_offset, {}  # noqa: SLF001 - as above
    for place in list(subscribed.assignment.tps):
        state = subscribed.assignment.state_value(place)
        if state is not None and state.has_valid_position and state.highwater is not None:
            before = last.get(TP(place.topic, place.partition))
            found[place.topic, place.partition] = Reached(
                -1 if before is None else before, state.position, state.highwater
            )
    return found


async def standing(app: Any, patience_s: float) -> dict[tuple[str, int], Mark]:
    """How far Kafka says that each partition goes which we have, and how far we have come.

    Past Faust's queue of calls, which may be what stands still. Raises Unavailable when Kafka
    does not say so in time.
    """
    thread = app.consumer._thread  # noqa: SLF001 - our own class, behind Faust's
    asked = asyncio.run_coroutine_threadsafe(thread.standing(), thread.thread_loop)
    try:
        return await asyncio.wait_for(asyncio.wrap_future(asked), patience_s)
    except (KafkaError, TimeoutError) as error:
        raise Unavailable(f"Kafka does not say how far its partitions go: {error!r}") from error


def waiting(app: Any) -> bool:
    """Whether a partition is not read on until records before have been handled."""
    return bool(app.consumer._buffered_partitions)  # noqa: SLF001 - nothing tells of it


def ended(app: Any) -> str:
    """What should run for as long as the application does, and has ended; mostly nothing."""
    consumer = app.consumer._thread._consumer  # noqa: SLF001 - neither library tells of it
    if consumer is None or app.should_stop:
        return ""
    coordinator = consumer._coordinator  # noqa: SLF001 - as above
    if (error := getattr(coordinator, "_pending_exception", None)) is not None:
        return f"its place in the group, of {error!r}"
    parts = {
        "its place in the group": getattr(coordinator, "_coordination_task", None),
        "what fetches": consumer._fetcher._fetch_task,  # noqa: SLF001 - as above
    }
    for name, task in parts.items():
        if task is not None and task.done():
            return name
    return "what hands records on" if app._fetcher._shutdown.is_set() else ""  # noqa: SLF001 - as above


def complete(app: Any) -> bool:
    """Whether the recovery that says it has ended is that of the partitions we have now.

    One may end while its partitions go, and before that of the next has begun.
    """
    recovery = app.tables.recovery
    current: bool = recovery._generation_id == app.consumer_generation_id  # noqa: SLF001 - the signal carries nothing
    return current and not recovery.signal_recovery_start.is_set()


def remaining(app: Any) -> int:
    """Records of changelogs that are still to be read before work begins."""
    left: int = app.tables.recovery.active_remaining_total()
    return left


def table(app: Any, name: str) -> Any:
    """A table of bytes in memory, with its changelog."""
    return app.Table(name, key_type=bytes, value_type=bytes, extra_topic_configs=CHANGELOG)


class ScratchStore(memory.Store):  # type: ignore[misc] # Faust is untyped
    """A table's store whose values are in a file."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.data = Scratch()

    def apply_changelog_batch(
        self, batch: Iterable[Any], to_key: Callable[[Any], Any], to_value: Callable[[Any], Any]
    ) -> None:
        """What was read from the changelog, in its order."""
        for event in batch:
            key = to_key(event.key)
            if event.message.value is None:
                self.data.pop(key, None)
                self._key_partition.pop(key, None)
            else:
                self.data[key] = to_value(event.value)
                self._key_partition[key] = event.message.partition


STORES.aliases["scratch"] = f"{__name__}:{ScratchStore.__name__}"


def large_table(app: Any, name: str) -> Any:
    """A table of large values, which are in a file, with its changelog."""
    return app.Table(
        name, store="scratch://file", recovery_buffer_size=LARGE_BUFFER,
        key_type=bytes, value_type=bytes, extra_topic_configs=CHANGELOG,
    )  # fmt: skip


def read(app: Any, kafka: KafkaSettings, topics: tuple[Topic, ...]) -> Any:
    """A channel over several topics, raw bytes in and out."""
    return app.topic(
        *(kafka.topic(topic) for topic in topics),
        key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw",
    )  # fmt: skip


async def batches(stream: Any, most: int) -> AsyncIterator[list[Any]]:
    """What is waiting, up to `most` events at a time, never waiting for more.

    A rebalance empties the queue behind our back: events that were taken before it may come
    with a later batch, so each is to be asked whose it is (`Member`).
    """
    waiting: list[Any] = []
    manual = stream.noack()
    async for event in manual.events():
        waiting.append(event)
        if len(waiting) >= most or manual.channel.queue.empty():
            yield waiting
            waiting = []


async def send(
    app: Any, kafka: KafkaSettings, records: list[tuple[Topic, str, bytes, dict[str, str]]]
) -> None:
    """Send records (topic, key, value, headers) in order and wait until all are safe."""
    pending = [
        await app.producer.send(
            kafka.topic(topic), key.encode(), value, None, None,
            [(name, text.encode()) for name, text in headers.items()],
        )
        for topic, key, value, headers in records
    ]  # fmt: skip
    await asyncio.gather(*pending)


async def keep(app: Any, changelog: Any, partition: int, rows: dict[bytes, bytes | None]) -> None:
    """Rows into a partition of a table's changelog, None for one that is gone; waits."""
    topic = changelog.changelog_topic.get_topic_name()
    pending = [
        await app.producer.send(topic, key, value, partition, None, None)
        for key, value in rows.items()
    ]
    await asyncio.gather(*pending)


def header(message: Any, name: str) -> str:
    """A record's header as text; empty when it has none or not text."""
    headers = message.headers or ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    for key, value in pairs:
        if key == name and value is not None:
            return bytes(value).decode("utf-8", "replace")
    return ""


def home(key: str) -> int:
    """The partition of a key: as Faust, Java and librdkafka's `murmur2_random` place it.

    >>> home("checkout")
    2
    """
    placed: int = (murmur2(key.encode()) & 0x7FFFFFFF) % PARTITIONS
    return placed


def topic_of(event: Event) -> Topic:
    """Where an event travels."""
    return BY_EVENT[type(event)]


def decoded(message: Any) -> Event:
    """The event in a Kafka message. Raises Rejected when it holds none."""
    if message.value is None:
        raise Rejected("empty message")
    return decode(message.value, header(message, HEADER))
