"""Follows topics as anybody could: a plain consumer without a group, from the beginning.

Sentinel is not asked, called or imported for what it concluded: what is not on a topic has not
happened for the demo.
"""

from collections.abc import Callable
from typing import Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from schemas.avro import HEADER, decode
from schemas.errors import Rejected, Unavailable
from schemas.event import Event
from schemas.frames import Samples, read_samples
from schemas.topics import (
    ANOMALIES,
    APPROVALS,
    APPROVED,
    BUDGETS,
    DEADLETTERS,
    DECISIONS,
    FORECASTS,
    INCIDENTS,
    OUTCOMES,
    PLANS,
    REFUSALS,
    REPORTS,
    RESULTS,
    ROLLBACKS,
    SAMPLES,
)
from streams.connection import KafkaSettings

FOLLOWED = (
    SAMPLES, ANOMALIES, BUDGETS, INCIDENTS, FORECASTS, PLANS, DECISIONS, APPROVALS, APPROVED,
    RESULTS, ROLLBACKS, REFUSALS, OUTCOMES, REPORTS, DEADLETTERS,
)  # fmt: skip
BATCH = 500


class Watch:
    """What is new on the topics, told to `hear` and `sample` in the order of arrival."""

    def __init__(
        self,
        kafka: KafkaSettings,
        *,
        hear: Callable[[Event], None],
        sample: Callable[[Samples], None],
    ) -> None:
        self._hear, self._sample = hear, sample
        self._frames = kafka.topic(SAMPLES)
        self._places = [
            TopicPartition(kafka.topic(topic), partition, OFFSET_BEGINNING)
            for topic in FOLLOWED
            for partition in range(topic.partitions)
        ]
        self._consumer = Consumer(
            {
                **kafka.confluent(),
                "group.id": "sentinel-demo-watch",  # required by the client; never joined
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 50,
            }
        )

    def __enter__(self) -> Self:
        self._consumer.assign(self._places)
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def listen(self, seconds: float) -> int:
        """Wait up to `seconds` for something new and tell it; how many messages it was.

        Raises Unavailable when Kafka is gone, Rejected for a message that is none of ours.
        """
        try:
            messages = self._consumer.consume(BATCH, timeout=seconds)
        except KafkaException as error:
            raise Unavailable(f"cannot follow the topics: {error.args[0].str()}") from error
        for message in messages:
            if message.error():
                raise Unavailable(f"cannot follow {message.topic()}: {message.error().str()}")
            value, headers = message.value() or b"", dict(message.headers() or ())
            if message.topic() == self._frames:
                self._sample(read_samples(value))
            else:
                self._hear(_decoded(message.topic(), value, headers))
        return len(messages)


def _decoded(topic: str, value: bytes, headers: dict[str, bytes]) -> Event:
    try:
        return decode(value, headers.get(HEADER, b"").decode())
    except Rejected as error:
        raise Rejected(f"{topic} holds a message that is none of ours: {error}") from error
