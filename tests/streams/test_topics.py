"""Topics on a real broker: made once, reported when different, never changed."""

import dataclasses
from collections.abc import Collection, Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from schemas.errors import Unavailable
from schemas.topics import CATALOGUE, SAMPLES, TICKS
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.topics import create, listing


@pytest.mark.broker
def test_topics_are_made_as_the_catalogue_says(broker: EmbeddedBroker, topic_prefix: str) -> None:
    kafka = KafkaSettings(brokers=broker.bootstrap, topic_prefix=f"{topic_prefix}-")
    names = sorted(kafka.topic(topic) for topic in CATALOGUE)
    first = create(kafka)
    assert (first.created, first.existing, first.differing) == (names, [], [])
    second = create(kafka)
    assert (second.created, second.existing, second.differing) == ([], names, [])
    assert listing(kafka) == {kafka.topic(topic): topic.partitions for topic in CATALOGUE}


@pytest.mark.broker
def test_a_topic_with_other_settings_is_reported_and_left_alone(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    kafka = KafkaSettings(brokers=broker.bootstrap, topic_prefix=f"{topic_prefix}-")
    create(kafka, [dataclasses.replace(SAMPLES, partitions=2, retention_ms=1234), TICKS])
    for _ in range(2):
        report = create(kafka, [SAMPLES, TICKS])
        assert report.existing == [kafka.topic(TICKS)]
        assert report.differing == [
            f"{kafka.topic(SAMPLES)}: partitions is 2, not 4; retention.ms is 1234, not 259200000"
        ]
    assert listing(kafka)[kafka.topic(SAMPLES)] == 2


class Late(AdminClient):  # type: ignore[misc] # the client library is untyped
    """Brokers of which one does not know of a topic for a while, then does not lead it."""

    unseen: dict[str, int]  # how often each broker is asked in vain, by its address
    unled = 0

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self._at = settings["bootstrap.servers"]

    def list_topics(self, *args: object, **kwargs: object) -> Any:
        """Without ours, as long as it is unseen."""
        found = super().list_topics(*args, **kwargs)
        if Late.unseen.get(self._at):
            Late.unseen[self._at] -= 1
            found.topics = {}
        return found

    def list_offsets(self, wanted: Collection[Any], **kwargs: Any) -> dict[Any, Any]:
        """Of none, as long as nobody leads."""
        assert not any(Late.unseen.values()), "not all know it yet"
        if Late.unled:
            Late.unled -= 1
            return dict.fromkeys(wanted, NotLed())
        found: dict[Any, Any] = super().list_offsets(wanted, **kwargs)
        return found


class NotLed:
    """The answer of a broker that is not the leader, or does not know it."""

    def result(self) -> None:
        """Raises KafkaException."""
        raise KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch, broker: EmbeddedBroker) -> Iterator[type[Late]]:
    """Brokers that hear of topics late."""
    monkeypatch.setattr(Late, "unseen", {broker.bootstrap: 3}, raising=False)
    monkeypatch.setattr(Late, "unled", 3)
    monkeypatch.setattr("streams.topics.AdminClient", Late)
    return Late


@pytest.mark.broker
def test_topics_are_made_when_all_brokers_know_and_lead_them(
    broker: EmbeddedBroker, topic_prefix: str, late: type[Late]
) -> None:
    """The controller says so before that; who asks at once is told of no such topic."""
    kafka = KafkaSettings(brokers=broker.bootstrap, topic_prefix=f"{topic_prefix}-")
    assert create(kafka, [TICKS]).created == [kafka.topic(TICKS)]
    assert (late.unseen, late.unled) == ({broker.bootstrap: 0}, 0)


@pytest.mark.broker
@pytest.mark.parametrize(
    ("unseen", "unled", "said"),
    [(1_000_000, 0, "a broker does not know"), (0, 1_000_000, "no broker leads")],
)
def test_topics_that_brokers_never_hear_of_are_named(
    broker: EmbeddedBroker,
    topic_prefix: str,
    late: type[Late],
    monkeypatch: pytest.MonkeyPatch,
    unseen: int,
    unled: int,
    said: str,
) -> None:
    monkeypatch.setattr("streams.topics.SHOWN_S", 0.2)
    late.unseen, late.unled = {broker.bootstrap: unseen}, unled
    kafka = KafkaSettings(brokers=broker.bootstrap, topic_prefix=f"{topic_prefix}-")
    with pytest.raises(Unavailable, match=rf"^{said} {kafka.topic(TICKS)}, 0\.2 s after they were"):
        create(kafka, [TICKS])


def test_a_cluster_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.topics.TIMEOUT_S", 0.3)
    with pytest.raises(Unavailable, match=r"Kafka at 127\.0\.0\.1:9: "):
        create(KafkaSettings(brokers="127.0.0.1:9"))
