"""Whose a partition is: what the group gives a worker and takes from it, and who has its name.

Partitions change hands one by one (cooperative), while the others are read on. A worker puts its
work on them in order before it hands them over; those that were lost are another's already.
"""

import logging
from typing import Protocol

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.connection import KafkaSettings
from streams.intake.calls import Calls

log = logging.getLogger(__name__)


class Follower(Protocol):
    """Who works on the partitions. Each is called while the consumer is asked for records."""

    def assigned(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """These are ours from now on: where to read them from."""

    def revoked(self, partitions: list[TopicPartition]) -> None:
        """Another gets these as soon as this returns."""

    def lost(self, partitions: list[TopicPartition]) -> None:
        """Another may have had these for a while."""


class Membership:
    """A worker's place in its group. `group` and `name`, its client id, are as Kafka has them."""

    def __init__(
        self, kafka: KafkaSettings, *, group: str, name: str, consumer: Consumer, calls: Calls
    ) -> None:
        self._kafka, self._group, self._name = kafka, group, name
        self._consumer, self._calls = consumer, calls
        self._members: set[str] = set()  # as whom the group knows us, or may not yet have forgotten

    def join(self, topics: list[str], follower: Follower) -> None:
        """Ask for a share of the topics."""

        def assigned(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            self._members.add(consumer.memberid())
            consumer.incremental_assign(follower.assigned(partitions))
            log.info("reading %s", _listed(partitions) or "nothing yet")

        def revoked(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            follower.revoked(partitions)
            consumer.incremental_unassign(partitions)
            log.info("handing over %s", _listed(partitions))

        def lost(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            follower.lost(partitions)
            consumer.incremental_unassign(partitions)
            log.warning("lost %s", _listed(partitions))

        self._consumer.subscribe(topics, on_assign=assigned, on_revoke=revoked, on_lost=lost)

    def replaced(self) -> bool:
        """Whether another member of the group goes by our name."""
        admin = AdminClient(self._kafka.confluent())
        described = self._calls.insist(
            "describe the group",
            lambda timeout: admin.describe_consumer_groups([self._group], request_timeout=timeout)[
                self._group
            ].result(),
        )
        ours = self._members | {self._consumer.memberid()}
        return any(
            member.client_id == self._name and member.member_id not in ours
            for member in described.members
        )


def _listed(partitions: list[TopicPartition]) -> str:
    return ", ".join(f"{p.topic}/{p.partition}" for p in partitions)
