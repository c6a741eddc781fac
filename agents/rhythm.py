"""Rhythm: how often a series is heard, and when its silence is longer than that allows.

A series that comes every ten seconds is late after forty; one that comes and goes is late much
later. Silence is counted in the time of the partition, the newest that any sample has had, so
what counts as a series' longest silence includes that its samples may come in batches, behind
those of others. A silence that alarmed makes more allowed for some time: what happens every night
is soon no news.

What ends with Prometheus' stale marker is not late; any other NaN is no sign of anything.

When the partition itself was silent, its series are not late at its first word: each gets its
allowance once more.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]

# Columns of a row: newest sample, the partition's time when it came, mean interval, its mean
# deviation, longest silence (fading), how many samples, when it is late (0: never), 1 for once put
# off, 1 for late, silence allowed, when it was seen first
HEARD, SEEN, MEAN, SPREAD, LONGEST, COUNT, DUE, PUT_OFF, LATE, ALLOWED, BORN = range(11)
RHYTHM = 11
# Columns of what `beats` tells: row, whether it is late (1) or back (0), place in the frame, time,
# and of its rhythm as it was: newest sample, interval, silence allowed
ROW, IS_LATE, PLACE, AT, HEARD_AT, EVERY, SILENCE = range(7)
TOLD = 7

STALE = 0x7FF0000000000002  # Prometheus' NaN for "this series has ended"
KNOWN = 16.0  # samples until there is a rhythm,
AGE = 300.0  # and seconds: shippers that send what they saw each second send once a minute
MEMORY = 64.0  # intervals, of mean and deviation
FADE = 0.5 ** (1 / 500)  # an interval: how the longest silence is forgotten
REGULAR = 0.5  # deviations of a mean interval: beyond, it comes and goes
SOON = 4.0, 3.0, 10.0  # intervals, longest silences, seconds: whichever is longest is allowed
LATER = 30.0, 5.0, 600.0  # the same for what comes and goes
MOST = 2.0  # of what is allowed: how much of one silence is learned


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator] # numba has no types
def _past_due(r: Any, row: Any, now: Any, newest: Any, before: Any, out: Any, n: Any) -> Any:
    """Tell that a row is late if it is by `now`; put it off once if only a leap made it so."""
    while 0 < r[DUE] <= now:
        k = np.searchsorted(newest, r[DUE])
        was = max(newest[k - 1], before) if k > 0 else before
        if r[PUT_OFF] == 0 and newest[k] - was >= r[ALLOWED] / 2:
            r[DUE] = newest[k] + r[ALLOWED]
            r[PUT_OFF] = 1.0
            continue
        out[n, ROW], out[n, IS_LATE], out[n, PLACE], out[n, AT] = row, 1.0, k, r[DUE]
        out[n, HEARD_AT], out[n, EVERY], out[n, SILENCE] = r[HEARD], r[MEAN], r[ALLOWED]
        n += 1
        r[DUE] = 0.0
        r[LATE] = 1.0
    return n


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator] # numba has no types
def _beats(
    rhythm: Any, rows: Any, at: Any, value: Any, place: Any, newest: Any, before: Any, out: Any
) -> Any:
    n, due, bits = 0, np.inf, value.view(np.int64)
    for i in range(rows.size):
        row = rows[i]
        r = rhythm[row]
        if not np.isfinite(value[i]):
            if bits[i] == STALE:  # it says itself that it ends
                r[DUE] = 0.0
            continue
        now = max(newest[place[i] - 1], before) if place[i] > 0 else before
        n = _past_due(r, row, now, newest, before, out, n)
        if r[COUNT] > 0 and at[i] <= r[HEARD]:
            continue  # of the past: it says nothing of now
        if r[LATE] > 0:
            out[n, ROW], out[n, IS_LATE], out[n, PLACE], out[n, AT] = row, 0.0, place[i], at[i]
            out[n, HEARD_AT], out[n, EVERY], out[n, SILENCE] = r[HEARD], r[MEAN], r[ALLOWED]
            n += 1
        r[LATE] = 0.0
        r[PUT_OFF] = 0.0
        if r[COUNT] > 0:
            most = MOST * r[ALLOWED] if r[ALLOWED] > 0 else np.inf
            gap = min(at[i] - r[HEARD], most)
            silence = min(max(at[i], now) - r[SEEN], most)
            rate = max(1.0 / r[COUNT], 1.0 / MEMORY)
            r[SPREAD] += rate * (abs(gap - r[MEAN]) - r[SPREAD]) if r[COUNT] > 1 else 0.0
            r[MEAN] += rate * (gap - r[MEAN])
            r[LONGEST] = max(r[LONGEST] * FADE, silence)
        else:
            r[BORN] = max(at[i], now)
        r[COUNT] += 1.0
        r[HEARD] = at[i]
        r[SEEN] = max(at[i], now)
        if r[COUNT] > KNOWN and r[SEEN] - r[BORN] >= AGE:
            if r[SPREAD] <= REGULAR * r[MEAN]:
                intervals, longest, least = SOON
            else:
                intervals, longest, least = LATER
            r[ALLOWED] = max(intervals * r[MEAN], longest * r[LONGEST], least)
            r[DUE] = r[SEEN] + r[ALLOWED]
            due = min(due, r[DUE])
    return n, due


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator] # numba has no types
def _late(rhythm: Any, count: Any, newest: Any, before: Any, out: Any) -> Any:
    n, next_due = 0, np.inf
    end = max(newest[newest.size - 1], before)
    for row in range(count):
        r = rhythm[row]
        n = _past_due(r, row, end, newest, before, out, n)
        if r[DUE] > 0:
            next_due = min(next_due, r[DUE])
    return n, next_due


def beats(
    rhythm: Floats,
    rows: npt.NDArray[np.int32],
    at: Floats,
    value: Floats,
    place: npt.NDArray[np.int64],
    newest: Floats,
    before: float,
) -> tuple[Floats, float]:
    """Learn a block's share of a frame; who was late before a sample, and who is back, [m, 7].

    With it, when the first of these rows will be late.
    `rhythm` float64 [series, 11] is changed in place. Sample i of `rows` [n] has time `at` (epoch
    s), `value` (a missing one is no beat) and `place` in the frame; `newest` [frame] is the newest
    time after each sample of the frame, `before` the one before it, -inf when there was none.
    """
    out = np.empty((2 * len(rows), TOLD))
    n, due = _beats(rhythm, rows, at, value, place, newest, before, out)
    return out[:n], due


def late(rhythm: Floats, count: int, newest: Floats, before: float) -> tuple[Floats, float]:
    """Who of the first `count` rows is late at the end of a frame, [m, 7], and who is next when.

    To be called after `beats` of the same frame, and when the time was reached that the last
    call gave; sooner does no harm.
    """
    out = np.empty((count, TOLD))
    n, next_due = _late(rhythm, count, newest, before, out)
    return out[:n], next_due
