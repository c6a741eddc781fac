"""Eight views of one sample: its distance from what eight simple models expected.

Two look at the neighbourhood (30 samples), two at a level that moved, one at restlessness,
one at a forecast with trend, two at the hour of the day. The surprise asks them to agree.

Source of the forecast: C. C. Holt, "Forecasting seasonals and trends by exponentially
weighted moving averages", 1957.
"""

from agents.scorer.domains import SETTLE
from agents.scorer.jit import lean
from agents.scorer.profiles import DAY, DAY_MEAN, DAY_SEEN, hour_of
from agents.scorer.sample import Sample
from agents.scorer.state import OFFSET, Counts, Floats, Singles

X_MEAN_30, X_MEAN_4 = OFFSET["x_mean_30"], OFFSET["x_mean_4"]
Y_MEAN_30, Y_MEAN_12, Y_MEAN_400 = OFFSET["y_mean_30"], OFFSET["y_mean_12"], OFFSET["y_mean_400"]
JITTER_6, LAST_VALUE = OFFSET["jitter_6"], OFFSET["last_value"]
LEVEL, TREND = OFFSET["holt_level"], OFFSET["holt_trend"]
SEASON_MEAN_4, SEASON_SAMPLES = OFFSET["season_mean_4"], OFFSET["season_samples"]

LEVEL_GAIN, TREND_GAIN = 0.5, 0.05  # follow a level within two samples, a slope within twenty
SEASON_RATE = 0.25  # fixed: the profile is already a mean, so there is nothing to warm up
NEVER = -1.0  # samples seen of a residual that does not exist yet

Eight = tuple[float, float, float, float, float, float, float, float]


@lean
def start_means(s: Floats, x: float) -> None:
    """Begin every mean at the first value (y begins at 0)."""
    s[LAST_VALUE] = x
    s[X_MEAN_30] = x
    s[LEVEL] = x


@lean
def toward(s: Floats, field: int, rate: float, value: float) -> float:
    """Move an exponentially weighted mean towards `value`; return where it is now."""
    s[field] += rate * (value - s[field])
    return s[field]  # type: ignore[no-any-return] # one number of the row


@lean
def residuals(s: Floats, w: Singles, c: Counts, sample: Sample) -> tuple[Eight, Eight]:
    """Return the eight residuals and how many samples each has seen before; learn the sample.

    A long mean is taken before the sample and a short one after it. A residual that does not
    exist yet has seen `NEVER`.
    """
    t, x, y = sample.number, sample.x, sample.y
    least = 1.0 / (t + 1.0)  # a mean over N counts all samples equally until there are N

    from_mean = x - s[X_MEAN_30]
    shift = toward(s, X_MEAN_4, max(1.0 / 4.0, least), x) - s[X_MEAN_30]
    toward(s, X_MEAN_30, max(1.0 / 30.0, least), x)

    from_y_mean = y - s[Y_MEAN_30]
    toward(s, Y_MEAN_30, max(1.0 / 30.0, least), y)
    drift = toward(s, Y_MEAN_12, max(1.0 / 12.0, least), y) - s[Y_MEAN_400]
    toward(s, Y_MEAN_400, max(1.0 / 400.0, least), y)

    jitter = toward(s, JITTER_6, max(1.0 / 6.0, least), abs(x - s[LAST_VALUE]))

    error = x - s[LEVEL] - s[TREND]
    s[LEVEL] += s[TREND] + LEVEL_GAIN * error
    s[TREND] += TREND_GAIN * error

    from_hour, from_hour_4, season_seen = 0.0, 0.0, NEVER
    hour = hour_of(sample.at, DAY)
    if c[DAY_SEEN + hour]:
        from_hour = x - w[DAY_MEAN + hour]
        from_hour_4 = toward(s, SEASON_MEAN_4, SEASON_RATE, from_hour)
        season_seen = s[SEASON_SAMPLES]
        s[SEASON_SAMPLES] += 1.0

    y_seen = t - (SETTLE + 1)
    return (
        (from_mean, shift, from_y_mean, drift, jitter, error, from_hour, from_hour_4),
        (t, t, y_seen, y_seen, t, t, season_seen, season_seen),
    )
