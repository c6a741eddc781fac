"""rsyslog's StdJSONFmt and FullJSONFmt, as omkafka sends them: log lines.

Source: rsyslog, runtime/rsconf.c, tools/smfile.c.
"""

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.document import Documents
from streams.formats.limits import Refused
from streams.formats.log_document import Shape, line
from streams.formats.record import Record, read_each

SHAPE = Shape(
    name="rsyslog-json",
    text=("message", "msg"),
    time=("timereported", "timestamp", "timegenerated"),
    labels=("facility",),
    level=("priority", "severity", "syslogseverity-text"),
    called=(
        ("programname", "app"),
        ("app-name", "app"),
        ("hostname", "host"),
        ("fromhost", "host"),
    ),
)
DOCUMENTS = Documents(dict)


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return read_each(batch, reading, _record, space=SHAPE.name)


def _record(record: Record, raw: bytes) -> None:
    record.each(DOCUMENTS.each(raw, record.limits), _line)


def _line(record: Record, document: dict[str, object]) -> None:
    said = document.get("message")
    if not isinstance(said, str):
        raise Refused("not-an-event", "has no message")
    line(record, document | {"message": said.removeprefix(" ")}, SHAPE)  # what followed the tag
