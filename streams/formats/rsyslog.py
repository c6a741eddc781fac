"""Lines as rsyslog's omkafka and syslog-ng's kafka-c write them by default.

    2026-01-02T03:04:05.678901+00:00 web1 sshd[1234]: Failed password for root

There is no severity in it; what a text says of itself near its start counts. rsyslog's
traditional format, without year and zone, is read too.

Source: rsyslog, tools/smfile.c (RSYSLOG_FileFormat); syslog-ng, modules/kafka, kafka-dest-driver.c.
"""

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.record import Record, read_each
from streams.formats.syslog import STAMP, messages, note, plain


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return read_each(batch, reading, _record, space="rsyslog")


def _record(record: Record, raw: bytes) -> None:
    found = messages(record.lines(raw), STAMP)
    record.each(found, lambda each, line: note(each, plain(line, each)))
