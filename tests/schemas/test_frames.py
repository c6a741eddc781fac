"""Frames: what goes in comes out, and nothing else is taken for one."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Rejected
from schemas.frames import (
    Lines,
    Names,
    Samples,
    canonical,
    parsed,
    read_lines,
    read_samples,
    rows,
    service_of,
    write_samples,
)
from tests.frames import write_lines

NAMES = ['cpu{service="a"}', 'cpu{service="b"}']
SAMPLES = Samples(
    NAMES,
    np.array([0, 1, 0], np.int32),
    np.array([1, 2, 3], np.int64),
    np.array([1.5, np.nan, -0.0]),
)
LINES = Lines(
    ["a", "b"], np.array([5, 6], np.int64), ["error", "info"], ["x\ny", ""], ["{}", '{host="h"}']
)


def test_samples_survive_the_wire_bit_by_bit() -> None:
    back = read_samples(write_samples(SAMPLES))
    assert back.names == NAMES
    assert back.code.tolist() == [0, 1, 0]
    assert back.at.tolist() == [1, 2, 3]
    assert back.value.tobytes() == SAMPLES.value.tobytes()


def test_lines_survive_the_wire() -> None:
    assert list(rows(read_lines(write_lines(LINES)))) == list(rows(LINES))


@pytest.mark.parametrize("length", range(0, 700, 37))
def test_a_truncated_frame_is_rejected_not_misread(length: int) -> None:
    with pytest.raises(Rejected):
        read_samples(write_samples(SAMPLES)[:length])


def test_a_frame_of_lines_is_no_frame_of_samples() -> None:
    with pytest.raises(Rejected, match="not a frame of"):
        read_samples(write_lines(LINES))


def test_nulls_are_rejected() -> None:
    """A missing value is NaN; a null would be whatever the buffer holds."""
    schema = read_schema()
    batch = pa.record_batch(
        [
            pa.array(["a"]).dictionary_encode(),
            pa.array([None], pa.int64()).cast(pa.timestamp("ms", tz="UTC")),
            pa.array([1.0]),
        ],
        schema=schema,
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(batch)
    with pytest.raises(Rejected, match="nulls"):
        read_samples(sink.getvalue().to_pybytes())


def read_schema() -> pa.Schema:
    with pa.ipc.open_stream(write_samples(SAMPLES)) as reader:
        return reader.schema


LABEL = st.from_regex(r"[a-z_][a-z0-9_.]{0,10}", fullmatch=True)


@given(
    metric=st.from_regex(r"[a-z_:][a-z0-9_:]{0,20}", fullmatch=True),
    labels=st.dictionaries(LABEL, st.text(max_size=20), max_size=5),
)
def test_a_canonical_name_gives_its_labels_back(metric: str, labels: dict[str, str]) -> None:
    assert parsed(canonical(metric, labels)) == (metric, labels)


def test_the_service_is_a_label() -> None:
    assert service_of('cpu{host="h",service="checkout"}') == "checkout"
    assert service_of("cpu{}") == ""


@given(st.lists(st.text(max_size=20), max_size=20))
def test_names_are_the_strings_that_they_lie_as(names: list[str]) -> None:
    """One by one, from the front and from the back, and all together."""
    there = Names.of(name.encode("utf-8", "replace").decode() for name in names)
    expected = [name.encode("utf-8", "replace").decode() for name in names]
    assert there == expected
    assert list(there) == expected
    assert [there[n] for n in range(len(there))] == expected
    assert [there[-n] for n in range(1, len(there) + 1)] == expected[::-1]
    with pytest.raises(IndexError):
        there[len(names)]
    assert there != [*expected, ""]


def frame_of(dictionary: pa.Array) -> bytes:
    series = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), dictionary)
    at = pa.array([1, 2], pa.int64()).cast(pa.timestamp("ms", tz="UTC"))
    return written([series, at, pa.array([0.5, 1.5])])


def written(columns: list[pa.Array]) -> bytes:
    batch = pa.record_batch(columns, schema=read_schema())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def test_a_part_of_a_dictionary_is_read_as_that_part() -> None:
    """Others may write what they have cut out of something larger."""
    names = pa.array(["zero", "one", "two", "three"])
    assert read_samples(frame_of(names.slice(1, 2))).names == ["one", "two"]


def test_a_series_without_a_name_is_rejected() -> None:
    with pytest.raises(Rejected, match="no name"):
        read_samples(frame_of(pa.array(["cpu", None])))


@pytest.mark.parametrize(
    ("offsets", "data"),
    [([0, 3, 9], b"cpumem"), ([0, 5, 3], b"cpumem"), ([0, 3, 6], b"cpu\xff\xffm"), ([-1, 3, 6], b"cpumem")],
)  # fmt: skip
def test_names_that_lie_elsewhere_are_rejected(offsets: list[int], data: bytes) -> None:
    """What is looked up by its bytes must be inside of the frame, and text."""
    good, there = frame_of(pa.array(["cpu", "mem"])), np.array([0, 3, 6], np.int32).tobytes()
    assert read_samples(good).names == ["cpu", "mem"]
    assert good.count(there) == good.count(b"cpumem") == 1
    damaged = good.replace(there, np.array(offsets, np.int32).tobytes()).replace(b"cpumem", data)
    with pytest.raises(Rejected):
        read_samples(damaged)
