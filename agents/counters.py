"""Counters become rates: what is scored of a series that only grows is how fast.

A value below the one before means that the counter was reset; what it shows then has been
counted since. The first sample of a counter has no rate and is left out, as is one that
comes at the same time as the one before, or earlier.

A counter that starts again is nothing unusual: somebody deployed. One that does so again and again
within minutes is a crash loop, unless it has always done so.

Source: Prometheus, "rate()" and counter resets, without its extrapolation to a window.
"""

import math
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
# Columns of a row's resets: recent ones, each halved in 10 minutes; when the last was; all of
# them; samples
LEVEL, RESET_AT, ALL, SAMPLES = 0, 1, 2, 3
RESETS = 4

HALF_LIFE = 600.0  # s
LOOP = 2.5  # recent resets that are a crash loop: three within minutes
CALM = 1.0  # recent resets of one that is over
USUAL = 0.02  # of a series' samples: one that starts over so often is no counter
KNOWN = 30  # samples until that can be told


def is_counter(metric: str) -> bool:
    """Whether a metric's name says that it is cumulative.

    >>> is_counter("http_requests_total"), is_counter("queue_depth")
    (True, False)
    """
    return COUNTER.search(metric) is not None


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator] # numba has no types
def _rates(
    memory: Any, resets: Any, counter: Any, rows: Any, at: Any, value: Any, out: Any, loop: Any
) -> None:
    for i in range(rows.size):
        row = rows[i]
        if not counter[row]:
            out[i] = value[i]
            continue
        gap = at[i] - memory[row, LAST_AT]
        grown = value[i] - memory[row, LAST_VALUE]
        known = memory[row, SEEN] > 0
        out[i] = np.nan
        if (known and gap <= 0) or not np.isfinite(value[i]):
            continue
        s = resets[row]
        if known:
            out[i] = (grown if grown >= 0 else value[i]) / gap
            if grown < 0:
                often = s[SAMPLES] < KNOWN or s[ALL] - s[LEVEL] > USUAL * s[SAMPLES]
                s[LEVEL] = s[LEVEL] * 0.5 ** (max(at[i] - s[RESET_AT], 0.0) / HALF_LIFE) + 1.0
                s[RESET_AT] = at[i]
                s[ALL] += 1.0
                loop[i] = 0.0 if often or s[LEVEL] < LOOP else s[LEVEL]
        s[SAMPLES] += 1.0
        memory[row, LAST_AT] = at[i]
        memory[row, LAST_VALUE] = value[i]
        memory[row, SEEN] = 1.0


def rates(
    memory: Floats,
    resets: Floats,
    counter: npt.NDArray[np.bool_],
    rows: npt.NDArray[np.int32],
    at: Floats,
    value: Floats,
) -> tuple[Floats, Floats]:
    """Values to score, [n]: a gauge's as they are, a counter's per second, NaN for none.

    With them, [n], how many recent resets a crash loop has at a sample, 0 where there is none.
    `memory` float64 [series, 3] and `resets` float64 [series, 4] are changed in place; `counter`
    bool [series] says which rows are counters; `rows` [n], `at` epoch seconds [n] and `value` [n]
    are the samples.
    """
    out, loop = np.empty(len(rows)), np.zeros(len(rows))
    _rates(memory, resets, counter, rows, at, value, out, loop)
    return out, loop


def calm_at(level: float, at: float) -> float:
    """When a crash loop of so many recent resets at a time (epoch s) is over without another.

    >>> calm_at(4.0, 0.0)
    1200.0
    """
    return at + HALF_LIFE * math.log2(level / CALM)
