"""Fluent Bit's out_kafka in JSON: log lines of whatever it tails, pods first of all.

    {"@timestamp":1572026149.0,"log":"...","stream":"stdout","kubernetes":{"pod_name":"..."}}

Source: Fluent Bit, plugins/out_kafka; filters kubernetes and tail.
"""

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.log_document import Shape, read_lines

SHAPE = Shape(
    name="fluentbit",
    text=("log", "message", "msg", "MESSAGE", "short_message"),
    time=("@timestamp", "timestamp", "time", "date", "ts"),
    labels=("stream", "source", "tag", "host", "container_name", "_SYSTEMD_UNIT"),
)


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return read_lines(batch, reading, SHAPE)
