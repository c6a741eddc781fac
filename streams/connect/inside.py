"""What one record says of its format, whatever is around it.

CloudEvents, Debezium's changes and Confluent's wire format hold records of other formats:
what is inside is looked at in the same way, and the name of the whole says both.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from streams.connect import binary, documents, lines
from streams.connect.clues import FITS, MARKED, PARSES, Clue, by_format, shared
from streams.formats import FORMATS
from streams.formats.avro import HEAD, MAGIC
from streams.formats.avro_schema import Schemas
from streams.formats.cloudevents import VERSIONS
from streams.formats.debezium import LEFT, TAKEN
from streams.formats.document import Documents
from streams.formats.json import TIMES
from streams.formats.limits import Limits, Refused

DOCUMENTS = Documents(Any)
DEEPEST = 2  # wrappings in one another
STEERING = {*range(32), 127} - {*b"\t\n\r\x1b"}  # bytes that no text has
ENVELOPE = ("specversion", "id", "source", "type")
encode = msgspec.json.Encoder().encode


class Looking(NamedTuple):
    """What is known beside a record."""

    limits: Limits
    schemas: Schemas


def clues_in(value: bytes, looking: Looking, depth: int = 0) -> dict[str, Clue]:
    """What speaks for each format in a record. Raises Unavailable or Denied of a registry's."""
    if not value.strip() or len(value) > looking.limits.record_bytes:
        return {}
    if value[0] == MAGIC and len(value) > HEAD:
        return by_format(_numbered(value, looking))
    if value.lstrip()[:1] in {b"{", b"["}:
        found = _documents(value, looking.limits)
        if found is not None:
            return shared(_document(one, looking, depth) for one in found)
    clues: list[Clue] = []
    if not STEERING.isdisjoint(value) or not _utf8(value):
        clues += binary.clues_of(value, looking.limits)
    if not clues and _utf8(value) and STEERING.isdisjoint(value):
        clues += lines.clues_of(value.decode())
    return by_format(clues)


def _utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _documents(value: bytes, limits: Limits) -> list[Any] | None:
    """The JSON values in a record; None when it is not JSON."""
    try:
        found = list(DOCUMENTS.each(value, limits))
    except (ValueError, RecursionError, Refused):
        return None
    bad = any(isinstance(each, Exception) for each in found)
    return None if bad else found[: lines.MOST_LINES]


def _document(document: Any, looking: Looking, depth: int = 0) -> dict[str, Clue]:
    if isinstance(document, dict) and depth < DEEPEST:
        if all(isinstance(document.get(name), str) for name in ENVELOPE):
            return by_format(_event(document, looking, depth))
        change = document.get("payload", document)
        if isinstance(change, dict) and change.get("op") in TAKEN | LEFT and "ts_ms" in change:
            return by_format(_change(change))
    return by_format(documents.clues_of(document, looking.limits.services))


def _event(event: dict[str, Any], looking: Looking, depth: int) -> Iterator[Clue]:
    """A CloudEvent, and what is in it."""
    if event["specversion"] not in VERSIONS:
        return
    data = event.get("data")
    if isinstance(event.get("data_base64"), str):
        try:
            found = clues_in(base64.b64decode(event["data_base64"]), looking, depth + 1)
        except (binascii.Error, ValueError):
            found = {}
    elif isinstance(data, str):
        found = clues_in(data.encode(), looking, depth + 1)
    else:
        found = _document(_timed(data, event.get("time")), looking, depth + 1)
    yield from _around("cloudevents", "are CloudEvents", found)


def _change(change: dict[str, Any]) -> Iterator[Clue]:
    """A row's change; only rows of our own are read."""
    what = "have op, ts_ms and the row before and after: Debezium's changes"
    row = change.get("after")
    if change["op"] in LEFT:
        yield Clue("debezium", FITS, what)
        return
    if not isinstance(row, dict):
        return
    found = by_format(documents.clues_of(_timed(row, change["ts_ms"]), ()))
    inner = found.get("json")
    yield Clue("debezium", MARKED if inner and inner.strength >= FITS else PARSES, what)


def _numbered(value: bytes, looking: Looking) -> Iterator[Clue]:
    """Confluent's wire format: the registry says what is in it."""
    number = int.from_bytes(value[1:HEAD], "big")
    what = f"begin with a zero byte and a schema's number ({number}), as with a schema registry"
    try:
        record = looking.schemas.schema(number).read(value[HEAD:])
        inside = encode(record)
    except (Refused, TypeError, ValueError) as error:
        yield Clue("avro", PARSES, f"{what}; {error!s:.120}")
        return
    found = _document(msgspec.json.decode(inside), looking, DEEPEST)
    yield from _around("avro", f"are Avro of schema {number} in the registry", found)


def _around(outer: str, what: str, found: dict[str, Clue]) -> Iterator[Clue]:
    """What is inside, as the name of the whole."""
    if not found:
        yield Clue(outer, PARSES, f"{what}, around what Sentinel does not know")
    for inner, clue in found.items():
        name = outer if inner == "json" else f"{outer}@{inner}"
        told = f"{what}; inside they {clue.why}"
        if name in FORMATS:
            yield Clue(name, clue.strength, told)
        else:
            yield Clue(f"{inner} in {outer}", clue.strength, told)


def _timed(data: Any, at: Any) -> Any:
    """A row or an event's data, with the time of what is around it if it has none."""
    if not isinstance(data, dict) or at is None or any(name in data for name in TIMES):
        return data
    return {"time": at} | data
