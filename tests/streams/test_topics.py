"""Topics on a real broker: made once, reported when different, never changed."""

import dataclasses

import pytest

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


def test_a_cluster_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.topics.TIMEOUT_S", 0.3)
    with pytest.raises(Unavailable, match=r"Kafka at 127\.0\.0\.1:9: "):
        create(KafkaSettings(brokers="127.0.0.1:9"))
