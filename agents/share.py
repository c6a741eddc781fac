"""What of a frame is one block's, and what was said of it."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from agents.clock import Clock
from agents.scorer.block import CAPACITY
from agents.scorer.interval import GAP
from agents.series_block import Block
from schemas.anomalies import Anomaly

Floats = npt.NDArray[np.float64]
GONE = 4.0  # intervals of silence at least: a sample an hour is no silence


def patience(gap: float, ended_s: float) -> float:
    """Seconds of silence after which what is open of a series ends, sampled every `gap` s."""
    return max(ended_s, GONE * gap)


def gap_of(block: Block, row: int) -> float:
    """How often a row's series is sampled as of its last sample, s; 0 while that is not known."""
    return float(block.state.floats[row, GAP])


class Share(NamedTuple):
    """A block's samples of a frame, in their order."""

    block: Block
    rows: npt.NDArray[np.int32]
    at: npt.NDArray[np.float64]  # epoch s
    value: npt.NDArray[np.float64]
    place: npt.NDArray[np.int64]  # in the frame
    number: int  # of the block


class Said(NamedTuple):
    """An event, and where in the frame it came: the same order however frames are cut."""

    place: int  # number of the sample that led to it
    sample: bool  # whether it was the sample itself, or that time had passed by then
    event: Anomaly

    @property
    def order(self) -> tuple[int, bool, float]:
        """By which what a frame leads to is sorted; equals stay as they were said."""
        return self.place, self.sample, self.event.at.timestamp()


def placed(event: Anomaly, at: float, clock: Clock, place: int) -> Said:
    """What a sample led to, or with a `place` below 0 the time `at` that had passed before one."""
    passed = place < 0
    return Said(clock.place(at) if passed else place, not passed, event)


def by_block(
    places: npt.NDArray[np.int64], blocks: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """A frame's samples put together by block, in their order: rows, places in the frame, ends.

    `places` [n] are the numbers of the series' places, negative ones are left out; the samples of
    block b are those before `ends[b]` [blocks] and not before the end of the block before it.
    """
    rows, order = np.empty(len(places), np.int32), np.empty(len(places), np.int64)
    ends = np.zeros(blocks, np.int64)
    kept = _by_block(places, CAPACITY, rows, order, ends)  # passed: kept code forgets its changes
    return rows[:kept], order[:kept], ends


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator] # numba has no types
def _by_block(places: Any, capacity: Any, rows: Any, order: Any, ends: Any) -> Any:
    """Sort by counting; how many there are."""
    for place in places:
        if place >= 0:
            ends[place // capacity] += 1
    total = 0
    for b in range(ends.size):  # where each begins, which ends where it ends
        count = ends[b]
        ends[b] = total
        total += count
    for i in range(places.size):
        if places[i] >= 0:
            b = places[i] // capacity
            rows[ends[b]], order[ends[b]] = places[i] % capacity, i
            ends[b] += 1
    return total
