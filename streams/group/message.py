"""A control event as a message of Kafka: its headers, the partition of its key, its topic."""

from typing import Any

from aiokafka.partitioner import murmur2

from schemas.avro import HEADER, decode
from schemas.errors import Rejected
from schemas.event import Event
from schemas.topics import BY_EVENT, PARTITIONS, Topic


def header(message: Any, name: str) -> str:
    """A record's header as text; empty when it has none or not text."""
    headers = message.headers or ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    for key, value in pairs:
        if key == name and value is not None:
            return bytes(value).decode("utf-8", "replace")
    return ""


def home(key: str) -> int:
    """The partition of a key: as Faust, Java and librdkafka's `murmur2_random` place it.

    >>> home("checkout")
    2
    """
    placed: int = (murmur2(key.encode()) & 0x7FFFFFFF) % PARTITIONS
    return placed


def topic_of(event: Event) -> Topic:
    """Where an event travels."""
    return BY_EVENT[type(event)]


def decoded(message: Any) -> Event:
    """The event in a Kafka message. Raises Rejected when it holds none."""
    if message.value is None:
        raise Rejected("empty message")
    return decode(message.value, header(message, HEADER))
