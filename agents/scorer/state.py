"""What is remembered of one series: 2.1 KiB, in one piece, so that little memory is touched.

The tables name every number once; each idea's file looks up the offsets that it uses.
Change them, or what a field means, and `STATE_VERSION` goes up: rows that were written
by another version are refused, not misread. What needs neither range nor digits is kept in
less: statistics of bins and profiles as float32, which moves no figure; numbers of hours, of
which no more than seven matter, as bytes.
"""

from itertools import accumulate

import numpy as np
import numpy.typing as npt

STATE_VERSION = 2

RESIDUALS = 8  # what the surprise looks at, every sample
STATISTICS = 19  # what the records look at, every 300 s; 15 of them to both sides
HOURS_OF_DAY, HOURS_OF_WEEK = 24, 168

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Counts = npt.NDArray[np.uint8]

FIELDS: tuple[tuple[str, int, str], ...] = (
    ("samples", 1, "samples learned"),
    ("last_value", 1, "the sample before this one"),
    ("last_at", 1, "and its time, epoch s"),
    # interval
    ("gap", 1, "candidate for the sampling interval, s; 0 until there is one"),
    ("gap_votes", 1, "votes for the candidate"),
    # domains
    ("centre", 1, "robust running centre"),
    ("scale", 1, "robust running scale: mean clipped deviation from the centre"),
    ("whole", 1, "1 while every value is an integer"),
    # profiles: the hour now running
    ("day_hour", 1, "its hour of the day + 1; 0 before the first"),
    ("day_sum", 1, "sum of its values"),
    ("day_count", 1, "number of its values"),
    ("week_hour", 1, "its hour of the week + 1; 0 before the first"),
    ("week_sum", 1, "sum of its values"),
    ("week_count", 1, "number of its values"),
    # residuals
    ("x_mean_30", 1, "mean of x over 30 samples"),
    ("x_mean_4", 1, "mean of x over 4 samples"),
    ("y_mean_30", 1, "mean of y over 30 samples"),
    ("y_mean_12", 1, "mean of y over 12 samples"),
    ("y_mean_400", 1, "mean of y over 400 samples"),
    ("jitter_6", 1, "mean of |x - x before| over 6 samples"),
    ("holt_level", 1, "Holt's level"),
    ("holt_trend", 1, "Holt's trend, a sample"),
    ("season_mean_4", 1, "mean of x - hour-of-day profile over 4 samples"),
    ("season_samples", 1, "samples with a known hour of the day"),
    # tail norms, per residual: means of the cubed upper and lower side
    ("up_slow", RESIDUALS, "upper side, 20,000 samples"),
    ("up_fast", RESIDUALS, "upper side, 500 samples"),
    ("down_slow", RESIDUALS, "lower side, 20,000 samples"),
    ("down_fast", RESIDUALS, "lower side, 500 samples"),
    # records: the bin now filling, and its statistics in x (first half) and y
    ("bin", 1, "number of the 300-second bin"),
    ("bin_sum_x", 1, "sum of its x"),
    ("bin_sum_y", 1, "sum of its y"),
    ("bin_count", 1, "number of its samples"),
    ("bins", 1, "bins learned"),
    ("day_bins", 1, "bins with a known hour of the day"),
    ("week_bins", 1, "bins with a known hour of the week"),
    ("bin_before", 2, "the bin before this one, x and y"),
    ("long_means", 8, "long means, four horizons in x then in y"),
    ("short_means", 6, "short means, three horizons in x then in y"),
    ("jitters", 4, "means of |bin - bin before| over 6 and 24 bins, x then y"),
    ("season_means", 3, "smoothed residuals: day over 4, week over 4, week over 16 bins"),
    # rest and bar
    ("bar", 1, "how much higher than 1 an alarm must be; halves in a day"),
    ("emission_at", 1, "number of the sample of the last emission"),
    ("emission", 1, "its score; 0 before the first"),
)

SINGLE_FIELDS: tuple[tuple[str, int, str], ...] = (
    ("day_mean", HOURS_OF_DAY, "mean value of the hour of the day, UTC"),
    ("week_mean", HOURS_OF_WEEK, "mean value of the hour of the week, UTC"),
    # records
    ("record_up", STATISTICS, "largest so far, fading"),
    ("record_down", STATISTICS, "smallest so far, negated, fading"),
    ("cube_slow", STATISTICS, "mean of |u|^3 over 20,000 bins"),
    ("cube_fast", STATISTICS, "mean of |u|^3 over 500 bins"),
    ("mean", STATISTICS, "mean of u over 10,000 bins"),
    ("square", STATISTICS, "mean of u^2 over 10,000 bins"),
)

COUNT_FIELDS: tuple[tuple[str, int, str], ...] = (
    ("day_hours", HOURS_OF_DAY, "number of such hours seen, 255 at most"),
    ("week_hours", HOURS_OF_WEEK, "number of such hours seen, 255 at most"),
)


def _offsets(fields: tuple[tuple[str, int, str], ...]) -> dict[str, int]:
    ends = accumulate((width for _, width, _ in fields), initial=0)
    return {name: start for (name, _, _), start in zip(fields, ends, strict=False)}


OFFSET = _offsets(FIELDS)
SINGLE_OFFSET = _offsets(SINGLE_FIELDS)
COUNT_OFFSET = _offsets(COUNT_FIELDS)
WIDTH = sum(width for _, width, _ in FIELDS)
SINGLE_WIDTH = sum(width for _, width, _ in SINGLE_FIELDS)
COUNT_WIDTH = sum(width for _, width, _ in COUNT_FIELDS)

SINGLES_AT = 8 * WIDTH  # bytes into a row
COUNTS_AT = SINGLES_AT + 4 * SINGLE_WIDTH
END = COUNTS_AT + COUNT_WIDTH
BYTES = -(-END // 8) * 8  # a row, so that the next begins where a float64 may
