"""syslog-ng's $(format-json): log lines, with macro names as fields.

DATE has neither year nor zone: the year is the one that puts it nearest to the record's
arrival, the zone that of settings. syslog-ng writes it in the zone of whoever sent the message,
unless its time-zone() names one: set that, or add ISODATE (`--key ISODATE`), which has both and
is preferred, as UNIXTIME is.

Source: syslog-ng, modules/kafka; "Macros of syslog-ng".
"""

from typing import Any

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.document import OBJECTS, read_documents
from streams.formats.log_document import Shape, first, line
from streams.formats.record import Record
from streams.formats.syslog import moment
from streams.formats.verdict import instant

SHAPE = Shape(
    name="syslog-ng-json",
    text=("MESSAGE", "MSG"),
    time=(),
    labels=(),
    level=("PRIORITY", "LEVEL", "SEVERITY"),
    called=(
        ("PROGRAM", "app"),
        ("HOST", "host"),
        ("FACILITY", "facility"),
    ),
)
DATES = ("ISODATE", "S_ISODATE", "R_ISODATE", "DATE", "S_DATE", "R_DATE", "STAMP")
UNIX = ("UNIXTIME", "S_UNIXTIME", "R_UNIXTIME")


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return read_documents(batch, reading, OBJECTS, _line, space=SHAPE.name)


def _line(record: Record, document: dict[str, Any]) -> None:
    counted = first(document, UNIX)
    if counted is not None:
        at: Any = instant(counted)
    else:
        at = moment(first(document, DATES), record.arrived, record.limits.zone)
    line(record, document, SHAPE, at=at)
