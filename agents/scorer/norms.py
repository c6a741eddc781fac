"""Tail norms: how large a residual usually gets, in the third norm.

Dividing by a 3-norm instead of the rms is what lets one threshold fit all series: heavy
tails raise it, so a series that often bursts must burst harder. Each side is kept apart,
over a long and a short memory, and the larger counts.

What lies far out is learned as if it were nearer, or one outage would blind a series to
everything smaller for weeks. It is pulled in, not cut off: a series whose scale really
changes by orders of magnitude has to be able to follow.

Source of the pull: P. J. Huber, "Robust Estimation of a Location Parameter", 1964, whose
influence stays at its bound; here it goes on growing, slowly.
"""

import numpy as np

from agents.scorer.jit import lean
from agents.scorer.state import OFFSET, RESIDUALS, Floats

UP, DOWN = OFFSET["up_slow"], OFFSET["down_slow"]
FAST_FIELD = RESIDUALS  # the fast norms lie right behind the slow ones

SLOW, FAST = 20000.0, 500.0  # samples
WARM = 30  # samples before a ratio is given
SELF = 0.4  # of a sample: how much the slow norm counts the residual that it is to judge
TINY = 1e-36  # a cubed norm below this is rounding noise (1e-12 cubed)
LARGEST = 1e9  # of a cubed ratio: 1000 norms
FAR = 64.0  # a cubed ratio beyond this is pulled in before it is learned: 4 norms
PULL = 0.2  # its exponent: 30 norms out are learned as 6
MAY_BE_FAR = 20.0  # below this a ratio that counts itself, `WARM` samples old, is not far


@lean
def _cube(slow: float, other_slow: float, fast: float, other_fast: float, floor: float) -> float:
    """Cubed norm: the larger over both memories of twice the own side, or both sides together."""
    cube = max(slow + max(slow, other_slow), fast + max(fast, other_fast))
    return max(cube, floor * floor * floor)


@lean
def norm_cubes(s: Floats, residual: int, floor: float) -> tuple[float, float]:
    """Cubed tail norms of a residual's lower and upper side, from what was learned so far."""
    up, down = UP + residual, DOWN + residual
    up_fast, down_fast = up + FAST_FIELD, down + FAST_FIELD
    return (
        _cube(s[down], s[up], s[down_fast], s[up_fast], floor),
        _cube(s[up], s[down], s[up_fast], s[down_fast], floor),
    )


@lean
def _nearer(s: Floats, own: int, other: int, cube: float, floor: float) -> float:
    """Return the cube to learn: pulled in when it is far beyond what was known before it."""
    norm = _cube(s[own], s[other], s[own + FAST_FIELD], s[other + FAST_FIELD], floor)
    far = FAR * norm
    if norm > TINY and cube > far:
        return far * (cube / far) ** PULL  # type: ignore[no-any-return] # float power
    return cube


@lean
def tail_ratio(s: Floats, residual: int, u: float, seen: float, floor: float) -> float:
    """|u| over its tail norm, cubed, with the sign of `u`; learn `u` afterwards.

    0 while `seen` samples are too few, untouched while it is negative. The slow norm counts
    `u` itself, which bounds the ratio while the history is short. A `u` beyond `FAR` is learned
    as if it were nearer.
    """
    if seen < 0:
        return 0.0
    size = abs(u)
    cube = size * size * size
    own = (UP if u > 0 else DOWN) + residual
    other = (DOWN if u > 0 else UP) + residual
    ratio = 0.0
    if seen >= WARM:
        n = min(seen, SLOW)
        slow = (s[own] * n + SELF * cube) / (n + SELF)
        other_slow = s[other] * n / (n + SELF)
        norm = _cube(slow, other_slow, s[own + FAST_FIELD], s[other + FAST_FIELD], floor)
        if norm > TINY:
            ratio = min(cube / norm, LARGEST)
            if ratio > MAY_BE_FAR:
                cube = _nearer(s, own, other, cube, floor)
    least = 1.0 / (seen + 1.0)
    slow_rate, fast_rate = max(least, 1.0 / SLOW), max(least, 1.0 / FAST)
    s[own] += slow_rate * (cube - s[own])
    s[own + FAST_FIELD] += fast_rate * (cube - s[own + FAST_FIELD])
    s[other] -= slow_rate * s[other]
    s[other + FAST_FIELD] -= fast_rate * s[other + FAST_FIELD]
    return float(np.copysign(ratio, u))
