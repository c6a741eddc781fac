"""Container logs as Kubernetes' runtimes keep them on a node.

    2026-01-02T03:04:05.678901234Z stderr F payment refused

Neither pod nor service is in it, so settings name the service. A part of a longer line (P)
is joined with what follows it in the same record; the rest of a line that went to another
record stays a line of its own.

Source: Kubernetes, "CRI container log format".
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.limits import Refused, quoted
from streams.formats.record import Record, read_each
from streams.formats.severity import stated

LINE = re.compile(r"(\d{4}-\d\d-\d\dT\S+) (stdout|stderr) ([PF](?::\S+)?) ?(.*)")


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return read_each(batch, reading, _record, space="cri")


def _record(record: Record, raw: bytes) -> None:
    record.each(_whole(record.lines(raw)), _line)


def _whole(lines: Iterable[Any]) -> Iterator[Any]:
    """Lines taken apart, parts of one put together."""
    held: dict[str, list[str]] = {}  # stream -> time, stream, text so far
    for line in lines:
        found = LINE.fullmatch(line) if isinstance(line, str) else None
        if not found:
            yield (
                line
                if isinstance(line, Exception)
                else Refused("bad-line", f"{quoted(line)} is no line of a container's log")
            )
            continue
        time, stream, flag, text = found.groups()
        whole = held.setdefault(stream, [time, stream, ""])
        whole[2] += text
        if flag.startswith("F"):
            yield held.pop(stream)
    yield from held.values()


def _line(record: Record, whole: list[str]) -> None:
    time, stream, text = whole
    if not text.strip():
        record.skip("blank")
        return
    record.line(stream, {"stream": stream}, time, stated(text), text)
