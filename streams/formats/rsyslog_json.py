"""rsyslog's messages as JSON, as omkafka sends them: log lines.

The texts of StdJSONFmt and FullJSONFmt; a whole message (`%jsonmesg%`), which calls its text
`msg` and has severity and facility as numbers; and list templates with the usual names.

Source: rsyslog, runtime/rsconf.c, runtime/msg.c (msgGetJSONMESG), tools/smfile.c.
"""

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.document import OBJECTS, read_documents
from streams.formats.limits import Refused
from streams.formats.log_document import Shape, first, line
from streams.formats.record import Record
from streams.formats.syslog import FACILITIES, SEVERITIES

TEXT = ("message", "msg")
LEVEL = ("priority", "severity", "syslogseverity-text", "syslogseverity")
FACILITY = ("facility", "syslogfacility-text", "syslogfacility")
SHAPE = Shape(
    name="rsyslog-json",
    text=("message",),
    time=("timereported", "@timestamp", "timestamp", "timegenerated"),
    labels=("facility",),
    level=("severity",),
    called=(  # the last one that is there counts
        ("programname", "app"),
        ("app-name", "app"),
        ("fromhost", "host"),  # the machine that handed it on, where there is a hostname too
        ("hostname", "host"),
    ),
)


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return read_documents(batch, reading, OBJECTS, _line, space=SHAPE.name)


def _line(record: Record, document: dict[str, object]) -> None:
    said = first(document, TEXT)
    if not isinstance(said, str):
        raise Refused("not-an-event", f"has no {' nor '.join(TEXT)}")
    read = {
        "message": said.removeprefix(" "),  # what followed the tag
        "severity": _named(first(document, LEVEL), SEVERITIES),
        "facility": _named(first(document, FACILITY), FACILITIES),
    }
    line(record, document | read, SHAPE)


def _named(given: object, names: tuple[str, ...]) -> object:
    """A severity's or facility's name; syslog counts them from 0."""
    number = given if isinstance(given, str) else str(given)
    if number.isdecimal() and len(number) <= 2:  # noqa: PLR2004 - digits of 23, the last facility
        return names[int(number)] if int(number) < len(names) else None
    return given
