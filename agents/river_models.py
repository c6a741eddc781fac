"""River both ways: our scorer as a River detector, and any River detector beside ours.

A sample is a dict with `at` (epoch seconds) and `value`. A dict of one other key is taken as
`{name: value}`, a minute after the sample before it. Anything else, and a value that is no
finite number, is a missing sample: it scores 0 and is not learned.
"""

import importlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from river import anomaly, base, time_series

from agents.scorer.block import BlockState
from agents.scorer.interval import LAST_AT
from agents.scorer.profiles import DAY, HOUR
from agents.scorer.scorer import Scores, score_rows
from agents.scorer.state import Floats
from schemas.errors import Rejected

MINUTE = 60.0  # s, between samples that do not say when they were taken

# What a model raises when its own arithmetic fails, and RuntimeError and AssertionError where it
# has no code for what was asked; a fault of ours would show elsewhere.
FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)

NOT_MODELS = ("river.datasets", "river.stream")  # River's sources of data, some of which download


class Sample(NamedTuple):
    """When (epoch s) and what."""

    at: float
    value: float


def sample_of(x: Mapping[Any, Any], last_at: float) -> Sample | None:
    """Read a sample from River's features; None if it is missing."""
    value = x.get("value")
    if value is None and len(x) == 1 and "at" not in x:
        (value,) = x.values()
    try:
        sample = Sample(float(x.get("at", last_at + MINUTE)), float(value))  # type: ignore[arg-type] # None is caught
    except (TypeError, ValueError):
        return None
    return sample if math.isfinite(sample.at) and math.isfinite(sample.value) else None


class SurpriseScorer(base.AnomalyDetector):  # type: ignore[misc] # river is not typed for mypy
    """Surprise and gated records of one series; 1 or more is an alarm.

    The score of a sample is 0 or more: by how much it exceeds what this series' own past makes
    alarming. It is deterministic and has nothing to tune; state is 2.1 KiB for ever.

    Parameters
    ----------
    rest
        True scores what to say: 0 for a while after each emission, and a series that alarms
        often must exceed more. False scores the evidence alone.

    Examples
    --------
    >>> from agents.river_models import SurpriseScorer
    >>> model = SurpriseScorer()
    >>> for minute in range(300):
    ...     model.learn_one({"at": 60.0 * minute, "value": 20.0 + minute % 3})
    >>> model.score_one({"at": 60.0 * 300, "value": 21.0}) < 1
    True
    >>> model.score_one({"at": 60.0 * 300, "value": 90.0}) > 1
    True

    """

    def __init__(self, rest: bool = True) -> None:  # noqa: FBT001, FBT002 - River's checks build by position
        self.rest = rest
        self._block = BlockState(1)
        self._row = self._block.claim()

    def score_one(self, x: dict[Any, Any]) -> float:
        """Score of a sample that is not learned, 0 or more."""
        sample = self._sample(x)
        if sample is None:
            return 0.0
        copy = self._block.copy()
        return float(self._chosen(score_rows(copy, [self._row], [sample.at], [sample.value]))[0])

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Learn a sample."""
        sample = self._sample(x)
        if sample is not None:
            self.score_many([sample.at], [sample.value])

    def score_many(self, at: npt.ArrayLike, value: npt.ArrayLike) -> Floats:
        """Score and learn n samples, as `score_one` and `learn_one` in turn would: float64 [n].

        `at` is epoch seconds, `value` may hold NaN for a missing sample. The fast way through a
        history, below a microsecond a sample.
        """
        rows = np.full(np.size(value), self._row, np.int32)
        return self._chosen(score_rows(self._block, rows, at, value))

    def _sample(self, x: dict[Any, Any]) -> Sample | None:
        return sample_of(x, float(self._block.floats[self._row, LAST_AT]))

    def _chosen(self, scores: Scores) -> Floats:
        return scores.emitted if self.rest else scores.raw


class Guarded(base.AnomalyDetector):  # type: ignore[misc] # river is not typed for mypy
    """A River detector that cannot take the stage down.

    What it raises is counted in `faults` by method and error, the newest in words in
    `last_fault`; the score is 0 then, as for a score that is complex or not finite.

    An unsupervised model is given `value`, `change` since the sample before and `hour` of the
    day (0 to 24, UTC); a supervised one learns and scores the value itself, given `hour`, or
    nothing if it forecasts.

    Parameters
    ----------
    model
        A detector, a filter around one, or a pipeline that ends in one.

    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.faults: Counter[str] = Counter()
        self.last_fault = ""
        self._at = -MINUTE
        self._value: float | None = None

    def score_one(self, x: dict[Any, Any]) -> float:
        """Score of a sample, in the model's own range; 0 when it fails or the sample is missing."""
        score = self._guard("score_one", x)
        if score is None:
            return 0.0
        if isinstance(score, complex):
            return self._fault("score_one", "complex", f"{score} is complex")
        try:
            number = float(score)
        except FAULTS as error:
            return self._fault("score_one", type(error).__name__, str(error))
        if not math.isfinite(number):
            return self._fault("score_one", "not finite", f"{number} is not finite")
        return number

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Learn a sample; a model that cannot goes on with what it knows."""
        sample = sample_of(x, self._at)
        if sample is not None:
            self._guard("learn_one", x)
            self._at, self._value = sample

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        """Parameters that River's own checks build it with."""
        yield {"model": anomaly.HalfSpaceTrees(seed=1)}

    def _guard(self, method: str, x: dict[Any, Any]) -> Any:
        sample = sample_of(x, self._at)
        if sample is None:
            return None
        call: Callable[..., Any] = getattr(self.model, method)
        try:
            if self.model._supervised:  # noqa: SLF001 - the only place where River says it
                return call(self._context(sample), y=sample.value)
            return call(self._features(sample))
        except FAULTS as error:
            return self._fault(method, type(error).__name__, str(error))

    def _features(self, sample: Sample) -> dict[str, float]:
        before = sample.value if self._value is None else self._value
        return {
            "value": sample.value,
            "change": sample.value - before,
            "hour": sample.at % DAY / HOUR,
        }

    def _context(self, sample: Sample) -> dict[str, float]:
        forecaster = getattr(self.model, "predictive_model", None)
        if isinstance(forecaster, time_series.base.Forecaster):
            return {}  # it would learn with features and then forecast without
        return {"hour": sample.at % DAY / HOUR}

    def _fault(self, method: str, kind: str, message: str) -> float:
        self.faults[f"{method}: {kind}"] += 1
        self.last_fault = f"{type(self.model).__name__}.{method}: {kind}: {message}"
        return 0.0


