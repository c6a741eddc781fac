"""Read, transform, write, exactly once: Kafka transactions that hold records and offsets.

What is written and how far was read land together or not at all. The group's metadata go
with the offsets (KIP-447), so a worker that has lost its partitions cannot commit for them,
whatever its name; and a worker of the same name that starts later fences the older one.

A transaction that fails is aborted and its records are read again. Before partitions are
handed over, the open transaction is committed, or aborted if that does not work.

This is the loop; it is made of one part an idea: what is written (transactions.py), where to
read on (offsets.py), what is fetched and whose turn it is (fetching.py, lanes.py), and whose a
partition is (membership.py).
"""

import logging
import threading
from collections.abc import Callable
from typing import Any, Self, TypeVar

from confluent_kafka import KafkaException, TopicPartition

from streams.connection import KafkaSettings
from streams.intake.bounded import StuckError, bounded
from streams.intake.calls import AbortError, BrokenError, Calls, FencedError
from streams.intake.fetching import Fetching, fetching_consumer
from streams.intake.lanes import Lanes, Place
from streams.intake.membership import Membership
from streams.intake.offsets import Offsets
from streams.intake.transactions import LEAVE_S, Transactions

log = logging.getLogger(__name__)
T = TypeVar("T")

SERVE_S = 1.0  # one attempt that must not keep the group waiting


class ExactlyOnce:
    """A consumer and a producer whose commits are one.

    `ending` is called before a commit and may still write; `ended(committed)` whenever a
    transaction has ended. Not for several threads, but for `stop`, which another one may set.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        *,
        group: str,
        name: str,
        topics: list[str],
        stop: threading.Event,
        ended: Callable[[bool], None],
        start: str = "earliest",
        consumer: dict[str, Any] | None = None,
        transaction_timeout_ms: int = 15_000,
        lanes: Lanes | None = None,
        ending: "Callable[[ExactlyOnce], None] | None" = None,
    ) -> None:
        self._topics, self._ended, self._ending = topics, ended, ending
        group, name = f"{kafka.prefix}{group}", f"{kafka.prefix}{name}"
        self._calls = Calls(name, stop)
        shared = kafka.confluent() | {"error_cb": self._calls.noted}
        self._consumer = fetching_consumer(
            shared, group=group, name=name, start=start, changes=consumer or {}
        )
        self._membership = Membership(
            kafka, group=group, name=name, consumer=self._consumer, calls=self._calls
        )
        self._transactions = Transactions(
            shared,
            name=name,
            timeout_ms=transaction_timeout_ms,
            calls=self._calls,
            replaced=self._membership.replaced,
        )
        self._offsets = Offsets(self._consumer, latest=start == "latest")
        self._fetching = Fetching(self._consumer, lanes or Lanes(), self._offsets)

    def __enter__(self) -> Self:
        self._transactions.register()
        self._membership.join(self._topics, self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.commit()
        finally:
            self._leave()

    def _leave(self) -> None:
        """Put down what is open, which closing the consumer must not commit, and go."""
        last: dict[str, Callable[[], object]] = {"leave the group": self._consumer.close}
        if self._transactions.open:
            last = {"abort": self._transactions.put_down} | last
        for what, call in last.items():
            try:
                bounded(call, LEAVE_S + SERVE_S, lambda: None)
            except KafkaException as error:  # the brokers do it when its time is over
                log.warning("could not %s: %s", what, error.args[0].str())
            except StuckError:
                log.warning("could not %s: no answer; the brokers will find out", what)

    @property
    def age_s(self) -> float:
        """How long the transaction has been open; 0 when none is."""
        return self._transactions.age_s

    @property
    def commit_s(self) -> float:
        """How long a commit takes of late."""
        return self._transactions.commit_s

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises Rejected when it does not exist."""
        return self._transactions.partitions(topic)

    def has(self, place: Place) -> bool:
        """Whether a partition is ours just now; other threads may ask."""
        return self._offsets.has(place)

    def lag(self) -> dict[Place, int]:
        """Records not yet read, by partition, as far as is known here."""
        return self._offsets.lag()

    def consume(self, most: int, timeout: float) -> dict[str, list[Any]]:
        """The next records by topic, none read before; opens a transaction for them.

        When more are there than `most`, the lanes say whose they are.
        """
        if self._transactions.spoiled and self._transactions.open:
            self._abort()
        if self._transactions.spoiled and not self._gone_back():
            self._consumer.consume(1, SERVE_S)  # the group's news is heard here, and may be why
            return {}
        self._fetching.ahead(most, timeout)
        self._transactions.poll()
        if self._transactions.spoiled:  # aborted meanwhile: these come after what it held
            return {}
        result: dict[str, list[Any]] = {}
        for place, records in self._fetching.take(most).items():
            self._offsets.read(place, records[-1].offset() + 1)
            held = result.get(place[0])
            result[place[0]] = records if held is None else held + records
        if result:
            self.begin()
        return result

    def begin(self) -> bool:
        """Open a transaction, if none is; False when the last one must be put right before."""
        if self._transactions.spoiled:
            return False
        if not self._transactions.open:
            self._transactions.begin()
        return True

    def produce(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes,
        partition: int = -1,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Write a record in the open transaction."""
        self._transactions.write(topic, value, key=key, partition=partition, headers=headers)

    def commit(self) -> bool:
        """End the open transaction; False when it was aborted and its records come again."""
        if not self._transactions.open:
            return True
        if self._ending is not None and not self._transactions.spoiled:
            self._ending(self)
        if self._transactions.spoiled:
            self._abort()
            return False
        try:
            self._transactions.commit(self._read)
        except (AbortError, FencedError, BrokenError) as error:
            self._abort(error)
            return False
        self._close(committed=True)
        return True

    def _read(self) -> tuple[list[TopicPartition], object]:
        """How far, and as whom."""
        return self._offsets.to_commit(), self._consumer.consumer_group_metadata()

    def _abort(self, cause: Exception | None = None) -> None:
        self._transactions.abort(cause)
        self._close(committed=False)

    def _close(self, *, committed: bool) -> None:
        self._offsets.ended()
        self._ended(committed)

    def _gone_back(self) -> bool:
        """Whether every partition of ours is read on from what is committed."""
        try:
            self._fetching.put_back()
            for place in self._offsets.find(self._consumer.assignment(), _once):
                self._fetching.go_to(place)
                self._offsets.go_to(place)
        except KafkaException as error:
            self._calls.last_error = error.args[0].str()
            self._calls.still_trying("go back to what is committed")
            return False
        self._transactions.spoiled = False
        return True

    def assigned(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Read what the group gave us: from where."""
        places = self._offsets.find(partitions, self._calls.insist)
        for place in places:
            self._offsets.begin(place)
            self._fetching.begin(place)
        return places

    def revoked(self, partitions: list[TopicPartition]) -> None:
        """End what is open before another works on them."""
        self.commit()
        self._forget(partitions)

    def lost(self, partitions: list[TopicPartition]) -> None:
        """Another may work on them already: what is open comes to nothing."""
        if self._transactions.open:
            self._calls.last_error = "the partitions were given to another worker"
            self._abort()
        self._forget(partitions)

    def _forget(self, partitions: list[TopicPartition]) -> None:
        gone = {(place.topic, place.partition) for place in partitions}
        self._offsets.forget(gone)
        self._fetching.forget(gone)


def _once(_what: str, call: Callable[[float], T]) -> T:
    return call(SERVE_S)
