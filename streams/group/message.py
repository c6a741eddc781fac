"""A control event as Kafka has it: what is written, what was read, the partition of its key."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from aiokafka.partitioner import DefaultPartitioner, murmur2

from schemas.avro import HEADER, decode, encode
from schemas.errors import Rejected
from schemas.event import Event
from schemas.topics import BY_EVENT, PARTITIONS, Topic

Record = tuple[Topic, str, bytes, dict[str, str]]  # topic, key, value, headers


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
    return hashed(key.encode()) % PARTITIONS


def place(key: bytes | None, every: Sequence[int], available: Sequence[int]) -> int:
    """As aiokafka chooses a partition; its hash, which is made in Python, is remembered."""
    if key is None:
        return DefaultPartitioner()(key, every, available)  # type: ignore[no-any-return] # untyped
    return every[hashed(key) % len(every)]


@lru_cache(maxsize=65_536)
def hashed(key: bytes) -> int:
    """Java's murmur2 of a key, without its sign."""
    number: int = murmur2(key) & 0x7FFFFFFF
    return number


def encoded(event: Event) -> Record:
    """The record that an event travels in."""
    value, headers = encode(event)
    return BY_EVENT[type(event)], event.group, value, headers


def decoded(message: Any) -> Event:
    """The event in a Kafka message. Raises Rejected when it holds none."""
    if message.value is None:
        raise Rejected("empty message")
    return decode(message.value, header(message, HEADER))
