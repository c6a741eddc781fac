"""Faust applications as we need them: one a stage, acknowledged by hand, reading only committed.

Every number that is not Faust's default is here with its reason. Faust's `exactly_once` is not
used: it passes no group metadata to its transactions and lost state under kill -9. Instead a
stage acknowledges after its outputs and its state are safely in Kafka, and drops by offset and
id what it has seen.
"""

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver
from yarl import URL

from schemas.avro import HEADER, decode
from schemas.errors import Rejected
from schemas.event import Event
from schemas.topics import BY_EVENT, PARTITIONS, Topic
from streams.connection import KafkaSettings

MAX_REQUEST = 16 * 1024 * 1024  # bytes; state blocks are the largest messages
logging.getLogger("aiokafka.consumer.group_coordinator").setLevel(logging.ERROR)  # says every join


class _Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc] # Faust is untyped
    """Reads committed records alone: Faust does so only with its own transactions."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - no argument leads there
        return consumer


class _Consumer(driver.Consumer):  # type: ignore[misc] # Faust is untyped
    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


class _Transport(driver.Transport):  # type: ignore[misc] # Faust is untyped
    Consumer = _Consumer


def make_app(kafka: KafkaSettings, name: str, *, loop: asyncio.AbstractEventLoop) -> Any:
    """A Faust application whose group is the stage's, nothing started yet."""
    brokers = [URL(f"kafka://{address.strip()}") for address in kafka.brokers.split(",")]
    app = faust.App(
        id=f"{kafka.prefix}{name}",
        broker=brokers,
        loop=loop,
        store="memory://",
        datadir=Path(tempfile.gettempdir()) / f"sentinel-{os.getpid()}",  # Faust wants a name
        topic_partitions=PARTITIONS,
        topic_replication_factor=kafka.replication,
        topic_disable_leader=True,
        web_enabled=False,
        autodiscover=False,
        stream_wait_empty=False,  # what is not acknowledged is read again
        broker_session_timeout=6.0,  # with Faust's 60 a restart after kill -9 stalled for 57 s
        broker_heartbeat_interval=1.0,
        broker_rebalance_timeout=10.0,
        broker_commit_interval=1.0,  # what a crash repeats
        broker_max_poll_interval=3600.0,  # a sink waits for its database without leaving the group
        stream_processing_timeout=3600.0,
        producer_linger=0,  # seconds, not milliseconds
        producer_acks=-1,
        producer_max_request_size=MAX_REQUEST,
        consumer_max_fetch_size=MAX_REQUEST,
        consumer_auto_offset_reset="earliest",
        **kafka.faust(),
    )
    app.transport = _Transport(brokers, app, loop=loop)
    return app


def read(app: Any, kafka: KafkaSettings, topics: tuple[Topic, ...]) -> Any:
    """A channel over several topics, raw bytes in and out."""
    return app.topic(
        *(kafka.topic(topic) for topic in topics),
        key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw",
    )  # fmt: skip


async def batches(stream: Any, most: int) -> AsyncIterator[list[Any]]:
    """What is waiting, up to `most` events at a time, never waiting for more."""
    waiting: list[Any] = []
    manual = stream.noack()
    async for event in manual.events():
        waiting.append(event)
        if len(waiting) >= most or manual.channel.queue.empty():
            yield waiting
            waiting = []


async def send(
    app: Any, kafka: KafkaSettings, records: list[tuple[Topic, str, bytes, dict[str, str]]]
) -> None:
    """Send records (topic, key, value, headers) in order and wait until all are safe."""
    pending = [
        await app.producer.send(
            kafka.topic(topic), key.encode(), value, None, None,
            [(name, text.encode()) for name, text in headers.items()],
        )
        for topic, key, value, headers in records
    ]  # fmt: skip
    await asyncio.gather(*pending)


def header(message: Any, name: str) -> str:
    """A record's header as text; empty when it has none or not text."""
    headers = message.headers or ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    for key, value in pairs:
        if key == name and value is not None:
            return bytes(value).decode("utf-8", "replace")
    return ""


def topic_of(event: Event) -> Topic:
    """Where an event travels."""
    return BY_EVENT[type(event)]


def decoded(message: Any) -> Event:
    """The event in a Kafka message. Raises Rejected when it holds none."""
    if message.value is None:
        raise Rejected("empty message")
    return decode(message.value, header(message, HEADER))
