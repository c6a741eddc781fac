"""What the lines of a text record say of who wrote them.

A format speaks for a record only when all of its lines have the format's shape; plain text
comes last, because every line is plain text.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from streams.connect.clues import FITS, MARKED, PARSES, Clue
from streams.formats.cri import LINE as CRI
from streams.formats.severity import stated
from streams.formats.syslog import MOST_PRIORITY, PRIORITY, YEARLESS

MOST_LINES = 200  # of a record; the others are like them
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"
SYSLOG = re.compile(rf"<\d{{1,3}}>(?:1 (?:-|{DATE}) \S+ \S+ \S+ |(?:{YEARLESS}|{DATE}) \S+ )")
FILED = re.compile(
    rf"(?:{YEARLESS}|{DATE}) (?P<host>[\w.:-]+) (?P<tag>[\w./()-]+)"
    r"(?:: |(?P<pid>\[\d+\]):? )"
)
PUTVAL = re.compile(r'PUTVAL\s+("[^"]+"|[^\s/]+/[^\s/]+/[^\s/]+)\s')
GRAPHITE = re.compile(
    rf"(?P<path>[\w.:%*+-]+)(?P<tags>(?:;[^;=\s]+=[^;\s]+)*)"
    rf" (?:{NUMBER}|nan) (?:\d{{9,10}}(?:\.\d+)?|-1|N)",
    re.IGNORECASE,
)
TAG = r"(?:\\.|[^\s,=\\])+=(?:\\.|[^\s,=\\])+"
TRUTH = "t|T|true|True|TRUE|f|F|false|False|FALSE"
FIELD = rf'(?:\\.|[^\s,=\\"])+=(?:{NUMBER}[iu]?|{TRUTH}|"(?:\\.|[^"\\])*")'
INFLUX = re.compile(
    rf"(?:\\.|[^\s,=\\#])+(?P<tags>(?:,{TAG})*) {FIELD}(?:,{FIELD})*(?: (?P<time>-?\d{{9,20}}))?"
)
METRIC = re.compile(
    rf"(?:[a-zA-Z_:][\w:]*(?P<labels>\{{.*\}})?|(?P<quoted>\{{\".*\}}))"
    rf"[ \t]+(?:{NUMBER}|[+-]?Inf|NaN)(?:[ \t]+-?\d+(?:\.\d+)?)?(?:[ \t]+#.*)?"
)
COMMENT = re.compile(r"# (?:TYPE|HELP|UNIT) \S+.*|# EOF")
DATED = re.compile(
    r"\W?(?:\d{4}[-/]\d\d[-/]\d\d|[A-Z][a-z]{2} [ \d]\d \d\d:|\d\d/[A-Z][a-z]{2}/\d{4})"
)
ACCESS = re.compile(r"\S+ \S+ \S+ \[\d\d/[A-Z][a-z]{2}/\d{4}:")  # as web servers log requests
LEVELS = {
    "trace",
    "debug",
    "info",
    "notice",
    "warn",
    "warning",
    "error",
    "err",
    "fatal",
    "critical",
}
NO_LINE = "are text, though not of a log line's look"
LEAST_WORDS = 3  # of a line that has neither a date nor a level
MARKUP = ("{", "[{", '["', '"', "<")
TABLE = re.compile(r"[^\s,;|]*(?:[,;|\t][^\s,;|]*){2,}")  # a row of values, not a sentence


class Lines(NamedTuple):
    """A record's lines that say something."""

    all: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "Lines":
        """The first lines of a record."""
        said = (line.strip("\r") for line in text.split("\n"))
        return cls(tuple(line for line in said if line.strip())[:MOST_LINES])


def clues_of(text: str) -> Iterator[Clue]:
    """What speaks for each format in a text."""
    lines = Lines.of(text).all
    if not lines:
        return
    found = [clue for read in READERS if (clue := read(lines))]
    yield from found
    best = max((clue.strength for clue in found), default=0)
    if best < MARKED:
        yield _text(lines, best)


def _text(lines: tuple[str, ...], best: int) -> Clue:
    first = lines[0]
    if first.startswith(MARKUP) or TABLE.fullmatch(first) or best == PARSES:
        return Clue("text", PARSES, NO_LINE)
    words = [word for word in first.split() if any(letter.isalpha() for letter in word)]
    told = DATED.match(first) or ACCESS.match(first) or stated(first)
    if len(words) >= (LEAST_WORDS if not told else 2):
        return Clue("text", FITS, "are lines of text, without the shape of any other format")
    return Clue("text", PARSES, NO_LINE)


def _syslog(lines: tuple[str, ...]) -> Clue | None:
    found = PRIORITY.match(lines[0])
    if not found or int(found[1]) > MOST_PRIORITY or not SYSLOG.match(lines[0]):
        return None
    return Clue("syslog", MARKED, "begin with a syslog priority, time and host")


def _filed(lines: tuple[str, ...]) -> Clue | None:
    """What rsyslog and syslog-ng write to files and, by default, to Kafka; both read alike."""
    found = FILED.match(lines[0])
    if not found or found["host"].strip("[]:").lower() in LEVELS:
        return None
    if found["pid"] or found["tag"] == "kernel":
        return Clue("rsyslog", MARKED, "begin with time, host and program[pid]: a syslog daemon's")
    return Clue("rsyslog", FITS, "begin with time, host and a word with a colon")


def _putval(lines: tuple[str, ...]) -> Clue | None:
    if not all(PUTVAL.match(line) for line in lines):
        return None
    return Clue("collectd-command", MARKED, "are PUTVAL host/plugin/type: collectd's commands")


def _cri(lines: tuple[str, ...]) -> Clue | None:
    if not all(CRI.fullmatch(line) for line in lines):
        return None
    return Clue("cri", MARKED, "have time, stdout or stderr, and F or P: containers' logs (CRI)")


def _graphite(lines: tuple[str, ...]) -> Clue | None:
    found = [GRAPHITE.fullmatch(line.strip()) for line in lines]
    if not all(found):
        return None
    dotted = all(each and ("." in each["path"] or each["tags"]) for each in found)
    why = "are a dotted path, a value and a time in seconds: Graphite's lines"
    return (
        Clue("graphite", MARKED, why)
        if dotted
        else Clue("graphite", FITS, "are name, value and time")
    )


def _influx(lines: tuple[str, ...]) -> Clue | None:
    said = [line.strip() for line in lines if not line.startswith("#")]
    found = [INFLUX.fullmatch(line) for line in said]
    if not found or not all(found):
        return None
    if any(each and each["time"] for each in found):
        return Clue("influx", MARKED, "are measurement, field=value and a time: InfluxDB lines")
    if all(each and each["tags"] for each in found):
        return Clue("influx", MARKED, "are measurement,tag=x field=value: InfluxDB lines")
    return Clue("influx", PARSES, "are a word and field=value")


def _openmetrics(lines: tuple[str, ...]) -> Clue | None:
    comments = [line for line in lines if COMMENT.fullmatch(line.strip())]
    rest = [line.strip() for line in lines if not line.startswith("#")]
    found = [METRIC.fullmatch(line) for line in rest]
    if not found or not all(found):
        return None
    if comments or any(each and (each["labels"] or each["quoted"]) for each in found):
        why = "have name{label=...} value, or # TYPE: Prometheus' text"
        return Clue("openmetrics", MARKED, why)
    return Clue("openmetrics", FITS, "are a name and a value")


READERS = (_syslog, _filed, _putval, _cri, _graphite, _influx, _openmetrics)
