"""What the tests of intake and bridge share: records in, records out, and patience."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

from schemas.avro import HEADER, decode
from schemas.frames import read_samples
from schemas.operations import DeadLetter
from schemas.topics import DEADLETTERS, INTAKE_REPORTS, LOGLINES, RAW, SAMPLES, Topic
from streams.committed import Committed
from streams.connection import KafkaSettings
from streams.topics import create

TOPICS: tuple[Topic, ...] = (*RAW, SAMPLES, LOGLINES, DEADLETTERS, INTAKE_REPORTS)


class Row(NamedTuple):
    """One sample as it was read from a frame."""

    series: str
    at: int
    value: float


def world(bootstrap: str, prefix: str) -> KafkaSettings:
    """Settings with names of their own, and the topics made."""
    kafka = KafkaSettings(brokers=bootstrap, prefix=f"{prefix}-", topic_prefix=f"{prefix}-")
    assert not create(kafka, TOPICS).differing
    return kafka


def until(condition: Callable[[], bool], seconds: float = 150.0) -> None:
    """Wait for the world. Raises AssertionError when it does not come round."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def put(
    kafka: KafkaSettings,
    topic: Topic,
    values: Sequence[bytes],
    *,
    keys: Sequence[bytes] = (),
    headers: dict[str, str] | None = None,
) -> list[tuple[int, int]]:
    """Write records; partition and offset of each."""
    producer = Producer(  # idempotent: a batch that is sent again must not overtake another
        kafka.confluent()
        | {"linger.ms": 5, "message.max.bytes": 10_000_000, "enable.idempotence": True}
    )
    places: list[tuple[int, int]] = [(-1, -1)] * len(values)

    def delivered(error: KafkaError | None, message: Any, number: int) -> None:
        assert error is None, error
        places[number] = message.partition(), message.offset()

    for i, value in enumerate(values):
        producer.produce(
            kafka.topic(topic),
            value,
            key=keys[i] if keys else None,
            headers=headers or {},
            on_delivery=lambda error, message, i=i: delivered(error, message, i),
        )
        producer.poll(0)
    assert producer.flush(60) == 0
    return places


def records(kafka: KafkaSettings, topic: Topic) -> list[Any]:
    """All that is committed in a topic now, a partition after the other."""
    consumer = reader(kafka, topic, eof=True)
    found, ended = [], 0
    try:
        while ended < topic.partitions:
            for message in consumer.consume(500, 0.5):
                if message.error() is None:
                    found.append(message)
                else:
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    ended += 1
    finally:
        consumer.close()
    return sorted(found, key=lambda m: (m.partition(), m.offset()))


def reader(kafka: KafkaSettings, topic: Topic, *, eof: bool = False) -> Consumer:
    """A consumer of a whole topic from its beginning, of what is committed."""
    consumer = Consumer(
        kafka.confluent()
        | {
            "group.id": f"{kafka.prefix}test",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": eof,
        }
    )
    name = kafka.topic(topic)
    consumer.assign([TopicPartition(name, p, OFFSET_BEGINNING) for p in range(topic.partitions)])
    return consumer


def rows(message: Any) -> Iterator[Row]:
    """The samples of a frame."""
    frame = read_samples(message.value())
    for code, at, value in zip(
        frame.code.tolist(), frame.at.tolist(), frame.value.tolist(), strict=True
    ):
        yield Row(frame.names[code], at, value)


def samples(kafka: KafkaSettings) -> list[Row]:
    """All samples that are committed, a partition after the other."""
    return [row for message in records(kafka, SAMPLES) for row in rows(message)]


def letters(kafka: KafkaSettings) -> list[DeadLetter]:
    """All dead letters that are committed."""
    found = []
    for message in records(kafka, DEADLETTERS):
        event = decode(message.value(), dict(message.headers())[HEADER].decode())
        assert isinstance(event, DeadLetter)
        found.append(event)
    return found


def committed(kafka: KafkaSettings, group: str, topic: Topic) -> list[int]:
    """How far a group (without prefix) has committed, partition by partition; 0 where not."""
    places = [(kafka.topic(topic), number) for number in range(topic.partitions)]
    with closing(Committed(kafka.confluent(), f"{kafka.prefix}{group}")) as asked:
        found = asked(places, 60.0)
    return [max(found[place], 0) for place in places]
