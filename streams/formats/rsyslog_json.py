"""rsyslog's StdJSONFmt and FullJSONFmt, as omkafka sends them: log lines.

Source: rsyslog, runtime/rsconf.c, tools/smfile.c.
"""

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.document import OBJECTS, read_documents
from streams.formats.limits import Refused
from streams.formats.log_document import Shape, line
from streams.formats.record import Record

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


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return read_documents(batch, reading, OBJECTS, _line, space=SHAPE.name)


def _line(record: Record, document: dict[str, object]) -> None:
    said = document.get("message")
    if not isinstance(said, str):
        raise Refused("not-an-event", "has no message")
    line(record, document | {"message": said.removeprefix(" ")}, SHAPE)  # what followed the tag
