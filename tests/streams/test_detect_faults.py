"""Detect under faults: what it says and keeps is what an undisturbed worker says and keeps.

The short form of the kill is in test_columns_shell.py, that of 100,000 series in
test_state_at_scale.py.
"""

import json
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka import Producer

from schemas.frames import Lines, write_samples
from schemas.topics import ANOMALIES, PARTITIONS, SAMPLES
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from tests.frames import write_lines
from tests.streams.counting import Witness
from tests.streams.detect_world import (
    SERIES,
    Course,
    Life,
    caught_up,
    frame,
    made,
    require_undisturbed,
    tick,
)
from tests.streams.kafka_world import letters, until

pytestmark = pytest.mark.broker
LONG_S = 600.0  # for two cores that others use, too


@pytest.fixture
def kafka(broker: EmbeddedBroker, topic_prefix: str) -> KafkaSettings:
    return made(broker.bootstrap, topic_prefix)


@pytest.fixture
def witness(kafka: KafkaSettings) -> Iterator[Witness]:
    with Witness(kafka, ANOMALIES) as reading:
        yield reading


def reached(witness: Witness, wanted: float) -> bool:
    return tick(witness) >= wanted


@pytest.mark.faults
@pytest.mark.parametrize(
    ("partitions", "frames"),
    [
        pytest.param(1, 33_333, id="33,333 in one partition"),
        pytest.param(PARTITIONS, 25_000, id="100,000 in four"),
    ],
)
def test_killed_three_times_it_says_what_an_undisturbed_worker_says(
    kafka: KafkaSettings, witness: Witness, tmp_path: Path, partitions: int, frames: int
) -> None:
    """SIGKILL at 20, 40 and 60 % of the way, wherever it stands then."""
    course = Course(kafka, partitions)
    course.put(frames)
    for share in (0.2, 0.4, 0.6):
        with Life(kafka, tmp_path) as life:
            until(partial(reached, witness, share * frames), LONG_S)
            life.dies()
    assert tick(witness) < frames * 0.95  # there was something left to do
    with Life(kafka, tmp_path) as life:
        until(caught_up(kafka, life), LONG_S)
        life.ends()
    assert require_undisturbed(kafka).frames == course.written


@pytest.mark.parametrize("frames", [300, pytest.param(8000, marks=pytest.mark.faults)])
def test_a_frozen_worker_that_wakes_up_leaves_no_trace(
    kafka: KafkaSettings, witness: Witness, tmp_path: Path, frames: int
) -> None:
    """A zombie: another has its partitions when it wakes with frames and blocks in its hands."""
    course = Course(kafka)
    with Life(kafka, tmp_path) as first:
        course.put(frames)
        until(partial(reached, witness, frames / 4), LONG_S)
        first.send(signal.SIGSTOP)
        course.put(frames)
        with Life(kafka, tmp_path) as second:
            second.joins()
            until(partial(reached, witness, 1.5 * frames), LONG_S)
            first.send(signal.SIGCONT)
            course.put(frames)
            until(caught_up(kafka, second), LONG_S)
            second.ends()
        if first.running:  # it may have ended instead, to be started again
            first.ends()
    assert require_undisturbed(kafka).frames == course.written


@pytest.mark.parametrize(
    ("changes", "every_s"), [(3, 0.0), pytest.param(60, 5.0, marks=pytest.mark.faults)]
)
def test_in_a_storm_of_rebalances_nothing_is_lost_or_said_twice(
    kafka: KafkaSettings, tmp_path: Path, changes: int, every_s: float
) -> None:
    """A worker joins or leaves every 5 s, 5 minutes long; short: when the last one has."""
    draw = random.Random(4)
    course, ending = Course(kafka), threading.Event()

    def feed() -> None:
        while not ending.wait(0.1):
            course.put(5)

    feeding = threading.Thread(target=feed)
    with ExitStack() as stack:
        stack.callback(ending.set)
        lives = [stack.enter_context(Life(kafka, tmp_path)).joins()]
        left: list[Life] = []
        feeding.start()
        began = time.monotonic()
        for change in range(changes):
            if len(lives) == 1 or (len(lives) < PARTITIONS and draw.random() < 0.5):
                lives.append(stack.enter_context(Life(kafka, tmp_path)))
            else:
                leaver = lives.pop(draw.randrange(len(lives)))
                leaver.send(signal.SIGTERM)
                left.append(leaver)
            if every_s:
                until(lambda due=began + every_s * (change + 1): time.monotonic() > due)  # type: ignore[misc] # what mypy cannot infer of it
            else:
                lives[-1].joins()
        ending.set()
        feeding.join()
        until(caught_up(kafka, *lives), LONG_S)
        for life in (*left, *lives):
            life.ends()
    print(f"changes {changes}, workers {len(left) + len(lives)}")  # noqa: T201 - a figure that is promised
    assert require_undisturbed(kafka).frames == course.written


