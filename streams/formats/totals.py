"""Running totals of series whose producers tell only what was added since they last spoke.

Deltas (OTLP) and increments (Vector) are summed here, so that whoever reads frames meets one
kind of counter. A worker's totals begin at zero, which its readers take for a counter's
reset, as they take a producer's restart; what an aborted transaction had added is taken off
again, because its records come once more.
"""

import numpy as np
import numpy.typing as npt


class Totals:
    """Totals by series number."""

    def __init__(self) -> None:
        self._of = np.zeros(1 << 10)
        self._changed = np.zeros(1 << 10, np.bool_)  # by the open transaction
        self._which = np.empty(1 << 10, np.int64)  # is changed, and what its total was before
        self._before = np.empty(1 << 10)
        self._changes = 0

    def grown(
        self, code: npt.NDArray[np.int64], value: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """The total of each row's series once its value is added, in the rows' order.

        >>> Totals().grown(np.array([3, 5, 3]), np.array([1.0, 10.0, 2.0])).tolist()
        [1.0, 10.0, 3.0]
        """
        from streams.formats.totals_scan import added  # noqa: PLC0415 - it loads the compiler

        while len(code) and int(code.max()) >= len(self._of):
            self._of, self._changed, self._which, self._before = (
                np.concatenate([column, np.zeros_like(column)])
                for column in (self._of, self._changed, self._which, self._before)
            )
        result = np.empty(len(code))
        self._changes = added(
            code, value, self._of, self._changed, self._which, self._before, self._changes, result
        )
        return result

    def ended(self, *, committed: bool) -> None:
        """Note that a transaction ended; an aborted one takes its increments along."""
        which = self._which[: self._changes]
        if not committed:
            self._of[which] = self._before[: self._changes]
        self._changed[which] = False
        self._changes = 0

    def renumbered(self, kept: list[int]) -> None:
        """Follow series that got new numbers: `kept[new]` is the old one.

        To be called between transactions only: there is no way back.
        """
        self.ended(committed=True)
        old = np.array(kept, np.int64)
        new = np.flatnonzero(old < len(self._of))  # the others were never added to
        total = np.zeros_like(self._of)  # large enough, for a number only ever becomes smaller
        total[new] = self._of[old[new]]
        self._of = total