class GuardedVector:
    """A River detector of many features that cannot take the stage down.

    Features are a dict of finite floats, the same names each time. Faults are counted as by
    `Guarded`; a score that fails is None.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.faults: Counter[str] = Counter()
        self.last_fault = ""

    def score_one(self, x: dict[str, float]) -> float | None:
        """Score of a vector that is not learned, in the model's own range; None when it fails."""
        try:
            score = self.model.score_one(x)
            number = float(score)
        except FAULTS as error:
            self._fault("score_one", type(error).__name__, str(error))
            return None
        if not math.isfinite(number):
            self._fault("score_one", "not finite", f"{number} is not finite")
            return None
        return number

    def learn_one(self, x: dict[str, float]) -> None:
        """Learn a vector; a model that cannot goes on with what it knows."""
        try:
            self.model.learn_one(x)
        except FAULTS as error:
            self._fault("learn_one", type(error).__name__, str(error))

    def _fault(self, method: str, kind: str, message: str) -> None:
        self.faults[f"{method}: {kind}"] += 1
        self.last_fault = f"{type(self.model).__name__}.{method}: {kind}: {message}"


def kind_of(fault: str) -> str:
    """A fault in words without what the model said of it, for counting.

    >>> kind_of("LODA.score_one: ValueError: 3 is no size: 4 is")
    'LODA.score_one: ValueError'
    """
    return ": ".join(fault.split(": ", 2)[:2])


def guarded(model: Any) -> Guarded:
    """A River detector or pipeline, guarded; Rejected if it does not score anomalies."""
    kinds = (base.AnomalyDetector, base.SupervisedAnomalyDetector, base.AnomalyFilter)
    if not isinstance(model, kinds):
        raise Rejected(f"{type(model).__name__} does not score anomalies: see river.anomaly")
    return Guarded(model)


def river_model(
    name: str, params: Mapping[str, Any] | None = None, args: Sequence[Any] = ()
) -> Guarded:
    """Build a guarded detector from its dotted name below `river.` and its parameters.

    A parameter or positional argument that is a model itself is a mapping with `model` and,
    where needed, `params` and `args`; so a pipeline is `compose.Pipeline` with its steps as
    `args`. Rejected for a name outside of River, one that does not score anomalies, and
    parameters that do not fit.

    >>> river_model("anomaly.HalfSpaceTrees", {"n_trees": 5, "seed": 1}).model.n_trees
    5
    """
    return guarded(_built({"model": name, "params": params or {}, "args": args}))


def river_vector(
    name: str, params: Mapping[str, Any] | None = None, args: Sequence[Any] = ()
) -> GuardedVector:
    """Build a guarded detector of many features, as `river_model` does of one series.

    Rejected for what that refuses, and for a supervised detector: there is nothing to be told.

    >>> river_vector("anomaly.HalfSpaceTrees", {"seed": 1}).score_one({"a": 0.5, "b": 0.5})
    0.0
    """
    model = river_model(name, params, args).model
    if model._supervised:  # noqa: SLF001 - the only place where River says it
        raise Rejected(f"river.{name} scores one value by others: a vector has none apart")
    return GuardedVector(model)


def _built(spec: Any) -> Any:
    """Build what a parameter describes; plain values are themselves."""
    if isinstance(spec, Mapping) and "model" in spec:
        if unknown := set(spec) - {"model", "params", "args"}:
            raise Rejected(f"{spec['model']}: unknown key {min(unknown)!r}: model, params, args")
        kind = _class(str(spec["model"]))
        params = {key: _built(value) for key, value in spec.get("params", {}).items()}
        args = [_built(value) for value in spec.get("args", ())]
        try:
            return kind(*args, **params)
        except FAULTS as error:
            raise Rejected(f"river.{spec['model']} cannot be built: {error}") from error
    if isinstance(spec, list | tuple):
        return [_built(value) for value in spec]
    return spec


def _class(name: str) -> type:
    """Find a class of River's models by its dotted name, with or without `river.` before it."""
    name = name.removeprefix("river.")
    package, _, last = name.rpartition(".")
    if not all(part.isidentifier() and not part.startswith("_") for part in name.split(".")):
        raise Rejected(f"{name!r} is no dotted name below river, such as anomaly.HalfSpaceTrees")
    try:
        found = getattr(importlib.import_module(f"river.{package}"), last)
    except (ImportError, AttributeError) as error:
        raise Rejected(f"river has no {name}") from error
    home = getattr(found, "__module__", "")
    if (
        not (isinstance(found, type) and issubclass(found, base.Base))
        or not home.startswith("river.")
        or home.startswith(NOT_MODELS)
    ):
        raise Rejected(f"river.{name} is no model")
    return found
