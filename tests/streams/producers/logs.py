"""What is logged through real shippers, and what came of it."""

import socket
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from schemas.frames import canonical, read_lines
from schemas.topics import LOGLINES
from streams.connection import KafkaSettings
from tests.streams.kafka_world import records

FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", *(f"local{i}" for i in range(8)),
)  # fmt: skip
SEVERITIES = (
    "critical", "critical", "critical", "error", "warning", "notice", "info", "debug",
)  # fmt: skip
JST = timezone(timedelta(hours=9))  # the zone that producers of these tests run in
FILE_LINES = 1200
ODD = (
    'café "quoted" back\\slash',
    "tab\there, and a brace {not json}",
    "\tat com.shop.Pay.refuse(Pay.java:42)",
    "  at shop/pay.py, line 7",
    "<3> looks like a priority, 12:30:45 like a time",
    "x" * 2000,
    "日本語 🧨",
)


class Taken(NamedTuple):
    """A log line as intake wrote it, its time apart."""

    service: str
    severity: str
    text: str
    labels: str


def taken(kafka: KafkaSettings) -> list[tuple[Taken, int]]:
    """All log lines, each with its time in epoch ms."""
    found: list[tuple[Taken, int]] = []
    for message in records(kafka, LOGLINES):
        frame = read_lines(message.value())
        lines = map(Taken, frame.service, frame.severity, frame.text, frame.labels)
        found += zip(lines, frame.at.tolist(), strict=True)
    return found


class Said(NamedTuple):
    """A syslog message with what must be known of it afterwards."""

    wire: str
    app: str
    at: int
    facility: str
    severity: str
    text: str
    new: bool  # RFC 5424, with structured data


def messages(now: datetime) -> list[Said]:
    """One of every facility and severity, of the old and of the new RFC in turn, an hour old.

    The old one's time is that of the shipper's zone and has neither year nor zone.
    """
    said = []
    for priority in range(8 * len(FACILITIES)):
        when = (now - timedelta(minutes=60, seconds=priority)).replace(microsecond=123_000)
        new, text = bool(priority % 2), f"message {priority} of all"
        if new:
            head = f"1 {when.isoformat(timespec='milliseconds')} db2 payments 77 ID47"
            wire = f'<{priority}>{head} [shop@1 region="eu"] {text}'
        else:
            when = when.astimezone(JST).replace(microsecond=0)
            wire = f"<{priority}>{when:%b} {when.day:2} {when:%H:%M:%S} db2 postgres[77]: {text}"
        facility, level = divmod(priority, 8)
        at = round(when.timestamp() * 1000)
        app = "payments" if new else "postgres"
        said.append(Said(wire, app, at, FACILITIES[facility], SEVERITIES[level], text, new))
    return said


def write(path: Path) -> list[str]:
    """A log file of FILE_LINES lines; its lines."""
    lines = [f"order {i} is placed" for i in range(FILE_LINES)]
    for i in range(0, FILE_LINES, 3):
        lines[i] = f"ERROR order {i} is refused"
    lines[100 : 100 + len(ODD)] = ODD
    path.write_text("".join(f"{line}\n" for line in lines))
    return lines


def say(port: int, lines: Sequence[str]) -> None:
    """Send lines to a TCP port of this machine, as one client."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as link:
        link.sendall("".join(f"{line}\n" for line in lines).encode())


def labelled(**labels: str) -> str:
    """Labels of a log line as a frame has them."""
    return canonical("", labels)


def same(found: Iterable[Taken], wanted: Iterable[Taken]) -> None:
    """Fail with some of what is missing and of what is too much: all of it would say less."""
    have, want = Counter(found), Counter(wanted)
    missing, added = list((want - have).elements()), list((have - want).elements())
    told = f"{len(missing)} missing: {missing[::200]}, {len(added)} unexpected: {added[::200]}"
    assert have == want, told
