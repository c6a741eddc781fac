"""Prometheus remote write, 1.0 and 2.0: a snappy block that holds a protobuf message.

Which of the two a record is must be said (the topic's format, or the record's headers):
either parses as the other without an error, to an empty message. So a message without any
series is refused, and so is a series without a metric's name, which is what OTLP metrics
look like when they are taken for remote write 1.0.

A native histogram becomes its `_count` and `_sum`; its buckets, exemplars and metadata are
counted and left out. Prometheus' stale marker, a NaN of its own, is counted too.

Source: Prometheus remote write specifications 1.0 and 2.0; snappy's format description.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import cramjam
import numpy as np
from google.protobuf.message import DecodeError

from streams.formats.columns import ELEMENT, STALE, Batch, Parsed, Reading, Rows, Scanned
from streams.formats.limits import Limits, Refused
from streams.formats.proto.remote_write_v1_pb2 import Label, WriteRequest
from streams.formats.proto.remote_write_v2_pb2 import Request
from streams.formats.record import finished
from streams.formats.times import epoch_ms
from streams.formats.wire import WRITE, known_series

METRIC = "__name__"


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records of version 1."""
    rows, limits = Rows(), reading.limits
    known = known_series(reading.series, WRITE, batch.service)
    scans: list[Scanned] = []
    first = 0
    for messages in _portions(_unpacked(batch, rows, limits), limits.decoded_bytes):
        scanned, read = known.read([message or b"" for message in messages], limits.elements)
        scans.append(scanned._replace(origin=scanned.origin + first))
        for place in np.flatnonzero(~read).tolist():
            message, start = messages[place], len(rows.code)
            if message is not None:
                _read(_version_1, Walk(first + place, batch, reading, rows), message)
                known.learn(message, rows.code[start:], rows.at[start:], rows.value[start:])
        first += len(messages)
    met = Scanned(*map(np.concatenate, zip(*scans, strict=True))) if scans else None
    return finished(rows, batch, reading, epoch_ms, met)


