"""Elements of remote write's requests, by the published numbers of their fields."""

import struct
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import cramjam
from google.protobuf.message import DecodeError

from tests.streams.formats.elements import Reader, Unit, Units, UntoldError
from tests.streams.formats.elements_histograms import (
    FINITE,
    QUANTILES,
    alone,
    exponential,
)

MIB = 1 << 20
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
SAMPLES, GAUGE, CUSTOM = 2, 3, -53  # a field, a hint, a schema
STALE = bytes.fromhex("020000000000f07f")
WIDEST = 1000  # buckets


def remote_write(
    kind: Any, *, series: int, exemplars: int, histograms: int, metadata: int
) -> Reader:
    """A reader of requests by the published numbers of their fields, 0 for one that is not.

    Samples and exemplars are elements, a series without samples is one, and so is each of a
    request's metadata; `kind` is the class of its native histograms.
    """

    def read(raw: bytes) -> Units:
        if raw in {b"", b"\0"}:  # nothing, and a request without anything in it
            return []
        found, left = [], 0
        for field, inside in _delimited(_unpacked(raw)):
            left += field == metadata
            if field == series:
                fields = list(_delimited(inside))
                numbers = [number for number, _ in fields]
                said, samples = numbers.count(exemplars), numbers.count(SAMPLES)
                native = [_native(kind, of) for number, of in fields if number == histograms]
                if len(native) > 1 or (native and samples):
                    raise UntoldError  # each is refused alone, but as of one place
                (unit, cumulative), *_ = *native, (Unit(samples or 1, int(not samples)), False)
                found.append((Unit(unit.elements + said, unit.left + said), cumulative))
        return alone(found) + [Unit(1, 1)] * left

    return read


def _native(kind: Any, raw: bytes) -> tuple[Unit, bool]:
    """A native histogram, and whether it is a cumulative one."""
    try:
        given = kind.FromString(raw)
    except DecodeError as error:
        raise UntoldError from error
    if struct.pack("<d", given.sum) == STALE:
        return Unit(1, 1), False
    gauge, counted = given.reset_hint == GAUGE, given.WhichOneof("zero_count")
    zeros = getattr(given, counted) if counted else 0
    sides = [_side(given, "positive"), _side(given, "negative")]
    if given.schema == CUSTOM:
        if gauge or any(not abs(bound) < FINITE for bound in given.custom_values):
            raise UntoldError
        return Unit(len(given.custom_values) + 3), True
    zero = zeros, given.zero_threshold
    unit = exponential(given.schema, zero, sides, delta=gauge, total=True)
    if not gauge:
        return unit, True
    quantiles = QUANTILES * (zeros + sum(sum(counts) for _, counts in sides) > 0)
    return Unit(2 + quantiles + 1), False  # its buckets are left out, as one


def _side(given: Any, side: str) -> tuple[int, list[float]]:
    """Where the buckets of a side begin, and a count for each up to the last one."""
    spans = getattr(given, f"{side}_spans")
    whole = given.WhichOneof("count") != "count_float"
    told = (
        accumulate(getattr(given, f"{side}_deltas")) if whole else getattr(given, f"{side}_counts")
    )
    counts = list(told)
    width = sum(span.length for span in spans) + sum(span.offset for span in spans[1:])
    if width > WIDEST or any(span.offset < 0 or not span.length for span in spans[1:]):
        raise UntoldError
    first = spans[0].offset - 1 if spans else 0
    return first, [*counts, *[0.0] * (width - len(counts))]


def _unpacked(raw: bytes) -> bytes:
    try:
        if cramjam.snappy.decompress_raw_len(raw) > MIB:
            raise UntoldError
        return bytes(cramjam.snappy.decompress_raw(raw))
    except cramjam.DecompressionError as error:
        raise UntoldError from error


def _delimited(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of a message's delimited fields. Raises UntoldError for what is none."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == VARINT:
            _, at = _varint(message, at)
        elif kind in {FIXED64, FIXED32}:
            at += 8 if kind == FIXED64 else 4
        elif kind == DELIMITED:
            size, at = _varint(message, at)
            yield tag >> 3, message[at : at + size]
            at += size
        else:
            raise UntoldError
        if at > len(message):
            raise UntoldError


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(at, min(at + 9, len(message))):
        value |= (message[place] & 0x7F) << 7 * (place - at)
        if message[place] < 0x80:
            return value, place + 1
    raise UntoldError
