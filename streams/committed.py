"""How far a group has committed, asked by one that never joins it.

Not by `AdminClient.list_consumer_group_offsets`, which ends the process with SIGSEGV once the
group's coordinator has moved: librdkafka then looks the new one up for a group of its own, which
only a consumer has (its issue 5040, open as of 2.12).
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.leaders import Place, led

MOVED = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError._WAIT_COORD,  # noqa: SLF001 - librdkafka's own errors have such names
    KafkaError._TRANSPORT,  # noqa: SLF001 - as above
}


class Committed:
    """What a group has committed; `connection` are settings of confluent-kafka."""

    def __init__(self, connection: Mapping[str, Any], group: str, *, logger: Any = None) -> None:
        settings = {
            **connection,
            "group.id": group,
            "enable.auto.commit": False,
            # What is in an open transaction does not count, and is not waited for.
            "isolation.level": "read_uncommitted",
        }
        self._consumer = Consumer(settings, logger=logger) if logger else Consumer(settings)

    def __call__(self, places: Collection[Place], patience_s: float) -> dict[Place, int]:
        """Offsets by partition, below 0 where nothing is committed.

        `patience_s` is for one answer, and for a coordinator that moves. Raises KafkaException.
        """
        if not places:
            return {}
        wanted = [TopicPartition(*place) for place in places]
        return settled(
            lambda seconds: self._consumer.committed(wanted, timeout=seconds), patience_s
        )

    def close(self) -> None:
        """Let go of the brokers."""
        self._consumer.close()


def settled(ask: Callable[[float], list[TopicPartition]], patience_s: float) -> dict[Place, int]:
    """What `ask`, given seconds, answers for each partition once there is a coordinator."""

    def asked() -> dict[Place, int]:
        found = ask(patience_s)
        for place in found:
            if place.error:
                raise KafkaException(place.error)
        return {(place.topic, place.partition): place.offset for place in found}

    return led(asked, patience_s, MOVED)
