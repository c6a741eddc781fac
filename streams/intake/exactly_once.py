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
from streams.intake.lanes import Lanes, Place

log = logging.getLogger(__name__)
T = TypeVar("T")

LARGEST_MESSAGE = 8 * 1024 * 1024  # bytes; what our topics of frames and letters take
SERVE_S = 1.0  # one attempt that must not keep the group waiting
LEAVE_S = 5.0  # to abort, and to leave the group: both are found out without us, later
MOST_RENEWALS = 5  # in a row; more is no accident
NEWEST = 0.2  # weight of the last commit in how long one takes


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
        self._lanes = lanes or Lanes()  # read, and not yet in a transaction
        self._paused: set[Place] = set()
        self._fetched: dict[Place, int] = {}  # what comes next from Kafka, lanes included
        self._next: dict[Place, int] = {}  # what is read next, open transaction included
        self._start: dict[Place, int] = {}  # where we began, for want of a commit
        self._touched: set[Place] = set()  # read from in the open transaction
        self._began = 0.0  # monotonic; 0: none is open
        self._rewind = False
        self._renewals = 0  # in a row
        self._members: set[str] = set()  # as whom the group knows us, or may not yet have forgotten
        self._commit_s = 0.0  # how long a commit takes, smoothed

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

    @property
    def commit_s(self) -> float:
        """How long a commit takes of late."""
        return self._commit_s

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
        """The next records by topic, none read before; opens a transaction for them.

        When more are there than `most`, the lanes say whose they are.
        """
        if self._rewind and self._began:
            self._abort()
        if self._rewind and not self._gone_back():
            self._consumer.consume(1, SERVE_S)  # the group's news is heard here, and may be why
            return {}
        self._look_ahead(most, timeout)
        self._poll(0)
        if self._rewind:  # a transaction was aborted meanwhile: these come after what it held
            return {}
        taken = self._lanes.take(most, time.monotonic())
        self._make_way(most)
        result: dict[str, list[Any]] = {}
        for place, records in taken.items():
            self._read(place, records[-1].offset() + 1)
            held = result.get(place[0])
            result[place[0]] = records if held is None else held + records
        if result and not self._began:
            self._begin()
        return result

    def _look_ahead(self, most: int, timeout: float) -> None:
        """Let records stand in line, up to two batches: whose turn it is needs a choice.

        The wait is for the first batch alone, and for none when some stand there already.
        """
        waiting, soon = self._lanes.waiting(), self._lanes.free_in()
        if waiting:
            timeout = 0.0
        elif soon is not None:
            timeout = min(timeout, soon)
        polled = self._consumer.consume(most, timeout)
        self._line_up(polled)
        if len(polled) == most and waiting < most:
            self._line_up(self._consumer.consume(most, 0.0))

    def _make_way(self, most: int) -> None:
        """Fetch nothing of tenants whose records would only stand before the others'."""
        if not self._paused and not self._lanes.competing():
            return
        behind = {
            place: max(0, self._end(place) - fetched) for place, fetched in self._fetched.items()
        }
        crowding = self._lanes.crowding(behind, most)
        if stop := crowding - self._paused:
            self._consumer.pause([TopicPartition(*place) for place in sorted(stop)])
        if go := self._paused - crowding:
            self._consumer.resume([TopicPartition(*place) for place in sorted(go)])
        self._paused = crowding

    def _end(self, place: Place) -> int:
        """Where a partition ends, as far as is known here; -1 when it is not."""
        _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
        return int(high)

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
        if self._ending is not None and not self._rewind:
            self._ending(self)
        if self._rewind:
            self._abort()
            return False
        began = time.monotonic()
        try:
            self._calls.in_transaction("commit", self._send_offsets)
            self._calls.in_transaction("commit", self._producer.commit_transaction)
        except (AbortError, FencedError, BrokenError) as error:
            self._abort(error)
            return False
        self._renewals = 0
        self._commit_s += NEWEST * (time.monotonic() - began - self._commit_s)
        self._close(committed=True)
        return True

    def lag(self) -> dict[Place, int]:
        """Records not yet read, by partition, as far as is known here."""
        ends = {place: self._end(place) for place in self._next}
        return {
            place: max(0, ends[place] - offset)
            for place, offset in self._next.items()
            if offset >= 0 and ends[place] >= 0
        }

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

    def _line_up(self, polled: list[Any]) -> None:
        """Put what is ours and was not read yet into its lane. A hot loop: runs are long."""
        result: dict[Place, list[Any]] = {}
        place, expected, ours = ("", -1), -1, False
        records: list[Any] = []
        for message in polled:
            if message.error() is not None:
                log.warning("reading %s: %s", message.topic(), message.error().str())
                continue
            offset, here = message.offset(), (message.topic(), message.partition())
            if here != place:
                if ours:
                    self._fetched[place] = expected
                place, expected = here, self._fetched.get(here, -1)
                ours, records = here in self._fetched, result.setdefault(here, [])
            if ours and offset >= expected:
                expected = offset + 1
                records.append(message)
        if ours:
            self._fetched[place] = expected
        for place, records in result.items():
            if records:
                self._lanes.put(place, records)

    def _read(self, place: Place, expected: int) -> None:
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
        ours = self._members | {self._consumer.memberid()}
        return any(
            member.client_id == self._transactional_id and member.member_id not in ours
            for member in described.members
        )

    def _gone_back(self) -> bool:
        """Whether every partition of ours is read on from what is committed."""
        self._lanes.clear()
        try:
            self._consumer.resume([TopicPartition(*place) for place in sorted(self._paused)])
            self._paused.clear()
            for place in self._positions(self._consumer.assignment(), self._once):
                self._consumer.seek(place)
                self._next[place.topic, place.partition] = place.offset
                self._fetched[place.topic, place.partition] = place.offset
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
        self._members.add(consumer.memberid())
        places = self._positions(partitions, self._calls.insist)
        for place in places:
            self._start[place.topic, place.partition] = place.offset
            self._next[place.topic, place.partition] = place.offset
            self._fetched[place.topic, place.partition] = place.offset
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
        gone = {(place.topic, place.partition) for place in partitions}
        for place in gone:
            self._next.pop(place, None)
            self._start.pop(place, None)
            self._fetched.pop(place, None)
        self._lanes.drop(gone)
        self._paused -= gone


def _listed(partitions: list[TopicPartition]) -> str:
    return ", ".join(f"{p.topic}/{p.partition}" for p in partitions)
