"""What cumulative histograms counted when they last spoke, in arrays that compiled code fills too.

Of each only the buckets that hold something are kept, so that it costs what it has seen and not
what it might see: pairs of bound and count, bounds ascending, one block of pairs a histogram. A
block that has become too small is left behind for a larger one; when the arrays are full, what
was left behind is taken out of them.
"""

from collections.abc import Sequence

import numpy as np

PLACE, SIZE, ROOM = 0, 1, 2  # of an entry: where its pairs are, how many, and how many might be
NEVER = -1  # the size of one that has not spoken
MOST = 1 << 22  # pairs, 64 MiB; then all are forgotten, which costs each its next quantiles


class Spoken:
    """Buckets by series number: that of the histogram's count."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self.entries = np.full((1 << 10, 3), NEVER, np.int64)
        self.pairs = np.empty((1 << 12, 2))
        self.used = np.zeros(1, np.int64)  # pairs, left ones included

    def __len__(self) -> int:
        """How many histograms have spoken."""
        return int(np.count_nonzero(self.entries[:, SIZE] != NEVER))

    def get(self, code: int) -> dict[float, float] | None:
        """Counts by bound of a histogram, empty buckets left out; None when it never spoke."""
        if code >= len(self.entries) or self.entries[code, SIZE] == NEVER:
            return None
        place, size, _ = self.entries[code].tolist()
        return dict(self.pairs[place : place + size].tolist())

    def put(self, code: int, bounds: Sequence[float], counts: Sequence[float]) -> None:
        """Note what it counts now; bounds ascend, counts may be 0."""
        held = np.array((bounds, counts), np.float64).T
        held = held[held[:, 1] != 0]
        size = len(held)
        self.room(code + 1, size)
        place, _, room = self.entries[code].tolist()
        if size > room:
            place, room = int(self.used[0]), size
            self.used[0] += size
        self.entries[code] = place, size, room
        self.pairs[place : place + size] = held

    def room(self, series: int, pairs: int) -> None:
        """Have room for `series` in all, and for `pairs` more."""
        while series > len(self.entries):
            self.entries = np.concatenate([self.entries, np.full_like(self.entries, NEVER)])
        if self.used[0] + pairs > len(self.pairs):
            self._moved(pairs)

    def enlarge(self) -> bool:
        """Have twice the room for pairs; False when there is too much of it already."""
        if len(self.pairs) > MOST:
            return False
        self._moved(len(self.pairs))
        return True

    def _moved(self, more: int) -> None:
        """Set the blocks one behind the other, in larger arrays if they fill half of these."""
        never = self.entries[:, SIZE] == NEVER
        self.entries[never] = NEVER  # those that were taken back had room
        which = np.flatnonzero(~never)
        place, _, room = self.entries[which].T
        end = np.cumsum(room)
        total = int(end[-1]) if len(end) else 0
        if total + more > MOST:
            self.entries[:] = NEVER
            which, total, place, room, end = which[:0], 0, place[:0], room[:0], end[:0]
        size = len(self.pairs)
        while size < 2 * (total + more):
            size *= 2
        pairs = np.empty((size, 2))
        begin = end - room
        pairs[:total] = self.pairs[np.repeat(place - begin, room) + np.arange(total)]
        self.entries[which, PLACE] = begin
        self.pairs = pairs
        self.used[0] = total
