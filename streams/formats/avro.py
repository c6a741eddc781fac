"""Avro in Confluent's wire format: a zero byte, a schema's number, and the record.

    00  00 00 00 07  ...

The record is read by the schema that wrote it, from the registry, and then taken for JSON of
the same content, which the inner format reads: our own fields, unless the topic's format
names another (`avro@prometheus-json`). Times of Avro's logical types are times.

Source: Confluent, "Wire format"; Avro 1.11 specification.
"""

import msgspec

from streams.formats.columns import Batch, Parsed, Parser, Reading
from streams.formats.limits import Refused
from streams.formats.wrapped import read_inside

MAGIC, HEAD = 0, 5  # first byte; bytes before the record
encode = msgspec.json.Encoder().encode


def parse(batch: Batch, reading: Reading, inner: Parser) -> Parsed:
    """Read a batch of records. Raises Unavailable when the registry is away."""
    return read_inside(batch, reading, _record, inner)


def _record(raw: bytes, reading: Reading) -> list[bytes]:
    if raw[0] != MAGIC or len(raw) < HEAD:
        raise Refused("bad-avro", "does not begin with a zero byte and a schema's number")
    schema = reading.schemas.schema(int.from_bytes(raw[1:HEAD], "big"))
    record = schema.read(raw[HEAD:])
    try:
        return [encode(record)]
    except (TypeError, ValueError) as error:
        raise Refused("bad-avro", f"no JSON for it: {error!s:.100}") from error
