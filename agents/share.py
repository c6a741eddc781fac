"""What of a frame is one block's, and what was said of it."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agents.clock import Clock
from agents.scorer.interval import GAP
from agents.series_block import Block
from schemas.anomalies import Anomaly

Floats = npt.NDArray[np.float64]
GONE = 4.0  # intervals of silence at least: a sample an hour is no silence


def patience(block: Block, row: int, ended_s: float) -> float:
    """Seconds of silence after which what is open of a series ends."""
    return max(ended_s, GONE * float(block.state.floats[row, GAP]))


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
