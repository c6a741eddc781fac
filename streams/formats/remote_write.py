"""Prometheus remote write, 1.0 and 2.0: a snappy block that holds a protobuf message.

Which of the two a record is must be said (the topic's format, or the record's headers):
either parses as the other without an error, to an empty message. So a message without any
series is refused, unless there is nothing at all in it, and so is a series without a metric's
name, which is what OTLP metrics look like when they are taken for remote write 1.0.

A native histogram becomes series as OTLP's do (streams/formats/native_histogram.py); exemplars
and metadata are counted and left out. Prometheus' stale marker, a NaN of its own, is counted too.

Source: Prometheus remote write specifications 1.0 and 2.0; snappy's format description.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import count
from typing import Any

import cramjam
import numpy as np
from google.protobuf.message import DecodeError

from streams.formats.columns import ELEMENT, Batch, Parsed, Reading, Rows, Scanned
from streams.formats.limits import Limits, Refused
from streams.formats.native_histogram import note_native
from streams.formats.proto.remote_write_v1_pb2 import Label, WriteRequest
from streams.formats.proto.remote_write_v2_pb2 import Request
from streams.formats.record import Record, finished
from streams.formats.times import epoch_ms
from streams.formats.write_placeholders import without_placeholders
from streams.formats.write_scan import Left, known_series

METRIC = "__name__"
NOTHING = b"\0"  # a request without series: what Telegraf makes of a metric that is only text
BUCKETS = 20  # of native histograms in a request, for each sample that it may have


def parse(batch: Batch, reading: Reading, version: int = 1) -> Parsed:
    """Read a batch of records of a version."""
    rows, limits = Rows(), reading.limits
    known = known_series(reading.series, version, batch.service)
    scans: list[Scanned] = []
    first = 0
    messages_of = _unpacked(batch, rows, limits, filled=version == 1)
    for messages in _portions(messages_of, limits.decoded_bytes):
        scanned, left = known.read([message or b"" for message in messages], limits.elements)
        bad = []
        for place, rest in left.items():
            if messages[place] is None:
                continue
            start = len(rows.code)
            walk = Walk(Record(first + place, batch, reading, rows, batch.service), rest)
            if not _read(VERSIONS[version], walk):
                bad.append(place)
            known.learn(rest, rows, start)
        if bad:
            scanned = scanned.only(~np.isin(scanned.origin % ELEMENT, bad))
        scans.append(scanned._replace(origin=scanned.origin + first))
        first += len(messages)
    columns = zip(*(scan[:4] for scan in scans), strict=True)
    met = Scanned(*map(np.concatenate, columns)) if scans else None
    return finished(rows, batch, reading, epoch_ms, met)


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


def _unpacked(batch: Batch, rows: Rows, limits: Limits, *, filled: bool) -> Iterator[bytes | None]:
    """The records' messages; None for one that is refused or says nothing.

    `filled`: some may have zeros in the place of what their producer does not know.
    """
    for index, value in enumerate(batch.values):
        if value == NOTHING:
            rows.skips["empty"] += 1
            yield None
            continue
        try:
            message = unpacked(value, limits)
        except Refused as error:
            rows.refuse(index, error.rule, str(error))
            yield None
            continue
        if filled:
            message, zeros = without_placeholders(message)
            if zeros:
                rows.skips["placeholder"] += zeros
        yield message


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


class Walk:
    """Through what the compiled reader left of one request."""

    def __init__(self, record: Record, left: Left) -> None:
        self.record, self.left = record, left

    def each(self, timeseries: Sequence[Any], *, metadata: int = 0) -> Iterator[tuple[int, Any]]:
        """The series and their places in the request. Raises Refused for the whole of it."""
        if not timeseries and not metadata:
            raise Refused("empty", "a request without series: empty, or not of this version")
        limit = self.record.limits.elements
        samples = sum(len(t.samples) + len(t.histograms) for t in timeseries) + self.left.read
        if samples > limit:
            raise Refused("too-many-elements", f"{samples} samples, {limit} allowed")
        buckets = sum(map(_buckets, timeseries))
        if buckets > BUCKETS * limit:
            raise Refused("too-many-elements", f"{buckets} buckets, {BUCKETS * limit} allowed")
        if metadata:
            self.record.skip("metadata", metadata)
        places = count() if self.left.elements is None else self.left.elements.tolist()
        return zip(places, timeseries, strict=False)

    def series(self, place: int, series: Any, key: Hashable, labels: Callable[[], Any]) -> None:
        """Note the samples of one series; `labels` gives its pairs when `key` is new."""
        record, samples = self.record, series.samples
        record.element = place
        if series.exemplars:
            record.skip("exemplar", len(series.exemplars))
        if series.histograms:
            self._histograms(series.histograms, key, labels)
        elif not samples:
            record.skip("series-without-samples")
        if not samples:
            return
        rows, origin = record.rows, record.origin
        try:
            code = self._code(key, labels)
        except Refused as error:
            for _ in samples:
                rows.refuse(origin, error.rule, str(error), error.service)
            return
        for sample in samples:
            rows.code.append(code)
            rows.at.append(sample.timestamp)
            rows.value.append(sample.value)
            rows.origin.append(origin)

    def _code(self, key: Hashable, labels: Callable[[], Any]) -> int:
        """The series' number. Raises Refused."""
        record, known = self.record, (self.record.space, key)
        number = record.reading.series.codes.get(known)
        if number is not None:
            return number
        metric, named = _named(labels())
        now = int(record.batch.now[record.index])
        return record.reading.series.learn(known, metric, named, record.batch.service, now)

    def _histograms(
        self, histograms: Sequence[Any], key: Hashable, labels: Callable[[], Any]
    ) -> None:
        def noted(record: Record, given: Any) -> None:
            start = len(record.rows.code)
            if note_native(record, key, *_named(labels()), given):
                record.rows.native.append((start, len(record.rows.code)))

        for given in histograms:
            self.record.attempt(self.record.element, given, noted)


