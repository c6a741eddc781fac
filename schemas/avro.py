"""Control events on the wire: Avro's JSON encoding, so that any Kafka client can read them.

The header `schema` names the writer's schema ("incident/1"). Every version that was ever
written is kept in `schemas/avsc/<subject>/<n>.avsc`; a reader resolves the writer's version
to its own, as Avro does it, so an old message is read for as long as the schemas are
compatible. `python -m schemas.avro check` compares the models with the committed schemas
and every old version with the newest; `write` adds a version where a model has changed.

Source: Apache Avro 1.12 specification, "JSON Encoding" and "Schema Resolution".
"""

import io
import json
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
import fastavro.utils
from pydantic import ValidationError

from schemas.avro_json import Coding, Unread, coding
from schemas.errors import Rejected
from schemas.event import Event
from schemas.topics import BY_EVENT

HEADER = "schema"
FOLDER = Path(__file__).parent / "avsc"
EVENTS: dict[str, type[Event]] = {event.SUBJECT: event for event in BY_EVENT}


def derived(event: type[Event]) -> dict[str, Any]:
    """The Avro schema of an event's model."""
    return json.loads(json.dumps(event.avro_schema_to_python()))  # type: ignore[no-any-return]


def versions(subject: str) -> list[int]:
    """The committed versions of a subject, ascending."""
    return sorted(int(path.stem) for path in (FOLDER / subject).glob("*.avsc"))


@cache
def committed(subject: str, version: int) -> dict[str, Any]:
    """A committed schema, as JSON. Raises Rejected for one that does not exist."""
    path = FOLDER / subject / f"{version}.avsc"
    if not path.is_file():
        raise Rejected(f"unknown schema {subject}/{version}: this reader is older than the writer")
    return json.loads(path.read_text())  # type: ignore[no-any-return]


@cache
def _parsed(subject: str, version: int) -> Any:
    return fastavro.parse_schema(committed(subject, version))


@cache
def _coding(subject: str, version: int) -> Coding:
    return coding(committed(subject, version))


def encode(event: Event) -> tuple[bytes, dict[str, str]]:
    """An event as the record's value and headers."""
    subject = event.SUBJECT
    newest = versions_of(subject)[-1]
    write = _coding(subject, newest).write
    fields = event.model_dump()
    text = json.dumps(write(fields) if write else fields)
    return text.encode(), {HEADER: f"{subject}/{newest}"}


def decode(value: bytes, schema: str) -> Event:
    """The event in a record's value; `schema` is its header.

    Raises Rejected, with the rule that was broken, for anything that is not that event.
    """
    subject, _, number = schema.partition("/")
    if subject not in EVENTS or not number.isdigit():
        raise Rejected(f"unknown schema {schema!r}; known: {', '.join(sorted(EVENTS))}")
    writer, newest = int(number), versions_of(subject)[-1]
    committed(subject, writer)
    fields = _read(value, subject, newest) if writer == newest else None
    return _event(fields or _resolved(value, subject, writer, newest), schema)


def _read(value: bytes, subject: str, version: int) -> Any:
    """The fields as `encode` wrote them; None for anything else, which is read the long way."""
    read = _coding(subject, version).read
    try:
        record = json.loads(value.decode())
        return read(record) if read else record
    except (ValueError, RecursionError, Unread):
        return None


def _resolved(value: bytes, subject: str, writer: int, newest: int) -> Any:
    """The fields in the newest schema's form, whoever wrote them. Raises Rejected."""
    schema = f"{subject}/{writer}"
    reader = None if writer == newest else _parsed(subject, newest)
    try:
        records: list[Any] = list(
            fastavro.json_reader(
                io.StringIO(value.decode()), _parsed(subject, writer), reader_schema=reader
            )
        )
    except RecursionError as error:
        raise Rejected(f"not {schema}: nested too deeply") from error
    except Exception as error:  # fastavro raises whatever its decoder trips over
        raise Rejected(f"not {schema}: {type(error).__name__}: {error}"[:500]) from error
    if len(records) != 1:
        raise Rejected(f"not {schema}: {len(records)} records in one message")
    return records[0]


def _event(fields: Any, schema: str) -> Event:
    try:
        return EVENTS[schema.partition("/")[0]].model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Rejected(f"not {schema}: {where}: {first['msg']}") from error


@cache
def versions_of(subject: str) -> tuple[int, ...]:
    """`versions`, remembered; at least one, or the installation is broken."""
    found = tuple(versions(subject))
    if not found:
        raise Rejected(f"no schema committed for {subject}: run `make schemas`")
    return found


def drift() -> list[str]:
    """What differs between models and committed schemas, one line each."""
    problems = []
    for subject, event in sorted(EVENTS.items()):
        numbers = versions(subject)
        if not numbers or committed(subject, numbers[-1]) != derived(event):
            problems.append(f"{subject}: the model differs from schemas/avsc: run `make schemas`")
        problems += [
            f"{subject}/{old}: not readable by {subject}/{numbers[-1]}: {error}"
            for old in numbers[:-1]
            if (error := incompatibility(committed(subject, old), committed(subject, numbers[-1])))
        ]
    return problems


def incompatibility(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Why records of `old` cannot be read with `new`; empty when they can."""
    parsed = fastavro.parse_schema(old)
    written = io.StringIO()
    fastavro.json_writer(written, parsed, fastavro.utils.generate_many(parsed, 20))
    written.seek(0)
    try:
        list(fastavro.json_reader(written, parsed, reader_schema=fastavro.parse_schema(new)))
    except Exception as error:  # noqa: BLE001 - whatever resolution trips over is the answer
        return f"{type(error).__name__}: {error}"
    return ""


def write() -> list[Path]:
    """Add a version for every model that differs from its newest committed schema."""
    added = []
    for subject, event in sorted(EVENTS.items()):
        numbers = versions(subject)
        if numbers and committed(subject, numbers[-1]) == derived(event):
            continue
        path = FOLDER / subject / f"{(numbers[-1] if numbers else 0) + 1}.avsc"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(derived(event), indent=1) + "\n")
        added.append(path)
    return added


def main(arguments: Iterable[str]) -> int:
    """`check` (exit 1 on drift) or `write`."""
    match list(arguments):
        case ["write"]:
            sys.stdout.writelines(f"{path}\n" for path in write())
            return 0
        case ["check"]:
            problems = drift()
            sys.stdout.writelines(f"{line}\n" for line in problems)
            return 1 if problems else 0
    sys.stderr.write("usage: python -m schemas.avro check|write\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
