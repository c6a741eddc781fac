"""A producer whose records and offsets land together or not at all, and what to do if it fails.

A transaction that cannot be committed is aborted. A producer that the brokers have given up, or
that does not come back from a call, is replaced by another one of the same name, unless somebody
else goes by that name now: then this worker is the one to stop.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaException, Producer, TopicPartition

from schemas.errors import Rejected, Unavailable
from streams.intake.calls import BrokenError, Calls, FencedError

log = logging.getLogger(__name__)

LARGEST_MESSAGE = 8 * 1024 * 1024  # bytes; what our topics of frames and letters take
LEAVE_S = 5.0  # for the last abort: it is found out without us, later
MOST_RENEWALS = 5  # in a row; more is no accident
NEWEST = 0.2  # weight of the last commit in how long one takes

Read = Callable[[], tuple[list[TopicPartition], object]]  # offsets, metadata of who read so far


class Transactions:
    """One transaction after the other under one name.

    `shared` are the client's settings of the connection; `replaced` tells whether another worker
    has our name. `spoiled` is set when the transaction, or the one before, has come to nothing:
    what was read for it must be read again. Whoever has gone back to it takes the mark away.
    """

    def __init__(
        self,
        shared: dict[str, Any],
        *,
        name: str,
        timeout_ms: int,
        calls: Calls,
        replaced: Callable[[], bool],
    ) -> None:
        self._settings = shared | {
            "transactional.id": name,
            "client.id": name,
            "compression.type": "lz4",
            "linger.ms": 5,
            "message.max.bytes": LARGEST_MESSAGE,
            "queue.buffering.max.kbytes": 256 * 1024,
            "transaction.timeout.ms": timeout_ms,
        }
        self._producer = Producer(self._settings, logger=log)
        self._calls, self._replaced = calls, replaced
        self._timeout_s = timeout_ms / 1000
        self._began = 0.0  # monotonic; 0: none is open
        self._renewals = 0  # in a row
        self._commit_s = 0.0
        self.spoiled = False

    @property
    def open(self) -> bool:
        """Whether one is."""
        return bool(self._began)

    @property
    def age_s(self) -> float:
        """How long the transaction has been open; 0 when none is."""
        return time.monotonic() - self._began if self._began else 0.0

    @property
    def commit_s(self) -> float:
        """How long a commit takes of late."""
        return self._commit_s

    def register(self) -> None:
        """Take the name, which fences whoever has it."""
        self._calls.insist("reach the transaction coordinator", self._producer.init_transactions)

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises Rejected when it does not exist."""
        metadata = self._calls.insist(
            "reach the brokers", lambda timeout: self._producer.list_topics(topic, timeout)
        )
        found = metadata.topics[topic]
        if found.error or not found.partitions:
            raise Rejected(f"topic {topic} does not exist: run `sentinel topics create`")
        return len(found.partitions)

    def begin(self) -> None:
        """Open one."""
        # A producer may have been found fenced or broken after its last transaction ended.
        try:
            self._calls.in_transaction("begin", lambda _: self._producer.begin_transaction())
        except BrokenError:
            self._renew()
            self._calls.in_transaction("begin", lambda _: self._producer.begin_transaction())
        self._began = time.monotonic()

    def write(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes,
        partition: int = -1,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Write a record in the open one."""
        while True:
            try:
                self._producer.produce(
                    topic, value, key=key, partition=partition, headers=headers or {}
                )
            except BufferError:  # the local queue is full: let it drain
                self._calls.still_trying("write")
                self.poll(0.1)
            except KafkaException as error:
                left = self._began and self._calls.out_of_step(error)
                if (
                    not left
                    and not self._calls.abortable(error)
                    and not self._calls.hopeless(error)
                ):
                    raise
                self.spoiled = True  # the commit will find out and abort
                return
            else:
                return

    def poll(self, timeout: float = 0.0) -> None:
        """Serve the producer's callbacks; it tells here, too, that it is fenced or broken."""
        try:
            self._producer.poll(timeout)
        except KafkaException as error:
            if not self._calls.hopeless(error):
                raise
            self.spoiled = True  # the next call in a transaction finds out and ends it

    def commit(self, read: Read) -> None:
        """Make it last, with what was read for it.

        Raises AbortError, FencedError and BrokenError: it must be aborted, for that cause.
        """
        began = time.monotonic()
        self._calls.in_transaction("commit", lambda timeout: self._send_offsets(read, timeout))
        self._calls.in_transaction("commit", self._producer.commit_transaction)
        self._renewals = 0
        self._commit_s += NEWEST * (time.monotonic() - began - self._commit_s)
        self._began = 0.0

    def _send_offsets(self, read: Read, timeout: float) -> None:
        offsets, metadata = read()
        self._producer.send_offsets_to_transaction(offsets, metadata, timeout)

    def abort(self, cause: Exception | None = None) -> None:
        """Let it come to nothing. Raises FencedError when another worker has our name."""
        log.warning(
            "transaction aborted, its records will be read again: %s", self._calls.last_error
        )
        self.spoiled = True
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
        self._began = 0.0

    def put_down(self) -> None:
        """Abort for the last time, within seconds; from now on none is open."""
        self._began = 0.0
        self._producer.abort_transaction(LEAVE_S)

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
            self._producer = Producer(self._settings, logger=log)
            with suppress(BrokenError):
                self.register()
                return
