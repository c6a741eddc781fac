"""Frames: the right partition, nothing lost, order kept."""

import numpy as np
import pytest
from aiokafka.partitioner import murmur2 as theirs
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.frames import read_lines, read_samples, service_of
from streams.formats.columns import LineColumns, SampleColumns
from streams.formats.limits import Limits
from streams.formats.series import SeriesIndex
from streams.intake.framing import line_frames, murmur2, partition_of, sample_frames


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_kafkas_own(key: bytes, signed: int) -> None:
    """The values of Kafka's UtilsTest.testMurmur2, there as signed numbers."""
    assert murmur2(key) == signed % 2**32


@settings(deadline=None)  # the first call may import much
@given(st.text(max_size=20))
def test_the_partition_is_where_other_clients_put_the_key(service: str) -> None:
    assert partition_of(service, 7) == (theirs(service.encode()) & 0x7FFFFFFF) % 7


@settings(deadline=None)  # the first call may import much
@given(st.lists(st.integers(0, 11), max_size=300), st.integers(1, 5), st.integers(1, 50))
def test_samples_keep_their_order_within_a_service(
    chosen: list[int], partitions: int, most: int
) -> None:
    index = SeriesIndex(Limits())
    for i in range(12):
        index.learn(i, f"m{i}", {}, f"service-{i % 5}", 0)
    columns = SampleColumns(
        np.array(chosen, np.int64), np.arange(len(chosen)), np.array(chosen, np.float64)
    )
    frames = list(sample_frames(columns, index, partitions, most))
    written: dict[str, list[tuple[str, int]]] = {}
    for frame in frames:
        samples = read_samples(frame.value)
        assert len(samples) == frame.rows <= most
        for code, at in zip(samples.code.tolist(), samples.at.tolist(), strict=True):
            name = samples.names[code]
            assert partition_of(service_of(name), partitions) == frame.partition
            written.setdefault(service_of(name), []).append((name, at))
    expected: dict[str, list[tuple[str, int]]] = {}
    for at, code in enumerate(chosen):
        expected.setdefault(f"service-{code % 5}", []).append((index.names[code], at))
    assert written == expected


def test_lines_keep_their_order_within_a_service() -> None:
    services = [f"service-{i % 3}" for i in range(100)]
    texts = [f"line {i}" for i in range(100)]
    columns = LineColumns(services, np.arange(100), ["info"] * 100, texts, ["{}"] * 100)
    lines = [read_lines(frame.value) for frame in line_frames(columns, 4, 10)]
    for service in set(services):
        kept = [
            text
            for frame in lines
            for text, whose in zip(frame.text, frame.service, strict=True)
            if whose == service
        ]
        assert kept == [t for t, s in zip(texts, services, strict=True) if s == service]


def test_nothing_makes_no_frame() -> None:
    nothing = np.zeros(0, np.int64)
    empty = SampleColumns(nothing, nothing, np.zeros(0))
    assert not list(sample_frames(empty, SeriesIndex(Limits()), 4, 100))
    assert not list(line_frames(LineColumns([], nothing, [], [], []), 4, 100))
