"""Read, transform, write, exactly once: Kafka transactions that hold records and offsets.

What is written and how far was read land together or not at all. The group's metadata go
with the offsets (KIP-447), so a worker that has lost its partitions cannot commit for them,
whatever its name; and a worker of the same name that starts later fences the older one.

A transaction that fails is aborted and its records are read again. Before partitions are
handed over, the open transaction is committed, or aborted if that does not work.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self, TypeVar

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from schemas.errors import Rejected, Unavailable
from streams.connection import KafkaSettings
from streams.intake.bounded import StuckError, bounded
from streams.intake.calls import AbortError, BrokenError, Calls, FencedError

log = logging.getLogger(__name__)
T = TypeVar("T")

LARGEST_MESSAGE = 8 * 1024 * 1024  # bytes; what our topics of frames and letters take
SERVE_S = 1.0  # one attempt that must not keep the group waiting
LEAVE_S = 5.0  # to abort, and to leave the group: both are found out without us, later
MOST_RENEWALS = 5  # in a row; more is no accident


class ExactlyOnce:
    """A consumer and a producer whose commits are one.

    `ended(committed)` is called whenever a transaction ends. Not for several threads, but
    for `stop`, which another one may set.
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
    ) -> None:
        self._topics, self._ended = topics, ended
        self._latest = start == "latest"
        self._transactional_id = f"{kafka.prefix}{name}"
        self._calls = Calls(self._transactional_id, stop)
        shared = kafka.confluent() | {"error_cb": self._calls.noted}
        self._consumer = Consumer(
            shared
            | {
                "group.id": f"{kafka.prefix}{group}",
                "client.id": self._transactional_id,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": start,
                "partition.assignment.strategy": "cooperative-sticky",
                # Default queueing made a consumer of uncompressed topics five times slower.
                "queued.min.messages": 10_000_000,
                "fetch.queue.backoff.ms": 5,
            }
            | (consumer or {}),
            logger=log,
        )
        self._producer_settings = (
            shared
            | {
                "transactional.id": self._transactional_id,
                "client.id": self._transactional_id,
                "compression.type": "lz4",
                "linger.ms": 5,
                "message.max.bytes": LARGEST_MESSAGE,
                "queue.buffering.max.kbytes": 256 * 1024,
            }
            | {"transaction.timeout.ms": transaction_timeout_ms}
        )
        self._producer = Producer(self._producer_settings, logger=log)
        self._kafka, self._group = kafka, f"{kafka.prefix}{group}"
        self._timeout_s = transaction_timeout_ms / 1000
        self._next: dict[tuple[str, int], int] = {}  # what is read next, open transaction included
        self._start: dict[tuple[str, int], int] = {}  # where we began, for want of a commit
        self._touched: set[tuple[str, int]] = set()  # read from in the open transaction
        self._began = 0.0  # monotonic; 0: none is open
        self._rewind = False
        self._renewals = 0  # in a row

    def __enter__(self) -> Self:
        self._calls.insist("reach the transaction coordinator", self._producer.init_transactions)
        self._consumer.subscribe(
            self._topics,
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._lost,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.commit()
        finally:
            self._leave()

    def _leave(self) -> None:
        """Put down what is open, which closing the consumer must not commit, and go."""
        last = {"leave the group": self._consumer.close}
        if self._began:
            self._began = 0.0
            last = {"abort": lambda: self._producer.abort_transaction(LEAVE_S)} | last
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
        return time.monotonic() - self._began if self._began else 0.0

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises Rejected when it does not exist."""
        metadata = self._calls.insist(
            "reach the brokers", lambda timeout: self._producer.list_topics(topic, timeout)
        )
        found = metadata.topics[topic]
        if found.error or not found.partitions:
            raise Rejected(f"topic {topic} does not exist: run `sentinel topics create`")
        return len(found.partitions)

    def consume(self, most: int, timeout: float) -> dict[str, list[Any]]:
        """The next records by topic, none read before; opens a transaction for them."""
        if self._rewind and self._began:
            self._abort()
        if self._rewind and not self._gone_back():
            self._consumer.consume(1, SERVE_S)  # the group's news is heard here, and may be why
            return {}
        polled = self._consumer.consume(most, timeout)
        self._poll(0)
        if self._rewind:  # a transaction was aborted meanwhile: these come after what it held
            return {}
        fresh = self._fresh(polled)
        if fresh and not self._began:
            self._begin()
        return fresh

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
        while True:
            try:
                self._producer.produce(
                    topic, value, key=key, partition=partition, headers=headers or {}
                )
            except BufferError:  # the local queue is full: let it drain
                self._calls.still_trying("write")
                self._poll(0.1)
            except KafkaException as error:
                left = self._began and self._calls.out_of_step(error)
                if (
                    not left
                    and not self._calls.abortable(error)
                    and not self._calls.hopeless(error)
                ):
                    raise
                self._rewind = True  # the commit will find out and abort
                return
            else:
                return

    def commit(self) -> bool:
        """End the open transaction; False when it was aborted and its records come again."""
        if not self._began:
            return True
        if self._rewind:
            self._abort()
            return False
        try:
            self._calls.in_transaction("commit", self._send_offsets)
            self._calls.in_transaction("commit", self._producer.commit_transaction)
        except (AbortError, FencedError, BrokenError) as error:
            self._abort(error)
            return False
        self._renewals = 0
        self._close(committed=True)
        return True

    def lag(self) -> dict[tuple[str, int], int]:
        """Records not yet read, by partition, as far as is known here."""
        result = {}
        for (topic, partition), offset in self._next.items():
            _, high = self._consumer.get_watermark_offsets(
                TopicPartition(topic, partition), cached=True
            )
            if offset >= 0 and high >= 0:
                result[topic, partition] = max(0, high - offset)
        return result

    def _poll(self, timeout: float) -> None:
        """Serve the producer's callbacks; it tells here, too, that it is fenced or broken."""
        try:
            self._producer.poll(timeout)
        except KafkaException as error:
            if not self._calls.hopeless(error):
                raise
            self._rewind = True  # the next call in a transaction finds out and ends it

    def _begin(self) -> None:
        # A producer may have been found fenced or broken after its last transaction ended.
        try:
            self._calls.in_transaction("begin", lambda _: self._producer.begin_transaction())
        except BrokenError:
            self._renew()
            self._calls.in_transaction("begin", lambda _: self._producer.begin_transaction())
        self._began = time.monotonic()

    def _fresh(self, polled: list[Any]) -> dict[str, list[Any]]:
        """What is ours and was not read yet; notes how far that is. A hot loop: runs are long."""
        result: dict[str, list[Any]] = {}
        place, expected = ("", -1), -1
        for message in polled:
            if message.error() is not None:
                log.warning("reading %s: %s", message.topic(), message.error().str())
                continue
            offset, here = message.offset(), (message.topic(), message.partition())
            if here != place:
                self._read(place, expected)
                place, expected = here, self._next.get(here, -1)
                ours, records = here in self._next, result.setdefault(here[0], [])
            if ours and offset >= expected:
                expected = offset + 1
                records.append(message)
        self._read(place, expected)
        return {topic: records for topic, records in result.items() if records}

    def _read(self, place: tuple[str, int], expected: int) -> None:
        if self._next.get(place, expected) != expected:
            self._next[place] = expected
            self._touched.add(place)

    def _send_offsets(self, timeout: float) -> None:
        offsets = [TopicPartition(t, p, self._next[t, p]) for t, p in sorted(self._touched)]
        metadata = self._consumer.consumer_group_metadata()
        self._producer.send_offsets_to_transaction(offsets, metadata, timeout)

    def _close(self, *, committed: bool) -> None:
        self._began = 0.0
        self._touched.clear()
        self._ended(committed)

    def _abort(self, cause: Exception | None = None) -> None:
        log.warning(
            "transaction aborted, its records will be read again: %s", self._calls.last_error
        )
        self._rewind = True
        try:
            if isinstance(cause, FencedError | BrokenError):
                raise cause
            self._calls.in_transaction("abort", self._producer.abort_transaction)
        except FencedError:
            if self.age_s < self._timeout_s or self._replaced():
                raise
            self._renew()
        except BrokenError:
            if self._replaced():  # while we were held up
                raise self._calls.fenced() from None
            self._renew()
        self._close(committed=False)

    def _renew(self) -> None:
        """Begin anew under our name, after the brokers gave up our producer.

        They fence one whose transaction took too long, as they do one whose name was taken,
        or know nothing of its transaction any more; either we were away, or they were. Or we
        gave up a producer that does not come back from a call: this fences it.
        """
        while True:
            self._renewals += 1
            if self._renewals > MOST_RENEWALS:
                raise Unavailable(f"no transaction succeeds: {self._calls.last_error}")
            log.warning("our transaction is lost; starting another: %s", self._calls.last_error)
            self._producer.purge(blocking=False)
            self._producer = Producer(self._producer_settings, logger=log)
            with suppress(BrokenError):
                self._calls.insist(
                    "reach the transaction coordinator", self._producer.init_transactions
                )
                return

    def _replaced(self) -> bool:
        """Whether another member of the group goes by our name."""
        admin = AdminClient(self._kafka.confluent())
        described = self._calls.insist(
            "describe the group",
            lambda timeout: admin.describe_consumer_groups([self._group], request_timeout=timeout)[
                self._group
            ].result(),
        )
        me = self._consumer.memberid()
        return any(
            member.client_id == self._transactional_id and member.member_id != me
            for member in described.members
        )

    def _gone_back(self) -> bool:
        """Whether every partition of ours is read on from what is committed."""
        try:
            for place in self._positions(self._consumer.assignment(), self._once):
                self._consumer.seek(place)
                self._next[place.topic, place.partition] = place.offset
        except KafkaException as error:
            self._calls.last_error = error.args[0].str()
            self._calls.still_trying("go back to what is committed")
            return False
        self._rewind = False
        return True

    @staticmethod
    def _once(_what: str, call: Callable[[float], T]) -> T:
        return call(SERVE_S)

    def _positions(
        self, partitions: list[TopicPartition], ask: Callable[..., Any]
    ) -> list[TopicPartition]:
        """Where to read on: what is committed, else where we began."""
        if not partitions:
            return []
        # Waits for a dead worker's open transaction to be decided: the offsets may be in it.
        places = ask(
            "read committed offsets",
            lambda timeout: self._consumer.committed(partitions, timeout=timeout),
        )
        for place in places:
            if place.error:
                raise Unavailable(f"offsets of {place.topic}: {place.error.str()}")
            if place.offset < 0:
                place.offset = self._beginning(place, ask)
        return list(places)

    def _beginning(self, place: TopicPartition, ask: Callable[..., Any]) -> int:
        known = self._start.get((place.topic, place.partition))
        if known is not None:
            return known
        if not self._latest:
            return int(OFFSET_BEGINNING)
        _, high = ask(
            "find the end", lambda t: self._consumer.get_watermark_offsets(place, timeout=t)
        )
        return int(high)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        places = self._positions(partitions, self._calls.insist)
        for place in places:
            self._start[place.topic, place.partition] = place.offset
            self._next[place.topic, place.partition] = place.offset
        consumer.incremental_assign(places)
        log.info("reading %s", _listed(partitions) or "nothing yet")

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.commit()
        self._forget(partitions)
        consumer.incremental_unassign(partitions)
        log.info("handing over %s", _listed(partitions))

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._began:
            self._calls.last_error = "the partitions were given to another worker"
            self._abort()
        self._forget(partitions)
        consumer.incremental_unassign(partitions)
        log.warning("lost %s", _listed(partitions))

    def _forget(self, partitions: list[TopicPartition]) -> None:
        for place in partitions:
            self._next.pop((place.topic, place.partition), None)
            self._start.pop((place.topic, place.partition), None)


def _listed(partitions: list[TopicPartition]) -> str:
    return ", ".join(f"{p.topic}/{p.partition}" for p in partitions)
