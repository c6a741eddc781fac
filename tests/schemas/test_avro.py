"""The wire form of events: readable, strict, and readable for ever."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import avro
from schemas.errors import Rejected
from schemas.operations import DeadLetter, Tick

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


def letter(original: bytes = b"\x00\xffjunk", **more: Any) -> DeadLetter:
    fields: dict[str, Any] = {
        "id": "a1", "at": NOW, "group": "raw", "stage": "intake", "rule": "bad-json", "reason": "it ends early",
        "topic": "raw.metrics", "partition": 1, "offset": 7, "size": len(original), "original": original,
        "headers": {"content-type": "json"},
    }  # fmt: skip
    return DeadLetter(**(fields | more))


@given(original=st.binary(max_size=300), reason=st.text(max_size=50))
def test_what_is_written_is_what_is_read(original: bytes, reason: str) -> None:
    event = letter(original, reason=reason)
    value, headers = avro.encode(event)
    assert avro.decode(value, headers["schema"]) == event


def test_any_kafka_client_can_read_it() -> None:
    """It is JSON text, with the field names that the README shows."""
    value, headers = avro.encode(letter(b"x"))
    assert json.loads(value)["rule"] == "bad-json"
    assert headers == {"schema": "deadletter/1"}


def test_times_keep_their_instant_whatever_the_zone() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=9)))
    value, headers = avro.encode(letter(at=there))
    assert avro.decode(value, headers["schema"]).at == NOW


GOOD = avro.encode(letter(b"x"))[0]


@pytest.mark.parametrize(
    ("value", "schema", "said"),
    [
        (GOOD, "", "unknown schema"),
        (GOOD, "nothing/1", "unknown schema"),
        (GOOD, "deadletter/x", "unknown schema"),
        (GOOD, "deadletter/99", "older than the writer"),
        (b"", "deadletter/1", "0 records"),
        (b"{", "deadletter/1", "not deadletter/1"),
        (b"\xff\xfe", "deadletter/1", "not deadletter/1"),
        (b"[" * 100_000, "deadletter/1", "not deadletter/1"),
        (GOOD + GOOD, "deadletter/1", "Extra data"),
        (GOOD + b"\n" + GOOD, "deadletter/1", "2 records"),
        (GOOD, "tick/1", "not tick/1"),
        (GOOD.replace(b'"size": 1', b'"size": -1'), "deadletter/1", "size"),
    ],
)
def test_what_is_not_that_event_is_rejected_with_the_reason(
    value: bytes, schema: str, said: str
) -> None:
    with pytest.raises(Rejected, match=said):
        avro.decode(value, schema)


def test_models_and_committed_schemas_agree() -> None:
    assert avro.drift() == []


def test_a_changed_model_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = avro.derived(Tick) | {"doc": "another"}
    monkeypatch.setattr(avro, "derived", lambda event: changed if event is Tick else {})
    assert any(line.startswith("tick: the model differs") for line in avro.drift())


def field(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def record(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": "thing", "fields": list(fields)}


@pytest.mark.parametrize(
    ("old", "new", "compatible"),
    [
        (
            record(field("a", "long")),
            record(field("a", "long"), field("b", "string", default="")),
            True,
        ),
        (record(field("a", "long")), record(field("a", "double")), True),
        (record(field("a", "long"), field("b", "string")), record(field("a", "long")), True),
        (record(field("a", "long")), record(field("a", "long"), field("b", "string")), False),
        (record(field("a", "string")), record(field("a", "long")), False),
    ],
)
def test_incompatible_changes_are_told_from_compatible_ones(
    old: dict[str, Any], new: dict[str, Any], *, compatible: bool
) -> None:
    assert (avro.incompatibility(old, new) == "") is compatible


@pytest.mark.parametrize("subject", sorted(avro.EVENTS))
def test_every_committed_schema_is_valid_avro(subject: str) -> None:
    for version in avro.versions(subject):
        fastavro.parse_schema(avro.committed(subject, version))
