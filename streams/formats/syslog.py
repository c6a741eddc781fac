"""Syslog as it is on the wire, RFC 5424 and RFC 3164; and what its other formats share.

    <165>1 2026-01-02T03:04:05.678Z web1 payments 4711 ID47 [x@1 key="v"] refused
    <34>Oct 11 22:14:15 web1 su[12]: 'su root' failed

The program becomes the label `app`, structured data become labels. A line that begins no
message goes on with the one before it. Times without a year are in the year that puts them
nearest to their record's arrival, so that the turn of the year costs nothing; an hour that the
clocks show twice in autumn is the one nearest to it, too.

Source: RFC 5424, RFC 3164.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.epoch import MILLIS, SECONDS
from streams.formats.limits import Refused, quoted
from streams.formats.record import Record, read_each
from streams.formats.severity import stated
from streams.formats.times import one

SEVERITIES = (
    "critical", "critical", "critical", "error", "warning", "notice", "info", "debug",
)  # fmt: skip
FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", *(f"local{i}" for i in range(8)),
)  # fmt: skip
PRIORITY = re.compile(r"<(\d{1,3})>")
MOST_PRIORITY = 191
# RFC 5424's own structured data that tell of the message, its number even, not of who said it
OF_THE_MESSAGE = {"meta", "timeQuality"}
NEW = re.compile(r"1 (\S+) (\S+) (\S+) (\S+) (\S+) ")
ELEMENT = re.compile(r'\[([^ =\]"]+)((?: [^ =\]"]+="(?:[^"\\\]]|\\.)*")*)\]')
PARAMETER = re.compile(r'([^ =\]"]+)="((?:[^"\\\]]|\\.)*)"')
YEARLESS = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,6})?"
STAMP = re.compile(r"(" + YEARLESS + r"|\d{4}-\d\d-\d\dT\S+) (\S+) ")
OLD_DATE = re.compile(YEARLESS)
# Behind the number of a process the colon may be missing: rsyslog writes what came as RFC 5424 so
TAG = re.compile(r"([^\s:\[]{1,128})(?:(?:\[[^\]\s]*\])?: ?|\[\d+\] )")
NIL = "-"


class Message(NamedTuple):
    """A syslog message, taken apart."""

    at: int
    severity: str
    labels: tuple[tuple[str, str], ...]
    text: str


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return read_each(batch, reading, _record, space="syslog")


def _record(record: Record, raw: bytes) -> None:
    record.each(messages(record.lines(raw), PRIORITY), _message)


def messages(lines: Iterable[Any], begins: re.Pattern[str]) -> Iterator[Any]:
    """Messages of one line or several; a line that begins none belongs to the one before."""
    held: list[str] = []
    for line in lines:
        if isinstance(line, str) and held and not begins.match(line):
            held.append(line)
            continue
        if held:
            yield "\n".join(held)
        held = [line] if isinstance(line, str) else []
        if not held:
            yield line
    if held:
        yield "\n".join(held)


def _message(record: Record, line: str) -> None:
    found = PRIORITY.match(line)
    if not found or int(found[1]) > MOST_PRIORITY:
        raise Refused("bad-line", f"{quoted(line, 40)} does not begin with a priority")
    facility, level = divmod(int(found[1]), 8)
    rest = line[found.end() :]
    read = _new if rest.startswith("1 ") else plain
    message = read(rest, record)
    labels = (*message.labels, ("facility", FACILITIES[facility]))
    note(record, message._replace(severity=SEVERITIES[level], labels=labels))


def note(record: Record, message: Message) -> None:
    """Note a message as a log line. Raises Refused."""
    level = message.severity or stated(message.text)
    record.line(message.labels, lambda: dict(message.labels), message.at, level, message.text)


def _new(rest: str, record: Record) -> Message:
    """What follows the priority in RFC 5424."""
    found = NEW.match(rest + " ")
    if not found:
        raise Refused("bad-line", "not the header of RFC 5424")
    time, host, app, _, kind = found.groups()
    at = record.arrived if time == NIL else moment(time, record.arrived, record.limits.zone)
    labels = [("host", host), ("app", app), ("msgid", kind)]
    data = rest[found.end() :]
    if data == NIL or data.startswith(NIL + " "):
        data = data[2:]
    else:
        start = 0
        while element := ELEMENT.match(data, start):
            kind = element[1].replace("@", "_")  # an enterprise's number follows, no mail's domain
            labels += [
                (f"{kind}.{name}", re.sub(r"\\(.)", r"\1", value))
                for name, value in PARAMETER.findall(element[2])
                if kind not in OF_THE_MESSAGE
            ]
            start = element.end()
        if not start or data[start : start + 1] not in {"", " "}:
            raise Refused("bad-line", "not the structured data of RFC 5424")
        data = data[start + 1 :]
    kept = tuple((name, value) for name, value in dict(labels).items() if value != NIL)
    return Message(at, "", kept, data.removeprefix("\ufeff"))


def plain(rest: str, record: Record) -> Message:
    """Time, host, tag and text, as RFC 3164 and most files have them. Raises Refused."""
    found = STAMP.match(rest)
    if not found:
        raise Refused("bad-line", f"{quoted(rest, 40)} does not begin with time and host")
    at = moment(found[1], record.arrived, record.limits.zone)
    text = rest[found.end() :]
    labels = [("host", found[2])]
    if tag := TAG.match(text):
        labels.append(("app", tag[1]))
        text = text[tag.end() :]
    return Message(at, "", tuple(labels), text)


def moment(given: Any, near: int, zone: str) -> int:
    """A time with or without year and zone as epoch ms; `near` is epoch ms. Raises Refused."""
    if not isinstance(given, str):
        raise Refused("bad-time", "time missing" if given is None else f"time {quoted(given)}")
    try:
        at = _yearless(given, near, zone) if OLD_DATE.fullmatch(given) else one(given)
    except (ValueError, OverflowError) as error:
        raise Refused("bad-time", f"time {quoted(given)}: {error}") from error
    if not SECONDS <= at < MILLIS:  # as epoch ms it would be read in another unit
        raise Refused("bad-time", f"time {quoted(given)}: before 1973 or after 5138")
    return at


def _yearless(given: str, near: int, zone: str) -> int:
    now = datetime.fromtimestamp(near / 1000, UTC)
    form = "%Y %b %d %H:%M:%S.%f" if "." in given else "%Y %b %d %H:%M:%S"
    found = []
    for year in (now.year - 1, now.year, now.year + 1):
        try:
            local = datetime.strptime(f"{year} {given}", form)  # noqa: DTZ007 - below
        except ValueError:  # 29 February, in another year
            continue
        found += [local.replace(tzinfo=_zone(zone), fold=fold) for fold in (0, 1)]
    if not found:
        raise ValueError("no such day")
    nearest = min(found, key=lambda at: abs(at - now))
    return (nearest - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@lru_cache(maxsize=16)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
