"""What sort of strangeness it is: named by the residual or the record that stood out most.

The pairs of horizons decide: a sample against its neighbourhood is a spike, a short mean
against a longer one a level shift, an hour's mean against a day's a trend.
"""

from enum import IntEnum

import numpy as np


class Kind(IntEnum):
    """Sort of anomaly; the numbers travel in arrays and never change their meaning."""

    NONE = 0
    SPIKE = 1
    LEVEL_SHIFT = 2
    TREND = 3
    JITTER = 4
    SEASONAL = 5


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
