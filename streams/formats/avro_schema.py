"""Avro records, read by the schema that wrote them, without trusting either.

A schema that can make a reader work without reading bytes is refused when it is met: one
that contains itself (a few bytes nest as deep as they like) and lists of items that take no
bytes (a few bytes say how many). What is left ends with the record's bytes.
"""

import io
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import msgspec
from fastavro import parse_schema, schemaless_reader
from fastavro.schema import SchemaParseException, UnknownType

from streams.formats.limits import Refused, quoted

NAMED = {"record", "error", "enum", "fixed"}
BROKEN = (
    EOFError, ValueError, LookupError, TypeError, ArithmeticError, AttributeError, struct.error,
)  # fmt: skip # whatever fastavro raises for bytes that the schema did not write


class Schema(NamedTuple):
    """A schema that is safe to read with."""

    parsed: Any

    def read(self, body: bytes) -> Any:
        """The record in `body`, all of it. Raises Refused."""
        source = io.BytesIO(body)
        try:
            record = schemaless_reader(source, self.parsed, None)
        except UnicodeDecodeError as error:
            raise Refused("bad-utf8", f"not UTF-8: {error.reason}") from error
        except BROKEN as error:
            raise Refused("bad-avro", f"not what its schema says: {quoted(error, 100)}") from error
        if rest := len(body) - source.tell():
            raise Refused("bad-avro", f"{rest} bytes behind the record")
        return record


class Schemas(Protocol):
    """Where schemas are found by their number."""

    def schema(self, number: int) -> Schema:
        """The schema. Raises Refused when there is none, Unavailable when nobody can say."""


class NoSchemas:
    """For who has no registry."""

    def schema(self, number: int) -> Schema:
        """Refuse."""
        raise Refused("no-registry", f"schema {number}: set intake.registry.url")


def compiled(text: str, named: Mapping[str, Any] | None = None) -> Schema:
    """A schema from its JSON; `named` are those that it refers to. Raises Refused.

    What `named` refer to comes before them in it.
    """
    sizes: dict[str, int] = {}
    found: dict[str, Any] = {}
    try:
        for other in (named or {}).values():
            _smallest(other, sizes, ())
            parse_schema(other, named_schemas=found)
        raw = schema_json(text)
        _smallest(raw, sizes, ())
        return Schema(parse_schema(raw, named_schemas=found))
    except (SchemaParseException, UnknownType, *BROKEN) as error:
        raise Refused("bad-schema", f"not an Avro schema: {quoted(error, 100)}") from error
    except RecursionError as error:
        raise Refused("bad-schema", "a schema nested too deeply") from error


def schema_json(text: str) -> Any:
    """A schema's JSON. Raises Refused."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise Refused("bad-schema", f"not JSON: {error!s:.100}") from error


def _smallest(schema: Any, sizes: dict[str, int], inside: tuple[str, ...]) -> int:
    """0 when a value can take no bytes, else 1. Raises Refused for what is not safe to read.

    `sizes` are those of named types, by their last name, which is stricter than Avro where
    two have the same one; `inside` are the records around.
    """
    match schema:
        case str():
            short = schema.rpartition(".")[2]
            if short in inside:
                raise Refused("bad-schema", f"{quoted(schema)} contains itself")
            return 0 if schema == "null" else sizes.get(short, 1)
        case list():
            for one in schema:
                _smallest(one, sizes, inside)
            return 1
        case {"type": "array", "items": items}:
            if not _smallest(items, sizes, inside):
                raise Refused("bad-schema", "a list of items that take no bytes")
            return 1
        case {"type": "map", "values": values}:
            _smallest(values, sizes, inside)
            return 1
        case {"type": kind, "name": str(name)} if kind in NAMED:
            return _defined(schema, name.rpartition(".")[2], sizes, inside)
        case {"type": inner}:
            return _smallest(inner, sizes, inside)
    raise Refused("bad-schema", f"{quoted(schema)} is no type")


def _defined(
    schema: Mapping[str, Any], name: str, sizes: dict[str, int], inside: tuple[str, ...]
) -> int:
    if schema["type"] == "fixed":
        size = min(1, int(schema["size"]))
    elif schema["type"] == "enum":
        size = 1
    else:
        fields = [_smallest(field["type"], sizes, (*inside, name)) for field in schema["fields"]]
        size = max(fields, default=0)
    sizes[name] = min(size, sizes.get(name, 1))
    return size
