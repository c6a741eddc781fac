"""Filebeat's log lines and Metricbeat's metrics, as libbeat writes them to Kafka.

An event with a `metricset` is metrics: each number below the module's own object is a sample
under its dotted name (`system.cpu.total.pct`), each text there a label, because it says of
which process, disk or container the numbers are. Any other event is a log line.

Source: libbeat, outputs/codec/json; Metricbeat's event format.
"""

from collections.abc import Iterator
from typing import Any

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.document import OBJECTS, at_path, leaves, read_documents, text_of
from streams.formats.limits import Refused, quoted
from streams.formats.log_document import Shape, encode, line, origin
from streams.formats.record import Record

SHAPE = Shape(
    name="beats",
    text=("message", "event.original"),
    time=("@timestamp",),
    labels=("host.name", "log.file.path", "agent.type", "container.name", "fields.service"),
)
# What says of which thing the numbers are, though it stands beside the module's own object
THINGS = ("process.name", "container.name", "metricset.name", "service.address", "cloud.region")


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return read_documents(batch, reading, OBJECTS, _event, space=SHAPE.name)


def _event(record: Record, event: Any) -> None:
    if isinstance(event.get("metricset"), dict):
        _metrics(record, event)
    else:
        line(record, event, SHAPE)


def _metrics(record: Record, event: Any) -> None:
    at = event.get("@timestamp")
    found = list(_numbers_and_texts(event))
    own = {name: value for name, value in found if isinstance(value, str)}
    numbers = [(name, value) for name, value in found if not isinstance(value, str)]
    if not numbers:
        raise Refused("not-an-event", "a metricset without a number")
    key, shared = origin(event, SHAPE, record.limits.services)
    for path in THINGS:
        own[path] = text_of(at_path(event, path))
    spelled = (key, encode(own))
    for name, value in numbers:
        record.sample((spelled, name), name, lambda: {**shared(), **own}, at, float(value))


def _numbers_and_texts(event: Any) -> Iterator[tuple[str, Any]]:
    """What is below the object of the event's module; lists and truths are neither."""
    dataset = text_of(at_path(event, "event.dataset"))
    module = text_of(at_path(event, "event.module")) or dataset.partition(".")[0]
    own = event.get(module) if module else None
    if not isinstance(own, dict):
        raise Refused("not-an-event", f"no object of its module {quoted(module)}")
    for name, value in leaves(own, module):
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            yield name, value
