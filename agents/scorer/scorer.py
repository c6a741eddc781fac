"""The frame kernel: scores many series' samples at once, each against its own past.

A sample is scored by what its series has shown before it and then learned; nothing else is
read, so however samples are cut into frames, the scores are the same. The recipe, in order:
interval, domains, profiles, residuals, surprise, records, rest and bar, a file each.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from agents.scorer.ahead import AHEAD, fetch
from agents.scorer.block import BlockState
from agents.scorer.domains import count_floor, learn_domains, start_domains
from agents.scorer.interval import GAP, interval, learn_gap
from agents.scorer.jit import SOURCES, kept, lean
from agents.scorer.kind import NOTHING, OF_RESIDUAL, OF_STATISTIC, Kind
from agents.scorer.norms import WARM, norm_cubes
from agents.scorer.profiles import learn_profiles
from agents.scorer.records import BIN, GATE, MARGIN, records
from agents.scorer.residuals import X_MEAN_30, residuals, start_means
from agents.scorer.rest import ALARM, emit
from agents.scorer.sample import Sample
from agents.scorer.state import (
    COUNTS_AT,
    OFFSET,
    RESIDUALS,
    SINGLES_AT,
    Counts,
    Floats,
    Singles,
)
from agents.scorer.surprise import SEASONAL, surprise, threshold
from schemas.errors import Rejected

SAMPLES, LAST_VALUE, LAST_AT = OFFSET["samples"], OFFSET["last_value"], OFFSET["last_at"]

LARGEST = 1e36  # values beyond are taken for it: its cube and a float32 can still hold it
LATEST = 1e12  # s: a time beyond the year 30,000 is nonsense, and the sample is left out
NATIVE = 0.9 * BIN  # s: from here on a bin is a sample, and its statistics open the gate too
FAST = 45.0  # s: below, the eight look back minutes, and a leak of hours shows in none of them:
STEEP = 8.0  # then a statistic opens the gate, too, where it is 6 tail norms out instead of 3

NONE, JITTER, IS_SEASONAL = int(Kind.NONE), int(Kind.JITTER), int(Kind.SEASONAL)

Row = tuple[float, float, float, float, int, int, int, float]


class Scores(NamedTuple):
    """What a frame's samples were worth, one entry a sample, never NaN.

    `emitted` (0 or more) is what to say: 1 or more is an alarm. `raw` is the score before rest
    and bar, for evidence too weak or too recent to be said. `low` and `high` is the range that
    was expected before the sample: the mean of the last 30 samples or of this hour of the day,
    whichever tells more, less and plus the distance at which that residual alone would be
    alarming; infinite before the first sample. A value may lie inside and still alarm: a level
    that creeps, a restless series. `direction` is 1 up, -1 down, 0 neither (quiet, or restless
    to both sides), `kind` a `Kind`, `statistic` what named it: the number of a residual, or 8
    and more of a record, -1 for none (kind.py has their names). `gap` is how often the series was
    sampled until then, in seconds, 0 while that is not known.
    """

    emitted: Floats
    raw: Floats
    low: Floats
    high: Floats
    direction: npt.NDArray[np.int8]
    kind: npt.NDArray[np.int8]
    statistic: npt.NDArray[np.int8]
    gap: Floats


@lean
def _range(
    t: float, centre: float, sides: tuple[float, float], limit: float
) -> tuple[float, float]:
    """Values less than `limit` tail norms from `centre`, once there is one (`t` samples)."""
    if t == 0:
        return -np.inf, np.inf
    down, up = sides
    return centre - limit * np.cbrt(down), centre + limit * np.cbrt(up)


@lean
def _gate(largest: float, tail: float, dt: float) -> float:
    """How much of a record counts, 0 to 1: what confirms it are residuals, or its own height."""
    if dt >= NATIVE:
        largest = max(largest, tail)
    elif dt < FAST:
        largest = max(largest, tail / STEEP)
    return min(largest / GATE, 1.0)


@lean
def _verdict(surprised: float, leader: float, which: int, novelty: float, statistic: int) -> Any:
    """Score, kind, direction, statistic; a record names only what no residual finds alarming."""
    raw, kind, sign, named = surprised, OF_RESIDUAL[which], leader, which
    if abs(novelty) > surprised:
        raw = abs(novelty)
        if surprised < ALARM:
            kind, sign, named = OF_STATISTIC[statistic], novelty, RESIDUALS + statistic
    if raw <= 0:
        return 0.0, NONE, 0, NOTHING
    if kind == JITTER:
        return raw, kind, 0, named
    return raw, kind, (1 if sign > 0 else -1), named


@lean
def _score(s: Floats, w: Singles, c: Counts, at: float, value: float) -> Row:
    """Score one sample and learn it. A missing value or an impossible time changes nothing."""
    t, floor, known = s[SAMPLES], count_floor(s), s[GAP]
    centre, sides = s[X_MEAN_30], norm_cubes(s, 0, floor)
    if not (np.isfinite(value) and abs(at) <= LATEST):
        low, high = _range(t, centre, sides, threshold(interval(s)))
        return 0.0, 0.0, low, high, 0, NONE, NOTHING, known
    x = min(max(value, -LARGEST), LARGEST)
    season_sides = norm_cubes(s, SEASONAL, floor)
    gap = 0.0
    if t == 0:
        start_domains(s, x)
        start_means(s, x)
    else:
        gap = learn_gap(s, at)
    dt = interval(s)
    limit = threshold(dt)
    y, floor, floor_y = learn_domains(s, t, x)
    learn_profiles(s, w, c, at, x)
    sample = Sample(t, at, x, y, dt, floor, floor_y)
    u, seen = residuals(s, w, c, sample)
    agreed, largest, leader, which = surprise(s, u, seen, sample)
    surprised = agreed / limit
    novelty, statistic, tail = records(s, w, c, sample)
    novelty = novelty / MARGIN * _gate(largest, tail, dt)
    raw, kind, direction, named = _verdict(surprised, leader, which, novelty, statistic)
    by_hour = seen[SEASONAL] >= WARM and season_sides[0] + season_sides[1] < sides[0] + sides[1]
    if by_hour or (kind == IS_SEASONAL and raw >= ALARM):
        centre, sides = x - u[SEASONAL], season_sides
    emitted = emit(s, t, gap, dt, raw)
    s[LAST_AT] = at
    s[LAST_VALUE] = x
    s[SAMPLES] = t + 1.0
    low, high = _range(t, centre, sides, limit)
    return emitted, raw, low, high, direction, kind, named, known


@cache
def _kernel() -> Any:
    """Build the kernel, loading its machine code if that is there; seconds if it is not."""
    sources = SOURCES

    def frame(
        memory: Counts,
        rows: npt.NDArray[np.int32],
        at: Floats,
        value: Floats,
        scores: Scores,
    ) -> int:
        emitted, raw, low, high, direction, kind, named, known = scores
        for i in range(rows.size):
            if i + AHEAD < rows.size:
                fetch(memory[rows[i + AHEAD]], at[i + AHEAD])
            row = memory[rows[i]]
            scored = _score(
                row[:SINGLES_AT].view(np.float64),
                row[SINGLES_AT:COUNTS_AT].view(np.float32),
                row[COUNTS_AT:],
                at[i],
                value[i],
            )
            emitted[i], raw[i], low[i], high[i], direction[i], kind[i], named[i], known[i] = scored
        return sources  # named here so that it is in the key of the cache: see jit.py

    return kept(frame)


def score_rows(
    state: BlockState, rows: npt.ArrayLike, at: npt.ArrayLike, value: npt.ArrayLike
) -> Scores:
    """Score a frame and learn it: sample i of row `rows[i]` at `at[i]` has `value[i]`.

    `rows` int [n], claimed in `state`; `at` float [n], epoch seconds; `value` float [n], where
    NaN or an infinity is a missing sample. A row's samples are learned in the order given, a
    time that repeats or runs backward included. Holds no lock while it runs: two threads may
    score two blocks. Rejected for a row that was not claimed or arrays of unequal length.
    """
    # Copies, because Arrow's arrays are read-only and numba would compile once more for them.
    r = np.array(rows, np.int32, ndmin=1)
    t = np.array(at, np.float64, ndmin=1)
    v = np.array(value, np.float64, ndmin=1)
    n = len(r)
    if not len(t) == len(v) == n:
        raise Rejected(f"a frame of {n} rows, {len(t)} times and {len(v)} values")
    state.check(r)
    scores = Scores(
        np.empty(n),
        np.empty(n),
        np.empty(n),
        np.empty(n),
        np.empty(n, np.int8),
        np.empty(n, np.int8),
        np.empty(n, np.int8),
        np.empty(n),
    )
    _kernel()(state.memory, r, t, v, scores)
    return scores


def warm_up() -> None:
    """Compile the kernel, or load it, so that the first frame need not wait."""
    block = BlockState(1)
    score_rows(block, [block.claim()], [0.0], [0.0])
