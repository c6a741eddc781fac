"""Fluent Bit's out_kafka in JSON: log lines of whatever it tails, pods first of all.

    {"@timestamp":1572026149.0,"log":"...","stream":"stdout","kubernetes":{"pod_name":"..."}}

Its GELF is read too: there a level is syslog's number, and what is not GELF's own begins with _.

Source: Fluent Bit, plugins/out_kafka; filters kubernetes and tail; GELF 1.1 specification.
"""

from typing import Any

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.document import OBJECTS, read_documents
from streams.formats.log_document import Shape, line
from streams.formats.record import Record
from streams.formats.syslog import SEVERITIES

SHAPE = Shape(
    name="fluentbit",
    text=("log", "message", "msg", "MESSAGE", "short_message"),
    time=("@timestamp", "timestamp", "time", "date", "ts"),
    labels=("stream", "source", "tag", "host", "container_name", "_SYSTEMD_UNIT"),
)


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return read_documents(batch, reading, OBJECTS, _line, space=SHAPE.name)


def _line(record: Record, document: Any) -> None:
    if isinstance(document, dict) and "short_message" in document:
        document = _plain(document)
    line(record, document, SHAPE)


def _plain(gelf: dict[str, Any]) -> dict[str, Any]:
    """GELF under the names that the other objects have."""
    own = {name.removeprefix("_"): value for name, value in gelf.items()} | gelf
    level = own.get("level")
    if type(level) is int and 0 <= level < len(SEVERITIES):
        own["level"] = SEVERITIES[level]
    return own
