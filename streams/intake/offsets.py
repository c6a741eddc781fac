"""Where to read on in each partition, and how far an open transaction has read.

What is committed counts. Where nothing is, reading goes on where it began in this process, so
that a worker that starts at the end of a topic does not leave out what came before its first
commit.
"""

from collections.abc import Callable, Collection
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from schemas.errors import Unavailable
from streams.intake.lanes import Place


class Offsets:
    """The offsets of the partitions that a worker has just now.

    `latest` is whether to begin at a partition's end, and not its beginning, when the group has
    read nothing of it. Where a method takes `ask`, that makes a call to the brokers: it is given
    what the call is for, in words, and the call, which takes a time-out in seconds.
    """

    def __init__(self, consumer: Consumer, *, latest: bool) -> None:
        self._consumer, self._latest = consumer, latest
        self._next: dict[Place, int] = {}  # what is read next, open transaction included
        self._start: dict[Place, int] = {}  # where we began, for want of a commit
        self._touched: set[Place] = set()  # read from in the open transaction

    def find(
        self, partitions: list[TopicPartition], ask: Callable[..., Any]
    ) -> list[TopicPartition]:
        """Where to read on: what is committed, else where we began."""
        if not partitions:
            return []
        # Waits for a dead worker's open transaction to be decided: the offsets may be in it.
        places = ask(
            "read committed offsets",
            lambda timeout: self._consumer.committed(partitions, timeout=timeout),
        )
        for place in places:
            if place.error:
                raise Unavailable(f"offsets of {place.topic}: {place.error.str()}")
            if place.offset < 0:
                place.offset = self._beginning(place, ask)
        return list(places)

    def _beginning(self, place: TopicPartition, ask: Callable[..., Any]) -> int:
        known = self._start.get((place.topic, place.partition))
        if known is not None:
            return known
        if not self._latest:
            return int(OFFSET_BEGINNING)
        _, high = ask(
            "find the end", lambda t: self._consumer.get_watermark_offsets(place, timeout=t)
        )
        return int(high)

    def begin(self, place: TopicPartition) -> None:
        """A partition is ours from now on, and from here."""
        self._start[place.topic, place.partition] = place.offset
        self.go_to(place)

    def go_to(self, place: TopicPartition) -> None:
        """It is read from here."""
        self._next[place.topic, place.partition] = place.offset

    def read(self, place: Place, following: int) -> None:
        """The open transaction has what comes before `following`."""
        self._next[place] = following
        self._touched.add(place)

    def to_commit(self) -> list[TopicPartition]:
        """What the open transaction has read."""
        return [TopicPartition(t, p, self._next[t, p]) for t, p in sorted(self._touched)]

    def ended(self) -> None:
        """None is open any more."""
        self._touched.clear()

    def forget(self, gone: Collection[Place]) -> None:
        """Partitions are not ours any more."""
        for place in gone:
            self._next.pop(place, None)
            self._start.pop(place, None)

    def has(self, place: Place) -> bool:
        """Whether a partition is ours."""
        return place in self._next

    def end(self, place: Place) -> int:
        """Where a partition ends, as far as is known here; -1 when it is not."""
        _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
        return int(high)

    def lag(self) -> dict[Place, int]:
        """Records not yet read, by partition, as far as is known here."""
        ends = {place: self.end(place) for place in self._next}
        return {
            place: max(0, ends[place] - offset)
            for place, offset in self._next.items()
            if offset >= 0 and ends[place] >= 0
        }
