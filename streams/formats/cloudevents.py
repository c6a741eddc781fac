"""CloudEvents in structured mode: an envelope, around a record of another format.

    {"specversion":"1.0","id":"1","source":"/shop","type":"com.shop.metric",
     "time":"2026-01-02T03:04:05Z","data":{"service":"checkout","metric":"m","value":1}}

The inner format is our own, or the one that the topic's format names (`cloudevents@vector`).
An event of ours that has no time has the envelope's. In binary mode the value is the inner
record and nothing needs to be taken off (streams/formats/__init__.py).

Source: CloudEvents 1.0.2, JSON format and Kafka protocol binding.
"""

import base64
import binascii
from collections.abc import Iterator
from functools import partial

import msgspec

from streams.formats.columns import Batch, Parsed, Parser, Reading
from streams.formats.document import Documents
from streams.formats.limits import Refused
from streams.formats.wrapped import read_inside, timed

NONE = msgspec.Raw(b"")
VERSIONS = {"1.0", "0.3"}


class _Envelope(msgspec.Struct, gc=False):
    specversion: str
    id: str
    source: str
    type: str
    time: str | None = None
    data: msgspec.Raw = NONE
    data_base64: str | None = None


ENVELOPES = Documents(_Envelope)
TEXT = msgspec.json.Decoder(str)


def parse(batch: Batch, reading: Reading, inner: Parser, *, ours: bool = False) -> Parsed:
    """Read a batch of records; `ours`: the inner format is our own JSON."""
    return read_inside(batch, reading, partial(_records, ours), inner)


def _records(ours: bool, raw: bytes, reading: Reading) -> list[bytes]:  # noqa: FBT001 - bound once, by name
    return list(_each(raw, reading, ours=ours))


def _each(raw: bytes, reading: Reading, *, ours: bool) -> Iterator[bytes]:
    for envelope in ENVELOPES.each(raw, reading.limits):
        if isinstance(envelope, Exception):
            raise envelope  # of a batch of events: there is no telling what else is wrong
        if envelope.specversion not in VERSIONS or not envelope.id or not envelope.type:
            raise Refused("bad-field", "a CloudEvent has a known specversion, an id and a type")
        data = _data(envelope)
        yield timed(data, envelope.time) if ours and envelope.time is not None else data


def _data(envelope: _Envelope) -> bytes:
    if envelope.data_base64 is not None:
        try:
            return base64.b64decode(envelope.data_base64, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Refused("bad-field", f"data_base64: {error}") from error
    data = bytes(envelope.data)
    if not data or data == b"null":
        raise Refused("empty", "a CloudEvent without data")
    return TEXT.decode(data).encode() if data.startswith(b'"') else data
