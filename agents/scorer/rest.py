"""Rest and bar: say a thing once, and ask more of a series that alarms often.

After an emission a series rests, unless something stranger comes; every alarm raises its
bar a little, which is forgotten in days.
"""

from agents.scorer.jit import lean
from agents.scorer.state import OFFSET, Floats

BAR, AT, LAST = OFFSET["bar"], OFFSET["emission_at"], OFFSET["emission"]

REST = 8 * 3600.0  # s: a shift; the same trouble an hour later is no news
LEAST_REST, MOST_REST = 8.0, 30.0  # samples: neither forgets at once nor sleeps through the next
RAISE = 0.07  # of the bar, an alarm
HALF_LIFE = 86400.0  # s, of the bar
ALARM = 1.0  # a score of this or more


@lean
def emit(s: Floats, t: float, gap: float, dt: float, raw: float) -> float:
    """Return the score to say for sample number `t`, 0 while at rest; 1 or more is an alarm."""
    s[BAR] *= 0.5 ** (gap / HALF_LIFE)
    score: float = raw / (1.0 + s[BAR])
    rest = min(max(REST / dt, LEAST_REST), MOST_REST)
    if score > 0 and (s[LAST] == 0 or t - s[AT] > rest or score > s[LAST]):
        s[AT] = t
        s[LAST] = score
        if score >= ALARM:
            s[BAR] += RAISE
        return score
    return 0.0
