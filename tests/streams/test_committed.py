"""What a group has committed, and a coordinator that moves meanwhile."""

from collections.abc import Iterable
from contextlib import closing

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.topics import RAW_METRICS
from streams.broker.embedded import EmbeddedBroker
from streams.committed import MOVED, Committed, settled
from streams.connection import KafkaSettings
from streams.topics import create
from tests.streams.kafka_world import until

FORBIDDEN = KafkaError.GROUP_AUTHORIZATION_FAILED
PATIENCE_S = 60.0


class Answers:
    """Gives one answer after the other; a number of an error is raised, or a partition's."""

    def __init__(self, codes: Iterable[int], *, within: bool) -> None:
        self._codes, self._within = list(codes), within

    def __call__(self, _seconds: float) -> list[TopicPartition]:
        """One partition at 7."""
        place = TopicPartition("raw", 0, 7)
        code = self._codes.pop(0)
        if code and not self._within:
            raise KafkaException(KafkaError(code))
        return [Failed(KafkaError(code))] if code else [place]


class Failed:
    """A partition's answer that is an error."""

    topic, partition, offset = "raw", 0, -1001

    def __init__(self, error: KafkaError) -> None:
        self.error = error


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("code", sorted(MOVED))
def test_a_coordinator_that_moves_is_asked_again(code: int, *, within: bool) -> None:
    assert settled(Answers([code, code, 0], within=within), PATIENCE_S) == {("raw", 0): 7}


@pytest.mark.parametrize("within", [False, True])
def test_what_will_not_change_is_told_at_once(*, within: bool) -> None:
    with pytest.raises(KafkaException) as told:
        settled(Answers([FORBIDDEN, 0], within=within), PATIENCE_S)
    assert told.value.args[0].code() == FORBIDDEN


def test_one_that_does_not_settle_is_told_of() -> None:
    with pytest.raises(KafkaException) as told:
        settled(Answers([KafkaError.NOT_COORDINATOR] * 9, within=False), -1)
    assert told.value.args[0].code() == KafkaError.NOT_COORDINATOR


@pytest.mark.broker
def test_what_is_committed_is_told_and_nothing_of_what_is_not(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    kafka = KafkaSettings(brokers=broker.bootstrap, topic_prefix=f"{topic_prefix}-")
    create(kafka, (RAW_METRICS,))
    topic = kafka.topic(RAW_METRICS)
    places = [(topic, 0), (topic, 1)]
    member = Consumer(kafka.confluent() | {"group.id": topic_prefix})
    with closing(Committed(kafka.confluent(), topic_prefix)) as asking, closing(member):
        assert asking([], PATIENCE_S) == {}
        assert all(offset < 0 for offset in asking(places, PATIENCE_S).values())
        member.commit(offsets=[TopicPartition(topic, 1, 42)], asynchronous=False)
        until(lambda: asking(places, PATIENCE_S)[topic, 1] == 42)
        assert asking(places, PATIENCE_S)[topic, 0] < 0
