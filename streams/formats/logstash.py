"""Logstash events, and what log libraries write in its layout: log lines.

    {"@timestamp":"2026-01-02T03:04:05.678Z","@version":"1","message":"...","host":"web1"}

Source: Logstash, output kafka with codec json; logstash-logback-encoder.
"""

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.log_document import Shape, read_lines

SHAPE = Shape(
    name="logstash",
    text=("message", "event.original"),
    time=("@timestamp",),
    labels=("type", "path", "logger_name", "host", "host.name", "log.file.path", "environment"),
)


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return read_lines(batch, reading, SHAPE)
