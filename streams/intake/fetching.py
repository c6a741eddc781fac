"""Fetch ahead: records stand in their lanes before it is decided whose are read next.

Up to two batches stand there, since whose turn it is needs a choice. What a partition gives
twice, after it was paused or read from another place, is left out here.
"""

import logging
import time
from collections.abc import Collection
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from streams.intake.lanes import Lanes, Place
from streams.intake.offsets import Offsets

log = logging.getLogger(__name__)

LOOK_MS = 10_000  # between two looks for topics and partitions that were made meanwhile


def fetching_consumer(
    shared: dict[str, Any], *, group: str, name: str, start: str, changes: dict[str, Any]
) -> Consumer:
    """A consumer that reads what is committed, and commits nothing by itself.

    `shared` are the client's settings of the connection, `changes` those that the worker's own
    settings ask for.
    """
    settings = {
        "group.id": group,
        "client.id": name,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": start,
        "partition.assignment.strategy": "cooperative-sticky",
        # The library looks every five minutes, and asks who misses a series to wait as long.
        "topic.metadata.refresh.interval.ms": LOOK_MS,
        # Default queueing made a consumer of uncompressed topics five times slower.
        "queued.min.messages": 10_000_000,
        "fetch.queue.backoff.ms": 5,
    }
    return Consumer(shared | settings | changes, logger=log)


class Fetching:
    """What was fetched and not yet read, of the partitions that a worker has just now."""

    def __init__(self, consumer: Consumer, lanes: Lanes, offsets: Offsets) -> None:
        self._consumer, self._lanes, self._offsets = consumer, lanes, offsets
        self._paused: set[Place] = set()
        self._fetched: dict[Place, int] = {}  # what comes next from Kafka, lanes included

    def ahead(self, most: int, timeout: float) -> None:
        """Let records stand in line, up to two batches of `most`.

        The wait is for the first batch alone, and for none when some stand there already.
        """
        waiting, soon = self._lanes.waiting(), self._lanes.free_in()
        if waiting:
            timeout = 0.0
        elif soon is not None:
            timeout = min(timeout, soon)
        polled = self._consumer.consume(most, timeout)
        self._line_up(polled)
        if len(polled) == most and waiting < most:
            self._line_up(self._consumer.consume(most, 0.0))

    def take(self, most: int) -> dict[Place, list[Any]]:
        """Up to `most` of them, those of each partition in order; the lanes say whose."""
        taken = self._lanes.take(most, time.monotonic())
        self._make_way(most)
        return taken

    def _make_way(self, most: int) -> None:
        """Fetch nothing of tenants whose records would only stand before the others'."""
        if not self._paused and not self._lanes.competing():
            return
        behind = {
            place: max(0, self._offsets.end(place) - fetched)
            for place, fetched in self._fetched.items()
        }
        crowding = self._lanes.crowding(behind, most)
        if stop := crowding - self._paused:
            self._consumer.pause([TopicPartition(*place) for place in sorted(stop)])
        if go := self._paused - crowding:
            self._consumer.resume([TopicPartition(*place) for place in sorted(go)])
        self._paused = crowding

    def _line_up(self, polled: list[Any]) -> None:
        """Put what is ours and was not read yet into its lane. A hot loop: runs are long."""
        result: dict[Place, list[Any]] = {}
        place, expected, ours = ("", -1), -1, False
        records: list[Any] = []
        for message in polled:
            if message.error() is not None:
                log.warning("reading %s: %s", message.topic(), message.error().str())
                continue
            offset, here = message.offset(), (message.topic(), message.partition())
            if here != place:
                if ours:
                    self._fetched[place] = expected
                place, expected = here, self._fetched.get(here, -1)
                ours, records = here in self._fetched, result.setdefault(here, [])
            if ours and offset >= expected:
                expected = offset + 1
                records.append(message)
        if ours:
            self._fetched[place] = expected
        for place, records in result.items():
            if records:
                self._lanes.put(place, records)

    def begin(self, place: TopicPartition) -> None:
        """A partition is ours from now on, and from here."""
        self._fetched[place.topic, place.partition] = place.offset

    def put_back(self) -> None:
        """Forget what was fetched: it comes again."""
        self._lanes.clear()
        self._consumer.resume([TopicPartition(*place) for place in sorted(self._paused)])
        self._paused.clear()

    def go_to(self, place: TopicPartition) -> None:
        """Fetch from here."""
        self._consumer.seek(place)
        self._fetched[place.topic, place.partition] = place.offset

    def forget(self, gone: Collection[Place]) -> None:
        """Partitions are not ours any more."""
        for place in gone:
            self._fetched.pop(place, None)
        self._lanes.drop(gone)
        self._paused -= set(gone)
