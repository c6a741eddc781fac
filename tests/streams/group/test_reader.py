"""What we changed in Faust: where it reads from after a restart, and what it may not read before."""

import asyncio
from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from faust.types import TP

from streams.connection import KafkaSettings
from streams.group.application import make_app
from streams.group.reader import Consumer, Thread

SOURCE, CHANGELOG = "samples.v1", "detect-blocks-changelog"


class Reader:
    """Kafka's consumer: its positions, and the offsets that its group has committed."""

    def __init__(self, committed: dict[TopicPartition, int | None]) -> None:
        self.committed = committed
        self.position = dict.fromkeys(committed, 500)  # what was fetched too early, thrown away

    async def seek_to_committed(self) -> dict[TopicPartition, int | None]:
        """As aiokafka does it: a partition without a committed offset stays where it is."""
        for place, offset in self.committed.items():
            if offset:
                self.position[place] = offset
        return self.committed

    def seek(self, place: TopicPartition, offset: int) -> None:
        """Move."""
        self.position[place] = offset


def test_where_nothing_was_committed_reading_begins_at_the_beginning() -> None:
    """A worker that died before its first commit: its successor must read all of it again."""
    new, old, state = (
        TopicPartition(SOURCE, 0),
        TopicPartition(SOURCE, 1),
        TopicPartition(CHANGELOG, 0),
    )
    reader = Reader({new: None, old: 40, state: None})
    thread: Any = Thread.__new__(Thread)
    thread.app = SimpleNamespace(tables=SimpleNamespace(changelog_topics={CHANGELOG}))
    thread._ensure_consumer = lambda: reader
    asyncio.run(thread._seek_to_committed())
    assert reader.position == {new: 0, old: 40, state: 500}


def test_nothing_is_fetched_between_the_end_of_recovery_and_the_seek() -> None:
    """Faust resumes, then seeks: what came in between would count as read, and be lost."""
    consumer: Any = Consumer.__new__(Consumer)
    consumer.can_resume_flow, consumer.suspend_flow = asyncio.Event(), asyncio.Event()
    consumer._active_partitions, consumer._paused_partitions = set(), {TP(SOURCE, 0)}
    consumer.resume_flow()  # as recovery left it
    seen = [consumer.flow_active]
    consumer.resume_partitions({TP(SOURCE, 0)})
    seen.append(consumer.flow_active)
    consumer.resume_flow()  # after the seek
    assert [*seen, consumer.flow_active] == [True, False, True]
    assert not consumer._paused_partitions


class Waiting(Reader):
    """A reader whose fetch lasts, and gives what it finds at the end of it."""

    _max_poll_records = None

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        super().__init__({TopicPartition(topic, 0): None for topic in (CHANGELOG, SOURCE)})
        self.position = dict.fromkeys(self.committed, 7)
        self._meanwhile = meanwhile

    async def records(self, places: Collection[TopicPartition]) -> dict[TopicPartition, list[Any]]:
        """All that there is of the places asked for: then it is read on behind it."""
        self._meanwhile()
        found = {}
        for place in self.position:
            if place in places or not places:
                at, self.position[place] = self.position[place], 10
                found[place] = [SimpleNamespace(offset=offset) for offset in range(at, 10)]
        return found


def fetched(meanwhile: Callable[[Any], None]) -> tuple[dict[str, list[int]], dict[str, int]]:
    """What a fetch of the changelog gave while this happened, and where the next ones begin."""
    consumer: Any = Consumer.__new__(Consumer)
    consumer.can_resume_flow, consumer.suspend_flow = asyncio.Event(), asyncio.Event()
    consumer._paused_partitions, consumer._active_partitions = set(), {TP(CHANGELOG, 0)}
    consumer.resume_flow()
    reader = Waiting(lambda: meanwhile(consumer))
    thread: Any = Thread.__new__(Thread)
    thread.consumer, thread._ensure_consumer = consumer, lambda: reader

    async def fetch(_reader: Any, places: Collection[Any], **_: Any) -> dict[Any, list[Any]]:
        return await reader.records(places)

    async def call(method: Any, *arguments: Any) -> Any:
        return await method(*arguments)

    thread._fetch_records, thread.call_thread = fetch, call
    found = asyncio.run(thread.getmany(consumer._active_partitions, 1.0))
    offsets = {place.topic: [r.offset for r in records] for place, records in found.items()}
    return offsets, {place.topic: at for place, at in reader.position.items()}


def test_what_a_fetch_finds_after_the_flow_was_stopped_is_found_again() -> None:
    """Else a changelog's last records are dropped, and its recovery waits for them for ever."""
    assert fetched(lambda _: None) == ({CHANGELOG: [7, 8, 9]}, {CHANGELOG: 10, SOURCE: 7})
    assert fetched(lambda consumer: consumer.stop_flow()) == ({}, {CHANGELOG: 7, SOURCE: 7})


def test_a_fetch_gives_what_was_asked_for_when_all_is_paused_meanwhile() -> None:
    """Of an empty set, which is Faust's own by then, aiokafka would give everything."""
    partition = {TP(CHANGELOG, 0)}
    found, begins = fetched(lambda consumer: consumer.pause_partitions(partition))
    assert found == {CHANGELOG: [7, 8, 9]}
    assert begins == {CHANGELOG: 10, SOURCE: 7}


def test_nothing_is_read_of_new_partitions_until_their_recovery_says_so() -> None:
    """Also when the recovery of those before has started the flow again while they went."""
    source, changelog = TP(SOURCE, 0), TP(CHANGELOG, 0)
    seen: list[tuple[bool, set[TP]]] = []

    async def scene() -> None:
        app = make_app(KafkaSettings(), "scene", loop=asyncio.get_running_loop())
        consumer = app.consumer

        async def assigned(*_: Any) -> None:
            seen.append((consumer.flow_active, set(consumer._get_active_partitions())))

        consumer._on_partitions_assigned = assigned
        consumer.resume_flow()
        await consumer.on_partitions_assigned({source, changelog}, 2)
        consumer.resume_partitions({source})
        consumer.resume_flow()
        seen.append((consumer.flow_active, set(consumer._get_active_partitions())))
        consumer._thread.thread_loop.close()

    asyncio.run(scene())
    assert seen == [(False, set()), (True, {source})]
