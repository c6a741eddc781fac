"""Somebody who reads along: every control topic from its beginning, each record as it stood."""

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from schemas.avro import HEADER, decode
from schemas.errors import Rejected
from schemas.event import Event
from schemas.topics import BY_EVENT, CATALOGUE, TICKS, Topic
from streams.connection import KafkaSettings

E = TypeVar("E", bound=Event)
CONTROL: tuple[Topic, ...] = tuple(topic for topic in CATALOGUE if topic.event is not None)


class Record(NamedTuple):
    """A record as it stood; `event` is None where none can be read."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    event: Event | None


class Witness:
    """Reads committed records in a thread of its own; `heard` is told of each."""

    def __init__(self, kafka: KafkaSettings, heard: Callable[[Record], None] | None = None) -> None:
        self._kafka, self._heard = kafka, heard
        self._names = {kafka.topic(topic): topic.name for topic in CONTROL}
        self._records: list[Record] = []
        self._ids: dict[type[Event], dict[str, Event]] = {topic: {} for topic in BY_EVENT}
        self._news = threading.Condition()
        self._stopping = threading.Event()
        self._trouble: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(30)

    def records(self) -> list[Record]:
        """All that was read so far; of one partition in order."""
        with self._news:
            return list(self._records)

    def said(self, kind: type[E], group: str = "") -> list[E]:
        """Events of a kind, repetitions left out, in the order of their first appearance."""
        with self._news:
            found = list(self._ids[kind].values())
        return [e for e in found if isinstance(e, kind) and group in {"", e.group}]

    def ids(self, *kinds: type[Event], group: str = "") -> set[str]:
        """Ids of all events, or of those kinds and that group."""
        return {e.id for kind in kinds or tuple(BY_EVENT) for e in self.said(kind, group)}

    def wait(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until `condition` holds. Raises AssertionError that says what did not come."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self._trouble is None, self._trouble
            left = deadline - time.monotonic()
            assert left > 0, f"{what}: did not come within {seconds:g} s"
            with self._news:
                self._news.wait(min(left, 0.1))

    def _run(self) -> None:
        try:
            consumer = self._reading()
            try:
                while not self._stopping.is_set():
                    for message in consumer.consume(500, 0.05):
                        if message.error() is None:
                            self._hear(message)
            finally:
                consumer.close()
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            self._trouble = error

    def _reading(self) -> Consumer:
        consumer = Consumer(
            self._kafka.confluent()
            | {
                "group.id": f"{self._kafka.prefix}witness",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 50,
                "log_level": 2,
            }
        )
        places = [
            TopicPartition(self._kafka.topic(topic), partition, OFFSET_BEGINNING)
            for topic in CONTROL
            for partition in range(topic.partitions)
        ]
        consumer.assign(places)
        return consumer

    def _hear(self, message: Message) -> None:
        record = self._record(message)
        event = record.event
        with self._news:
            if record.topic != TICKS.name:
                self._records.append(record)
            if event is not None:
                self._ids[type(event)].setdefault(event.id, event)
            self._news.notify_all()
        if self._heard is not None:
            self._heard(record)

    def _record(self, message: Message) -> Record:
        headers = tuple((name, bytes(value or b"")) for name, value in message.headers() or ())
        value = message.value()
        try:
            event = decode(value or b"", dict(headers).get(HEADER, b"").decode())
        except Rejected:
            event = None
        return Record(
            self._names[str(message.topic())],
            int(message.partition() or 0),
            int(message.offset() or 0),
            message.key(),
            value,
            headers,
            event,
        )


def repeated(records: list[Record]) -> Iterator[list[Record]]:
    """Records that carry the same event, where there is more than one."""
    copies: dict[str, list[Record]] = {}
    for record in records:
        if record.event is not None:
            copies.setdefault(record.event.id, []).append(record)
    return (same for same in copies.values() if len(same) > 1)
