"""What we changed in Faust: where it reads from after a restart, and what it may not read before."""

import asyncio
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from faust.types import TP

from streams.connection import KafkaSettings
from streams.faust_app import _Consumer, _Thread, large_table, make_app

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
    thread: Any = _Thread.__new__(_Thread)
    thread.app = SimpleNamespace(tables=SimpleNamespace(changelog_topics={CHANGELOG}))
    thread._ensure_consumer = lambda: reader
    asyncio.run(thread._seek_to_committed())
    assert reader.position == {new: 0, old: 40, state: 500}


def test_nothing_is_fetched_between_the_end_of_recovery_and_the_seek() -> None:
    """Faust resumes, then seeks: what came in between would count as read, and be lost."""
    consumer: Any = _Consumer.__new__(_Consumer)
    consumer.can_resume_flow, consumer.suspend_flow = asyncio.Event(), asyncio.Event()
    consumer._active_partitions, consumer._paused_partitions = set(), {TP(SOURCE, 0)}
    consumer.resume_flow()  # as recovery left it
    seen = [consumer.flow_active]
    consumer.resume_partitions({TP(SOURCE, 0)})
    seen.append(consumer.flow_active)
    consumer.resume_flow()  # after the seek
    assert [*seen, consumer.flow_active] == [True, False, True]
    assert not consumer._paused_partitions


def test_large_values_of_a_changelog_are_kept_in_a_file() -> None:
    """And are applied in order, the last one counts, a deleted one is gone."""

    async def scene() -> tuple[dict[bytes, bytes], str]:
        app = make_app(KafkaSettings(), "scene", loop=asyncio.get_running_loop())
        table = large_table(app, "blocks")
        rows = [(b"0/0", b"a"), (b"0/1", b"bb"), (b"0/0", b"ccc"), (b"0/1", None), (b"1/0", b"d")]
        table.apply_changelog_batch(
            SimpleNamespace(key=key, value=value, message=SimpleNamespace(value=value, partition=0))
            for key, value in rows
        )
        return dict(table.data.data), type(table.data.data).__name__

    assert asyncio.run(scene()) == ({b"0/0": b"ccc", b"1/0": b"d"}, "Scratch")
