"""How a block of series is written in the changelog, and how older forms are read.

Outside, a version, a checksum and a length, which never change; inside, compressed, the fields
of that version. A change of the fields is a new `VERSION` and one function in `UPGRADES` that
makes the new fields of the old ones; a block is led from version to version up to today's.
"""

import zlib
from collections.abc import Callable
from typing import Any

import cramjam
import msgspec
import numpy as np

from agents.absence import Absence
from agents.counters import RESETS
from agents.pulses import Pulses
from agents.rhythm import RHYTHM
from agents.rules import Breach
from agents.watch import Watch
from schemas.errors import Rejected

VERSION = 4
LARGEST = 64 * 1024 * 1024  # bytes; a length beyond is damage, and not to be allocated

Fields = dict[str, Any]


class Saved(msgspec.Struct):
    """A block's fields."""

    included: int
    names: list[str]
    open: dict[int, Watch]
    state: bytes
    columns: dict[str, bytes]
    breaches: dict[int, dict[str, Breach]]  # of static rules, by row and rule
    silent: dict[int, Absence]  # by row
    resetting: dict[int, Absence]
    pulses: Pulses | None  # of the partition, in its first block


class _Envelope(msgspec.Struct):
    """What stands around the fields."""

    version: int
    check: int = 0  # CRC-32 of the body
    size: int = 0  # of the body, decompressed
    body: bytes = b""


def packed(saved: Saved) -> bytes:
    """The fields in their envelope: a block of 256 series half a year old has about 0.5 MB."""
    inside = msgspec.msgpack.encode(saved)
    body = bytes(cramjam.lz4.compress_block(inside, store_size=False))
    return msgspec.msgpack.encode(_Envelope(VERSION, zlib.crc32(body), len(inside), body))


def unpacked(raw: bytes) -> Saved:
    """Undo `packed`, whichever version wrote it. Raises Rejected for damage and the future."""
    try:
        envelope = msgspec.msgpack.decode(raw, type=_Envelope)
        if envelope.version == VERSION:
            return msgspec.msgpack.decode(_inside(envelope), type=Saved)
        inside = raw if envelope.version == 1 else _inside(envelope)
        fields = msgspec.msgpack.decode(inside, type=Fields)
        return msgspec.convert(upgraded(fields, envelope.version), Saved)
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        raise Rejected(f"is damaged: {error}") from error


def upgraded(fields: Fields, version: int) -> Fields:
    """The fields as of today. Raises Rejected for a version that nothing leads on from."""
    if version > VERSION:
        raise Rejected(f"is of version {version} and this program reads up to {VERSION}")
    for number in range(version, VERSION):
        if number not in UPGRADES:
            raise Rejected(f"is of version {version}, which this program has no way from")
        fields = UPGRADES[number](fields)
    return fields


def _inside(envelope: _Envelope) -> bytes:
    if zlib.crc32(envelope.body) != envelope.check:
        raise Rejected("is damaged: its checksum does not match")
    if not 0 <= envelope.size <= LARGEST:
        raise Rejected(f"is damaged: {envelope.size} bytes")
    try:
        return bytes(cramjam.lz4.decompress_block(envelope.body, output_len=envelope.size))
    except cramjam.DecompressionError as error:
        raise Rejected(f"is damaged: {error}") from error


def _with_columns(fields: Fields) -> Fields:
    """1 to 2: the arrays of rows in one place; when a series was heard last, by its last point."""
    count, points = len(fields["names"]), 60
    at = np.frombuffer(fields["ring_at"]).reshape(count, points)
    counters = tuple(f"_{suffix}" for suffix in ("total", "count", "sum", "bucket", "created"))
    counter = [name.partition("{")[0].endswith(counters) for name in fields["names"]]
    moved = {name: fields[name] for name in ("memory", "ring_at", "ring_value", "written")}
    heard = at.max(axis=1, initial=0.0)
    heard[heard == 0] = heard.max(initial=0.0)  # a counter's first sample leaves no point
    return {
        "included": fields["included"],
        "names": fields["names"],
        "open": fields["open"],
        "state": fields["state"],
        "columns": moved | {"heard": heard.tobytes(), "counter": bytes(counter)},
    }


def _with_rhythm(fields: Fields) -> Fields:
    """2 to 3: rhythms and resets, not known yet, and what they and static rules have to say."""
    rows = len(fields["names"])
    new = {"rhythm": bytes(8 * rows * RHYTHM), "resets": bytes(8 * rows * RESETS)}
    return fields | {
        "columns": fields["columns"] | new,
        "breaches": {},
        "silent": {},
        "resetting": {},
    }


def _with_pulses(fields: Fields) -> Fields:
    """3 to 4: what the partition's pulses have told, not known yet."""
    return fields | {"pulses": None}


UPGRADES: dict[int, Callable[[Fields], Fields]] = {
    1: _with_columns,
    2: _with_rhythm,
    3: _with_pulses,
}
