"""How bad a log line says that it is, in one vocabulary: trace to critical, or empty."""

import re
from typing import Any

NAMES = {
    "trace": "trace", "finest": "trace", "verbose": "trace",
    "debug": "debug", "dbug": "debug", "fine": "debug",
    "info": "info", "information": "info", "informational": "info", "notice": "notice",
    "warn": "warning", "warning": "warning",
    "err": "error", "eror": "error", "error": "error", "severe": "error",
    "crit": "critical", "critical": "critical", "fatal": "critical", "panic": "critical",
    "alert": "critical", "emerg": "critical", "emergency": "critical",
}  # fmt: skip
WITHIN = 120  # characters from the start of a line where a level stands, if it has one
WORD = re.compile(
    r"(?<![\w.-])(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERR(?:OR)?|CRIT(?:ICAL)?|FATAL|PANIC)"
    r"(?![\w-])|(?<=level=)\w+|(?<=\[)(?:trace|debug|info|notice|warn|warning|error|crit|fatal)(?=\])"
)


def severity(given: Any) -> str:
    """A level's name as we write it; empty for none, a number or an unknown one.

    Numbers are left alone: 3 is an error for syslog, and for others hardly worth noting.

    >>> severity("WARN"), severity("Fatal"), severity(3)
    ('warning', 'critical', '')
    """
    return NAMES.get(given.strip().lower(), "") if isinstance(given, str) else ""


def stated(line: str) -> str:
    """The level that a line of plain text states near its start; empty for none.

    >>> stated("2026-01-02T03:04:05Z ERROR payment refused"), stated("no errors found")
    ('error', '')
    """
    found = WORD.search(line, 0, WITHIN)
    return severity(found[0]) if found else ""
