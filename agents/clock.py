"""The time of a partition within a frame: the newest time that any sample has had so far.

What happens because time passes (a series is silent, a rule's duration is over) happens at the
first sample by which it had passed, so that it does not matter how samples are cut into frames.
"""

import numpy as np
import numpy.typing as npt

NEVER = -np.inf


class Clock:
    """The newest time after each sample of a frame; epoch seconds."""

    def __init__(self, at: npt.NDArray[np.float64], cause: str, before: float = NEVER) -> None:
        """`at` are the frame's times, at least one; `before` the newest time before it."""
        self.newest = np.maximum(np.maximum.accumulate(at), before)
        self.cause = cause
        self._before = before

    @property
    def after(self) -> float:
        """The time at the end of the frame."""
        return float(self.newest[-1])

    def before(self, place: int) -> float:
        """The time just before sample number `place`."""
        return float(self.newest[place - 1]) if place else self._before

    def place(self, at: float) -> int:
        """Number of the first sample by which it was `at`.

        >>> Clock(np.array([1.0, 5.0, 3.0, 9.0]), "samples/0/7").place(4.0)
        1
        """
        return int(np.searchsorted(self.newest, at))
