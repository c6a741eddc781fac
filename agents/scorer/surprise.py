"""Surprise: how far out the eight residuals agree that a sample is.

Their 1.5-mean asks for agreement; the largest alone would cry more often and find less.
"""

import numpy as np

from agents.scorer.jit import lean
from agents.scorer.norms import tail_ratio
from agents.scorer.residuals import Eight
from agents.scorer.sample import Sample
from agents.scorer.state import RESIDUALS, Floats

THRESHOLD = 3.5  # tail norms that the eight must be out, in the 1.5-mean
STANDARD = 300.0  # s: slower series have fewer chances a day to be wrong, so a lower threshold
SLOWER = 0.25  # its exponent
IN_Y = 2, 3  # residuals that are distances of y
SEASONAL = 6  # the first of those against the hour of the day
UNSEASONAL = 8.0  # a spike is no seasonal anomaly: those are twice as far out, cubed, by the hour


@lean
def threshold(dt: float) -> float:
    """Tail norms that make an alarm on a series sampled every `dt` seconds."""
    if dt > STANDARD:
        return THRESHOLD * (dt / STANDARD) ** -SLOWER  # type: ignore[no-any-return] # float power
    return THRESHOLD


@lean
def surprise(s: Floats, u: Eight, seen: Eight, sample: Sample) -> tuple[float, float, float, int]:
    """Return by how many tail norms the eight are out, and what stands out most.

    That is the largest cubed ratio, then the ratio with its sign and the number of the residual
    that names the anomaly. `threshold` says how many norms make an alarm.
    """
    general, seasonal = 0.0, 0.0
    leader, which, season_leader, season_which = 0.0, 0, 0.0, SEASONAL
    for j in range(RESIDUALS):
        ratio = tail_ratio(s, j, u[j], seen[j], sample.floor_y if j in IN_Y else sample.floor)
        if j < SEASONAL:
            general += np.sqrt(abs(ratio))
            if abs(ratio) > abs(leader):
                leader, which = ratio, j
        else:
            seasonal += np.sqrt(abs(ratio))
            if abs(ratio) > abs(season_leader):
                season_leader, season_which = ratio, j
    agreed = ((general + seasonal) / RESIDUALS) ** (2.0 / 3.0)
    largest = max(abs(leader), abs(season_leader))
    if abs(season_leader) > UNSEASONAL * abs(leader):
        return agreed, largest, season_leader, season_which
    return agreed, largest, leader, which
