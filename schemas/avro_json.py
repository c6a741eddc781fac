"""Avro's JSON encoding, made once for each schema: what it does to a value, and how it is undone.

The library's own encoder walks a grammar for every record and leaves thousands of objects in
reference cycles; Python's search for them stopped a stage for a tenth of a second at a time. What
JSON cannot say by itself is little: times, bytes and which branch of a union a value is. So each
schema becomes a function of its own here, to the same text as the library's.

Known are the types that events are made of: see `_Made.of`. Reading is strict: what is not
exactly as it would be written is `Unread`, and the library, which knows older writers and has
words for what is wrong, is asked.

Source: Apache Avro 1.12 specification, "JSON Encoding".
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from schemas.errors import Rejected

Change = Callable[[Any], Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class Unread(Exception):  # noqa: N818 - no error: another way of reading is taken
    """Not as it would be written."""


class Coding(NamedTuple):
    """What becomes of a schema's values as JSON, and of JSON; None leaves them as they are."""

    write: Change | None
    read: Change | None


def coding(schema: Mapping[str, Any]) -> Coding:
    """The coding of a schema. Raises Rejected for a type that no event has."""
    return _Made().of(schema)


class _Made:
    """Codings of a schema's parts; named types are met again by their names."""

    def __init__(self) -> None:
        self._named: dict[str, Coding] = {}

    def of(self, schema: Any) -> Coding:
        if isinstance(schema, list):
            return self._union(schema)
        if isinstance(schema, str):
            return self._named[schema] if schema in self._named else _plain(schema)
        kind = schema["type"]
        if kind == "record":
            made = self._record(schema)
        elif kind == "enum":
            made = Coding(None, _one_of(frozenset(schema["symbols"])))
        elif kind in ("array", "map"):
            items = self.of(schema["items" if kind == "array" else "values"])
            made = _array(items) if kind == "array" else _map(items)
        elif schema.get("logicalType") == "timestamp-millis":
            made = Coding(_to_ms, _from_ms)
        elif "logicalType" in schema:
            raise Rejected(f"no event has a field of type {schema['logicalType']}")
        else:
            made = self.of(kind)
        if kind in ("record", "enum"):
            self._named[schema["name"]] = made
        return made

    def _record(self, schema: Mapping[str, Any]) -> Coding:
        parts = {field["name"]: self.of(field["type"]) for field in schema["fields"]}
        names = tuple(parts)
        writes = [(name, part.write) for name, part in parts.items() if part.write]
        reads = [(name, part.read) for name, part in parts.items() if part.read]

        def write(value: Any) -> Any:
            written = {name: value[name] for name in names}
            for name, change in writes:
                written[name] = change(written[name])
            return written

        def read(value: Any) -> Any:
            if type(value) is not dict or value.keys() != parts.keys():
                raise Unread
            for name, change in reads:
                value[name] = change(value[name])
            return value

        return Coding(write, read)

    def _union(self, schema: list[Any]) -> Coding:
        """Null, or one other type, which is named beside its value."""
        others = [branch for branch in schema if branch != "null"]
        if len(schema) != len(others) + 1 or len(others) != 1:
            raise Rejected(f"no event has a field that is one of {schema}")
        other = self.of(others[0])
        label = others[0] if isinstance(others[0], str) else others[0].get("name")
        label = label or others[0]["type"]

        def write(value: Any) -> Any:
            if value is None:
                return None
            return {label: other.write(value) if other.write else value}

        def read(value: Any) -> Any:
            if value is None:
                return None
            if type(value) is not dict or len(value) != 1 or label not in value:
                raise Unread
            return other.read(value[label]) if other.read else value[label]

        return Coding(write, read)


def _plain(kind: str) -> Coding:
    if kind == "bytes":
        return Coding(_to_text, _from_text)
    if kind in ("string", "double", "long", "int", "boolean"):
        return Coding(None, None)  # whether it is one is the model's to say
    raise Rejected(f"no event has a field of type {kind}")


def _array(items: Coding) -> Coding:
    def read(value: Any) -> Any:
        if type(value) is not list:
            raise Unread
        return [items.read(item) for item in value] if items.read else value

    change = items.write
    return Coding(None if change is None else lambda value: [change(v) for v in value], read)


def _map(items: Coding) -> Coding:
    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise Unread
        return {k: items.read(v) for k, v in value.items()} if items.read else value

    change = items.write
    return Coding(
        None if change is None else lambda value: {k: change(v) for k, v in value.items()}, read
    )


def _one_of(symbols: frozenset[str]) -> Change:
    def read(value: Any) -> Any:
        if type(value) is not str or value not in symbols:
            raise Unread
        return value

    return read


def _to_ms(value: datetime) -> int:
    """Epoch milliseconds, what is finer cut off; a time without a zone is the machine's."""
    return ((value if value.tzinfo else value.astimezone()) - EPOCH) // MILLISECOND


def _from_ms(value: Any) -> datetime:
    if type(value) is not int:
        raise Unread
    try:
        return EPOCH + timedelta(milliseconds=value)
    except OverflowError as error:
        raise Unread from error


def _to_text(value: bytes) -> str:
    return value.decode("iso-8859-1")


def _from_text(value: Any) -> bytes:
    if type(value) is not str:
        raise Unread
    try:
        return value.encode("iso-8859-1")
    except UnicodeEncodeError as error:
        raise Unread from error
