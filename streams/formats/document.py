"""JSON in a record: one document, a list of them, or several separated by newlines."""

from collections.abc import Callable, Hashable, Iterator
from typing import Any

import msgspec

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.limits import Limits, Refused
from streams.formats.record import Record, read_each
from streams.formats.verdict import too_many

DEEPEST = 16  # levels of an object whose fields become names; no producer's go beyond six


class Documents:
    """Decoders of one document of a kind (a type, or Any) and of lists of it."""

    def __init__(self, kind: Any) -> None:
        self.one: Callable[[Any], Any] = msgspec.json.Decoder(kind).decode
        self._many: Callable[[Any], Any] = msgspec.json.Decoder(list[kind]).decode
        self._parts: Callable[[Any], list[Any]] = msgspec.json.Decoder(list[msgspec.Raw]).decode

    def each(self, raw: bytes, limits: Limits) -> Iterator[Any]:
        """The documents of a list or of lines; in place of one that is none, its error.

        Raises ValueError, RecursionError or Refused for what can not even be taken apart.
        """
        text = raw.strip()
        if not text:
            raise Refused("empty", "the record is empty")
        if text.startswith(b"["):
            yield from self._list(text, limits)
            return
        try:
            document = self.one(text)
        except (ValueError, RecursionError) as error:  # the first line's, if there are several
            if b"\n" not in text or (isinstance(error, msgspec.ValidationError) and _one(text)):
                raise
        else:
            yield document
            return
        lines = [line for line in text.split(b"\n") if line.strip()]
        too_many(len(lines), limits.elements)
        yield from map(self.decoded, lines)

    def _list(self, text: bytes, limits: Limits) -> Iterator[Any]:
        try:
            found: list[Any] = self._many(text)
        except msgspec.ValidationError:
            parts = self._parts(text)
            too_many(len(parts), limits.elements)
            yield from map(self.decoded, parts)
            return
        too_many(len(found), limits.elements)
        if not found:
            raise Refused("empty", "the list is empty")
        yield from found

    def decoded(self, part: Any) -> Any:
        """One document, or why it is none."""
        try:
            return self.one(part)
        except (ValueError, RecursionError) as error:
            return error


OBJECTS = Documents(dict)


def read_documents(
    batch: Batch,
    reading: Reading,
    documents: Documents,
    read: Callable[[Record, Any], None],
    *,
    space: Hashable,
) -> Parsed:
    """Read a batch of records that hold documents, each of these with `read`."""

    def record(found: Record, raw: bytes) -> None:
        found.each(documents.each(raw, found.limits), read)

    return read_each(batch, reading, record, space=space)


def text_of(value: Any) -> str:
    """A label's value as text, as JSON would write it.

    >>> text_of(True), text_of(7), text_of(["a", 1])
    ('true', '7', '["a",1]')
    """
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def at_path(document: Any, path: str) -> Any:
    """What is at a dotted path, be its name written with dots or nested; None for nothing.

    >>> at_path({"host": {"name": "h1"}}, "host.name"), at_path({"log.level": "warn"}, "log.level")
    ('h1', 'warn')
    """
    if not isinstance(document, dict):
        return None
    if path in document:
        return document[path]
    head, dot, rest = path.partition(".")
    return at_path(document.get(head), rest) if dot else None


def leaves(document: Any, prefix: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Dotted names and scalar values below an object; lists count as scalars. Raises Refused."""
    if not isinstance(document, dict):
        yield prefix, document
        return
    if depth > DEEPEST:
        raise Refused("too-deep", f"fields nested over {DEEPEST} deep")
    for name, value in document.items():
        yield from leaves(value, f"{prefix}.{name}" if prefix else name, depth + 1)


def _one(text: bytes) -> bool:
    """Whether this is one document, over however many lines."""
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (ValueError, RecursionError):
        return False
    return True
