"""The clock: one tick a second in every partition, so that time is a message like any other.

Two clocks do no harm: a tick is named by its second, and whoever reads it twice sees the
same time twice.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import KafkaException, Producer

from schemas.avro import encode
from schemas.event import derive
from schemas.operations import Tick
from schemas.topics import TICKS
from streams.connection import KafkaSettings

log = logging.getLogger(__name__)
EVERY_S = 1.0
OLDEST_S = 5.0  # a tick that could not be sent in this time is of no use any more


class Clock:
    """Produces ticks until it is stopped."""

    def __init__(self, kafka: KafkaSettings, *, now: Callable[[], datetime]) -> None:
        self._topic = kafka.topic(TICKS)
        self._now = now
        self._producer = Producer(
            {
                **kafka.confluent(),
                "message.timeout.ms": int(OLDEST_S * 1000),
                "linger.ms": 0,
                "log_level": 2,  # what does not arrive we say ourselves
            }
        )
        self._away = False
        self._task: asyncio.Task[None] | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Begin to tick."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A clock that has broken must not stand still unnoticed."""
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.failed.done():
            self.failed.set_exception(error)

    async def stop(self) -> None:
        """No more ticks."""
        if self._task is not None:
            self._task.cancel()
        await asyncio.to_thread(self._producer.flush, 1.0)

    async def _run(self) -> None:
        last = 0
        while True:
            await asyncio.sleep(EVERY_S - self._now().timestamp() % EVERY_S)
            second = round(self._now().timestamp())  # a timer may be early by a moment
            if second > last:
                last = second
                for partition in range(TICKS.partitions):
                    self._send(second, partition)
            self._producer.poll(0)

    def _send(self, second: int, partition: int) -> None:
        ident = derive("tick", str(second), str(partition))
        at = datetime.fromtimestamp(second, UTC)
        value, headers = encode(Tick(id=ident, at=at, group="", number=second))
        try:
            self._producer.produce(
                self._topic, value, partition=partition, headers=headers, on_delivery=self._sent
            )
        except (BufferError, KafkaException) as error:
            self._late(str(error))

    def _sent(self, error: Any, _: Any) -> None:
        if error is not None:
            self._late(error.str())
        elif self._away:
            self._away = False
            log.warning("clock: ticks arrive again")

    def _late(self, reason: str) -> None:
        """Once an outage: the stages, which wait for ticks, only stand still."""
        if not self._away:
            self._away = True
            log.warning("clock: ticks do not arrive: %s", reason)
