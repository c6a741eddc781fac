"""What names something, kept as bytes, part below part: compiled code finds the same bytes again.

A node is some bytes below another node. Its number stays until all is forgotten, and what it
stands for (a series, an origin of log lines) is written beside it by whoever learned it.
"""

import secrets
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from agents.scorer.jit import inlined, kept

NODES, ARENA = 1 << 20, 1 << 28  # parts, and bytes of them, known at most; then all are forgotten
ROOT, NONE = np.int64(0), np.int64(-1)
# Numba keys a cached kernel by its own file alone. One that calls what is in another file of
# this folder, or has constants of it, closes over this.
HERE = Path(__file__).parent
CONSTANTS = {"epoch.py", "severity.py", "otlp.py", "histogram.py", "spoken.py"}
SOURCES = zlib.crc32(
    b"".join(
        source
        for file in sorted(HERE.glob("*.py"))
        if b"agents.scorer.jit" in (source := file.read_bytes()) or file.name in CONSTANTS
    )
)


class Tree:
    """The nodes, as arrays that compiled code fills."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self.slots = np.full(1 << 12, -1, np.int64)
        self.nodes = np.zeros((1 << 11, 5), np.int64)  # hash, parent, place, size, meaning or NONE
        self.arena = np.zeros(1 << 16, np.uint8)
        seed = secrets.randbits(62)  # so that nobody can make parts that fall together
        self.used = np.array([1, 0, seed], np.int64)  # nodes, bytes; node 0 is the root

    def room(self, parts: int, size: int) -> bool:
        """Room for `parts` more of `size` bytes in all; False: all was forgotten for it."""
        forgot = self.used[0] + parts > NODES or self.used[1] + size > ARENA
        if forgot:
            self.clear()
        while self.used[0] + parts > len(self.nodes):
            self.nodes = np.concatenate([self.nodes, np.zeros_like(self.nodes)])
        while self.used[1] + size > len(self.arena):
            self.arena = np.concatenate([self.arena, np.zeros_like(self.arena)])
        if 2 * len(self.nodes) > len(self.slots):
            self.slots = np.full(2 * len(self.nodes), -1, np.int64)
            _placed(self.slots, self.nodes, self.used[0])
        return not forgot


@inlined
def whole(data: Any, place: Any) -> Any:
    """64 bits, the lowest first. The place is unsigned, so that it is not taken from the end."""
    p = np.uint64(place)
    return np.int64(
        np.uint64(data[p])
        | np.uint64(data[p + np.uint64(1)]) << np.uint64(8)
        | np.uint64(data[p + np.uint64(2)]) << np.uint64(16)
        | np.uint64(data[p + np.uint64(3)]) << np.uint64(24)
        | np.uint64(data[p + np.uint64(4)]) << np.uint64(32)
        | np.uint64(data[p + np.uint64(5)]) << np.uint64(40)
        | np.uint64(data[p + np.uint64(6)]) << np.uint64(48)
        | np.uint64(data[p + np.uint64(7)]) << np.uint64(56)
    )


@inlined
def child(
    data: Any, start: Any, end: Any, parent: Any, learn: Any, slots: Any, nodes: Any, arena: Any,
    used: Any,
) -> Any:  # fmt: skip
    """The node of some bytes below another; NONE when it is not there and not to be learned."""
    total = np.uint64(used[2]) ^ (np.uint64(parent) * np.uint64(0x9E3779B97F4A7C15))
    total += np.uint64(end - start)
    place = start
    while place + 8 <= end:
        total = (total ^ np.uint64(whole(data, place))) * np.uint64(0x9FB21C651E98DF25)
        total ^= total >> np.uint64(32)
        place += 8
    if place < end and end - start >= 8:  # noqa: PLR2004 - a word, the last; overlaps the one before
        total = (total ^ np.uint64(whole(data, end - 8))) * np.uint64(0x9FB21C651E98DF25)
        total ^= total >> np.uint64(32)
        place = end
    for i in range(place, end):
        total = (total ^ np.uint64(data[np.uint64(i)])) * np.uint64(0x9FB21C651E98DF25)
    total ^= total >> np.uint64(29)
    key, mask = np.int64(total >> np.uint64(1)), slots.size - 1
    slot = key & mask
    while slots[slot] >= 0:
        found = slots[slot]
        if (
            nodes[found, 0] == key
            and nodes[found, 1] == parent
            and nodes[found, 3] == end - start
            and _same(data, start, arena, nodes[found, 2], end - start)
        ):
            return found
        slot = (slot + 1) & mask
    if not learn or used[0] >= nodes.shape[0]:
        return NONE
    found, free = used[0], used[1]
    slots[slot] = found
    nodes[found, 0], nodes[found, 1], nodes[found, 2], nodes[found, 3] = (
        key, parent, free, end - start,
    )  # fmt: skip
    nodes[found, 4] = NONE
    arena[free : free + end - start] = data[start:end]
    used[0], used[1] = found + 1, free + end - start
    return found


@inlined
def _same(one: Any, i: Any, other: Any, j: Any, size: Any) -> Any:
    k = np.int64(0)
    while k + 8 <= size:
        if whole(one, i + k) != whole(other, j + k):
            return False
        k += 8
    if k < size and size >= 8:  # noqa: PLR2004 - a word
        return whole(one, i + size - 8) == whole(other, j + size - 8)
    while k < size:
        if one[np.uint64(i + k)] != other[np.uint64(j + k)]:
            return False
        k += 1
    return True


@kept
def _placed(slots: Any, nodes: Any, count: Any) -> None:
    """Put the nodes where they will be found in a larger table."""
    mask = slots.size - 1
    for node in range(1, count):
        slot = nodes[node, 0] & mask
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = node
