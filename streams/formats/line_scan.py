# ruff: noqa: C901, PLR0912, PLR2004 - kernels end where the plain case does, in many places
"""What compiled code knows of log lines, whatever they are wrapped in.

It finds times and levels in bytes and sets texts one behind the other; strings of Python are
made of a whole batch at once. What is not plain is left to the formats' own readers.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from agents.scorer.jit import compiled
from streams.formats.columns import ELEMENT, Rows
from streams.formats.severity import NAMES, WITHIN

END = 0  # stands behind each text; a line that has it is not plain
UNSURE = -1  # a level that Python is to find
LEVELS = ("", *dict.fromkeys(NAMES.values()))
KNOWN = tuple(NAMES)
WORD, PART = 1, 2  # kinds of bytes: of a word, or of what makes a word no word of its own
CAPITALS = {
    "trace", "debug", "info", "notice", "warn", "warning", "err", "error", "crit", "critical",
    "fatal", "panic",
}  # fmt: skip
BRACKETED = CAPITALS - {"err", "critical", "panic"}
NAME = np.zeros((len(KNOWN), 16), np.uint8)
SIZE = np.array([len(name) for name in KNOWN])
LEVEL = np.array([LEVELS.index(NAMES[name]) for name in KNOWN])
IN_CAPITALS = np.array([name in CAPITALS for name in KNOWN])
IN_BRACKETS = np.array([name in BRACKETED for name in KNOWN])
KIND = np.zeros(256, np.uint8)
for _place, _name in enumerate(KNOWN):
    NAME[_place, : len(_name)] = np.frombuffer(_name.encode(), np.uint8)
for _byte in range(128):
    _char = chr(_byte)
    KIND[_byte] = WORD * (_char.isalnum() or _char == "_") + PART * (
        _char.isalnum() or _char in "_.-"
    )
FIELD = np.frombuffer(b"level=", np.uint8)
ASCII, UPPER, LAST_UPPER, LOWER, LAST_LOWER = 0x80, 65, 90, 97, 122
EQUALS, BRACKET, CLOSING, DASH, SPACE = 61, 91, 93, 45, 32


class FoundLines(NamedTuple):
    """Log lines that were read without Python: of which records, and what they say."""

    record: list[int]
    service: list[str]
    at: list[int]  # epoch ms
    severity: list[str]
    text: list[str]
    labels: list[str]


def texts(out: npt.NDArray[np.uint8]) -> list[str]:
    """Texts with END behind each of them. Raises UnicodeDecodeError."""
    return out.tobytes().decode().split(chr(END))[:-1]


def severities(codes: npt.NDArray[np.int8]) -> list[str]:
    """Levels by their numbers."""
    return list(map(LEVELS.__getitem__, codes.tolist()))


def put(rows: Rows, found: FoundLines) -> None:
    """Add lines to those that a format's own reader noted, in the records' order."""
    if not found.record:
        return
    slow = len(rows.line_origin)
    columns: tuple[tuple[list[Any], list[Any]], ...] = (
        (rows.line_origin, found.record), (rows.service, found.service), (rows.line_at, found.at),
        (rows.severity, found.severity), (rows.text, found.text), (rows.labels, found.labels),
    )  # fmt: skip
    for column, more in columns:
        column.extend(more)
    if slow:
        origin = np.array(rows.line_origin, np.int64)
        order = np.lexsort((origin // ELEMENT, origin % ELEMENT)).tolist()
        for column, _ in columns:
            column[:] = map(column.__getitem__, order)


@compiled
def utf8(data: Any, start: Any, end: Any) -> bool:
    """Whether bytes are UTF-8 as Python has it. Source: Unicode 15, table 3-7."""
    i = start
    while i < end:
        byte = data[i]
        if byte < ASCII:
            i += 1
            continue
        low, high = 0x80, 0xBF
        if 0xC2 <= byte <= 0xDF:
            more = 1
        elif 0xE0 <= byte <= 0xEF:
            more = 2
            if byte == 0xE0:
                low = 0xA0
            elif byte == 0xED:
                high = 0x9F
        elif 0xF0 <= byte <= 0xF4:
            more = 3
            if byte == 0xF0:
                low = 0x90
            elif byte == 0xF4:
                high = 0x8F
        else:
            return False
        if i + more >= end or not low <= data[i + 1] <= high:
            return False
        for k in range(2, more + 1):
            if not 0x80 <= data[i + k] <= 0xBF:
                return False
        i += more + 1
    return True


@compiled
def named(data: Any, start: Any, end: Any) -> Any:
    """Which of the known names of levels bytes are, in whatever case; -1: none."""
    size = end - start
    for n in range(SIZE.size):
        if SIZE[n] != size:
            continue
        k = 0
        while k < size and (data[start + k] | 32) == NAME[n, k] and data[start + k] >= UPPER:
            k += 1
        if k == size:
            return n
    return -1


@compiled
def stated(data: Any, start: Any, end: Any) -> Any:
    """The level that a line of ASCII states near its start, as `severity.stated` finds it."""
    stop = min(end, start + WITHIN)
    for i in range(start, stop):
        byte = data[i]
        before = data[i - 1] if i > start else np.uint8(SPACE)
        if UPPER <= byte <= LAST_UPPER and not KIND[before] & PART:
            j = i
            capital = True
            while j < stop and (KIND[data[j]] & WORD or data[j] == DASH):
                capital &= UPPER <= data[j] <= LAST_UPPER
                j += 1
            if capital:
                name = named(data, i, j)
                if name >= 0 and IN_CAPITALS[name]:
                    return LEVEL[name]
        if before == EQUALS and i - start >= FIELD.size and KIND[byte] & WORD:
            k = 0
            while k < FIELD.size and data[i - FIELD.size + k] == FIELD[k]:
                k += 1
            if k == FIELD.size:
                j = i
                while j < stop and KIND[data[j]] & WORD:
                    j += 1
                name = named(data, i, j)
                return LEVEL[name] if name >= 0 else 0
        if before == BRACKET and LOWER <= byte <= LAST_LOWER:
            j = i
            while j < stop and LOWER <= data[j] <= LAST_LOWER:
                j += 1
            if j < stop and data[j] == CLOSING:
                name = named(data, i, j)
                if name >= 0 and IN_BRACKETS[name]:
                    return LEVEL[name]
    return 0
