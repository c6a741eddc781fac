"""Records: a slow statistic of a series that is farther out than it has ever been.

19 statistics of 300-second means (15 of them to both sides): levels over five pairs of
horizons and restlessness, in both domains, and distances from the hour of the day and of
the week. What has happened before is no record, however rare; a record fades in a month.

The next of n + 1 draws beats a record with chance 1 / (n + 1), so the young series would set
most of them. With a Pareto tail of index 5 it beats c records with c**-5 / (n + 1), which
stays the same when c shrinks with n**-0.2.

Source: W. Feller, "An Introduction to Probability Theory and Its Applications" II, 1971, I.5.
"""

import numpy as np

from agents.scorer.jit import lean
from agents.scorer.norms import FAST, SLOW, TINY
from agents.scorer.profiles import DAY, DAY_MEAN, DAY_SEEN, WEEK, WEEK_MEAN, WEEK_SEEN, hour_of
from agents.scorer.residuals import toward
from agents.scorer.sample import Sample
from agents.scorer.state import OFFSET, SINGLE_OFFSET, Counts, Floats, Singles

BIN = 300.0  # s: at their own rate, fast series set too many records
MARGIN = 1.15  # an alarm lies 15 % beyond anything remembered
LARGEST = 20.0  # of a novelty: what was constant until now would be beyond measure
YOUNG, TAIL = 500.0, 0.2  # bins before MARGIN is enough, and the exponent by which it is more
SPREADS = 3.0  # standard deviations that a record is taken to be at least
FADE = 0.5**1e-4  # a bin: half-life of 10,000 bins, a month
NOISE = 1e-12  # a statistic below this is rounding
MOST = 3e38  # what a float32 holds: of a square and of a cube, no more is remembered
CUBES = 2.0**-30  # of a cube is kept, so that u from 1e-10 to 7e15 is within its range
MEMORY = 10000.0  # bins, of mean and standard deviation
WARM_X, WARM_Y = 100, 300  # bins before a level counts; y settles later
GATE = 27.0  # a record counts in full if some residual is 3 tail norms out (cubed)

LONG = np.array([5.0, 30.0, 100.0, 400.0])  # horizons, bins
SHORT = np.array([1.0, 4.0, 12.0])
PAIR_LONG, PAIR_SHORT = np.array([0, 1, 1, 2, 3]), np.array([0, 0, 1, 2, 2])
RESTLESS = np.array([6.0, 24.0])
PAIRS, JITTERS = len(PAIR_LONG), len(RESTLESS)
DOMAIN = PAIRS + JITTERS  # statistics of one domain
BY_DAY, BY_WEEK = 2 * DOMAIN, 2 * DOMAIN + 2  # where the seasonal statistics begin

LAST_AT = OFFSET["last_at"]
BIN_NUMBER, BIN_X, BIN_Y = OFFSET["bin"], OFFSET["bin_sum_x"], OFFSET["bin_sum_y"]
BIN_COUNT, BINS = OFFSET["bin_count"], OFFSET["bins"]
DAY_BINS, WEEK_BINS, BEFORE = OFFSET["day_bins"], OFFSET["week_bins"], OFFSET["bin_before"]
LONGS, SHORTS, JITTER = OFFSET["long_means"], OFFSET["short_means"], OFFSET["jitters"]
DAY_4, WEEK_4, WEEK_16 = (OFFSET["season_means"] + i for i in range(3))
UP, DOWN = SINGLE_OFFSET["record_up"], SINGLE_OFFSET["record_down"]
CUBE_SLOW, CUBE_FAST = SINGLE_OFFSET["cube_slow"], SINGLE_OFFSET["cube_fast"]
MEAN, SQUARE = SINGLE_OFFSET["mean"], SINGLE_OFFSET["square"]

# The greatest so far: novelty with the sign of its statistic, the statistic, and the largest
# cubed ratio of any statistic to its tail norm, at which the gate of slow and of fast series looks.
Best = tuple[float, int, float]


@lean
def _statistic(
    w: Singles, j: int, u: float, seen: float, warm: float, floor: float, best: Best
) -> Best:
    """Hold `u` against its record, at least 3 standard deviations and the floor; learn it."""
    novelty, which, tail = best
    up, down = float(w[UP + j]), float(w[DOWN + j])
    slow, fast = float(w[CUBE_SLOW + j]) / CUBES, float(w[CUBE_FAST + j]) / CUBES
    mean, square = float(w[MEAN + j]), float(w[SQUARE + j])
    size = abs(u)
    cube = min(size * size * size, MOST / CUBES)
    if seen >= warm:
        tail = max(tail, cube / max(slow, fast, floor * floor * floor, TINY))
        variance = square - mean * mean
        least = SPREADS * np.sqrt(variance) if variance > 0 else 0.0
        least = max(least, floor, NOISE)
        new = u / max(up if u > 0 else down, least)
        if abs(new) > abs(novelty):
            novelty, which = new, j
        up *= FADE
        down *= FADE
    w[UP + j] = max(up, u)
    w[DOWN + j] = max(down, -u)
    rate = 1.0 / (seen + 1.0)
    w[CUBE_SLOW + j] = CUBES * (slow + max(rate, 1.0 / SLOW) * (cube - slow))
    w[CUBE_FAST + j] = CUBES * (fast + max(rate, 1.0 / FAST) * (cube - fast))
    rate = max(rate, 1.0 / MEMORY)
    w[MEAN + j] = mean + rate * (u - mean)
    w[SQUARE + j] = square + rate * (min(u * u, MOST) - square)
    return novelty, which, tail


