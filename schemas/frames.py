"""Frames: batches of samples or log lines of one partition, as one Arrow IPC stream each.

Columns of samples: `series` (dictionary-encoded canonical label string), `at` (timestamp,
ms, UTC), `value` (float64). Of log lines: `service`, `at`, `severity`, `text`, `labels`.
A frame is self-contained: any consumer can read any frame alone.

A canonical label string is `service{name="value",...}` in Prometheus' notation with the
metric first and the labels sorted; its `service` label says whose series it is.

A frame of samples may be empty and say, in its schema's metadata, as of when: a pulse. All that
was in the raw topics by then is in the frames before it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import Rejected

SAMPLES = pa.schema(
    [
        ("series", pa.dictionary(pa.int32(), pa.string())),
        ("at", pa.timestamp("ms", tz="UTC")),
        ("value", pa.float64()),
    ]
)
LINES = pa.schema(
    [
        ("service", pa.dictionary(pa.int32(), pa.string())),
        ("at", pa.timestamp("ms", tz="UTC")),
        ("severity", pa.dictionary(pa.int32(), pa.string())),
        ("text", pa.string()),
        ("labels", pa.dictionary(pa.int32(), pa.string())),
    ]
)
AS_OF = b"as_of"  # of a pulse, in the metadata: epoch ms
COUNTED = "log_lines"  # metric of what a stage counted itself: after a crash it may come again
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_.:]*)="((?:[^"\\]|\\.)*)"')


class Names:
    """Strings as they lie in a frame: one after the other in UTF-8, each made when it is asked for.

    String i is `data[offsets[i]:offsets[i + 1]]`; `offsets` int32 [n + 1], `data` uint8. Equal to
    a list of the same strings.
    """

    def __init__(self, offsets: npt.NDArray[np.int32], data: npt.NDArray[np.uint8]) -> None:
        self.offsets, self.data = offsets, data

    @classmethod
    def of(cls, names: Iterable[str]) -> Self:
        """Strings put together."""
        encoded = [name.encode() for name in names]
        offsets = np.array([0, *accumulate(map(len, encoded))], np.int32)
        offsets.flags.writeable = False  # as what is read: compiled code tells them apart
        return cls(offsets, np.frombuffer(b"".join(encoded), np.uint8))

    def __len__(self) -> int:
        """How many."""
        return len(self.offsets) - 1

    def __getitem__(self, number: int) -> str:
        """One of them. Raises IndexError."""
        place = range(len(self))[number]
        return self.data[self.offsets[place] : self.offsets[place + 1]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        """One after the other."""
        data, ends = self.data.tobytes(), self.offsets.tolist()
        return (data[a:b].decode() for a, b in pairwise(ends))

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same strings in this order."""
        return isinstance(other, Names | list) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # as a list has none


class Samples(NamedTuple):
    """A frame of samples: `names[code[i]]` is the series of sample i. A pulse has none."""

    names: list[str] | Names
    code: npt.NDArray[np.int32]
    at: npt.NDArray[np.int64]  # epoch milliseconds, UTC
    value: npt.NDArray[np.float64]
    as_of: int = 0  # of a pulse, epoch ms: all that was there to read by then came before it

    def __len__(self) -> int:
        """How many samples."""
        return len(self.code)


class Lines(NamedTuple):
    """A frame of log lines, column by column."""

    service: list[str]
    at: npt.NDArray[np.int64]
    severity: list[str]
    text: list[str]
    labels: list[str]


class CodedLines(NamedTuple):
    """A frame of log lines as it lies: `services[service[i]]` said line i; so for the others."""

    services: list[str]
    service: npt.NDArray[np.int32]
    at: npt.NDArray[np.int64]  # epoch milliseconds, UTC
    severities: list[str]
    severity: npt.NDArray[np.int32]
    text: list[str]
    labellings: list[str]  # canonical, as one string each
    labels: npt.NDArray[np.int32]

    def __len__(self) -> int:
        """How many lines."""
        return len(self.text)


def canonical(metric: str, labels: Mapping[str, str]) -> str:
    r"""The canonical label string of a series.

    >>> canonical("cpu", {"service": "checkout", "host": 'a"b'})
    'cpu{host="a\\"b",service="checkout"}'
    """
    inside = ",".join(f'{name}="{escaped(labels[name])}"' for name in sorted(labels))
    return f"{metric}{{{inside}}}"


def escaped(value: str) -> str:
    """A label's value in Prometheus' notation."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


@lru_cache(maxsize=200_000)
def parsed(series: str) -> tuple[str, dict[str, str]]:
    """Metric and labels of a canonical label string.

    >>> parsed('cpu{service="checkout"}')
    ('cpu', {'service': 'checkout'})
    """
    metric, _, inside = series.partition("{")
    unescape = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
    labels = {
        name: re.sub(r"\\[\\\"n]", lambda match: unescape[match[0]], value)
        for name, value in LABEL.findall(inside)
    }
    return metric, labels


def service_of(series: str) -> str:
    """The service of a canonical label string; empty when it has none."""
    return parsed(series)[1].get("service", "")


def write_samples(samples: Samples) -> bytes:
    """The frame as Arrow IPC, lz4 within Kafka's own compression left out on purpose."""
    batch = pa.record_batch(
        [
            pa.DictionaryArray.from_arrays(
                pa.array(samples.code, pa.int32()), pa.array(list(samples.names), pa.string())
            ),
            pa.array(samples.at, pa.int64()).view(pa.timestamp("ms", tz="UTC")),
            pa.array(samples.value, pa.float64()),
        ],
        schema=SAMPLES.with_metadata({AS_OF: b"%d" % samples.as_of}) if samples.as_of else SAMPLES,
    )
    return _written(batch)


