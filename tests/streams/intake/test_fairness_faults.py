"""T23 in full: how long the others' records take while one tenant sends ten times its share."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.frames import read_samples
from schemas.topics import SAMPLES
from streams.broker.embedded import EmbeddedBroker
from streams.topics import create
from tests.streams.fairness_world import (
    NAMES,
    OTHERS,
    SECONDS,
    SHARE,
    TOPICS,
    Ages,
    by_turns,
    compared,
    intake,
    send,
)
from tests.streams.kafka_world import until, world


def record(name: str, number: int, now: float) -> tuple[None, bytes]:
    """A sample whose value is when it was sent."""
    value = {
        "service": name, "metric": f"m{number % 50}", "at": int(now * 1000),
        "value": now, "labels": {"path": "/a/path/that/is/as/long/as/they/are"},
    }  # fmt: skip
    return None, json.dumps(value).encode()


def samples(message: Any) -> Iterator[tuple[str, float]]:
    """Whose each sample of a frame is, and when it was sent."""
    frame = read_samples(message.value())
    services = [name.split('service="')[1].split('"')[0] for name in frame.names]
    for code, sent in zip(frame.code.tolist(), frame.value.tolist(), strict=True):
        yield services[code], sent


@pytest.mark.faults
@pytest.mark.alone
@pytest.mark.broker
@pytest.mark.timeout(400)
def test_the_others_p99_is_at_most_doubled(broker: EmbeddedBroker, topic_prefix: str) -> None:
    kafka = world(broker.bootstrap, topic_prefix)
    create(kafka, tuple(TOPICS.values()))
    with intake(kafka), Ages(kafka, SAMPLES, samples) as ages:
        begin, _ = send(kafka, 2.0, 1, record)
        until(lambda: bool(ages.since(begin)))  # it is up
        rounds = by_turns(lambda hot: send(kafka, SECONDS, hot, record))
        last = rounds[-1][1].end - 0.1
        until(lambda: ages.since(last) == set(NAMES))
        found = compared(ages, rounds, SHARE * len(OTHERS))
    print(found.told("to frames"))  # noqa: T201 - the figures of T23
    assert found.beside <= 2 * found.alone
