"""How far raw partitions go, and how far a group has come in them.

Producers that write in transactions leave a mark behind their records. It has an offset, and
nobody reads it: a group that has read all seems to lack one. So where a group does not come any
further it is looked whether records are left at all.
"""

import logging
import time
from collections.abc import Collection, Mapping
from contextlib import closing
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.committed import Committed
from streams.connection import KafkaSettings
from streams.intake.lanes import Place
from streams.leaders import every_offset

log = logging.getLogger(__name__)

ANSWER_S = 10.0  # for one request
LEFT_S = 3.0  # for the first of the records that may be left
LEFT_BYTES = 64 * 1024  # of them, a partition: one is enough


class Extent:
    """What Kafka says of the partitions, and of `group` in them.

    Each raises KafkaException, and TimeoutError when there is no answer.
    """

    def __init__(self, kafka: KafkaSettings, group: str) -> None:
        self._kafka, self._group = kafka, group
        self._admin = AdminClient(kafka.confluent(), logger=log)
        self._committed = Committed(kafka.confluent(), group, logger=log)

    def partitions(self, topics: Collection[str]) -> list[Place]:
        """All partitions of those of the topics that exist, in order."""
        asked = self._admin.describe_topics(TopicCollection(list(topics)), request_timeout=ANSWER_S)
        return sorted(
            (topic, partition.id)
            for topic, answer in asked.items()
            for partition in _partitions(answer)
        )

    def ends(self, places: Collection[Place]) -> dict[Place, int]:
        """Where partitions end that are not empty, open transactions included."""
        begin = every_offset(self._admin, places, OffsetSpec.earliest(), ANSWER_S)
        end = every_offset(self._admin, places, OffsetSpec.latest(), ANSWER_S)
        return {place: end[place] for place in places if end[place] > begin[place]}

    def committed(self, places: Collection[Place]) -> dict[Place, int]:
        """How far the group has committed; below 0 where it has not."""
        return self._committed(places, ANSWER_S)

    def close(self) -> None:
        """Let go of the brokers."""
        self._committed.close()

    def passed(self, places: Collection[Place], committed: Mapping[Place, int]) -> dict[Place, int]:
        """How far partitions hold nothing to read behind what is committed; may leave some out.

        A transaction that is open holds back what comes after its first record: it is not passed.
        """
        begin = [TopicPartition(*p, committed[p]) for p in places if committed.get(p, -1) >= 0]
        settings = {
            "group.id": self._group,  # which is never joined, and gets no offset of this
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "fetch.message.max.bytes": LEFT_BYTES,
        }
        found: dict[Place, int] = {}
        waiting = {(place.topic, place.partition) for place in begin}
        with closing(Consumer(self._kafka.confluent() | settings, logger=log)) as consumer:
            consumer.assign(begin)
            end = time.monotonic() + LEFT_S
            while waiting and time.monotonic() < end:
                for message in consumer.consume(100, 0.1):
                    place = message.topic(), message.partition()
                    if place in waiting and _at_end(message):
                        found[place] = message.offset()
                    waiting.discard(place)
        return found


def _at_end(message: Any) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - librdkafka's own errors have such names


def _partitions(answer: Any) -> list[Any]:
    """Those of a topic; none when it does not exist yet."""
    try:
        return list(answer.result(ANSWER_S).partitions)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return []
        raise
