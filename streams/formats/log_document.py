"""Log lines that shippers write as JSON objects: where each has its text, time and origin.

Shippers agree on little but on having a text, a time, and somewhere a host or a pod. Only
what says where a line comes from becomes its labels; the rest of an object is what one event
said, and would make a label set of every line.
"""

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.document import OBJECTS, at_path, leaves, read_documents, text_of
from streams.formats.limits import Refused
from streams.formats.record import Record
from streams.formats.severity import severity, stated

KUBERNETES = (
    "kubernetes.namespace_name", "kubernetes.pod_name", "kubernetes.container_name",
    "kubernetes.host", "kubernetes.namespace", "kubernetes.pod.name", "kubernetes.container.name",
    "kubernetes.node.name", "kubernetes.pod_namespace",
)  # fmt: skip
POD_LABELS = ("kubernetes.labels", "kubernetes.pod_labels")
LEVELS = ("severity", "level", "log.level", "log_level", "loglevel", "levelname")
encode = msgspec.json.Encoder().encode


class Shape(NamedTuple):
    """Where a shipper's objects have what; dotted paths, the first that is there wins."""

    name: str
    text: tuple[str, ...]
    time: tuple[str, ...]
    labels: tuple[str, ...]  # beside what names a service or a pod
    level: tuple[str, ...] = LEVELS
    called: tuple[tuple[str, str], ...] = ()  # labels that are to have another name than the path's
    timeless: bool = False  # whether a line without a time has its record's time of arrival


def read_lines(batch: Batch, reading: Reading, shape: Shape) -> Parsed:
    """Read a batch of records whose every object is a log line."""

    def read(record: Record, document: Any) -> None:
        line(record, document, shape)

    return read_documents(batch, reading, OBJECTS, read, space=shape.name)


def line(record: Record, document: Any, shape: Shape, *, at: Any = None) -> None:
    """Note an object as a log line; `at` where its time is worked out already. Raises Refused."""
    if not isinstance(document, dict):
        raise Refused("not-an-event", "not an object")
    text = first(document, shape.text)
    if text is None:
        raise Refused("not-an-event", f"has no {' nor '.join(shape.text)}")
    said = text_of(text).strip("\r\n")
    if at is None:
        at = first(document, shape.time)
    if at is None and shape.timeless:
        at = record.arrived
    level = severity(first(document, shape.level)) or stated(said)
    key, labels = origin(document, shape, record.limits.services)
    record.line(key, labels, at, level, said)


def first(document: Any, paths: tuple[str, ...]) -> Any:
    """What is at the first of some paths that is there; None for nothing."""
    for path in paths:
        found = document.get(path)
        if found is None and "." in path:
            found = at_path(document, path)
        if found is not None:
            return found
    return None


def origin(
    document: Any, shape: Shape, services: tuple[str, ...]
) -> tuple[Hashable, Callable[[], dict[str, str]]]:
    """Where an object comes from: a key for it, and its labels when the key is new."""
    paths, trees = _paths(shape, services)
    found = tuple(_scalar(at_path(document, path)) for path, _ in paths)
    grown = tuple(at_path(document, path) for path in trees)
    key = (found, encode(grown) if any(grown) else b"")

    def labels() -> dict[str, str]:
        given = {
            name: text_of(value)
            for (_, name), value in zip(paths, found, strict=True)
            if value is not None
        }
        for path, tree in zip(trees, grown, strict=True):
            if isinstance(tree, dict):
                given |= {name: text_of(value) for name, value in leaves(tree, path)}
        return given

    return key, labels


@lru_cache(maxsize=100)
def _paths(
    shape: Shape, services: tuple[str, ...]
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Paths of single labels with their names, and of objects that are labels as they are."""
    called = dict(shape.called)
    inside = tuple(
        path for path in services if not path.startswith(tuple(f"{t}." for t in POD_LABELS))
    )
    single = dict.fromkeys((*called, *shape.labels, *KUBERNETES, *inside))
    return tuple((path, called.get(path, path)) for path in single), POD_LABELS


def _scalar(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else None
