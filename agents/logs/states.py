"""States: what a miner has learned, as bytes and back.

Caches are left out: they hold nothing that cannot be looked up again. Tokens are written once
each, since templates share most of them.
"""

import zlib
from typing import NamedTuple

import msgspec

from agents.logs.match import Template
from schemas.errors import Rejected

VERSION = 1
MARK = b"SNTL"
LEVEL = 6  # of zlib: about 50 bytes a template; a full state of random words is 1.5 MB


class Saved(NamedTuple):
    """Lines seen; templates in the order of filing; ids and what they became."""

    lines: int
    templates: list[Template]
    merged: dict[str, str]


class _Row(msgspec.Struct, array_like=True):
    id: str
    tokens: list[int]
    gaps: bytes
    born: int
    last: int
    count: int


class _Wire(msgspec.Struct, array_like=True):
    version: int
    lines: int
    vocabulary: list[str]
    rows: list[_Row]
    merged: list[tuple[str, str]]


def dumped(saved: Saved) -> bytes:
    """The state as bytes, exactly, with version and checksum."""
    numbers: dict[str, int] = {}
    rows = [
        _Row(
            t.id,
            [numbers.setdefault(token, len(numbers)) for token in t.tokens],
            bytes(t.gaps),
            t.born,
            t.last,
            t.count,
        )
        for t in saved.templates
    ]
    wire = _Wire(VERSION, saved.lines, list(numbers), rows, list(saved.merged.items()))
    return MARK + bytes([VERSION]) + zlib.compress(msgspec.msgpack.encode(wire), LEVEL)


def loaded(data: bytes) -> Saved:
    """Undo `dumped`; Rejected when the bytes are damaged or of another version."""
    if data[:4] != MARK or len(data) < 5:  # noqa: PLR2004 - mark and version
        raise Rejected("these bytes are no state of a log miner")
    if data[4] != VERSION:
        raise Rejected(
            f"the state was written by version {data[4]} of the log miner, this reads {VERSION}"
        )
    try:
        wire = msgspec.msgpack.decode(zlib.decompress(data[5:]), type=_Wire)
        templates = [_template(row, wire.vocabulary) for row in wire.rows]
    except (zlib.error, msgspec.DecodeError, IndexError) as error:
        raise Rejected(f"a state of the log miner is damaged: {error}") from error
    return Saved(wire.lines, templates, dict(wire.merged))


def _template(row: _Row, vocabulary: list[str]) -> Template:
    tokens = tuple(vocabulary[number] for number in row.tokens)
    template = Template(row.id, tokens, tuple(map(bool, row.gaps)), row.born)
    template.last, template.count = row.last, row.count
    return template
