"""Graphite's plain text: `path value time`, in newer ones with tags behind the path.

    servers.web1.load.shortterm 0.31 1517512718
    requests.count;service=checkout;region=eu 17 1517512718

A path names no service, so the topic's settings do, or a tag. A time of -1 or N is now. Nor does
a path say that a value is a total: collectd's write_kafka sends its counters so, unless
`StoreRates true` is set for the topic. An empty record is what Telegraf makes of a metric that is
only text, and is left out.

Source: Graphite documentation, "Feeding in your data"; carbon, "Metric tags".
"""

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.limits import Refused, quoted
from streams.formats.record import Record, read_each
from streams.formats.verdict import instant, number

NOW = {"-1", "N"}


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""

    def record(found: Record, raw: bytes) -> None:
        found.each(found.lines(raw), _line)

    return read_each(batch, reading, record, space="graphite", empty="empty")


def _line(record: Record, line: str) -> None:
    parts = line.split()
    if len(parts) != 3:  # noqa: PLR2004 - path, value, time
        raise Refused("bad-line", f"{len(parts)} words, not path, value and time")
    path, value, time = parts
    at = record.arrived if time in NOW else instant(time)
    record.sample(path, path.partition(";")[0], lambda: _tags(path), at, number(value))


def _tags(path: str) -> dict[str, str]:
    tags: dict[str, str] = {}
    for pair in path.split(";")[1:]:
        name, equals, value = pair.partition("=")
        if not (name and equals and value) or name in tags:
            raise Refused("bad-line", f"{quoted(pair)} is no tag, or there twice")
        tags[name] = value
    return tags
