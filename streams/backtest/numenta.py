"""The score of the Numenta Anomaly Benchmark, 0 to 100, for labels in the benchmark's own form.

A window is worth up to 1, the more the earlier its first alarm; every alarm outside of windows
costs, the less the sooner after one it comes; a missed window costs. 0 is a detector that is
silent, 100 one that alarms at the first row of each window and never else. The first 15 % of a
series, at most 750 rows, do not count.

Source: A. Lavin, S. Ahmad, "Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly
Benchmark", 2015; the weights are those of its application profiles, version 1.1.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streams.backtest.labels import Span
from streams.backtest.table import Floats

PROBATION, LONGEST = 0.15, 5000  # share of a series, and of how many rows at most
FAR = 3.0  # windows' widths after one, from where on an alarm costs in full


class Weights(NamedTuple):
    """What a found window earns at most, a false alarm and a missed window cost at most."""

    found: float
    false: float
    missed: float


PROFILES = {
    "standard": Weights(1.0, 0.11, 1.0),
    "low FP": Weights(1.0, 0.22, 1.0),
    "low FN": Weights(1.0, 0.11, 2.0),
}


class Numenta(NamedTuple):
    """Score at the single threshold that is best over all series, that threshold, as alarmed."""

    profile: str
    best: float
    threshold: float
    alarmed: float


class Judged(NamedTuple):
    """A series that is scored: rows in the order of time."""

    at: Floats
    score: Floats
    alarm: npt.NDArray[np.bool_]
    windows: Sequence[Span]


def numenta(series: Sequence[Judged]) -> tuple[Numenta, ...]:
    """Score all series together, by each profile; empty where no window is labelled."""
    total = sum(len(each.windows) for each in series)
    if not total:
        return ()
    worths = [_worth(each) for each in series]
    out = []
    for name, weights in PROFILES.items():
        by_score, by_alarm = [], []
        for each, (worth, within) in zip(series, worths, strict=True):
            by_score.append(_steps(each.score, worth, within, weights))
            by_alarm.append(_steps(each.alarm.astype(np.float64), worth, within, weights))
        best, threshold = _best(by_score, total, weights)
        out.append(Numenta(name, best, threshold, _best(by_alarm, total, weights, at_least=1.0)[0]))
    return tuple(out)


def _worth(series: Judged) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Of an alarm in each row: its worth, and which window it is in (-1: none)."""
    n = len(series.at)
    worth, within = np.full(n, -1.0), np.full(n, -1)
    ends = [
        (int(np.searchsorted(series.at, w.start)), int(np.searchsorted(series.at, w.end, "right")))
        for w in series.windows
    ]
    for k, (first, end) in enumerate(ends):
        width = max(end - first, 1)
        rows = np.arange(first, end)
        worth[rows] = _sigmoid((rows - end) / width) / _sigmoid(np.array(-1.0))
        within[rows] = k
        after = np.arange(end, ends[k + 1][0] if k + 1 < len(ends) else n)
        worth[after] = _sigmoid((after - end + 1) / max(width - 1, 1))
    quiet = int(np.ceil(PROBATION * min(n, LONGEST)))
    within[:quiet] = -2  # neither earns nor costs
    return worth, within


def _sigmoid(position: Floats) -> Floats:
    """1 far before a window's end, 0 at it, -1 far behind; `position` in widths."""
    near = np.minimum(position, FAR)  # beyond, the exponential has no number
    return np.where(position > FAR, -1.0, 2.0 / (1.0 + np.exp(5.0 * near)) - 1.0)


def _steps(
    score: Floats, worth: Floats, within: npt.NDArray[np.int64], weights: Weights
) -> tuple[Floats, Floats]:
    """Thresholds at which the sum changes as they fall, and by how much."""
    outside = within == -1
    scores, gains = [score[outside]], [worth[outside] * weights.false]
    for k in np.unique(within[within >= 0]):
        rows = np.flatnonzero(within == k)
        rows = rows[np.argsort(-score[rows], kind="stable")]
        earned = np.maximum.accumulate(worth[rows]) * weights.found
        earned = np.maximum(earned, -weights.missed)
        scores.append(score[rows])
        gains.append(np.diff(earned, prepend=-weights.missed))
    return np.concatenate(scores), np.concatenate(gains)


def _best(
    steps: Sequence[tuple[Floats, Floats]],
    total: int,
    weights: Weights,
    at_least: float | None = None,
) -> tuple[float, float]:
    """The highest sum of any threshold, or that of `at_least`, as 0 to 100; and the threshold."""
    score = np.concatenate([[np.inf], *(part for part, _ in steps)])  # first of all: say nothing
    gain = np.concatenate([[0.0], *(part for _, part in steps)])
    order = np.argsort(-score, kind="stable")
    score, reached = score[order], np.cumsum(gain[order])
    if at_least is None:
        last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)  # of each equal score
        k = int(last[np.argmax(reached[last])])
        value, threshold = float(reached[k]), float(score[k])
    else:
        count = int(np.count_nonzero(score >= at_least))
        value, threshold = float(reached[count - 1]), at_least
    return 100.0 * value / (total * (weights.found + weights.missed)), threshold
