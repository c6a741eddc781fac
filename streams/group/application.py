"""Faust applications as we need them: one a stage, acknowledged by hand, reading only committed.

Every number that is not Faust's default is here with its reason. Faust's `exactly_once` is not
used: it passes no group metadata to its transactions and lost state under kill -9. Instead a
stage acknowledges after its outputs and its state are safely in Kafka, and drops by offset and
id what it has seen.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import faust
from yarl import URL

from schemas.topics import PARTITIONS, Topic
from streams.connection import KafkaSettings
from streams.group.message import Record, place
from streams.group.reader import Transport

MAX_REQUEST = 16 * 1024 * 1024  # bytes; state blocks are the largest messages
SESSION_S = 6.0  # with Faust's 60 a restart after kill -9 stalled for 57 s

# Both tell every join, every rebalance, every coordinator that is not loaded yet as an error,
# with Kafka away ten lines a second, and then try again by themselves. What a person should
# hear of, a silent Kafka, a rebalance without end, a crash inside, is told by `Member`.
logging.getLogger("faust").setLevel(logging.WARNING)
logging.getLogger("mode").setLevel(logging.WARNING)
for _loud in ("aiokafka", "faust.app", "faust.tables", "faust.transport", "mode.timers", __name__):
    logging.getLogger(_loud).setLevel(logging.CRITICAL)


class App(faust.App):  # type: ignore[misc] # Faust is untyped
    """A stage's application; `hand_over` is awaited before its partitions go."""

    hand_over: Callable[[], Awaitable[None]]

    def _create_directories(self) -> None:
        """None: tables are in memory and in their changelogs."""


def make_app(
    kafka: KafkaSettings, name: str, *, loop: asyncio.AbstractEventLoop | None = None
) -> Any:
    """A Faust application whose group is the stage's, nothing started yet."""
    brokers = [URL(f"kafka://{address.strip()}") for address in kafka.brokers.split(",")]
    app = App(
        id=f"{kafka.prefix}{name}",
        broker=brokers,
        loop=loop,
        store="memory://",
        datadir=Path(os.devnull),  # Faust wants a name; nothing is written
        topic_partitions=PARTITIONS,
        topic_replication_factor=kafka.replication,
        topic_disable_leader=True,
        table_standby_replicas=0,  # our stores hold what is ours; recovery hung with them
        web_enabled=False,
        autodiscover=False,
        stream_wait_empty=False,  # `hand_over` waits, for what it knows and no longer
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=1.0,
        broker_rebalance_timeout=10.0,
        broker_commit_interval=1.0,  # what a crash repeats
        # a sink waits for its database, and a worker for partitions, without leaving the group
        broker_max_poll_interval=30 * 86_400.0,
        stream_processing_timeout=3600.0,
        producer_linger=0,  # seconds, not milliseconds
        producer_acks=-1,
        producer_max_request_size=MAX_REQUEST,
        producer_partitioner=place,
        consumer_max_fetch_size=MAX_REQUEST,
        consumer_auto_offset_reset="earliest",
        **kafka.faust(),
    )
    app.transport = Transport(brokers, app, loop=loop)
    return app


def read(app: Any, kafka: KafkaSettings, topics: tuple[Topic, ...]) -> Any:
    """A channel over several topics, raw bytes in and out."""
    return app.topic(
        *(kafka.topic(topic) for topic in topics),
        key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw",
    )  # fmt: skip


async def batches(stream: Any, most: int) -> AsyncIterator[list[Any]]:
    """What is waiting, up to `most` events at a time, never waiting for more.

    A rebalance empties the queue behind our back: events that were taken before it may come
    with a later batch, so each is to be asked whose it is (`Member`).
    """
    waiting: list[Any] = []
    manual = stream.noack()
    async for event in manual.events():
        waiting.append(event)
        if len(waiting) >= most or manual.channel.queue.empty():
            yield waiting
            waiting = []


async def send(app: Any, kafka: KafkaSettings, records: list[Record]) -> None:
    """Send records in order and wait until all are safe."""
    pending = [
        await app.producer.send(
            kafka.topic(topic), key.encode(), value, None, None,
            [(name, text.encode()) for name, text in headers.items()],
        )
        for topic, key, value, headers in records
    ]  # fmt: skip
    await asyncio.gather(*pending)
