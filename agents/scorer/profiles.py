"""What is usual at this hour of the day and of the week, UTC.

An hour's mean enters its profile when the hour ends, so an hour is never compared with itself.
"""

from agents.scorer.jit import lean
from agents.scorer.state import COUNT_OFFSET, OFFSET, SINGLE_OFFSET, Counts, Floats, Singles

DAY, WEEK, HOUR = 86400.0, 604800.0, 3600.0
LEAST_WEIGHT = 0.15  # of the newest hour: a profile follows a change within about six returns
ENOUGH = 255  # hours counted: from the seventh on the weight is the least

DAY_HOUR, WEEK_HOUR = OFFSET["day_hour"], OFFSET["week_hour"]
DAY_MEAN, WEEK_MEAN = SINGLE_OFFSET["day_mean"], SINGLE_OFFSET["week_mean"]
DAY_SEEN, WEEK_SEEN = COUNT_OFFSET["day_hours"], COUNT_OFFSET["week_hours"]


@lean
def hour_of(at: float, period: float) -> int:
    """Hour within the day or week (`period`, s) of an epoch time, 0 up to its last hour.

    Rounding leaves the first second of six hours of the week in the hour before, the same six
    every week; the published figures were measured so.
    """
    hours = period / HOUR
    return int(min((at % period) / period * hours, hours - 1.0))  # -1e-20 % 86400 is 86400


@lean
def _learn(
    s: Floats, w: Singles, c: Counts, running: int, mean: int, seen: int, hour: int, x: float
) -> None:
    before = int(s[running]) - 1
    if hour != before:
        if before >= 0:
            n = c[seen + before]
            average = s[running + 1] / s[running + 2]
            w[mean + before] += max(1.0 / (n + 1.0), LEAST_WEIGHT) * (average - w[mean + before])
            c[seen + before] = min(n + 1, ENOUGH)
        s[running] = hour + 1
        s[running + 1] = 0.0
        s[running + 2] = 0.0
    s[running + 1] += x
    s[running + 2] += 1.0


@lean
def learn_profiles(s: Floats, w: Singles, c: Counts, at: float, x: float) -> None:
    """Add a value to its running hours; hours that have ended enter their profile first."""
    _learn(s, w, c, DAY_HOUR, DAY_MEAN, DAY_SEEN, hour_of(at, DAY), x)
    _learn(s, w, c, WEEK_HOUR, WEEK_MEAN, WEEK_SEEN, hour_of(at, WEEK), x)
