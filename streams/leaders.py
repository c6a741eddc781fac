"""Partitions that nobody leads yet: their topic was made, or their leader lost, a moment ago.

The controller says that a topic is made before brokers have heard of it. For half a second, on a
busy machine for longer, they say of its partitions that they do not know or do not lead them, and
client libraries hand that on for offsets, though they try again for records.
"""

import time
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

T = TypeVar("T")
Place = tuple[str, int]
AGAIN_S = 0.1
NO_LEADER = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
}


def led(call: Callable[[], T], patience_s: float, passing: Collection[int] = NO_LEADER) -> T:
    """What `call` gives, made again for as long as it is told that a partition has no leader.

    Or another of the errors `passing`, which pass by themselves.
    Raises KafkaException, that one too when it lasts.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return call()
        except KafkaException as error:
            if error.args[0].code() not in passing or time.monotonic() > deadline:
                raise
        time.sleep(AGAIN_S)


def since(consumer: Any, moments: list[TopicPartition], patience_s: float) -> list[TopicPartition]:
    """The first offsets from those moments (epoch ms) on; `OFFSET_END` where there is none yet.

    Raises KafkaException for all when it is one partition's.
    """

    def asked() -> list[TopicPartition]:
        found: list[TopicPartition] = consumer.offsets_for_times(moments, patience_s)
        for place in found:
            if place.error:
                raise KafkaException(place.error)
        return found

    return led(asked, patience_s)


def offsets(
    admin: Any,
    places: Collection[Place],
    which: OffsetSpec,
    patience_s: float,
    **options: Any,
) -> dict[Place, int | KafkaError]:
    """An offset of each partition, or why there is none; those without a leader are asked again.

    `patience_s` is for one answer, and for leaders; `options` are `AdminClient.list_offsets`'s.
    """
    deadline = time.monotonic() + patience_s
    found: dict[Place, int | KafkaError] = {}
    left = [TopicPartition(*place) for place in places]
    while left:
        asked = admin.list_offsets(
            dict.fromkeys(left, which), request_timeout=patience_s, **options
        )
        for place, answer in asked.items():
            try:
                found[place.topic, place.partition] = int(answer.result().offset)
            except KafkaException as error:
                found[place.topic, place.partition] = error.args[0]
        left = [place for place in left if is_unled(found[place.topic, place.partition])]
        if time.monotonic() > deadline:
            break
        if left:
            time.sleep(AGAIN_S)
    return found


def every_offset(
    admin: Any, places: Collection[Place], which: OffsetSpec, patience_s: float
) -> dict[Place, int]:
    """`offsets`, of which none may be missing. Raises KafkaException for the first that is."""
    found: dict[Place, int] = {}
    for place, offset in offsets(admin, places, which, patience_s).items():
        if not isinstance(offset, int):
            raise KafkaException(offset)
        found[place] = offset
    return found


def is_unled(found: int | KafkaError) -> bool:
    """Whether the answer is that nobody leads the partition."""
    return not isinstance(found, int) and found.code() in NO_LEADER
