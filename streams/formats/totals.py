"""Running totals of series whose producers tell only what was added since they last spoke.

Deltas (OTLP) and increments (Vector) are summed here, so that whoever reads frames meets one
kind of counter. A worker's totals begin at zero, which its readers take for a counter's
reset, as they take a producer's restart; what an aborted transaction had added is taken off
again, because its records come once more.
"""

import math

import numpy as np
import numpy.typing as npt


class Totals:
    """Totals by series number."""

    def __init__(self) -> None:
        self._of: dict[int, float] = {}
        self._before: dict[int, float] = {}  # of what the open transaction has changed

    def grown(
        self, code: npt.NDArray[np.int64], value: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """The total of each row's series once its value is added, in the rows' order.

        >>> Totals().grown(np.array([3, 5, 3]), np.array([1.0, 10.0, 2.0])).tolist()
        [1.0, 10.0, 3.0]
        """
        totals, before = self._of, self._before
        result = []
        for series, added in zip(code.tolist(), value.tolist(), strict=True):
            known = totals.get(series, 0.0)
            before.setdefault(series, known)
            total = known + added
            if math.isinf(total):  # beyond what a float holds: it starts anew, like any counter
                total = added
            totals[series] = total
            result.append(total)
        return np.array(result, np.float64)

    def ended(self, *, committed: bool) -> None:
        """Note that a transaction ended; an aborted one takes its increments along."""
        if not committed:
            self._of |= self._before
        self._before.clear()

    def renumbered(self, kept: list[int]) -> None:
        """Follow series that got new numbers: `kept[new]` is the old one.

        To be called between transactions only: there is no way back.
        """
        self._of = {new: self._of[old] for new, old in enumerate(kept) if old in self._of}
        self._before.clear()
