"""Avro's JSON, made once for each schema, is what the library makes of it."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import fastavro
import pytest
from fastavro.utils import generate_many

from schemas import avro
from schemas.avro_json import Unread, coding
from schemas.errors import Rejected

COMMITTED = [(subject, n) for subject in sorted(avro.EVENTS) for n in avro.versions(subject)]
RECORD = {
    "type": "record",
    "name": "thing",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "raw", "type": "bytes"},
        {"name": "rank", "type": {"type": "enum", "name": "Rank", "symbols": ["low", "high"]}},
        {"name": "worst", "type": ["null", "Rank"]},
        {"name": "parts", "type": {"type": "array", "items": ["null", "double"]}},
        {"name": "marks", "type": {"type": "map", "values": "bytes"}},
    ],
}
VALUE = {
    "at": datetime(1969, 12, 31, 23, 59, 59, 999_900, tzinfo=UTC),
    "raw": b"\x00\xff", "rank": "low", "worst": "high", "parts": [None, 1.5], "marks": {"é": b"\xe9"},
}  # fmt: skip


def by_library(schema: dict[str, Any], value: Any) -> str:
    text = io.StringIO()
    fastavro.json_writer(text, fastavro.parse_schema(schema), [value])
    return text.getvalue()


def read_by_library(schema: dict[str, Any], text: str) -> Any:
    return next(fastavro.json_reader(io.StringIO(text), fastavro.parse_schema(schema)))


@pytest.mark.parametrize(("subject", "version"), COMMITTED)
def test_every_events_json_is_the_librarys(subject: str, version: int) -> None:
    """To the byte, written and read."""
    schema = avro.committed(subject, version)
    known = coding(schema)
    assert known.write is not None
    assert known.read is not None
    for drawn in generate_many(fastavro.parse_schema(schema), 20):
        text = by_library(schema, drawn)
        value = read_by_library(schema, text)
        assert known.read(json.loads(text)) == value
        assert json.dumps(known.write(value)) == text


def test_all_types_there_are_as_the_library_has_them() -> None:
    """What lies before 1970 and is finer than a millisecond, too."""
    known = coding(RECORD)
    assert known.write is not None
    assert known.read is not None
    text = by_library(RECORD, VALUE)
    assert json.dumps(known.write(VALUE)) == text
    assert known.read(json.loads(text)) == read_by_library(RECORD, text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"at": "now"}, {"at": True}, {"at": 10**30}, {"raw": 1}, {"raw": "\u20ac"}, {"rank": "middle"},
        {"rank": 1}, {"worst": "high"}, {"worst": {"Other": "high"}}, {"worst": {}}, {"parts": {}},
        {"parts": [1.5]}, {"marks": []}, {"more": 1},
    ],
)  # fmt: skip
def test_what_would_not_be_written_so_is_left_to_the_library(wrong: dict[str, Any]) -> None:
    known = coding(RECORD)
    good = json.loads(by_library(RECORD, VALUE))
    assert known.read is not None
    with pytest.raises(Unread):
        known.read(good | wrong)


def test_a_missing_field_is_left_to_the_library() -> None:
    """It has a default there, if the schema gives one."""
    known = coding(RECORD)
    good = json.loads(by_library(RECORD, VALUE))
    del good["raw"]
    assert known.read is not None
    with pytest.raises(Unread):
        known.read(good)


@pytest.mark.parametrize("kind", ["fixed", ["string", "long"], {"type": "int", "logicalType": "date"}])  # fmt: skip
def test_a_type_that_no_event_has_is_said(kind: Any) -> None:
    with pytest.raises(Rejected, match="no event has a field"):
        coding({"type": "record", "name": "x", "fields": [{"name": "a", "type": kind}]})
