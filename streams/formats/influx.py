"""InfluxDB line protocol, as Telegraf writes it by default.

    cpu,cpu=cpu0,host=web1 usage_active=31.2,usage_idle=68.7 1568760922000000000

Each numeric field is a sample of `measurement_field` (of `measurement` for a field called
`value`); true is 1, text is counted and left out. Metrics that Telegraf has scraped are all of a
measurement `prometheus`, and keep their own names. A line without a time has its record's time
of arrival. Text may hold newlines, so that a line may be several; a backslash escapes nothing
there but a quote and itself, and in names and tags neither of the two.

Source: InfluxDB line protocol reference; Telegraf, plugins/serializers.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.limits import Refused, quoted
from streams.formats.record import Record, decoded, read_each
from streams.formats.times import CLOCKS, Clock
from streams.formats.verdict import number, too_many

TRUE, FALSE = {"t", "T", "true", "True", "TRUE"}, {"f", "F", "false", "False", "FALSE"}
INTEGER = re.compile(r"-?\d{1,20}[iu]")
ESCAPED = re.compile(r"\\([,= ])")
SCRAPED = "prometheus"  # measurement of Telegraf's Prometheus input, whose fields are full names
# A line of a record with text in it: what names the series, then fields, whose text may go on
LINE = re.compile(
    rb'(?:[^\n\\ ]|\\[^\n])*+(?:[^\n"]|(?<==)"(?:[^"\\]|\\.)*+"|")*+',
    re.DOTALL,
)


def parse(batch: Batch, reading: Reading, unit: str = "") -> Parsed:
    """Read a batch of records; `unit` of their times, empty: told by magnitude."""
    clock = CLOCKS[unit]

    def record(found: Record, raw: bytes) -> None:
        found.each(_lines(found, raw), lambda each, line: _line(each, line, clock))

    return read_each(batch, reading, record, space="influx", times=clock.read)


def _lines(record: Record, raw: bytes) -> Iterable[Any]:
    """The record's lines as text; in place of a bad one its fault. Raises Refused."""
    if b'"' not in raw:
        return record.lines(raw)
    too_many(raw.count(b"\n"), record.limits.elements)
    return map(decoded, filter(bytes.strip, LINE.findall(raw)))


def series_name(measurement: str, field: str) -> str:
    """What a field's samples are called."""
    if measurement == SCRAPED:
        return field
    return measurement if field == "value" else f"{measurement}_{field}"


def _line(record: Record, line: str, clock: Clock) -> None:
    line = line.strip()
    if line.startswith("#"):
        record.skip("comment")
        return
    plain = "\\" not in line and '"' not in line
    parts = line.split(" ") if plain else _parts(line)
    if len(parts) not in {2, 3} or not all(parts):
        raise Refused("bad-line", f"{len(parts)} parts, not measurement, fields and a time")
    head = parts[0]
    at = _time(parts[2]) if len(parts) > 2 else clock.of(record.arrived)  # noqa: PLR2004 - as above
    for pair in parts[1].split(",") if plain else _split(parts[1], ","):
        field, equals, given = pair.partition("=") if plain else _halves(pair)
        if not (field and equals and given):
            raise Refused("bad-line", f"{quoted(pair)} is no field")
        value = _value(given)
        if value is None:
            record.skip("text-field")
            continue
        key = (head, field)
        record.sample(key, _metric(head, field), lambda: _tags(head), at, value)


def _metric(head: str, field: str) -> str:
    return series_name(_unescaped(next(_split(head, ",", quotes=False))), _unescaped(field))


def _time(given: str) -> int:
    if not (given.removeprefix("-").isdecimal() and given.isascii()):
        raise Refused("bad-time", f"{quoted(given)} is no time")
    return int(given[:40])  # longer is as absurd as that


def _value(given: str) -> float | None:
    """A field's value, None for text. Raises Refused."""
    if given[0] == '"':
        if len(given) < 2 or given[-1] != '"':  # noqa: PLR2004 - two quotes
            raise Refused("bad-line", "text that does not end")
        return None
    if given in TRUE or given in FALSE:
        return 1.0 if given in TRUE else 0.0
    return number(given[:-1] if INTEGER.fullmatch(given) else given)


def _tags(head: str) -> dict[str, str]:
    """The tags of a line's first part. Raises Refused."""
    tags: dict[str, str] = {}
    for pair in list(_split(head, ",", quotes=False))[1:]:
        name, equals, value = _halves(pair)
        if not (name and equals and value) or _unescaped(name) in tags:
            raise Refused("bad-line", f"{quoted(pair)} is no tag, or there twice")
        tags[_unescaped(name)] = _unescaped(value)
    return tags


def _parts(line: str) -> list[str]:
    """What names the series, where a quote is a letter as any other; then the rest of a line."""
    head = next(_split(line, " ", quotes=False))
    rest = line[len(head) + 1 :]
    return [head, *_split(rest, " ")] if len(head) < len(line) else [head]


def _split(text: str, separator: str, *, quotes: bool = True) -> Iterator[str]:
    """The parts of a text, at separators that are neither escaped nor quoted."""
    start = at = 0
    quoted = False
    while at < len(text):
        letter = text[at]
        if letter == "\\":
            at += 1
        elif quotes and letter == '"' and (quoted or text[at - 1 : at] == "="):
            quoted = not quoted
        elif letter == separator and not quoted:
            yield text[start:at]
            start = at + 1
        at += 1
    yield text[start:]


def _halves(pair: str) -> tuple[str, bool, str]:
    """What is before and after the first separator that is not escaped."""
    name = next(_split(pair, "=", quotes=False))
    return name, len(name) < len(pair), pair[len(name) + 1 :]


def _unescaped(text: str) -> str:
    return ESCAPED.sub(r"\1", text) if "\\" in text else text
