"""What the points of OTLP's histograms and summaries share, for compiled code.

Where their fields are, which may stand in any order, because SDKs differ in it, but none twice;
when they were taken; and where the numbers of their series stand, which are a row for each
combination of metric, bounds and attributes that was met before.

Source: OpenTelemetry protocol 1.x, metrics.proto; Protocol Buffers, "Encoding".
"""

from typing import Any

import numpy as np

from agents.scorer.jit import compiled, inlined, lean
from streams.formats.epoch import LATEST
from streams.formats.histogram_scan import EXEMPLARS, FIELDS, WHOLE
from streams.formats.line_scan import utf8
from streams.formats.protobuf_scan import DELIMITED, inside, varint
from streams.formats.tree import NONE, child, whole

VARINT, FIXED, REPEATED, NO = 0, 1, 3, 4  # kinds of fields, beside DELIMITED; some are wire types
START, TIME, OBSERVED, TOTAL = 2, 3, 4, 5  # fields that all of them share


def rules(
    varints: tuple[int, ...], fixed: tuple[int, ...], once: tuple[int, ...], often: tuple[int, ...]
) -> Any:
    """What kind of field each number is, of one kind of point."""
    kinds = np.full(FIELDS, NO, np.uint8)
    for kind, numbers in (
        (VARINT, varints),
        (FIXED, (START, TIME, OBSERVED, TOTAL, *fixed)),
        (DELIMITED, once),
        (REPEATED, often),
    ):
        kinds[list(numbers)] = kind
    return kinds


@lean
def fields(data: Any, start: Any, end: Any, kinds: Any, spans: Any) -> Any:
    """Where the fields of a point are; False for one that is unknown, broken, or there twice.

    Of a field that is repeated the span is all of it, tags included, which must be in one piece; of
    another its content. One that is not there ends at 0.
    """
    spans[:] = 0
    place = start
    while place < end:
        tag = data[place]
        number = np.int64(tag >> 3)
        if number >= FIELDS:
            return False
        kind, wire, begin = kinds[number], tag & 7, place + 1
        if kind == REPEATED and wire == DELIMITED:
            _, behind = inside(data, place, end, number)
            if spans[number, 1] == 0:
                spans[number, 0] = place
            elif spans[number, 1] != place:
                return False
            begin = spans[number, 0]
        elif kind != wire or spans[number, 1] != 0:
            return False
        elif kind == FIXED:
            behind = begin + 8
        elif kind == VARINT:
            _, behind = varint(data, begin, end)
        else:
            begin, behind = inside(data, place, end, number)
        if behind < 0 or behind > end:
            return False
        spans[number, 0], spans[number, 1] = begin, behind
        place = behind
    return True


@inlined
def fixed(data: Any, spans: Any, field: Any) -> Any:
    """64 bits of a field, 0 when it is not there."""
    return whole(data, spans[field, 0]) if spans[field, 1] != 0 else np.int64(0)


@inlined
def double(data: Any, field: Any, otherwise: Any, scratch: Any) -> Any:
    """A field as a floating-point number."""
    if scratch.spans[field, 1] == 0:
        return otherwise
    scratch.bits[0] = whole(data, scratch.spans[field, 0])
    return scratch.bounds[0]


@lean
def moment(data: Any, flags: Any, scratch: Any) -> Any:
    """A point's time, epoch ms; NONE when it has none, counts too much, or says "no value"."""
    spans = scratch.spans
    at = fixed(data, spans, TIME) // 1_000_000
    if spans[flags, 1] != 0 and data[spans[flags, 0]] & 1:
        return NONE
    if not 0 < at <= LATEST or not 0 <= fixed(data, spans, OBSERVED) < WHOLE:
        return NONE
    return at


@compiled
def exemplars(data: Any, field: Any, scratch: Any) -> Any:
    """Whether a point's exemplars are plain, which are counted."""
    place, end = scratch.spans[field, 0], scratch.spans[field, 1]
    while place < end:
        a, b = inside(data, place, end, field)
        if not exemplar(data, a, b):
            return False
        scratch.marks[EXEMPLARS] += 1
        place = b
    return True


@compiled
def exemplar(data: Any, start: Any, end: Any) -> Any:
    """Whether bytes are an exemplar that protobuf takes, of the plain kind: it is left out."""
    place = start
    while place < end:
        tag = data[place]
        if tag in (0x11, 0x19, 0x31):  # its time; a double or an integer
            place += 9
        elif tag in (0x22, 0x2A):  # ids of span and trace
            _, place = inside(data, place, end, tag >> 3)
        elif tag == 0x3A:  # noqa: PLR2004 - an attribute
            a, place = inside(data, place, end, 7)
            if a >= 0 and not _attribute(data, a, place):
                return False
        else:
            return False
        if place < 0:
            return False
    return place == end


