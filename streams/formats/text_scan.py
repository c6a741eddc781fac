# ruff: noqa: C901, PLR0911, PLR0912, PLR2004 - kernels end where the plain case does, in many places
"""Records of plain text that are one line each, read by compiled code, a batch at once.

A line is plain when it is UTF-8 and not within quotes, its time is none, or in UTC or with an
offset written with a colon, and no character beyond ASCII stands where a time could. It reads any
other the same as streams/formats/text.py does: not at all, and leaves it to that.
"""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.scorer.jit import compiled, kept
from streams.formats.columns import Batch
from streams.formats.epoch import LATEST, SECONDS
from streams.formats.known import LAST_YEAR, QUOTE, days, digits
from streams.formats.limits import Limits
from streams.formats.line_scan import (
    ASCII,
    END,
    KIND,
    SPACE,
    UNSURE,
    WORD,
    FoundLines,
    severities,
    stated,
    texts,
    utf8,
)  # fmt: skip
from streams.formats.severity import stated as stated_in
from streams.formats.tree import SOURCES

LINE, RETURN, ZERO, NINE, POINT, COMMA, COLON, MINUS, PLUS, T, Z = (
    10,
    13,
    48,
    57,
    46,
    44,
    58,
    45,
    43,
    84,
    90,
)
NONE, STRANGE = np.int64(-1), np.int64(-2)  # no time there; one that Python is to look at


def read(batch: Batch, limits: Limits) -> tuple[FoundLines, npt.NDArray[np.bool_]]:
    """The lines of plain records, and which records those are."""
    values, count = batch.values, len(batch.values)
    size = np.fromiter(map(len, values), np.int64, count)
    end = np.cumsum(size)
    data = np.frombuffer(b"".join(values), np.uint8)
    at, level = np.full(count, -1, np.int64), np.zeros(count, np.int8)
    out = np.empty(len(data) + count, np.uint8)
    longest = min(limits.record_bytes, limits.text_bytes)
    used = _kernel()(data, end - size, end, batch.arrived, longest, at, level, out)
    plain = at >= 0
    text, which = texts(out[:used]), np.flatnonzero(plain)
    severity = severities(level[which])
    for k in np.flatnonzero(level[which] == UNSURE).tolist():
        severity[k] = stated_in(text[k])
    lines = len(text)
    found = FoundLines(
        which.tolist(), [batch.service] * lines, at[which].tolist(), severity, text, ["{}"] * lines
    )
    return found, plain


@cache
def _kernel() -> Any:
    """Build the kernel, loading its machine code if that is there; seconds if it is not."""
    sources = SOURCES

    def scan(
        data: Any, begin: Any, end: Any, arrived: Any, longest: Any, at: Any, level: Any, out: Any
    ) -> Any:
        # Its sources are named so that they are in the key of the cache: see tree.py
        used = np.int64(sources * 0)
        for i in range(begin.size):
            first, last = begin[i], end[i]
            if last - first > longest:
                continue
            if last > first and data[last - 1] == LINE:
                last -= 1
            if last > first and data[last - 1] == RETURN:
                last -= 1
            every, broken, ink = np.uint8(0), False, False
            for k in range(first, last):
                byte = data[k]
                every |= byte
                broken |= (byte == LINE) | (byte == RETURN) | (byte == END)
                ink |= byte > SPACE
            if broken or not ink or (every >= ASCII and not utf8(data, first, last)):
                continue
            if data[first] == QUOTE and data[last - 1] == QUOTE:  # a JSON text perhaps
                continue
            moment = _stamp(data, first, last)
            if moment == NONE:
                moment = arrived[i]
            if not SECONDS <= moment <= LATEST:
                continue
            at[i] = moment
            level[i] = UNSURE if every >= ASCII else stated(data, first, last)
            size = last - first
            out[used : used + size] = data[first:last]
            out[used + size] = END
            used += size + 1
        return used

    return kept(scan)


@compiled
def _stamp(data: Any, start: Any, end: Any) -> Any:
    """Epoch ms of the time that a line begins with, NONE, or STRANGE."""
    i = start
    if data[i] >= ASCII:
        return STRANGE
    if not KIND[data[i]] & WORD:
        i += 1
    for k in range(19):
        if i + k >= end:
            return NONE
        byte = data[i + k]
        if byte >= ASCII:
            return STRANGE
        if k in (4, 7):
            good = byte == MINUS
        elif k == 10:
            good = byte in (T, SPACE)
        elif k in (13, 16):
            good = byte == COLON
        else:
            good = ZERO <= byte <= NINE
        if not good:
            return NONE
    year, month, day = digits(data, i, 4), digits(data, i + 5, 2), digits(data, i + 8, 2)
    hour, minute = digits(data, i + 11, 2), digits(data, i + 14, 2)
    second = digits(data, i + 17, 2)
    i += 19
    ms, scale = np.int64(0), np.int64(100)
    if i + 1 < end and data[i] in (POINT, COMMA):
        if data[i + 1] >= ASCII:
            return STRANGE
        point = i + 1
        i = point
        while i < end and ZERO <= data[i] <= NINE:
            ms += np.int64(data[i] - ZERO) * scale
            scale //= 10
            i += 1
        if not 1 <= i - point <= 9:
            return NONE if i == end or data[i] < ASCII else STRANGE
    if i >= end:
        return NONE
    offset = np.int64(0)
    if data[i] in (PLUS, MINUS):
        if i + 6 > end or data[i + 3] != COLON:
            return STRANGE
        hours, minutes = digits(data, i + 1, 2), digits(data, i + 4, 2)
        if not (0 <= hours < 24 and 0 <= minutes < 60):
            return STRANGE
        offset = hours * 60 + minutes
        if data[i] == MINUS:
            offset = -offset
    elif data[i] != Z:
        return NONE if data[i] < ASCII else STRANGE
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    longest = 31 - (month in (4, 6, 9, 11))
    if month == 2:
        longest = 29 if leap else 28
    if not (1970 < year <= LAST_YEAR and 1 <= month <= 12 and 1 <= day <= longest):
        return STRANGE
    if not (hour < 24 and minute < 60 and second < 60):
        return STRANGE
    return (
        days(year, month, day) * 86_400_000
        + (((hour * 60 + minute - offset) * 60) + second) * 1000
        + ms
    )
