"""Fetch ahead: a series' memory is asked for two samples before it is needed.

A million series do not fit into a cache, and waiting for memory costs as much as scoring. The
lines that a sample surely touches are known from its series and its hour.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped] # it has no stubs
from numba.core import cgutils, types
from numba.extending import intrinsic

from agents.scorer.jit import lean
from agents.scorer.profiles import DAY, DAY_MEAN, DAY_SEEN, hour_of
from agents.scorer.state import COUNTS_AT, OFFSET, SINGLES_AT, Counts

AHEAD = 2  # samples: about a microsecond, several times what memory takes
LINE = 64  # bytes that come at once
EVERY_SAMPLE = 8 * OFFSET["bin_before"]  # bytes at the beginning of a row
LAST = 8 * OFFSET["bar"]


@intrinsic  # type: ignore[untyped-decorator] # numba has no types
def _fetch(_typing: Any, row: Any, offset: Any) -> Any:
    """LLVM's prefetch, to write, into all caches, of the line of `row` at an offset in bytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(prefetch, [place, number(1), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(row, offset), generate


@lean
def fetch(row: Counts, at: float) -> None:
    """Begin to fetch what a sample at a time (epoch s) will touch of its series' row."""
    for offset in range(0, EVERY_SAMPLE, LINE):
        _fetch(row, np.int64(offset))
    _fetch(row, np.int64(LAST))
    hour = hour_of(at, DAY) if np.isfinite(at) else 0
    _fetch(row, np.int64(SINGLES_AT + 4 * (DAY_MEAN + hour)))
    _fetch(row, np.int64(COUNTS_AT + DAY_SEEN + hour))
