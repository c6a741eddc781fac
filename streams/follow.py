"""Following topics for a person: no group is joined, nothing is committed, nobody is disturbed.

Where reading begins is settled when the follower is made, so whoever makes one and then sends
something will see what came of it.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from schemas.avro import HEADER, decode
from schemas.errors import Rejected, Unavailable
from schemas.event import Event
from schemas.topics import Topic
from streams import leaders
from streams.cluster import PATIENCE_S, quiet, reach
from streams.connection import KafkaSettings

GIVES_S = 20.0  # until what is known to be there must come, from a busy broker, too
POLL_S = 0.2  # how soon Ctrl-C and deadlines are noticed
LARGEST = 16 * 1024 * 1024  # bytes; a frame or a report's bundle


class Seen(NamedTuple):
    """A record as it stood in its topic."""

    topic: Topic
    partition: int
    offset: int
    at: datetime
    key: bytes
    value: bytes
    headers: dict[str, str]

    def event(self) -> Event:
        """The event in it. Raises Rejected when it holds none."""
        return decode(self.value, self.headers.get(HEADER, ""))


class Follower:
    """Reads topics from their end, their beginning or a moment, until nobody asks any more."""

    def __init__(
        self,
        kafka: KafkaSettings,
        topics: Sequence[Topic],
        *,
        beginning: bool = False,
        since: datetime | None = None,
    ) -> None:
        self._kafka = kafka
        self._ended: set[tuple[str, int]] = set()  # partitions of which we have all just now
        self._names = {kafka.topic(topic): topic for topic in topics}
        self._away = ""
        cluster = reach(kafka)
        if missing := sorted(set(self._names) - set(cluster.topics)):
            raise Rejected(
                f"topic {', '.join(missing)} does not exist: run `sentinel topics create`"
            )
        self._consumer = Consumer(
            {
                **quiet(kafka),
                "group.id": f"{kafka.prefix}follow",  # must be there; with assign it is never used
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.message.max.bytes": LARGEST,
                "enable.partition.eof": True,
                "error_cb": self._noted,
            }
        )
        self._places = places = [
            TopicPartition(name, partition)
            for name in self._names
            for partition in range(cluster.topics[name])
        ]
        try:
            for place in places:
                place.offset = OFFSET_BEGINNING if beginning else self._end(place)
            if since is not None:
                self._go_back(since)
            self._consumer.assign(places)
        except KafkaException as error:
            self._consumer.close()
            raise Unavailable(f"Kafka at {kafka.brokers}: {error.args[0].str()}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def records(self, *, for_s: float | None = None) -> Iterator[Seen]:
        """Records as they come, for ever or for `for_s` seconds. Raises Unavailable."""
        until = None if for_s is None else time.monotonic() + for_s
        while until is None or time.monotonic() < until:
            if (seen := self._polled()) is not None:
                yield seen

    def kept(self) -> Iterator[Seen]:
        """What is there by now, from where reading began. Raises Unavailable."""
        try:
            left = {
                (place.topic, place.partition)
                for place in self._places
                for low, high in (self._marks(place),)
                if max(low, place.offset) < high
            }
        except KafkaException as error:
            raise Unavailable(f"Kafka at {self._kafka.brokers}: {error.args[0].str()}") from error
        until = time.monotonic() + GIVES_S
        while left - self._ended:
            seen = self._polled()
            if seen is not None:
                until = time.monotonic() + GIVES_S
                yield seen
            elif time.monotonic() > until:
                raise Unavailable(f"Kafka at {self._kafka.brokers} gave nothing for {GIVES_S:g} s")

    def _polled(self) -> Seen | None:
        """The next record, if one comes soon. Raises Unavailable.

        That a partition ends is said by the brokers: its last offset may hold no record, but
        the mark of a transaction.
        """
        message = self._consumer.poll(POLL_S)
        if message is None:
            if self._away:
                raise Unavailable(f"Kafka at {self._kafka.brokers} went away: {self._away}")
            return None
        if message.error() is None:
            self._away = ""
            return self._seen(message)
        if message.error().code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own errors have such names
            raise Unavailable(f"Kafka at {self._kafka.brokers}: {message.error().str()}")
        self._ended.add((message.topic(), message.partition()))
        return None

    def _go_back(self, since: datetime) -> None:
        """Begin with what was written from a moment on; where that is nothing, at the end."""
        moment = int(since.timestamp() * 1000)
        asked = [TopicPartition(place.topic, place.partition, moment) for place in self._places]
        begins = leaders.since(self._consumer, asked, PATIENCE_S)
        for place, found in zip(self._places, begins, strict=True):
            if found.offset >= 0:
                place.offset = found.offset

    def _end(self, place: TopicPartition) -> int:
        return self._marks(place)[1]

    def _marks(self, place: TopicPartition) -> tuple[int, int]:
        """Offsets of the first record that is there, and of the next one to come."""
        low, high = leaders.led(
            lambda: self._consumer.get_watermark_offsets(place, PATIENCE_S), PATIENCE_S
        )
        return int(low), int(high)

    def _noted(self, error: Any) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - librdkafka's own errors have such names
            self._away = error.str()

    def _seen(self, message: Any) -> Seen:
        headers = {
            name: (value or b"").decode("utf-8", "replace")
            for name, value in message.headers() or []
        }
        return Seen(
            topic=self._names[message.topic()],
            partition=message.partition(),
            offset=message.offset(),
            at=datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC),
            key=message.key() or b"",
            value=message.value() or b"",
            headers=headers,
        )