def _buckets(series: Any) -> int:
    return sum(
        len(given.positive_deltas) + len(given.negative_deltas) + len(given.positive_counts)
        + len(given.negative_counts) + len(given.custom_values)
        for given in series.histograms
    )  # fmt: skip


def _named(pairs: Any) -> tuple[str, dict[str, str]]:
    """The metric's name and the other labels. Raises Refused."""
    given = list(pairs)
    named = dict(given)
    if len(named) < len(given):
        raise Refused("bad-label", "a label is there twice")
    metric = named.pop(METRIC, "")
    if not metric:
        raise Refused("bad-metric", f"a series without {METRIC}")
    return metric, named


def _read(version: Callable[[Walk, bytes], None], walk: Walk) -> bool:
    """Read what was left of a request; False when all of the request is refused."""
    record = walk.record
    try:
        version(walk, walk.left.message)
    except Refused as error:
        record.rows.refuse(record.index, error.rule, str(error))
    except DecodeError as error:
        record.rows.refuse(record.index, "bad-protobuf", str(error))
    else:
        return True
    return False


def _version_1(walk: Walk, message: bytes) -> None:
    request = WriteRequest.FromString(message)
    for place, series in walk.each(request.timeseries, metadata=len(request.metadata)):
        key = tuple(series.labels)
        walk.series(place, series, key, lambda key=key: _decoded(key))  # type: ignore[misc]


def _decoded(labels: tuple[bytes, ...]) -> list[tuple[str, str]]:
    try:
        return [(label.name, label.value) for label in map(Label.FromString, labels)]
    except DecodeError as error:
        raise Refused("bad-label", str(error)) from error


def _version_2(walk: Walk, message: bytes) -> None:
    request = Request.FromString(message)
    timeseries = walk.each(request.timeseries)
    symbols = list(request.symbols)
    if symbols[:1] != [""]:
        raise Refused("bad-symbols", "the first symbol is not the empty one")
    for place, series in timeseries:
        refs = tuple(series.labels_refs)
        if len(refs) % 2 or max(refs, default=0) >= len(symbols):
            origin = walk.record.index + ELEMENT * (place + 1)
            for _ in range(max(1, len(series.samples) + len(series.histograms))):
                walk.record.rows.refuse(origin, "bad-symbols", "labels refer to symbols not there")
            continue
        key = tuple(map(symbols.__getitem__, refs))
        walk.series(
            place,
            series,
            key,
            lambda key=key: zip(key[::2], key[1::2], strict=True),  # type: ignore[misc]
        )


VERSIONS = {1: _version_1, 2: _version_2}