def pulse(as_of: int) -> Samples:
    """The pulse of a moment, epoch ms: a frame without samples."""
    none = np.zeros(0, np.int32)
    return Samples([], none, none.astype(np.int64), none.astype(np.float64), as_of)


class LineWriter:
    """Log lines of which frames are written, some of them at a time: encoded once for all."""

    def __init__(self, lines: Lines) -> None:
        self.services, self.service = _encoded(lines.service)
        self._severity, self._labels = _encoded(lines.severity), _encoded(lines.labels)
        self._at, self._text = lines.at, pa.array(lines.text, pa.string())

    def write(self, chosen: npt.NDArray[np.int64]) -> bytes:
        """The frame of these lines, by their places."""
        places = pa.array(chosen)
        batch = pa.record_batch(
            [
                _some((self.services, self.service), chosen),
                pa.array(self._at[chosen], pa.int64()).view(pa.timestamp("ms", tz="UTC")),
                _some(self._severity, chosen),
                self._text.take(places),
                _some(self._labels, chosen),
            ],
            schema=LINES,
        )
        return _written(batch)


def local(
    code: npt.NDArray[np.int_] | npt.NDArray[np.int32], size: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """The distinct ones of numbers below `size`, and each one's place among them.

    Faster than sorting.
    """
    there = np.zeros(size, np.bool_)
    there[code] = True
    known = np.flatnonzero(there)
    place = np.empty(size, np.int32)
    place[known] = np.arange(len(known), dtype=np.int32)
    return known, place[code]


def warm_up() -> None:
    """Load what the first frame would wait for: with its first array pyarrow loads pandas, 1 s."""
    pa.array([0], pa.int32()).to_numpy()


def read_samples(value: bytes) -> Samples:
    """The samples of a frame. Raises Rejected for anything that is not one."""
    batch = _read(value, SAMPLES)
    series = batch.column(0)
    return Samples(
        names=_names(series.dictionary),
        code=_codes(series),
        at=batch.column(1).view(pa.int64()).to_numpy(zero_copy_only=False),
        value=batch.column(2).to_numpy(zero_copy_only=False),
        as_of=_as_of(batch.schema.metadata),
    )


def read_lines(value: bytes) -> Lines:
    """The log lines of a frame. Raises Rejected for anything that is not one."""
    batch = _read(value, LINES)
    return Lines(
        service=batch.column(0).to_pylist(),
        at=batch.column(1).view(pa.int64()).to_numpy(zero_copy_only=False),
        severity=batch.column(2).to_pylist(),
        text=batch.column(3).to_pylist(),
        labels=batch.column(4).to_pylist(),
    )


def read_coded_lines(value: bytes) -> CodedLines:
    """The log lines of a frame, a string for each different one. Raises Rejected, as above."""
    batch = _read(value, LINES)
    services, service = _coded(batch.column(0))
    severities, severity = _coded(batch.column(2))
    labellings, labels = _coded(batch.column(4))
    return CodedLines(
        services=services,
        service=service,
        at=batch.column(1).view(pa.int64()).to_numpy(zero_copy_only=False),
        severities=severities,
        severity=severity,
        text=batch.column(3).to_pylist(),
        labellings=labellings,
        labels=labels,
    )


def rows(lines: Lines) -> Iterable[tuple[str, int, str, str, str]]:
    """The lines one by one: service, epoch ms, severity, text, labels."""
    return zip(
        lines.service, lines.at.tolist(), lines.severity, lines.text, lines.labels, strict=True
    )


def _coded(column: Any) -> tuple[list[str], npt.NDArray[np.int32]]:
    """A dictionary-encoded column: its strings, and which of them each row has."""
    return column.dictionary.to_pylist(), _codes(column)


def _codes(column: Any) -> npt.NDArray[np.int32]:
    codes: npt.NDArray[Any] = column.indices.to_numpy(zero_copy_only=False)
    return codes.astype(np.int32, copy=False)


def _as_of(metadata: Mapping[bytes, bytes] | None) -> int:
    told = metadata.get(AS_OF) if metadata else None
    if told is None:
        return 0
    if not told.isdigit():
        raise Rejected("not a frame: its as_of is no time")
    return int(told)


def _names(strings: Any) -> Names:
    """The strings of a dictionary, where they are."""
    if strings.null_count:
        raise Rejected("not a frame: a series has no name")
    _, offsets, data = strings.buffers()
    if not len(strings):
        return Names.of([])
    return Names(
        np.frombuffer(offsets, np.int32, len(strings) + 1, 4 * strings.offset),
        np.frombuffer(data or b"", np.uint8),
    )


Encoded = tuple[list[str], npt.NDArray[np.int32]]


def _encoded(column: list[str]) -> Encoded:
    """The distinct strings of a column, and which of them each row has."""
    return _coded(pa.array(column, pa.string()).dictionary_encode())


def _some(column: Encoded, chosen: npt.NDArray[np.int64]) -> Any:
    """Some rows of an encoded column, with no more strings than they have."""
    strings, code = column
    known, place = local(code[chosen], len(strings))
    some = pa.array([strings[i] for i in known.tolist()], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(place, pa.int32()), some)


def _written(batch: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _read(value: bytes, schema: Any) -> Any:
    try:
        with pa.ipc.open_stream(value) as reader:
            batch = reader.read_next_batch()
            batch.validate(full=True)
    except (pa.ArrowException, StopIteration, OSError, ValueError) as error:
        raise Rejected(f"not a frame: {error}") from error
    if batch.schema != schema:
        raise Rejected(f"not a frame of {schema.names}: has {batch.schema.names}")
    if any(column.null_count for column in batch.columns):
        raise Rejected("not a frame: has nulls")
    return batch
