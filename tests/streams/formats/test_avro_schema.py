"""Avro: no schema makes a reader work for nothing, no bytes make it read what is not there."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.formats.avro_schema import NoSchemas, compiled
from streams.formats.limits import Refused
from tests.streams.formats.goldens_wrapped import AVRO, OWN, binary
from tests.streams.formats.reading import EVENT


def record(*types: object, name: str = "R") -> dict[str, object]:
    fields = [{"name": f"f{i}", "type": kind} for i, kind in enumerate(types)]
    return {"type": "record", "name": name, "fields": fields}


@pytest.mark.parametrize(
    "schema",
    [
        record("int", ["null", "R"]),
        record({"type": "array", "items": "R"}),
        record(record({"type": "map", "values": "R"}, name="Inner")),
        {"type": "array", "items": "null"},
        {"type": "array", "items": record()},
        {"type": "array", "items": record("null", record("null", name="I"))},
        {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}},
        record({"type": "fixed", "name": "F", "size": 0}, {"type": "array", "items": "F"}),
        {"type": "array"},
        {"type": "recrd", "name": "R", "fields": []},
        7,
        "nosuch",
    ],
)
def test_a_schema_that_is_not_safe_to_read_with_is_refused(schema: object) -> None:
    with pytest.raises(Refused) as refusal:
        compiled(json.dumps(schema))
    assert refusal.value.rule == "bad-schema"


@pytest.mark.parametrize("text", ["", "{", "[" * 10_000 + "]" * 10_000, '["null",' * 10_000])
def test_what_is_no_schema_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refusal:
        compiled(text)
    assert refusal.value.rule == "bad-schema"


def test_a_list_that_claims_2_to_the_60_items_ends_with_its_bytes() -> None:
    schema = compiled('{"type":"array","items":"long"}')
    claims = b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f" + b"\x02" * 50
    with pytest.raises(Refused, match="not what its schema says"):
        schema.read(claims)


@pytest.mark.parametrize("body", [AVRO[5:] + b"\0", AVRO[5:-1], b"", b"\xff" * 100])
def test_bytes_that_the_schema_did_not_write_are_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        compiled(EVENT).read(body)


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Nothing but a refusal comes out of it."""
    with suppress(Refused):
        compiled(EVENT).read(body)


def test_what_was_written_is_read() -> None:
    schema = compiled(EVENT)
    found = schema.read(binary(schema.parsed, OWN))
    assert found["value"] == OWN["value"]


def test_without_a_registry_it_says_what_to_set() -> None:
    with pytest.raises(Refused, match=r"schema 7: set intake\.registry\.url"):
        NoSchemas().schema(7)
