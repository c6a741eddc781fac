"""Prometheus samples as Avro, as the Telefonica adapter's schema has them.

Its `avro-json` is Avro's JSON encoding, the same text as its plain JSON but for the schema's
strictness: all four fields are there, and all are text. Avro's binary encoding of the same
schema is read too; it cannot begin with a brace, so that the two are never confused.

Source: prometheus-kafka-adapter, schemas/metric.avsc, serializers.go.
"""

import msgspec

from streams.formats.avro_schema import compiled
from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.prometheus_json import parse as parse_json
from streams.formats.wrapped import read_inside

METRIC = compiled(
    """{"namespace":"io.prometheus","type":"record","name":"Metric","fields":[
    {"name":"timestamp","type":"string"},{"name":"value","type":"string"},
    {"name":"name","type":"string"},{"name":"labels","type":{"type":"map","values":"string"}}]}"""
)
encode = msgspec.json.Encoder().encode


class _Metric(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    timestamp: str
    value: str
    name: str
    labels: dict[str, str]


DECODE = msgspec.json.Decoder(_Metric).decode


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return read_inside(batch, reading, _record, parse_json)


def _record(raw: bytes, _: Reading) -> list[bytes]:
    if raw.lstrip().startswith(b"{"):
        return [encode(DECODE(raw))]
    return [encode(METRIC.read(raw))]