def parse_v2(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records of version 2."""
    rows = Rows()
    for index, message in enumerate(_unpacked(batch, rows, reading.limits)):
        if message is not None:
            _read(_version_2, Walk(index, batch, reading, rows), message)
    return finished(rows, batch, reading, epoch_ms)


def unpacked(value: bytes, limits: Limits) -> bytes:
    """A snappy block's content, its size checked before memory is taken. Raises Refused."""
    if not value:
        raise Refused("empty", "the record is empty")
    if len(value) > limits.record_bytes:
        raise Refused("too-large", f"{len(value)} bytes, {limits.record_bytes} allowed")
    try:
        claimed = cramjam.snappy.decompress_raw_len(value)
        if claimed > limits.decoded_bytes:
            raise Refused(
                "too-large-unpacked", f"claims {claimed} bytes, {limits.decoded_bytes} allowed"
            )
        return bytes(cramjam.snappy.decompress_raw(value))
    except cramjam.DecompressionError as error:
        raise Refused("bad-snappy", str(error)) from error


Version = Callable[["Walk", bytes], None]


def _unpacked(batch: Batch, rows: Rows, limits: Limits) -> Iterator[bytes | None]:
    """The records' messages; None for one that is refused."""
    for index, value in enumerate(batch.values):
        try:
            yield unpacked(value, limits)
        except Refused as error:
            rows.refuse(index, error.rule, str(error))
            yield None


def _portions(messages: Iterator[bytes | None], most: int) -> Iterator[list[bytes | None]]:
    """Messages that are read at once: of `most` bytes, and as many again in the last one.

    A batch is held as it came; unpacked it may be twenty times as large.
    """
    held: list[bytes | None] = []
    size = 0
    for message in messages:
        held.append(message)
        size += len(message or b"")
        if size >= most:
            yield held
            held, size = [], 0
    if held:
        yield held


def _read(version: Version, walk: "Walk", message: bytes) -> None:
    try:
        version(walk, message)
    except Refused as error:
        walk.rows.refuse(walk.index, error.rule, str(error))
    except DecodeError as error:
        walk.rows.refuse(walk.index, "bad-protobuf", str(error))


class Walk:
    """One record on its way through."""

    def __init__(self, index: int, batch: Batch, reading: Reading, rows: Rows) -> None:
        self.index, self.batch, self.reading, self.rows = index, batch, reading, rows

    def request(self, timeseries: Sequence[Any], *, metadata: int = 0) -> None:
        """Check the whole. Raises Refused."""
        if not timeseries and not metadata:
            raise Refused("empty", "a request without series: empty, or not of this version")
        limit = self.reading.limits.elements
        if (count := sum(len(t.samples) + len(t.histograms) for t in timeseries)) > limit:
            raise Refused("too-many-elements", f"{count} samples, {limit} allowed")
        if metadata:
            self.rows.skips["metadata"] += metadata

    def series(self, element: int, series: Any, key: Hashable, labels: Callable[[], Any]) -> None:
        """Note the samples of one series; `labels` gives its pairs when `key` is new."""
        rows, origin = self.rows, self.index + ELEMENT * (element + 1)
        samples, histograms = series.samples, series.histograms
        if series.exemplars:
            rows.skips["exemplar"] += len(series.exemplars)
        if histograms:
            self.histograms(origin, series, key, labels)
        elif not samples:
            rows.skips["series-without-samples"] += 1
        if not samples:
            return
        try:
            code = self.code(key, labels, "")
        except Refused as error:
            for _ in samples:
                rows.refuse(origin, error.rule, str(error), error.service)
            return
        for sample in samples:
            rows.code.append(code)
            rows.at.append(sample.timestamp)
            rows.value.append(sample.value)
            rows.origin.append(origin)

    def code(self, key: Hashable, labels: Callable[[], Any], suffix: str) -> int:
        """The series' number. Raises Refused."""
        index, known = self.reading.series, (key, suffix, self.batch.service)
        number = index.codes.get(known)
        if number is not None:
            return number
        pairs = list(labels())
        named = dict(pairs)
        if len(named) < len(pairs):
            raise Refused("bad-label", "a label is there twice")
        metric = named.pop(METRIC, "")
        if not metric:
            raise Refused("bad-metric", f"a series without {METRIC}")
        now = int(self.batch.now[self.index])
        return index.learn(known, metric + suffix, named, self.batch.service, now)

    def histograms(
        self, origin: int, series: Any, key: Hashable, labels: Callable[[], Any]
    ) -> None:
        """Native histograms, each as a sample of `_count` and one of `_sum`."""
        rows = self.rows
        try:
            count, total = self.code(key, labels, "_count"), self.code(key, labels, "_sum")
        except Refused as error:
            for _ in range(2 * len(series.histograms)):
                rows.refuse(origin, error.rule, str(error), error.service)
            return
        rows.skips["native-histogram-buckets"] += len(series.histograms)
        for histogram in series.histograms:
            counted = getattr(histogram, histogram.WhichOneof("count") or "count_int")
            if np.float64(histogram.sum).view(np.uint64) == STALE:
                counted = histogram.sum  # the end of the series; its count is 0, no reset of one
            rows.code += (count, total)
            rows.at += (histogram.timestamp, histogram.timestamp)
            rows.value += (float(counted), histogram.sum)
            rows.origin += (origin, origin)


def _version_1(walk: Walk, message: bytes) -> None:
    request = WriteRequest.FromString(message)
    walk.request(request.timeseries, metadata=len(request.metadata))
    for element, series in enumerate(request.timeseries):
        key = tuple(series.labels)
        walk.series(element, series, key, lambda key=key: _decoded(key))  # type: ignore[misc]


def _decoded(labels: tuple[bytes, ...]) -> list[tuple[str, str]]:
    try:
        return [(label.name, label.value) for label in map(Label.FromString, labels)]
    except DecodeError as error:
        raise Refused("bad-label", str(error)) from error


def _version_2(walk: Walk, message: bytes) -> None:
    request = Request.FromString(message)
    walk.request(request.timeseries)
    symbols = list(request.symbols)
    if symbols[:1] != [""]:
        raise Refused("bad-symbols", "the first symbol is not the empty one")
    for element, series in enumerate(request.timeseries):
        refs = tuple(series.labels_refs)
        if len(refs) % 2 or max(refs, default=0) >= len(symbols):
            count = max(1, len(series.samples) + 2 * len(series.histograms))
            for _ in range(count):
                origin = walk.index + ELEMENT * (element + 1)
                walk.rows.refuse(origin, "bad-symbols", "labels refer to symbols not there")
            continue
        key = tuple(map(symbols.__getitem__, refs))
        walk.series(
            element,
            series,
            key,
            lambda key=key: zip(key[::2], key[1::2], strict=True),  # type: ignore[misc]
        )
