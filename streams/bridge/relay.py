"""Raw records to Kafka from a coroutine, which goes on only when Kafka has them.

A sender that is told "accepted" before that loses data when we are killed. So a record is
awaited until its delivery is confirmed; if Kafka is away or slow, or our own queue is full,
the answer is `Unavailable`, and the sender tries again.
"""

import asyncio
import logging
import threading
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Producer

from schemas.errors import Rejected, Unavailable
from streams.connection import KafkaSettings

log = logging.getLogger(__name__)
POLL_S = 0.1
GRACE_S = 1.0  # for the client library, which knows why; what is under way it waits for longer


class Relay:
    """An idempotent producer with awaitable deliveries; a context manager."""

    def __init__(
        self,
        kafka: KafkaSettings,
        *,
        acknowledge_s: float,
        queue_kib: int,
        largest: int,
    ) -> None:
        """`acknowledge_s` bounds a delivery, `largest` a record in bytes."""
        self._producer = Producer(
            kafka.confluent()
            | {
                "client.id": f"{kafka.prefix}relay",
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 2,
                "delivery.timeout.ms": int(acknowledge_s * 1000),
                "queue.buffering.max.kbytes": queue_kib,
                "message.max.bytes": largest + 64 * 1024,  # headers and framing
            },
            logger=log,
        )
        self._acknowledge_s = acknowledge_s
        self._closing = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._poller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._producer.flush(self._acknowledge_s)
        self._closing.set()
        self._poller.join()

    async def send(self, topic: str, value: bytes, *, key: bytes, headers: dict[str, str]) -> None:
        """Return when Kafka has the record. Raises Unavailable, or Rejected for one too large."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def delivered(error: Any, _message: Any) -> None:
            if not loop.is_closed():  # we are ending, and nobody waits for this any more
                loop.call_soon_threadsafe(_settle, done, error)

        try:
            self._producer.produce(topic, value, key=key, headers=headers, on_delivery=delivered)
        except BufferError as error:
            raise Unavailable("too much is waiting for Kafka already") from error
        except KafkaException as error:
            raise _failure(error.args[0]) from error
        try:
            failure = await asyncio.wait_for(done, self._acknowledge_s + GRACE_S)
        except TimeoutError as error:
            raise Unavailable(f"Kafka did not confirm it in {self._acknowledge_s:g} s") from error
        if failure is not None:
            raise _failure(failure)

    def reachable(self) -> str:
        """Why the brokers cannot be reached just now; empty when they can. Blocks up to 1 s."""
        try:
            self._producer.list_topics(timeout=1.0)
        except KafkaException as error:
            return str(error.args[0].str())
        return ""

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(POLL_S)


def _failure(error: Any) -> Rejected | Unavailable:
    """What the client library's error asks of the sender."""
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return Rejected(f"Kafka will not take it: {error.str()}")
    return Unavailable(f"Kafka did not confirm it: {error.str()}")


def _settle(done: "asyncio.Future[Any]", failure: Any) -> None:
    if not done.done():  # its request may be gone
        done.set_result(failure)
