"""What is asked of partitions that nobody leads yet."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from streams.leaders import NO_LEADER, is_unled, led, offsets, since

NOT_LEADER = KafkaError.NOT_LEADER_FOR_PARTITION
FORBIDDEN = KafkaError.TOPIC_AUTHORIZATION_FAILED


class Says:
    """Gives one answer after the other; a number of an error is raised."""

    def __init__(self, answers: Iterable[int]) -> None:
        self._answers = list(answers)

    def __call__(self) -> str:
        """How many answers are left."""
        code = self._answers.pop(0)
        if code:
            raise KafkaException(KafkaError(code))
        return f"{len(self._answers)} left"


@pytest.mark.parametrize("code", sorted(NO_LEADER))
def test_a_leader_is_waited_for(code: int) -> None:
    assert led(Says([code, code, 0, 0]), 60) == "1 left"


def test_a_leader_that_never_comes_is_told_of() -> None:
    with pytest.raises(KafkaException) as told:
        led(Says([NOT_LEADER, 0]), -1)
    assert told.value.args[0].code() == NOT_LEADER


def test_what_will_not_change_is_told_at_once() -> None:
    with pytest.raises(KafkaException) as told:
        led(Says([FORBIDDEN, 0]), 60)
    assert told.value.args[0].code() == FORBIDDEN


class Found(NamedTuple):
    """An offset, as the client library's."""

    offset: int


class Answer:
    """What comes of a question about one partition."""

    def __init__(self, code: int, offset: int) -> None:
        self._code, self._offset = code, offset

    def result(self) -> Found:
        """The offset. Raises KafkaException."""
        if self._code:
            raise KafkaException(KafkaError(self._code))
        return Found(self._offset)


class Brokers:
    """Answers for partitions with the next code of each; records which were asked for."""

    def __init__(self, codes: Mapping[tuple[str, int], list[int]]) -> None:
        self._codes = codes
        self.asked: list[list[tuple[str, int]]] = []

    def list_offsets(
        self, wanted: Mapping[TopicPartition, OffsetSpec], **_: object
    ) -> dict[TopicPartition, Answer]:
        """As AdminClient's."""
        self.asked.append([(place.topic, place.partition) for place in wanted])
        return {
            place: Answer(self._codes[place.topic, place.partition].pop(0), 7) for place in wanted
        }

    def offsets_for_times(self, moments: list[TopicPartition], _: float) -> list[TopicPartition]:
        """As Consumer's, which notes an error at the partition's offset."""
        return [Place(place, self._codes[place.topic, place.partition].pop(0)) for place in moments]


class Place:
    """A partition of an answer."""

    def __init__(self, place: TopicPartition, code: int) -> None:
        self.topic, self.partition, self.offset = place.topic, place.partition, 7
        self.error: Any = KafkaError(code) if code else None


def test_only_those_without_a_leader_are_asked_again() -> None:
    brokers = Brokers({("a", 0): [0], ("a", 1): [NOT_LEADER, NOT_LEADER, 0], ("b", 0): [FORBIDDEN]})
    places = [("a", 0), ("a", 1), ("b", 0)]
    found = offsets(brokers, places, OffsetSpec.latest(), 60)
    assert brokers.asked == [places, [("a", 1)], [("a", 1)]]
    refused = found.pop(("b", 0))
    assert not isinstance(refused, int)
    assert (refused.code(), is_unled(refused)) == (FORBIDDEN, False)
    assert found == {("a", 0): 7, ("a", 1): 7}


def test_a_partition_that_nobody_leads_for_long_has_no_offset() -> None:
    brokers = Brokers({("a", 0): [NOT_LEADER]})
    found = offsets(brokers, [("a", 0)], OffsetSpec.latest(), -1)
    assert is_unled(found["a", 0])


def test_offsets_of_a_moment_wait_for_the_leaders_of_all() -> None:
    """The client library hides an error in its answer, whose offset then says nothing."""
    brokers = Brokers({("a", 0): [0, 0], ("a", 1): [NOT_LEADER, 0]})
    found = since(brokers, [TopicPartition("a", 0, 5), TopicPartition("a", 1, 5)], 60)
    assert [(place.partition, place.offset, place.error) for place in found] == [
        (0, 7, None),
        (1, 7, None),
    ]
