"""Tables of bytes: a stage's state, as its changelog in Kafka gives it back after a restart.

Faust reads changelogs and fills the tables; what is written to them we send ourselves (`keep`),
and wait until it is safe, before what it includes is acknowledged.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from faust.stores import STORES, memory

from streams.group.application import MAX_REQUEST
from streams.scratch import Scratch

LARGE_BUFFER = 16  # values of a changelog held in memory while it is read: Faust's 1000 were 1 GB

# A changelog is read whole at every start: small segments, so that compaction, which spares
# the newest, has something to compact.
CHANGELOG = {
    "max.message.bytes": MAX_REQUEST,
    "segment.bytes": 64 * 1024 * 1024,
    "segment.ms": 3_600_000,
    "min.cleanable.dirty.ratio": 0.2,
}

logging.getLogger(__name__).setLevel(logging.CRITICAL)  # Faust logs in our name, see `application`


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


async def keep(app: Any, changelog: Any, partition: int, rows: dict[bytes, bytes | None]) -> None:
    """Rows into a partition of a table's changelog, None for one that is gone; waits."""
    topic = changelog.changelog_topic.get_topic_name()
    pending = [
        await app.producer.send(topic, key, value, partition, None, None)
        for key, value in rows.items()
    ]
    await asyncio.gather(*pending)
