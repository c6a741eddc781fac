"""Prometheus' text exposition and OpenMetrics, a sample a line.

A sample without a time has its record's time of arrival; comments say nothing that we need
and are passed over; exemplars are counted and left out. Histograms and summaries are series
already.

Source: Prometheus, "Exposition formats"; OpenMetrics 1.0.
"""

import re
from typing import Any

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.limits import Refused, quoted
from streams.formats.placeholders import FEWEST, MOST, Given, placeholders
from streams.formats.record import Record, read_each
from streams.formats.verdict import instant, number

QUOTED = r'"(?:[^"\\]|\\.)*"'
SAMPLE = re.compile(
    r"([^\s{\"#]*(?:\{(?:[^\"{}]|" + QUOTED + r")*\})?)"  # name and labels
    r"[ \t]+(\S+)"  # value
    r"(?:[ \t]+([^\s#]+))?"  # time
    r"[ \t]*(#.*)?"  # exemplar
)
PAIR = re.compile(r"\s*(" + QUOTED + r"|[a-zA-Z_:][\w:.]*)\s*(?:=\s*(" + QUOTED + r"))?\s*(?:,|$)")
ESCAPE = re.compile(r"\\(.)")


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return read_each(batch, reading, _record, space="openmetrics", empty="empty")


def _record(record: Record, raw: bytes) -> None:
    said = [line for line in record.lines(raw) if not isinstance(line, str) or _says(line)]
    if not said:
        raise Refused("empty", "nothing but comments")
    if FEWEST <= len(said) <= MOST and b"_count" in raw and (gone := _filled_in(said)):
        record.skip("placeholder", len(gone))
        said = [line for place, line in enumerate(said) if place not in gone]
    record.each(said, _line)


def _filled_in(lines: list[Any]) -> list[int]:
    """Which of a record's lines have zeros that stand for nothing."""
    try:
        return placeholders([_given(*_read(line)) for line in lines if isinstance(line, str)])
    except Refused:  # said of the line where it is read
        return []


def _given(head: str, value: str, time: str | None, _: str | None) -> Given:
    return Given(*_series(head), time, number(value))


def _says(line: str) -> bool:
    return not line.lstrip().startswith("#")


def _read(line: str) -> tuple[str, str, str | None, str | None]:
    """A line's name with labels, value, time and exemplar. Raises Refused."""
    found = SAMPLE.fullmatch(line.strip())
    if not found:
        raise Refused("bad-line", f"{quoted(line)} is no sample")
    return found[1], found[2], found[3], found[4]


def _line(record: Record, line: str) -> None:
    head, value, time, exemplar = _read(line)
    at = record.arrived if time is None else instant(time)
    name = head.partition("{")[0] or _series(head)[0]
    record.sample(head, name, lambda: _series(head)[1], at, number(value))
    if exemplar:
        record.skip("exemplar")


def _series(head: str) -> tuple[str, dict[str, str]]:
    """Name and labels of a series. Raises Refused."""
    name, _, inside = head.partition("{")
    labels: dict[str, str] = {}
    inside = inside.removesuffix("}").strip()
    at = 0
    while at < len(inside):
        pair = PAIR.match(inside, at)
        if not pair:
            raise Refused("bad-label", f"{quoted(inside[at:])} is no label")
        key = _unquoted(pair[1])
        if pair[2] is None:  # a name that needs quotes stands among the labels
            if name:
                raise Refused("bad-label", f"label {quoted(key)} has no value")
            name = key
        elif key in labels:
            raise Refused("bad-label", f"label {quoted(key)} is there twice")
        else:
            labels[key] = _unquoted(pair[2])
        at = pair.end()
    return name, labels


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    return ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], text[1:-1])
