"""Topics that producers write to: made before they start, and how much lies in them."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.topics import Topic
from streams.connection import KafkaSettings
from streams.topics import create
from tests.streams.kafka_world import until

HOUR_MS = 3_600_000


def raw(name: str) -> Topic:
    """A topic of a producer's, of one partition for the sake of speed."""
    return Topic(f"raw.{name}", None, "producer's own", HOUR_MS, partitions=1)


def make(kafka: KafkaSettings, topics: Collection[Topic]) -> None:
    """Make topics, and wait until each has a leader: producers may give up on one without."""
    create(kafka, tuple(topics))
    admin = AdminClient(kafka.confluent())

    def led() -> bool:
        known = admin.list_topics(timeout=30).topics
        found = [known[kafka.topic(topic)] for topic in topics if kafka.topic(topic) in known]
        leaders = [part.leader for one in found for part in one.partitions.values()]
        return len(found) == len(topics) and len(leaders) >= len(topics) and min(leaders) >= 0

    until(led)


@contextmanager
def sizes(
    kafka: KafkaSettings, topics: Collection[Topic]
) -> Iterator[Callable[[], dict[str, int]]]:
    """Tells how many records were written to each topic until now."""
    asking = Consumer(kafka.confluent() | {"group.id": f"{kafka.prefix}sizes"})

    def now() -> dict[str, int]:
        found = Counter[str]()
        for topic in topics:
            for partition in range(topic.partitions):
                part = TopicPartition(kafka.topic(topic), partition)
                found[topic.name] += asking.get_watermark_offsets(part, timeout=30)[1]
        return dict(found)

    try:
        yield now
    finally:
        asking.close()
