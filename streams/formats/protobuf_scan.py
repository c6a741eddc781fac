"""Protobuf's encoding for compiled code: fields and numbers in bytes, nothing made of them.

Source: Protocol Buffers, "Encoding".
"""

from typing import Any

import numpy as np

from agents.scorer.jit import compiled
from streams.formats.tree import NONE

SMALLEST = 16  # bytes of a message for each of its samples; ones that pack tighter are read slowly
DELIMITED = 2  # wire type
ASCII = 0x80  # the first byte that is none; in a number, that another byte follows


@compiled
def inside(data: Any, place: Any, end: Any, field: Any) -> Any:
    """Where the content of a delimited field begins and ends; NONE when it is another."""
    if place >= end or data[place] != (field << 3 | DELIMITED):
        return NONE, NONE
    size, first = varint(data, place + 1, end)
    if first < 0 or size > end - first:
        return NONE, NONE
    return first, first + size


@compiled
def varint(data: Any, place: Any, end: Any) -> Any:
    """A number of at most 56 bits and where it ends; -1, -1 for a longer one or none."""
    number = np.int64(0)
    for i in range(8):
        if place + i >= end:
            return NONE, NONE
        byte = np.int64(data[np.uint64(place + i)])
        number |= (byte & 0x7F) << (7 * i)
        if byte < ASCII:
            return number, place + i + 1
    return NONE, NONE
