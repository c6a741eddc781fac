"""What sort of strangeness it is: named by the residual or the record that stood out most.

Each has a name and a horizon too, so that a person can see over how long it looked.

The pairs of horizons decide: a sample against its neighbourhood is a spike, a short mean
against a longer one a level shift, an hour's mean against a day's a trend.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np


class Kind(IntEnum):
    """Sort of anomaly; the numbers travel in arrays and never change their meaning."""

    NONE = 0
    SPIKE = 1
    LEVEL_SHIFT = 2
    TREND = 3
    JITTER = 4
    SEASONAL = 5
    MISSING = 6  # these are not the scorer's: see rhythm.py
    RESET = 7  # and counters.py


NOTHING = -1  # no statistic: nothing is unusual

OF_RESIDUAL = np.array(
    [
        Kind.SPIKE,  # x against its mean over 30
        Kind.LEVEL_SHIFT,  # 4 against 30
        Kind.SPIKE,  # y against its mean over 30
        Kind.TREND,  # 12 against 400
        Kind.JITTER,
        Kind.SPIKE,  # x against Holt's forecast
        Kind.SEASONAL,  # x against its hour of the day
        Kind.SEASONAL,
    ],
    dtype=np.int8,
)

_OF_DOMAIN = [
    Kind.SPIKE,  # a bin against 5
    Kind.SPIKE,  # a bin against 30
    Kind.LEVEL_SHIFT,  # 4 against 30
    Kind.TREND,  # 12 against 100
    Kind.TREND,  # 12 against 400
    Kind.JITTER,
    Kind.JITTER,
]
OF_STATISTIC = np.array([*_OF_DOMAIN, *_OF_DOMAIN, *[Kind.SEASONAL] * 5], dtype=np.int8)


class Statistic(NamedTuple):
    """What fired: its name, and the samples (or else seconds) over which it looked."""

    name: str
    samples: float = 0.0
    bins: float = 0.0  # of 300 s, or of one sample where those are slower
    seconds: float = 0.0


_DAY, _WEEK, _BIN = 86400.0, 604800.0, 300.0
_PAIRS = (("1/5", 5), ("1/30", 30), ("4/30", 30), ("12/100", 100), ("12/400", 400))
_RESTLESS = (("restless 6", 6), ("restless 24", 24))

NAMED: tuple[Statistic, ...] = (
    Statistic("surprise: value/30", samples=30),
    Statistic("surprise: mean 4/30", samples=30),
    Statistic("surprise: log value/30", samples=30),
    Statistic("surprise: log mean 12/400", samples=400),
    Statistic("surprise: restless 6", samples=6),
    Statistic("surprise: trend forecast", samples=20),  # 1 / the gain of Holt's trend
    Statistic("surprise: hour of day", seconds=_DAY),
    Statistic("surprise: hour of day, mean 4", seconds=_DAY),
    *(Statistic(f"record: {name}", bins=bins) for name, bins in (*_PAIRS, *_RESTLESS)),
    *(Statistic(f"record: log {name}", bins=bins) for name, bins in (*_PAIRS, *_RESTLESS)),
    Statistic("record: hour of day", seconds=_DAY),
    Statistic("record: hour of day, mean 4", seconds=_DAY),
    Statistic("record: hour of week", seconds=_WEEK),
    Statistic("record: hour of week, mean 4", seconds=_WEEK),
    Statistic("record: hour of week, mean 16", seconds=_WEEK),
)


def statistic(number: int) -> str:
    """Name of `Scores.statistic`; empty for none."""
    return NAMED[number].name if number >= 0 else ""


def horizon(number: int, interval: float) -> float:
    """Over how many seconds a statistic looks at a series sampled every `interval` seconds.

    >>> horizon(0, 10.0), horizon(8, 10.0), horizon(6, 10.0), horizon(NOTHING, 10.0)
    (300.0, 1500.0, 86400.0, 0.0)
    """
    if number < 0:
        return 0.0
    _, samples, bins, seconds = NAMED[number]
    return samples * interval + bins * max(interval, _BIN) + seconds
