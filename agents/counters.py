"""Counters become rates: what is scored of a series that only grows is how fast.

A value below the one before means that the counter was reset; what it shows then has been
counted since. The first sample of a counter has no rate and is left out, as is one that
comes at the same time as the one before, or earlier.

Source: Prometheus, "rate()" and counter resets, without its extrapolation to a window.
"""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]

# OpenMetrics' suffixes of cumulative series, and the older habit of naming them so
COUNTER = re.compile(r"_(total|count|sum|bucket|created)$")
LAST_AT, LAST_VALUE, SEEN = 0, 1, 2  # columns of a row's memory
MEMORY = 3


def is_counter(metric: str) -> bool:
    """Whether a metric's name says that it is cumulative.

    >>> is_counter("http_requests_total"), is_counter("queue_depth")
    (True, False)
    """
    return COUNTER.search(metric) is not None


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator] # numba has no types
def _rates(memory: Any, counter: Any, rows: Any, at: Any, value: Any, out: Any) -> None:
    for i in range(rows.size):
        row = rows[i]
        if not counter[row]:
            out[i] = value[i]
            continue
        gap = at[i] - memory[row, LAST_AT]
        grown = value[i] - memory[row, LAST_VALUE]
        known = memory[row, SEEN] > 0
        out[i] = np.nan
        if known and gap <= 0:
            continue
        if known:
            out[i] = (grown if grown >= 0 else value[i]) / gap
        memory[row, LAST_AT] = at[i]
        memory[row, LAST_VALUE] = value[i]
        memory[row, SEEN] = 1.0


def rates(
    memory: Floats,
    counter: npt.NDArray[np.bool_],
    rows: npt.NDArray[np.int32],
    at: Floats,
    value: Floats,
) -> Floats:
    """Values to score, [n]: a gauge's as they are, a counter's per second, NaN for none.

    `memory` float64 [series, 3] is changed in place; `counter` bool [series] says which rows
    are counters; `rows` [n], `at` epoch seconds [n] and `value` [n] are the samples.
    """
    out = np.empty(len(rows))
    _rates(memory, counter, rows, at, value, out)
    return out