@compiled
def _attribute(data: Any, start: Any, end: Any) -> Any:
    """Whether bytes are an attribute with a plain value."""
    a, b = inside(data, start, end, 1)
    if a < 0 or not utf8(data, a, b):
        return False
    c, d = inside(data, b, end, 2)
    if c < 0 or d != end or c == d:
        return False
    if data[c] == 0x0A:  # noqa: PLR2004 - text
        e, f = inside(data, c, d, 1)
        return e >= 0 and f == d and utf8(data, e, f)
    if data[c] in (0x10, 0x18):
        _, f = varint(data, c + 1, d)
        return f == d
    return data[c] == 0x21 and d - c == 9  # noqa: PLR2004 - a double


@inlined
def leaf_row(
    data: Any, start: Any, end: Any, parent: Any, size: Any, learn: Any, memory: Any
) -> Any:  # fmt: skip
    """The leaf of a point's attributes, and where its series' numbers stand; NONE, NONE: unmet."""
    leaf = child(
        data, start, end, parent, learn, memory.slots, memory.nodes, memory.arena, memory.used
    )
    row = memory.nodes[leaf, 4] if leaf >= 0 else NONE
    if leaf >= 0 and row < 0 and learn and memory.taken[0] + size <= memory.rows.size:
        row = memory.taken[0]
        memory.rows[row : row + size] = NONE
        memory.taken[0] += size
        memory.nodes[leaf, 4] = row
    return leaf, row


@inlined
def place_of(row: Any, learn: Any, memory: Any) -> Any:
    """The series at a place of a row; where it is to be written when it is learned."""
    return ~row if learn else memory.rows[row]


@inlined
def met(code: Any, learn: Any) -> Any:
    """Whether a series was met before, or is learned now."""
    return learn or code >= 0


NUMBER_FLAGS, NUMBER_ATTRIBUTES, NUMBER_EXEMPLARS, DOUBLE, INTEGER = 8, 7, 5, 4, 6
NUMBER_FIELDS = rules((NUMBER_FLAGS,), (DOUBLE, INTEGER), (), (NUMBER_EXEMPLARS, NUMBER_ATTRIBUTES))


@inlined
def number_point(
    data: Any, start: Any, end: Any, parent: Any, learn: Any, out: Any, count: Any, memory: Any,
    scratch: Any,
) -> Any:  # fmt: skip
    """A number's node, its time and value noted; or NONE.

    Most have start, time, a double or an integer, and attributes, in this order.
    """
    place = start
    if end - place >= 9 and data[place] == 0x11:  # noqa: PLR2004 - when it began to count
        place += 9
    if end - place >= 18 and data[place] == 0x19 and data[place + 9] in (0x21, 0x31):  # noqa: PLR2004
        at = whole(data, place + 1) // 1_000_000
        bits, double = whole(data, place + 10), data[place + 9] == 0x21  # noqa: PLR2004
        place += 18
        attributes = place
        while 0 <= place < end:
            _, place = inside(data, place, end, NUMBER_ATTRIBUTES)
    else:
        place = NONE
    if place < 0:
        at, bits, double, attributes, end = _any_number(data, start, end, scratch)
    if not 0 < at <= LATEST:
        return NONE
    out.at[count] = at
    if double:
        out.bits[count] = bits
    else:
        out.value[count] = np.float64(bits)
    return child(
        data, attributes, end, parent, learn, memory.slots, memory.nodes, memory.arena, memory.used
    )


@compiled
def _any_number(data: Any, start: Any, end: Any, scratch: Any) -> Any:
    """Time, value, whether that is a double, where attributes are: of fields in any order.

    The time is NONE for what is not plain.
    """
    spans = scratch.spans
    if not fields(data, start, end, NUMBER_FIELDS, spans):
        return NONE, NONE, False, start, start
    double = spans[DOUBLE, 1] != 0
    if double == (spans[INTEGER, 1] != 0) or not exemplars(data, NUMBER_EXEMPLARS, scratch):
        return NONE, NONE, False, start, start
    if spans[NUMBER_FLAGS, 1] != 0 and data[spans[NUMBER_FLAGS, 0]] & 1:
        return NONE, NONE, False, start, start
    bits = fixed(data, spans, DOUBLE if double else INTEGER)
    at = fixed(data, spans, TIME) // 1_000_000
    return at, bits, double, spans[NUMBER_ATTRIBUTES, 0], spans[NUMBER_ATTRIBUTES, 1]