@pytest.mark.parametrize("transactions", [60, pytest.param(3000, marks=pytest.mark.faults)])
def test_of_aborted_transactions_nothing_is_learned(
    kafka: KafkaSettings, tmp_path: Path, transactions: int
) -> None:
    """30 % of them are aborted; what is in those would be anomalies of every series."""
    draw = random.Random(5)
    noise = np.random.default_rng(5)
    producer = Producer(kafka.confluent() | {"transactional.id": f"{kafka.prefix}aborts"})
    producer.init_transactions(60)
    aborted = written = 0
    for _ in range(transactions):
        abort = draw.random() < 0.3
        producer.begin_transaction()
        for at in range(10 * written, 10 * written + 10):
            for partition in range(PARTITIONS):
                values = noise.standard_normal(SERIES) + 500 * abort
                value = write_samples(frame(partition, at, values))
                producer.produce(kafka.topic(SAMPLES), value, partition=partition)
        producer.flush(60)
        if abort:
            producer.abort_transaction(60)
        else:
            producer.commit_transaction(60)
        aborted, written = aborted + abort, written + (not abort)
    with Life(kafka, tmp_path) as life:
        until(caught_up(kafka, life), LONG_S)
        life.ends()
    print(f"transactions {transactions}, aborted {aborted}")  # noqa: T201 - a figure that is promised
    whole = require_undisturbed(kafka)
    assert whole.frames == written * 10 * PARTITIONS
    assert max(abs(event.value) for event in whole.said) < 1000


def _frame(column: Any, dictionary: Any) -> bytes:
    """A frame whose series are coded so; nothing is checked."""
    coded = pa.DictionaryArray.from_arrays(column, dictionary, safe=False)
    at = pa.array([1] * len(column), pa.int64()).cast(pa.timestamp("ms", tz="UTC"))
    batch = pa.RecordBatch.from_arrays(
        [coded, at, pa.array([1.0] * len(column))], names=["series", "at", "value"]
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def poison() -> list[bytes]:
    """Records that are no frames of samples, each in its own way."""
    good = write_samples(frame(0, 0, np.zeros(SERIES)))
    other = pa.record_batch([pa.array([1, 2])], names=["a"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, other.schema) as writer:
        writer.write_batch(other)
    names = pa.array(["m{}"], pa.string())
    not_utf8 = pa.StringArray.from_buffers(
        1, pa.py_buffer(np.array([0, 2], np.int32).tobytes()), pa.py_buffer(b"\xff\xfe")
    )
    return [
        b"",
        b"certainly no frame",
        b"\xff\xfe not UTF-8",
        b"[" * 10_000 + b"]" * 10_000,
        json.dumps({"service": "a", "value": "NaN"}).encode(),
        b"\0" * 2 * 1024 * 1024,
        good[: len(good) // 2],
        good[:8],
        b"\xff\xff\xff\xff" + (1 << 30).to_bytes(4, "little") + good[8:],  # claims 1 GiB
        good[:20] + bytes([good[20] ^ 0xFF]) + good[21:],
        write_lines(Lines(["s"], np.array([1]), ["info"], ["lines, not samples"], [""])),
        bytes(sink.getvalue().to_pybytes()),
        _frame(pa.array([0, None], pa.int32()), names),
        _frame(pa.array([99], pa.int32()), names),
        _frame(pa.array([0], pa.int32()), not_utf8),
    ]


@pytest.mark.parametrize(
    ("frames", "bad"), [(250, 60), pytest.param(25_000, 1000, marks=pytest.mark.faults)]
)
def test_poison_among_the_frames_costs_nothing_but_letters(
    kafka: KafkaSettings, tmp_path: Path, frames: int, bad: int
) -> None:
    """15 kinds of it; every good frame is learned, every bad one is a dead letter."""
    kinds = poison()
    producer = Producer(kafka.confluent() | {"message.max.bytes": 8_000_000})
    course = Course(kafka)
    for number in range(bad):
        course.put(frames // bad)
        value = kinds[number % len(kinds)]
        producer.produce(kafka.topic(SAMPLES), value, partition=number % PARTITIONS)
        assert producer.flush(60) == 0
    course.put(frames - bad * (frames // bad))
    with Life(kafka, tmp_path) as life:
        until(caught_up(kafka, life), LONG_S)
        life.ends()
    whole = require_undisturbed(kafka)
    assert (whole.frames, len(whole.refused)) == (course.written, bad)
    dead = letters(kafka)
    topic = kafka.topic(SAMPLES)
    assert {(d.topic, d.partition, d.offset): d.size for d in dead} == {
        (topic, *place): len(value) for place, value in whole.refused.items()
    }
    assert all(d.stage == "detect" and d.reason and d.cause for d in dead)
    print(f"good {whole.frames} learned, bad {bad} of {len(kinds)} kinds, letters {len(dead)}")  # noqa: T201 - the figures that are promised
    assert len(dead) == bad
