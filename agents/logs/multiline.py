"""Multiline: the lines of a stack trace become one entry, and the entry one line to mine.

Which line belongs to the one before is told by how traces are written: indented frames,
`Caused by:`, Python's `Traceback` up to its unindented last line, Go's goroutines. An entry is
over when its source begins another; what else ends one is for the caller to say.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple, Self

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import Rejected
from schemas.masking import masked

VERSION = 1
GAP_MS = 2_000  # of event time: what comes later is no part of a trace
PARTS = 500  # lines kept of an entry
CHARACTERS = 16_384
FEW = 256  # lines, fewer than which are looked at one by one

_FRAME = re.compile(
    r"[ \t]|at |Caused by: |Suppressed: |\.\.\. \d+ (?:more|common frames)|Traceback \(most recent"
    r"|During handling of the above|The above exception was|goroutine \d+ \[|created by "
    r"|--- End of |[\]})]+[,;]?\s*$"
)
_THROWN = re.compile(r"(?:[\w$]+\.)*[A-Z][\w$]*(?:Exception|Error|Throwable|Exit|Interrupt)\b")
_CALLED = re.compile(r"[\w./*()$·\[\]-]+\(.*\)$|exit status \d+$")  # a frame of Go, unindented
_RAISED = re.compile(r"(?:\w+\.)*[A-Za-z_]\w*(?::|$)")  # what ends a traceback of Python
_CANDIDATE = (  # all of the next and more, for an engine that looks at a column at once
    r"^(?:$|[^!-~]|at |Caused by: |Suppressed: |\.\.\. |Traceback |During |The above |goroutine "
    r"|created by |--- End of |[\]})]|\S*(?:Exception|Error|Throwable|Exit|Interrupt))"
)
_PACKAGE = re.compile(r"^(?:[\w$]+\.)+(?=[A-Z])")  # of an exception: its own name says what failed
_may_continue = re.compile(rf"\s*$|{_FRAME.pattern}|{_THROWN.pattern}").match


class Part(NamedTuple):
    """A line as it came; `source` names what wrote it, e.g. service and canonical labels."""

    source: str
    at: int  # epoch milliseconds
    severity: str
    text: str


class Entry(NamedTuple):
    """What was said at once; `text` holds line ends where it was several lines."""

    source: str
    at: int
    severity: str
    text: str


class Opened(msgspec.Struct):
    """An entry to which more may be said."""

    source: str
    at: int
    severity: str
    lines: list[str]
    last: int
    size: int
    trace: str = ""  # "python" until its last line, "go", "thrown"


class _Wire(msgspec.Struct):
    version: int
    open: list[Opened]


class Joiner:
    """Joins lines of many sources, one by one."""

    def __init__(self) -> None:
        self.open: dict[str, Opened] = {}  # by source, the one begun first first

    def add(self, part: Part) -> Opened | None:
        """The entry that this line ended, if it did."""
        entry = self.open.get(part.source)
        if entry is not None and _continues(entry, part):
            _extend(entry, part)
            return None
        if entry is not None:
            del self.open[part.source]
        self.open[part.source] = begun(part)
        return entry

    def dump(self) -> bytes:
        """The open entries, masked, as bytes with their version."""
        kept = [
            msgspec.structs.replace(entry, lines=[masked(line) for line in entry.lines])
            for entry in self.open.values()
        ]
        return msgspec.msgpack.encode(_Wire(VERSION, kept))

    @classmethod
    def load(cls, data: bytes) -> Self:
        """Undo `dump`; Rejected when the bytes are damaged or of another version."""
        try:
            wire = msgspec.msgpack.decode(data, type=_Wire)
        except msgspec.DecodeError as error:
            raise Rejected(f"these bytes are no open entries: {error}") from error
        if wire.version != VERSION:
            raise Rejected(f"open entries of version {wire.version}, this reads {VERSION}")
        joiner = cls()
        joiner.open = {entry.source: entry for entry in wire.open}
        return joiner


def gist(text: str) -> str:
    r"""An entry as one line to mine: its first line, and what a trace says was the cause.

    Frames are left out: the way to a failure varies, what failed does not.

    >>> gist("order failed\njava.io.IOException: x\n\tat a.B\nCaused by: java.net.Refused: y")
    'order failed | Refused: y'
    """
    head, *body = text.split("\n")
    if not body:
        return head
    causes = [line.removeprefix("Caused by: ") for line in body if line.startswith("Caused by: ")]
    thrown = [line for line in body if _THROWN.match(line)]
    raised = [line for line in body if "Traceback (most" in text and _RAISED.match(line)]
    cause = _PACKAGE.sub("", next(iter(causes[-1:] or raised[-1:] or thrown[:1]), ""))
    if head.startswith("Traceback (most recent"):
        return cause or head
    return f"{head} | {cause}" if cause else head


def _continues(entry: Opened, part: Part) -> bool:
    text = part.text
    if part.at - entry.last > GAP_MS:
        return False
    if not text.strip():
        return bool(entry.trace)
    if _FRAME.match(text) or (not entry.trace and _THROWN.match(text)):
        return True
    if entry.trace == "python":
        return _RAISED.match(text) is not None
    return entry.trace == "go" and _CALLED.match(text) is not None


def _extend(entry: Opened, part: Part) -> None:
    text = part.text
    if text.startswith("Traceback (most recent"):
        entry.trace = "python"
    elif text.startswith("goroutine "):
        entry.trace = "go"
    elif entry.trace != "go" and text.strip() and not text[0].isspace():
        entry.trace = "thrown"
    entry.last = max(entry.last, part.at)
    if len(entry.lines) >= PARTS or entry.size + len(text) > CHARACTERS:
        return
    entry.lines.append(text)
    entry.size += len(text)


def begun(part: Part) -> Opened:
    """The entry that a line begins."""
    trace = "python" if part.text.startswith("Traceback (most recent") else ""
    return Opened(
        part.source, part.at, part.severity, [part.text], part.at, len(part.text), trace=trace
    )


def continuing(texts: Sequence[str]) -> list[int]:
    r"""Which lines may belong to the one before; in a trace of Python or Go others may, too.

    >>> continuing(["order 5 failed", "\tat a.B", "done", ""])
    [1, 3]
    """
    if len(texts) < FEW:
        return [place for place, text in enumerate(texts) if _may_continue(text)]
    candidates = pc.match_substring_regex(pa.array(texts, pa.string()), _CANDIDATE)
    places = np.flatnonzero(candidates.to_numpy(zero_copy_only=False)).tolist()
    return [place for place in places if _may_continue(texts[place])]


def entry_of(entry: Opened) -> Entry:
    """The entry as it is given out."""
    return Entry(entry.source, entry.at, entry.severity, "\n".join(entry.lines))
