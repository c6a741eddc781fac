"""The two domains a value is looked at in: as it is, and on a robust logarithmic scale.

y = asinh((x - centre) / unit) is linear near the centre and logarithmic far from it, so
one burst does not blind it to the next. Centre and scale come from before the sample.
"""

import numpy as np

from agents.scorer.jit import lean
from agents.scorer.state import OFFSET, Floats

CENTRE, SCALE, WHOLE = OFFSET["centre"], OFFSET["scale"], OFFSET["whole"]

MEMORY = 2000.0  # samples: a week of 5-minute data
CLIP = 5.0  # scales: what lies farther moves centre and scale no more than this
SETTLE = 20  # samples before the scale means anything; y is 0 until then
RELATIVE, ABSOLUTE = 1e-9, 1e-12  # a unit below these is rounding noise


@lean
def start_domains(s: Floats, x: float) -> None:
    """Begin at the first value; whole until a fraction is seen."""
    s[CENTRE] = x
    s[WHOLE] = 1.0


@lean
def count_floor(s: Floats) -> float:
    """Least spread worth noticing: Poisson's standard deviation for counts, else 0."""
    return np.sqrt(max(s[CENTRE], 0.0) + 1.0) if s[WHOLE] > 0 else 0.0


@lean
def learn_domains(s: Floats, t: float, x: float) -> tuple[float, float, float]:
    """Return y, the floor of x and the floor of y; learn `x`, sample number `t`, afterwards."""
    if x != np.floor(x):
        s[WHOLE] = 0.0
    floor = count_floor(s)
    centre, scale = s[CENTRE], s[SCALE]
    unit = max(scale, floor, RELATIVE * abs(centre) + ABSOLUTE)
    y = np.arcsinh((x - centre) / unit) if t > SETTLE else 0.0
    rate = max(1.0 / (t + 1.0), 1.0 / MEMORY)
    off = x - centre
    if scale > 0:
        off = min(max(off, -CLIP * scale), CLIP * scale)
        s[CENTRE] += rate * off
        s[SCALE] += rate * (abs(off) - scale)
    else:
        s[CENTRE] += rate * off
        s[SCALE] += rate * (abs(x - s[CENTRE]) - scale)
    return y, floor, np.arcsinh(floor / unit)
