"""Additions to running totals in compiled code: a delta histogram has one for each of its buckets.

Apart from streams/formats/totals.py, which is read with the settings and needs no compiler.
"""

from typing import Any

import numpy as np

from agents.scorer.jit import kept


@kept
def added(
    code: Any, value: Any, of: Any, changed: Any, which: Any, before: Any, changes: Any, result: Any
) -> Any:
    """Add each row's value to its series' total; how many series have changed."""
    for i in range(code.size):
        series = code[i]
        if not changed[series]:
            changed[series] = True
            which[changes], before[changes] = series, of[series]
            changes += 1
        total = of[series] + value[i]
        if np.isinf(total):  # beyond what a float holds: it starts anew, like any counter
            total = value[i]
        of[series] = total
        result[i] = total
    return changes
