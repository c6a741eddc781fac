"""What is read next, and from where, with a consumer that only records what it is told."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from confluent_kafka import OFFSET_BEGINNING, KafkaError, TopicPartition

from schemas.errors import Unavailable
from streams.intake.fetching import Fetching
from streams.intake.lanes import Lanes
from streams.intake.offsets import Offsets

PLACE = ("raw.metrics", 0)


class Record(NamedTuple):
    """A record of the one partition."""

    number: int

    def error(self) -> None:
        """None."""

    def topic(self) -> str:
        """Its topic."""
        return PLACE[0]

    def partition(self) -> int:
        """Its partition."""
        return PLACE[1]

    def offset(self) -> int:
        """Its offset."""
        return self.number

    def __len__(self) -> int:
        return 100


class Recording:
    """A consumer: gives what it was made with, tells what was asked of it."""

    def __init__(self, *batches: range, committed: int = -1001, end: int = 500) -> None:
        self._batches, self._committed, self._end = list(batches), committed, end
        self.sought: list[int] = []

    def consume(self, _most: int, _timeout: float) -> list[Record]:
        """The next batch."""
        return list(map(Record, self._batches.pop(0))) if self._batches else []

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        """The same offset for each."""
        assert timeout > 0
        return [TopicPartition(p.topic, p.partition, self._committed) for p in partitions]

    def get_watermark_offsets(self, _place: TopicPartition, **_how: object) -> tuple[int, int]:
        """Beginning and end."""
        return 0, self._end

    def resume(self, _partitions: list[TopicPartition]) -> None:
        """None is paused."""

    def seek(self, place: TopicPartition) -> None:
        """Noted."""
        self.sought.append(place.offset)


class Refused(NamedTuple):
    """A partition whose offset could not be told."""

    topic: str
    error: Any


class Loading(Recording):
    """A consumer whose group is being loaded."""

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[Any]:
        """An error for each."""
        assert timeout > 0
        return [Refused(p.topic, KafkaError(KafkaError.NOT_COORDINATOR)) for p in partitions]


def ask(_what: str, call: Callable[[float], Any]) -> Any:
    return call(1.0)


def at(offset: int) -> TopicPartition:
    return TopicPartition(*PLACE, offset)


def fetching(consumer: Any) -> Fetching:
    return Fetching(consumer, Lanes(), Offsets(consumer, latest=False))


def numbers(taken: dict[Any, list[Any]]) -> list[int]:
    return [record.offset() for record in taken.get(PLACE, [])]


def test_what_kafka_gives_twice_is_read_once() -> None:
    """A pause throws away what was fetched ahead, and some of it was in line already."""
    mine = fetching(Recording(range(10), range(5, 15)))
    mine.begin(at(0))
    mine.ahead(10, 0.0)
    assert numbers(mine.take(100)) == list(range(15))


def test_what_was_put_back_comes_again() -> None:
    consumer = Recording(range(10), range(3, 8))
    mine = fetching(consumer)
    mine.begin(at(0))
    mine.ahead(100, 0.0)
    mine.put_back()
    mine.go_to(at(3))
    mine.ahead(100, 0.0)
    assert consumer.sought == [3]
    assert numbers(mine.take(100)) == list(range(3, 8))


def test_of_a_partition_that_was_handed_over_nothing_is_read() -> None:
    mine = fetching(Recording(range(10), range(10, 20)))
    mine.begin(at(0))
    mine.ahead(100, 0.0)
    mine.forget({PLACE})
    mine.ahead(100, 0.0)  # it was on its way
    assert not mine.take(100)


@pytest.mark.parametrize(
    ("committed", "latest", "begun", "wanted"),
    [
        (42, False, None, 42),
        (42, True, 7, 42),
        (-1001, False, None, OFFSET_BEGINNING),
        (-1001, True, None, 500),
        (-1001, True, 7, 7),  # what came since we began is not left out
    ],
)
def test_reading_goes_on_where_it_is_committed_or_where_we_began(
    *, committed: int, latest: bool, begun: int | None, wanted: int
) -> None:
    consumer: Any = Recording(committed=committed)
    offsets = Offsets(consumer, latest=latest)
    if begun is not None:
        offsets.begin(at(begun))
    assert [place.offset for place in offsets.find([at(-1001)], ask)] == [wanted]


def test_offsets_that_cannot_be_told_are_no_reason_to_begin_anew() -> None:
    consumer: Any = Loading()
    with pytest.raises(Unavailable, match=r"offsets of raw\.metrics: Broker: Not coordinator"):
        Offsets(consumer, latest=False).find([at(0)], ask)


def test_only_what_the_open_transaction_has_read_is_committed() -> None:
    consumer: Any = Recording(end=20)
    offsets = Offsets(consumer, latest=False)
    offsets.begin(at(5))
    assert not offsets.to_commit()
    offsets.read(PLACE, 9)
    assert [(p.topic, p.partition, p.offset) for p in offsets.to_commit()] == [(*PLACE, 9)]
    assert offsets.lag() == {PLACE: 11}
    offsets.ended()
    assert not offsets.to_commit()
