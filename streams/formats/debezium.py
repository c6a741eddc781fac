"""Debezium's change events: rows of a table of events, as our own JSON.

    {"payload":{"before":null,"after":{"service":"checkout","metric":"m","value":1},
     "source":{"table":"events"},"op":"c","ts_ms":1767323045678}}

What was created, updated or read in a snapshot is taken as it is after the change, under our
field names; without a time of its own it has that of the change. Deletions, truncations and
tombstones tell of no event: they are counted and left out. With and without the schema
around the payload.

Source: Debezium, "Change event values"; kafka-connect JsonConverter.
"""

import msgspec

from streams.formats.columns import Batch, Parsed, Parser, Reading
from streams.formats.limits import Refused, quoted
from streams.formats.wrapped import read_inside, timed

NONE = msgspec.Raw(b"")
TAKEN, LEFT = {"c", "u", "r"}, {"d", "t", "m"}


class _Change(msgspec.Struct, gc=False):
    op: str | None = None
    after: msgspec.Raw = NONE
    ts_ms: int | None = None
    payload: msgspec.Raw = NONE


DECODE = msgspec.json.Decoder(_Change).decode


def parse(batch: Batch, reading: Reading, inner: Parser) -> Parsed:
    """Read a batch of records."""
    return read_inside(batch, reading, _row, inner, empty="empty")


def _row(raw: bytes, _: Reading) -> list[bytes]:
    change = DECODE(raw)
    if bytes(change.payload):
        change = DECODE(change.payload)
    if change.op in LEFT:
        return []
    row = bytes(change.after)
    if change.op not in TAKEN or not row.startswith(b"{"):
        raise Refused("bad-field", f"op {quoted(change.op, 20)} with no row after it")
    return [timed(row, change.ts_ms) if change.ts_ms is not None else row]
