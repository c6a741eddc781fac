"""A River detector beside the vectorised scorer: one series' scores, made alarms by its own past.

River's detectors score in ranges of their own, so a score says nothing by itself. Here it is
held against the series' own past scores: it alarms when it is above their quantile, and counts
1 there and 0 at their median, in a straight line beyond. Until there are enough past scores,
and for good once the model has crashed after that, the vectorised scorer decides; and until
there are so many that the quantile is not just their largest, it must find evidence, too.
"""

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Sequence
from typing import Any

from agents.river_models import Guarded, river_model
from agents.scorer.rest import MOST_REST

WARM = 100  # scores, before a quantile of them means something
PAST = 2000  # scores that are remembered
MOST = 10.0  # of a calibrated score: a flat past makes anything infinitely strange
BELOW = 0.999  # the most that is no alarm
SECOND = 0.5  # raw score of the vectorised scorer that is evidence: noise seldom has it
REST = int(MOST_REST)  # samples after an alarm without another: the most that the scorer takes


class Quantile:
    """The newest scores, in order of time and of size."""

    def __init__(self, most: int = PAST) -> None:
        self._times: deque[float] = deque()
        self._sizes: list[float] = []
        self._most = most

    def __len__(self) -> int:
        return len(self._sizes)

    def learn(self, score: float) -> None:
        """One more score; the oldest goes."""
        if len(self._times) >= self._most:
            del self._sizes[bisect_left(self._sizes, self._times.popleft())]
        self._times.append(score)
        insort(self._sizes, score)

    def at(self, share: float) -> float:
        """The score below which this share (0 to 1) of the past lies. There must be one."""
        return self._sizes[min(int(share * len(self._sizes)), len(self._sizes) - 1)]

    def rank(self, score: float) -> float:
        """The share of the past that is below, equal ones by half: above 0 and below 1.

        >>> past = Quantile()
        >>> for score in (1.0, 2.0, 3.0):
        ...     past.learn(score)
        >>> past.rank(9.0), past.rank(2.0)
        (0.875, 0.5)
        """
        below = bisect_left(self._sizes, score)
        equal = bisect_right(self._sizes, score) - below
        return (below + (equal + 1) / 2) / (len(self._sizes) + 1)


class Calibrated:
    """One series' model."""

    def __init__(self, name: str, model: Guarded, quantile: float) -> None:
        self.name, self.model = name, model
        self.fallen = ""  # why the vectorised scorer has the series for good
        self._quantile = quantile
        self._settled = min(1 / (1 - quantile), PAST)  # scores
        self._past = Quantile()
        self._rest = 0

    @property
    def decides(self) -> bool:
        """Whether the model's word counts yet, and still."""
        return not self.fallen and len(self._past) >= WARM

    def relearn(self, at: Sequence[float], value: Sequence[float]) -> None:
        """Learn the series' last points, after a restart."""
        for moment, amount in zip(at, value, strict=True):
            self.step(moment, amount)

    def step(self, at: float, value: float, second: float = 1.0) -> tuple[float, float]:
        """Score one sample and learn it: what to say (0 at rest) and the evidence; 1 alarms.

        `second` is what the vectorised scorer finds.
        """
        x: dict[str, Any] = {"at": at, "value": value}
        decided, faults = self.decides, self.model.faults.total()
        score = self.model.score_one(x)
        self.model.learn_one(x)
        if self.model.faults.total() > faults:
            if decided:  # many cannot score before they have learned: that is no crash
                self.fallen = self.model.last_fault
            return 0.0, 0.0
        raw = self._weighed(score) if decided else 0.0
        if len(self._past) < self._settled and second < SECOND:
            raw = min(raw, BELOW)
        self._past.learn(score)
        self._rest = max(self._rest - 1, 0)
        if raw < 1 or self._rest:
            return 0.0, raw
        self._rest = REST
        return raw, raw

    def _weighed(self, score: float) -> float:
        middle, limit = self._past.at(0.5), self._past.at(self._quantile)
        if score <= middle:
            return 0.0
        if limit <= middle:  # nearly all scores were alike
            return MOST if score > limit else 0.0
        weight = (score - middle) / (limit - middle)
        return min(weight, MOST) if score > limit else min(weight, BELOW)


def calibrated(
    name: str, params: dict[str, Any], args: Sequence[Any], quantile: float
) -> Calibrated:
    """A River detector or pipeline by name. Raises Rejected for one that cannot be built."""
    return Calibrated(name, river_model(name, params, args), quantile)
