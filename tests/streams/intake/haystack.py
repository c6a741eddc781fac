"""Seeded records in, and everything that topics hold then: as it lies, and as readers see it."""

import io
import logging
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from confluent_kafka import Producer

from agents.logs.stage import LogBlock
from schemas.avro import HEADER, decode
from schemas.frames import read_lines, read_samples
from schemas.operations import DeadLetter
from schemas.topics import LOGLINES, SAMPLES, Topic
from streams.connection import KafkaSettings
from streams.logs import OneLine
from tests.streams.intake.seeds import Seed, spellings
from tests.streams.kafka_world import records


def feed(kafka: KafkaSettings, every: Sequence[Seed]) -> dict[str, tuple[str, int, int]]:
    """Write the seeded records; where each is, by its mark."""
    producer = Producer(kafka.confluent() | {"linger.ms": 5})
    places: dict[str, tuple[str, int, int]] = {}
    for seed in every:

        def delivered(error: object, message: object, mark: str = seed.mark) -> None:
            assert error is None, error
            places[mark] = message.topic(), message.partition(), message.offset()  # type: ignore[attr-defined]  # the client's own type has no stub

        headers = [("sentinel-format", seed.format.encode()), *seed.headers]
        topic = kafka.topic(seed.topic)
        producer.produce(topic, seed.value, seed.key, headers=headers, on_delivery=delivered)
        producer.poll(0)
    assert producer.flush(60) == 0
    return places


def of_topic(kafka: KafkaSettings, topic: Topic) -> Iterator[bytes]:
    """A topic's records byte by byte, and once more unpacked."""
    for message in records(kafka, topic):
        value, headers = message.value() or b"", dict(message.headers() or ())
        yield b"\n".join((value, message.key() or b"", repr(headers).encode()))
        if topic == SAMPLES:
            yield "\n".join(read_samples(value).names).encode()
        elif topic == LOGLINES:
            lines = read_lines(value)
            yield "\n".join((*lines.service, *lines.text, *lines.labels)).encode()
        else:
            yield from of_event(decode(value, headers[HEADER].decode()))


def of_event(event: Any) -> Iterator[bytes]:
    """An event's fields, and the record in a dead letter."""
    yield repr(event).encode()
    if isinstance(event, DeadLetter):
        yield event.original


def of_state(block: LogBlock) -> Iterator[bytes]:
    """What the log stage saves of a partition, unpacked."""
    saved = msgspec.msgpack.decode(block.dump())
    yield from (saved["joiner"], saved["miner"], zlib.decompress(saved["tally"]))


def found(hay: bytes, seeds: list[Seed]) -> list[str]:
    """The seeds that are in it, by kind and place."""
    return [
        f"{seed.kind} in {seed.place}"
        for seed in seeds
        if any(straw in hay for straw in spellings(seed.secret))
    ]


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """What is logged at INFO, as our workers write it."""
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    handler.setFormatter(OneLine())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield said
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
