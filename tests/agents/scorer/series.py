"""Series that are the same on every machine, without a library's random numbers."""

import math

import numpy as np
import numpy.typing as npt

from agents.scorer.block import BlockState
from agents.scorer.scorer import Scores, score_rows

START = 1_700_000_000.0  # epoch s
Floats = npt.NDArray[np.float64]


def noise(n: int, seed: int = 1) -> Floats:
    """Nearly normal, mean 0 and deviation 1: twelve draws of a linear congruence, summed."""
    state, out = seed, np.empty(n)
    for i in range(n):
        total = -6.0
        for _ in range(12):
            state = (state * 1_103_515_245 + 12_345) % 2**31
            total += state / 2**31
        out[i] = total
    return out


def every(n: int, dt: float) -> Floats:
    """Times of n samples, `dt` seconds apart."""
    return np.array([START + dt * i for i in range(n)])


def daily(n: int, dt: float = 300.0, seed: int = 1) -> tuple[Floats, Floats]:
    """A service's load: 100 and 20 up and down a day, noise of 2."""
    at = every(n, dt)
    wave = np.array([math.sin(2 * math.pi * t / 86400.0) for t in at])
    return at, 100.0 + 20.0 * wave + 2.0 * noise(n, seed)


def flat(n: int, dt: float = 60.0, seed: int = 1) -> tuple[Floats, Floats]:
    """Nothing but noise of 1 around 50."""
    return every(n, dt), 50.0 + noise(n, seed)


def alone(at: npt.ArrayLike, value: npt.ArrayLike) -> Scores:
    """Scores of one series from its beginning."""
    block = BlockState(1)
    return score_rows(block, np.full(np.size(value), block.claim(), np.int32), at, value)