@lean
def _levels(s: Floats, w: Singles, domain: int, v: float, floor: float, best: Best) -> Best:
    """Five levels and two jitters of a bin's mean `v` in one domain (0 is x, 1 is y)."""
    t = s[BINS]
    least = 1.0 / (t + 1.0)
    warm = WARM_Y if domain else WARM_X
    if t == 0:
        s[BEFORE + domain] = v
    longs, shorts = LONGS + domain * len(LONG), SHORTS + domain * len(SHORT)
    for i in range(len(SHORT)):
        toward(s, shorts + i, max(1.0 / SHORT[i], least), v)
    if t == 0:
        s[longs : longs + len(LONG)] = v
    for i in range(PAIRS):
        u = s[shorts + PAIR_SHORT[i]] - s[longs + PAIR_LONG[i]]
        best = _statistic(w, domain * DOMAIN + i, u, t, warm, floor, best)
    for i in range(len(LONG)):
        toward(s, longs + i, max(1.0 / LONG[i], least), v)
    step = abs(v - s[BEFORE + domain])
    for i in range(JITTERS):
        u = toward(s, JITTER + domain * JITTERS + i, max(1.0 / RESTLESS[i], least), step)
        best = _statistic(w, domain * DOMAIN + PAIRS + i, u, t, warm, floor, best)
    s[BEFORE + domain] = v
    return best


@lean
def _seasonal(s: Floats, w: Singles, c: Counts, mean: Sample, best: Best) -> Best:
    """Distances of a bin's mean from its hour of the day and of the week, warm after one each."""
    floor = mean.floor
    hour = hour_of(mean.at, DAY)
    if c[DAY_SEEN + hour]:
        u, seen, warm = mean.x - w[DAY_MEAN + hour], s[DAY_BINS], DAY / mean.dt
        s[DAY_BINS] += 1.0
        best = _statistic(w, BY_DAY, u, seen, warm, floor, best)
        best = _statistic(w, BY_DAY + 1, toward(s, DAY_4, 1 / 4, u), seen, warm, floor, best)
    hour = hour_of(mean.at, WEEK)
    if c[WEEK_SEEN + hour]:
        u, seen, warm = mean.x - w[WEEK_MEAN + hour], s[WEEK_BINS], WEEK / mean.dt
        s[WEEK_BINS] += 1.0
        best = _statistic(w, BY_WEEK, u, seen, warm, floor, best)
        best = _statistic(w, BY_WEEK + 1, toward(s, WEEK_4, 1 / 4, u), seen, warm, floor, best)
        best = _statistic(w, BY_WEEK + 2, toward(s, WEEK_16, 1 / 16, u), seen, warm, floor, best)
    return best


@lean
def _close_bin(s: Floats, w: Singles, c: Counts, at: float, last: Sample, best: Best) -> Best:
    """Pass the bin's means through the statistics and empty it."""
    x, y = s[BIN_X] / s[BIN_COUNT], s[BIN_Y] / s[BIN_COUNT]
    mean = Sample(s[BINS], at, x, y, max(last.dt, BIN), last.floor, last.floor_y)
    best = _levels(s, w, 0, x, mean.floor, best)
    best = _levels(s, w, 1, y, mean.floor_y, best)
    best = _seasonal(s, w, c, mean, best)
    s[BINS] += 1.0
    s[BIN_X] = 0.0
    s[BIN_Y] = 0.0
    s[BIN_COUNT] = 0.0
    return best


@lean
def records(s: Floats, w: Singles, c: Counts, sample: Sample) -> Best:
    """Add a sample to its bin; what the bin says if it ends here, else a novelty of 0.

    A bin that a gap cut short is closed by the first sample after it, at the time of its own
    last one.
    """
    best = (0.0, 0, 0.0)
    number = np.floor(sample.at / BIN)
    if s[BIN_COUNT] > 0 and number != s[BIN_NUMBER]:
        best = _close_bin(s, w, c, s[LAST_AT], sample, best)
    s[BIN_NUMBER] = number
    s[BIN_X] += sample.x
    s[BIN_Y] += sample.y
    s[BIN_COUNT] += 1.0
    if sample.dt >= BIN or np.floor((sample.at + sample.dt) / BIN) != number:
        best = _close_bin(s, w, c, sample.at, sample, best)
    novelty, which, tail = best
    if s[BINS] < YOUNG:
        novelty *= (s[BINS] / YOUNG) ** TAIL
    return min(max(novelty, -LARGEST), LARGEST), which, tail
