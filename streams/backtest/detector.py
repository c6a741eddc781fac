"""Who scores in a backtest: the shipped detector, or one of River's for comparison.

Both score a sample by what came before it and then learn it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from agents.counters import MEMORY, RESETS, is_counter, rates
from agents.river_models import Guarded, river_model
from agents.scorer.block import BlockState
from agents.scorer.rest import ALARM
from agents.scorer.scorer import score_rows, warm_up
from streams.backtest.table import Floats


class Scored(NamedTuple):
    """What a chunk's samples are worth, [n] each."""

    value: Floats  # what was scored: a counter's rate, else the value itself
    score: Floats  # never NaN
    alarm: npt.NDArray[np.bool_]
    raw: Floats  # before rest and bar; River's has neither
    low: Floats  # expected range, infinite where there is none
    high: Floats
    kind: npt.NDArray[np.int8]


class Detector(Protocol):
    """Scores the series of one table."""

    def score(self, series: int, at: Floats, value: Floats) -> Scored:
        """Score the next samples of a series, and learn them."""

    def notes(self, series: int) -> tuple[str, ...]:
        """What is to be said of a series at its end."""


class Choice(Protocol):
    """Makes the detector of a table from the metrics of its series ("" where not known)."""

    @property
    def threshold(self) -> float | None:
        """Score that alarms; None if nothing does."""

    @property
    def said(self) -> str:
        """What it is, for a person."""

    def detector(self, metrics: Sequence[str]) -> Detector:
        """A detector that has learned nothing yet."""


class Shipped:
    """The detector that is switched on."""

    threshold = ALARM
    said = "The shipped detector"

    def __init__(self) -> None:
        warm_up()

    def detector(self, metrics: Sequence[str]) -> Detector:
        """One block for the table; series whose metric is a counter are scored by their rate."""
        return _Ours(metrics)


class _Ours:
    def __init__(self, metrics: Sequence[str]) -> None:
        self._block = BlockState(len(metrics))
        for _ in metrics:
            self._block.claim()
        self._counter = np.array([is_counter(metric) for metric in metrics], np.bool_)
        self._memory = np.zeros((len(metrics), MEMORY))
        self._resets = np.zeros((len(metrics), RESETS))

    def score(self, series: int, at: Floats, value: Floats) -> Scored:
        rows = np.full(len(at), series, np.int32)
        if self._counter[series]:
            value, _ = rates(self._memory, self._resets, self._counter, rows, at, value)
        scores = score_rows(self._block, rows, at, value)
        alarm = scores.emitted >= ALARM
        return Scored(
            value, scores.emitted, alarm, scores.raw, scores.low, scores.high, scores.kind
        )

    def notes(self, series: int) -> tuple[str, ...]:
        return ("a counter: scored by its rate a second",) if self._counter[series] else ()


@dataclass(frozen=True)
class River:
    """Any detector of River's, by name and parameters; see `agents.river_models.river_model`.

    River's detectors have no threshold that ships with them, so without `threshold` they score
    and never alarm.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    args: Sequence[Any] = ()
    threshold: float | None = None

    def __post_init__(self) -> None:
        """Build one, so that a wrong name is said before any work."""
        river_model(self.name, self.params, self.args)

    @property
    def said(self) -> str:
        """Name, parameters and threshold."""
        given = (*map(str, self.args), *(f"{k}={v}" for k, v in self.params.items()))
        alarms = "no alarms" if self.threshold is None else f"alarms from {self.threshold:g}"
        return f"River's {self.name}({', '.join(given)}), {alarms}"

    def detector(self, metrics: Sequence[str]) -> Detector:
        """A model of its own for each series."""
        models = [river_model(self.name, self.params, self.args) for _ in metrics]
        return _Rivers(models, self.threshold)


class _Rivers:
    def __init__(self, models: list[Guarded], threshold: float | None) -> None:
        self._models = models
        self._threshold = np.inf if threshold is None else threshold

    def score(self, series: int, at: Floats, value: Floats) -> Scored:
        model, score = self._models[series], np.zeros(len(at))
        for i, (t, v) in enumerate(zip(at.tolist(), value.tolist(), strict=True)):
            sample = {"at": t, "value": v}
            score[i] = model.score_one(sample)
            model.learn_one(sample)
        none = np.full(len(at), np.inf)
        kind = np.zeros(len(at), np.int8)
        return Scored(value, score, score >= self._threshold, score, -none, none, kind)

    def notes(self, series: int) -> tuple[str, ...]:
        model = self._models[series]
        count = sum(model.faults.values())
        return (f"{count} calls of the model failed: {model.last_fault}",) if count else ()
