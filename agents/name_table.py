"""Numbers by name, looked up where the names lie: in a frame, before any string is made of them.

A frame names its series, and small frames have few samples of each, so that making a string of
each name and asking a dictionary cost as much as to score a sample. Here compiled code compares
bytes with bytes. Names mostly come in the order in which they came before, so what followed a
name last time is tried before it is looked for.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from schemas.frames import Names

Numbers = npt.NDArray[np.int64]

NOWHERE = -1  # the number of a name that has none
LONGEST = 4096  # bytes of a name that is found so; the others have a dictionary
SUM, PLACE, LENGTH, NUMBER, NEXT = range(5)  # of an entry
COUNT, USED, ALIVE, LAST = range(4)  # entries, bytes of names, names with a number, last found


class NameTable:
    """Names and their numbers, 0 and up."""

    def __init__(self) -> None:
        # Sums of bytes are compared first. Who makes names must not be able to make many of one
        # sum, so the factors are as unknown as the seed of Python's own hashes.
        draw = np.random.default_rng(abs(hash("names of series")))
        self._factors = draw.integers(0, 1 << 32, LONGEST, dtype=np.uint32) | np.uint32(1)
        self._long: dict[str, int] = {}
        self._clear()

    def _clear(self) -> None:
        self._slots = np.full(1 << 9, -1, np.int32)
        self._entries = np.zeros((1 << 8, 5), np.int64)
        self._arena = np.zeros(1 << 14, np.uint8)
        self._state = np.array([0, 0, 0, -1], np.int64)

    def __len__(self) -> int:
        """How many names have a number."""
        return int(self._state[ALIVE]) + len(self._long)

    def find(self, names: Names) -> Numbers:
        """The numbers of names, [n], NOWHERE for one that has none."""
        numbers = np.empty(len(names), np.int64)
        _find(
            names.offsets, names.data, self._factors, self._slots, self._entries, self._arena,
            self._state, numbers,
        )  # fmt: skip
        if self._long:
            for i in _long(names):
                numbers[i] = self._long.get(names[i], NOWHERE)
        return numbers

    def get(self, name: str) -> int:
        """The number of one name."""
        return int(self.find(Names.of([name]))[0])

    def put(self, names: Names, numbers: Numbers) -> None:
        """Give names their numbers, [n], whether they had some or not."""
        if not len(names):
            return
        self._make_room(len(names), len(names.data))
        _put(
            names.offsets, names.data, self._factors, self._slots, self._entries, self._arena,
            self._state, numbers,
        )  # fmt: skip
        if len(names.data) > LONGEST:
            for i in _long(names):
                self._long[names[i]] = int(numbers[i])

    def remove(self, name: str) -> None:
        """Take away a name's number, if it has one."""
        if self._long.pop(name, None) is not None or self.get(name) == NOWHERE:
            return
        self._entries[self._state[LAST], NUMBER] = NOWHERE  # the one that was just found
        self._state[ALIVE] -= 1
        if self._state[COUNT] > 2 * self._state[ALIVE] + len(self._slots) // 4:
            self._rebuild()

    def _make_room(self, names: int, size: int) -> None:
        count, used = int(self._state[COUNT]), int(self._state[USED])
        if 2 * (count + names) > len(self._slots):
            slots = _power_of_two(2 * (count + names))
            entries = np.zeros((slots // 2, 5), np.int64)
            entries[:count] = self._entries[:count]
            self._slots, self._entries = np.full(slots, -1, np.int32), entries
            _enter(count, self._slots, entries)
        if used + size > len(self._arena):
            arena = np.zeros(_power_of_two(used + size), np.uint8)
            arena[:used] = self._arena[:used]
            self._arena = arena

    def _rebuild(self) -> None:
        """Leave out the names that have no number any more."""
        entries = self._entries[: self._state[COUNT]]
        kept = entries[entries[:, NUMBER] != NOWHERE]
        places = zip(kept[:, PLACE].tolist(), kept[:, LENGTH].tolist(), strict=True)
        names = Names.of([self._arena[at : at + n].tobytes().decode() for at, n in places])
        self._clear()
        self.put(names, kept[:, NUMBER].copy())


def _long(names: Names) -> list[int]:
    return np.flatnonzero(np.diff(names.offsets) > LONGEST).tolist()


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator] # numba has no types
def _sum(data: Any, start: Any, size: Any, factors: Any) -> Any:
    """Bytes times the factors of their places."""
    piece = data[start : start + size]
    total = np.int64(size)
    for k in range(size):
        total += np.int64(piece[k]) * np.int64(factors[k])
    return total


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator] # as above
def _same(data: Any, start: Any, size: Any, entry: Any, arena: Any) -> Any:
    """Whether the entry's name is this one: all bytes are compared, many at once."""
    if entry[LENGTH] != size:
        return False
    left, right = data[start : start + size], arena[entry[PLACE] : entry[PLACE] + size]
    different = np.uint8(0)
    for k in range(size):
        different |= left[k] ^ right[k]
    return different == 0


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator] # as above
def _slot(total: Any, mask: Any) -> Any:
    return ((total >> 20) ^ total) & mask


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator] # as above
def _place(entry: Any, slots: Any, entries: Any) -> None:
    """Put an entry where it will be found."""
    mask = slots.size - 1
    slot = _slot(entries[entry, SUM], mask)
    while slots[slot] >= 0:
        slot = (slot + 1) & mask
    slots[slot] = entry


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator] # as above
def _enter(count: Any, slots: Any, entries: Any) -> None:
    for entry in range(count):
        _place(entry, slots, entries)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator] # as above
