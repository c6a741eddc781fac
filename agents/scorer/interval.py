"""How often a series is sampled, by a majority vote over its gaps.

Source: R. S. Boyer, J. S. Moore, "MJRTY: A Fast Majority Vote Algorithm", 1981.
"""

from agents.scorer.jit import lean
from agents.scorer.state import OFFSET, Floats

GAP, VOTES, LAST_AT = OFFSET["gap"], OFFSET["gap_votes"], OFFSET["last_at"]

SAME = 0.05  # gaps this close, relative, are one interval: scrapers drift
MOST_VOTES = 1000.0  # a new interval is believed after at most as many samples
UNKNOWN = 60.0  # s, taken until the first gap is seen: the commonest scrape interval


@lean
def learn_gap(s: Floats, at: float) -> float:
    """Count the gap before a sample at `at` (epoch s) and return it: seconds, never negative.

    A repeated or backward time is a gap of 0 and no vote.
    """
    gap: float = max(at - s[LAST_AT], 0.0)
    if gap > 0:
        if s[VOTES] <= 0:
            s[GAP] = gap
            s[VOTES] = 1.0
        elif abs(gap - s[GAP]) < SAME * s[GAP]:
            s[VOTES] = min(s[VOTES] + 1.0, MOST_VOTES)
        else:
            s[VOTES] -= 1.0
    return gap


@lean
def interval(s: Floats) -> float:
    """Sampling interval in seconds, above 0."""
    return s[GAP] if s[GAP] > 0 else UNKNOWN