def _look(
    data: Any, start: Any, size: Any, total: Any, slots: Any, entries: Any, arena: Any
) -> Any:
    """The entry of a name whose bytes sum up to `total`, or -1."""
    mask = slots.size - 1
    slot = _slot(total, mask)
    while slots[slot] >= 0:
        entry = slots[slot]
        if entries[entry, SUM] == total and _same(data, start, size, entries[entry], arena):
            return np.int64(entry)
        slot = (slot + 1) & mask
    return np.int64(-1)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator] # as above
def _find(
    offsets: Any, data: Any, factors: Any, slots: Any, entries: Any, arena: Any, state: Any,
    numbers: Any,
) -> None:  # fmt: skip
    """Fill `numbers`, [names]."""
    before = state[LAST]
    for i in range(numbers.size):
        start, size = np.int64(offsets[i]), np.int64(offsets[i + 1]) - np.int64(offsets[i])
        numbers[i] = NOWHERE
        if size > LONGEST:
            continue
        entry = entries[before, NEXT] if before >= 0 else np.int64(-1)
        if entry < 0 or not _same(data, start, size, entries[entry], arena):
            total = _sum(data, start, size, factors)
            entry = _look(data, start, size, total, slots, entries, arena)
        if entry < 0:
            continue
        if before >= 0:
            entries[before, NEXT] = entry
        before = entry
        numbers[i] = entries[entry, NUMBER]
    state[LAST] = before


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator] # as above
def _put(
    offsets: Any, data: Any, factors: Any, slots: Any, entries: Any, arena: Any, state: Any,
    numbers: Any,
) -> None:  # fmt: skip
    """Enter names; there is room for them."""
    for i in range(numbers.size):
        start, size = np.int64(offsets[i]), np.int64(offsets[i + 1]) - np.int64(offsets[i])
        if size > LONGEST:
            continue
        total = _sum(data, start, size, factors)
        entry = _look(data, start, size, total, slots, entries, arena)
        if entry < 0:
            entry = state[COUNT]
            arena[state[USED] : state[USED] + size] = data[start : start + size]
            entries[entry, SUM], entries[entry, PLACE] = total, state[USED]
            entries[entry, LENGTH], entries[entry, NUMBER] = size, NOWHERE
            entries[entry, NEXT] = -1
            _place(entry, slots, entries)
            state[COUNT] += 1
            state[USED] += size
        if entries[entry, NUMBER] == NOWHERE:
            state[ALIVE] += 1
        entries[entry, NUMBER] = numbers[i]
