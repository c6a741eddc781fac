"""Where load will be in one and in six hours, with bands that keep their claim.

Repeating last week forgets that today is busier; following today forgets that the night
comes. So: a seasonal expectation (an hour-of-week profile, or Prophet where one has been
fitted) plus the part of today's deviation that lasts. That part is learned for each
horizon, and so are the bands: from the errors that forecasts of that horizon really made,
with levels that move until 80 % of the outcomes are in the 80 % band.

Everything is in 5-minute means of any load, by default in requests a second. Prophet takes
seconds to fit and is fitted beside the stream: `fit_prophet` turns history into plain
numbers, `adopt` takes them in.

Sources: Taylor and Letham, "Forecasting at Scale", 2018 (Prophet); Gibbs and Candes,
"Adaptive Conformal Inference Under Distribution Shift", NeurIPS 2021.
"""

import logging
import warnings
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from schemas.errors import Rejected, Unavailable

Floats = NDArray[np.float64]
Base = Literal["", "profile", "prophet"]

STEP = 300  # seconds
DAY, WEEK = 288, 2016  # steps
KEPT = 28 * DAY  # history for Prophet: its weekly term wants two weeks, four are steadier
HORIZONS = (12, 72)  # steps: one hour and six
REACH = HORIZONS[-1]
LEVELS = (0.025, 0.10, 0.90, 0.975)  # edges of the 95 % band and of the 80 % band in it
ALPHA = 0.2  # of the mean deviation of today: half of it is 15 minutes old
FORGET = 0.9997  # of the regression a step: it looks back about 12 days
SPREAD = 1 - np.exp(-1 / 36)  # of the mean error: 3 hours
ADAPT = 0.0005  # of the levels a step: two weeks of misses move one by 2
OUTCOMES = 40  # the 2.5 % quantile of fewer is their smallest
SLOT = 12  # samples of an hour; as many weigh as much as the hour's mean of all days
SLOT_MEMORY, HOUR_MEMORY = 4 * SLOT, 7 * SLOT  # four weeks of a slot, a week of an hour
PROPHET_MINIMUM, WEEKLY_MINIMUM = 2 * DAY, 14 * DAY


class ProphetFit(NamedTuple):
    """Prophet's expectation on a grid: a day back, so that deviations are known, a day ahead."""

    start: float  # epoch seconds of the first grid point
    step: float  # seconds
    expected: tuple[float, ...]
    fitted_on: int  # points of history

    def at(self, step: int) -> float:
        """Expected load of the 5-minute mean number `step`, NaN outside the grid."""
        place = step - round(self.start / self.step)
        return self.expected[place] if 0 <= place < len(self.expected) else np.nan


class Past(NamedTuple):
    """5-minute means; NaN where nothing was seen."""

    start: float  # epoch seconds of the first
    means: Floats


class Forecast(NamedTuple):
    """Load at `at`, with bands, or why there is none.

    `low80` to `high80` hold 80 % of the outcomes, `low95` to `high95` hold 95 %.
    """

    verdict: Literal["forecast", "not enough data"]
    reason: str
    base: Base = ""
    at: datetime | None = None
    now: float = np.nan  # the latest 5-minute mean
    value: float = np.nan
    low80: float = np.nan
    high80: float = np.nan
    low95: float = np.nan
    high95: float = np.nan


@dataclass(frozen=True, eq=False)
class Profile:
    """Mean load of each hour of the week (UTC), leaning on the hour's mean of all days."""

    slots: Floats  # (168,)
    slot_counts: Floats
    hours: Floats  # (24,)
    hour_counts: Floats

    @classmethod
    def empty(cls) -> Self:
        """Nothing seen."""
        return cls(np.zeros(168), np.zeros(168), np.zeros(24), np.zeros(24))

    def learn(self, step: int, value: float) -> Self:
        """With the 5-minute mean number `step`."""
        slot = _slot(step)
        slots, slot_counts = _averaged(self.slots, self.slot_counts, slot, value, SLOT_MEMORY)
        hour = slot % 24
        hours, hour_counts = _averaged(self.hours, self.hour_counts, hour, value, HOUR_MEMORY)
        return replace(
            self, slots=slots, slot_counts=slot_counts, hours=hours, hour_counts=hour_counts
        )

    def at(self, step: int) -> float:
        """Expected load, between the middles of two hours; NaN where neither was seen."""
        # the middle of a step's hour lies 5.5 steps after the hour's first step
        before, share = divmod((step % WEEK) - 5.5, SLOT)
        low = self._hour(int(before) % 168)
        high = self._hour((int(before) + 1) % 168)
        if np.isnan(low) or np.isnan(high):
            return high if np.isnan(low) else low
        return float(low + (high - low) * share / SLOT)

    def _hour(self, slot: int) -> float:
        seen, lean = self.slot_counts[slot], SLOT * (self.hour_counts[slot % 24] >= SLOT // 2)
        if seen < SLOT // 2 and not lean:
            return np.nan
        return float((seen * self.slots[slot] + lean * self.hours[slot % 24]) / (seen + lean))


def _slot(step: int) -> int:
    """Hour of the week, counted from the epoch's Thursday."""
    return step % WEEK // SLOT


def _averaged(
    means: Floats, counts: Floats, place: int, value: float, memory: int
) -> tuple[Floats, Floats]:
    means, counts = means.copy(), counts.copy()
    counts[place] = min(counts[place] + 1, memory)
    means[place] += (value - means[place]) / counts[place]
    return means, counts


@dataclass(frozen=True, eq=False)
class Reach:
    """All that is learned about one horizon on one base.

    `made` and `widths` are forecasts not yet due, the next one due first. `scores` are
    (outcome - forecast) / width of a week, newest last, NaN where none. `levels` are where
    the four band edges are read off the scores; they start at `LEVELS` and adapt.
    """

    steps: int
    made: Floats
    widths: Floats
    scores: NDArray[np.float32]
    levels: Floats
    product: float = 0.0  # regression of a deviation on the mean one `steps` before
    square: float = 0.0
    spread: float = np.nan  # mean absolute error of three hours

    @classmethod
    def empty(cls, steps: int) -> Self:
        """Nothing learned."""
        nothing = np.full(steps, np.nan)
        scores = np.full(WEEK, np.nan, np.float32)
        return cls(steps, nothing, nothing, scores, np.array(LEVELS))

    @property
    def lasting(self) -> float:
        """The share of today's deviation that lasts over the horizon, in [0, 1]."""
        return float(np.clip(self.product / self.square, 0, 1)) if self.square > 0 else 0.0

    def outcomes(self) -> int:
        """Scores at hand."""
        return int(np.count_nonzero(np.isfinite(self.scores)))

    def edges(self) -> Floats:
        """The four band edges, in widths around the forecast."""
        scores = self.scores[np.isfinite(self.scores)]
        return np.sort(np.quantile(scores.astype(float), np.clip(self.levels, 0, 1)))

    def scored(self, value: float) -> Self:
        """After the outcome of the forecast that is due."""
        error, width = value - self.made[0], self.widths[0]
        if np.isnan(error):
            return self
        spread = abs(error) if np.isnan(self.spread) else self.spread
        after = replace(self, spread=spread + SPREAD * (abs(error) - spread))
        if np.isnan(width):
            return after
        score = error / width
        levels = self.levels
        if self.outcomes() >= OUTCOMES:
            below = score < self.edges()
            levels = np.clip(levels + ADAPT * (np.array(LEVELS) - below), 0, 1)
        scores = np.append(self.scores[1:], np.float32(score))
        return replace(after, scores=scores, levels=levels)

    def width(self) -> float:
        """What a score is measured in now: the root keeps one wild hour from widening all."""
        return float(np.sqrt(max(self.spread, 1e-9)))


@dataclass(frozen=True, eq=False)
class Track:
    """Today's mean deviation from a base, its last values, and each horizon's learning."""

    deviation: float
    deviations: Floats  # (REACH,), newest last
    reaches: tuple[Reach, ...]

    @classmethod
    def empty(cls) -> Self:
        """Nothing learned."""
        return cls(np.nan, np.full(REACH, np.nan), tuple(Reach.empty(h) for h in HORIZONS))

    def step(self, value: float, expected: float, ahead: tuple[float, ...]) -> Self:
        """After a 5-minute mean. `ahead` are the base's values at the horizons, NaN if unknown."""
        residual = value - expected
        reaches = []
        for reach, base in zip(self.reaches, ahead, strict=True):
            scored = reach.scored(value)
            earlier = self.deviations[-reach.steps]
            if np.isfinite(residual) and np.isfinite(earlier):
                scored = replace(
                    scored,
                    product=FORGET * scored.product + residual * earlier,
                    square=FORGET * scored.square + earlier**2,
                )
            reaches.append((scored, base))
        moved = _followed(self.deviation, residual)
        due = tuple(_made(reach, value, base, moved) for reach, base in reaches)
        return replace(
            self,
            deviation=moved,
            deviations=np.append(self.deviations[1:], moved if np.isfinite(residual) else np.nan),
            reaches=due,
        )


def _followed(deviation: float, residual: float) -> float:
    if np.isnan(residual):
        return deviation
    return residual if np.isnan(deviation) else deviation + ALPHA * (residual - deviation)


def _made(reach: Reach, value: float, base: float, deviation: float) -> Reach:
    """With the forecast of this step put at the end of those that are due."""
    known = np.isfinite(value) and np.isfinite(deviation)
    forecast = base + reach.lasting * deviation if known else np.nan
    width = reach.width() if np.isfinite(reach.spread) else np.nan
    return replace(
        reach,
        made=np.append(reach.made[1:], forecast),
        widths=np.append(reach.widths[1:], width),
    )


@dataclass(frozen=True, eq=False)
class LoadState:
    """What is remembered of one load. `last` is the number of the newest closed mean."""

    last: int | None
    open: tuple[int, float, int] | None  # number, sum and count of the mean being taken
    values: NDArray[np.float32]  # (KEPT,) closed means, newest last
    profile: Profile
    tracks: Mapping[str, Track]
    fit: ProphetFit | None = None

    @classmethod
    def empty(cls) -> Self:
        """Nothing seen."""
        tracks = {"profile": Track.empty(), "prophet": Track.empty()}
        values = np.full(KEPT, np.nan, np.float32)
        return cls(None, None, values, Profile.empty(), tracks)

    def update(self, at: datetime, value: float) -> "LoadState":
        """With a sample; one that is older than the mean being taken is left out."""
        step = int(at.timestamp() // STEP)
        if np.isnan(value) or (self.open and step < self.open[0]):
            return self
        if self.open and step == self.open[0]:
            return replace(self, open=(step, self.open[1] + value, self.open[2] + 1))
        return replace(self.closed(step), open=(step, value, 1))

    def closed(self, step: int) -> "LoadState":
        """With every mean before number `step` closed, empty ones as missing."""
        if self.open is None or step <= self.open[0]:
            return self
        number, total, count = self.open
        state = _learned(self, number, total / count)
        # After that many empty steps no forecast is due and no deviation known: more add nothing.
        for missing in range(number + 1, min(step, number + 1 + REACH)):
            state = _learned(state, missing, np.nan)
        return replace(_shifted(state, step - 1), open=None)

    def past(self) -> Past:
        """The means since the first one known, for `fit_prophet`."""
        known = np.flatnonzero(np.isfinite(self.values))
        if self.last is None or not known.size:
            return Past(0.0, np.zeros(0))
        first = int(known[0])
        start = (self.last - (KEPT - 1 - first)) * STEP
        return Past(float(start), self.values[first:].astype(float))

    def adopt(self, fit: ProphetFit) -> "LoadState":
        """With a new Prophet fit; the deviation from it is followed over its day back."""
        if self.last is None:
            return replace(self, fit=fit)
        track, deviation, deviations = self.tracks["prophet"], np.nan, []
        for step in range(self.last - DAY + 1, self.last + 1):
            residual = float(self.values[step - self.last - 1]) - fit.at(step)
            deviation = _followed(deviation, residual)
            deviations.append(deviation if np.isfinite(residual) else np.nan)
        moved = replace(track, deviation=deviation, deviations=np.array(deviations[-REACH:]))
        return replace(self, fit=fit, tracks={**self.tracks, "prophet": moved})

    def to_dict(self) -> dict[str, Any]:
        """As JSON; arrays as base64 of their little-endian bytes."""
        return {
            "last": self.last,
            "open": self.open,
            "values": _packed(self.values),
            "profile": {name: _packed(part) for name, part in vars(self.profile).items()},
            "tracks": {name: _track_dict(track) for name, track in self.tracks.items()},
            "fit": self.fit._asdict() if self.fit else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        fit = data["fit"]
        return cls(
            data["last"],
            (data["open"][0], data["open"][1], data["open"][2]) if data["open"] else None,
            _unpacked(data["values"]),
            Profile(**{name: _unpacked(part) for name, part in data["profile"].items()}),
            {name: _track(track) for name, track in data["tracks"].items()},
            ProphetFit(**{**fit, "expected": tuple(fit["expected"])}) if fit else None,
        )


def _learned(state: LoadState, step: int, value: float) -> LoadState:
    """With the closed 5-minute mean number `step`, NaN for a missing one."""
    state = _shifted(state, step)
    values = state.values.copy()
    values[-1] = value
    bases = {"profile": state.profile.at, "prophet": state.fit.at if state.fit else _unknown}
    tracks = {
        name: state.tracks[name].step(value, at(step), tuple(at(step + h) for h in HORIZONS))
        for name, at in bases.items()
    }
    # The profile learns afterwards: a forecast must not have seen what it is measured against.
    profile = state.profile if np.isnan(value) else state.profile.learn(step, value)
    return replace(state, values=values, tracks=tracks, profile=profile)


def _unknown(_: int) -> float:
    return np.nan


def _shifted(state: LoadState, step: int) -> LoadState:
    """With `step` as the newest place of the history."""
    gap = 0 if state.last is None else step - state.last
    values = state.values
    if gap > 0:
        values = np.full_like(values, np.nan)
        if gap < KEPT:
            values[:-gap] = state.values[gap:]
    return replace(state, last=step, values=values)


def forecast(state: LoadState, horizon: timedelta) -> Forecast:
    """Load in one hour or in six, from the newest closed mean on.

    Prophet's where it was fitted, reaches that far and has been measured on 40 outcomes;
    else the profile's, which needs a day and its own 40 outcomes.
    """
    steps = round(horizon.total_seconds() / STEP)
    if steps not in HORIZONS:
        raise ValueError(f"no forecast is learned for {horizon}: ask for one hour or six")
    seen = int(np.count_nonzero(np.isfinite(state.values)))
    if state.last is None or seen < DAY:
        return Forecast("not enough data", f"{seen} of {DAY} 5-minute means seen, a day is needed")
    place, due = HORIZONS.index(steps), state.last + steps
    reason = ""
    bases: tuple[tuple[Base, Any], ...] = (
        ("prophet", state.fit.at if state.fit else _unknown),
        ("profile", state.profile.at),
    )
    for name, at in bases:
        track = state.tracks[name]
        reach, expected = track.reaches[place], at(due)
        if np.isnan(expected) or np.isnan(track.deviation):
            reason = f"the {name} does not know the hour ahead"
            continue
        if reach.outcomes() < OUTCOMES:
            reason = f"{reach.outcomes()} of {OUTCOMES} outcomes seen at this horizon"
            continue
        return _banded(state, name, track.deviation, reach, expected)
    return Forecast("not enough data", reason)


def _banded(
    state: LoadState, base: Base, deviation: float, reach: Reach, expected: float
) -> Forecast:
    assert state.last is not None  # noqa: S101 - asked by `forecast`
    value = expected + reach.lasting * deviation
    low95, low80, high80, high95 = (value + reach.width() * reach.edges()).tolist()
    # What was never negative (load) will not be.
    floor = 0.0 if np.nanmin(state.values) >= 0 else -np.inf
    value, low95, low80 = (max(edge, floor) for edge in (value, low95, low80))
    reason = (
        f"{base} {expected:.4g}, and {reach.lasting:.0%} of today's {deviation:+.3g}; "
        f"bands from {reach.outcomes()} outcomes"
    )
    at = datetime.fromtimestamp((state.last + 1 + reach.steps) * STEP, UTC)
    now = float(state.values[-1])
    return Forecast(
        "forecast", reason, base, at, now, value, low80, max(high80, low80), low95,
        max(high95, low95),
    )  # fmt: skip


def fit_prophet(past: Past, seed: int = 1) -> ProphetFit:
    """Fits Prophet to history: flat, daily order 20, weekly order 5 from two weeks on.

    Takes half a second to a few and starts a process of its own: run it beside the stream.
    Raises `Rejected` under two days of history, `Unavailable` if the optimiser fails.
    """
    known = np.isfinite(past.means)
    if known.sum() < PROPHET_MINIMUM:
        raise Rejected(
            f"not enough data: {known.sum()} of {PROPHET_MINIMUM} 5-minute means, two days"
        )
    _hushed()
    import pandas as pd  # noqa: PLC0415 - three seconds with Prophet, and only a fit needs them
    from prophet import Prophet  # noqa: PLC0415 - as above

    times: Floats = past.start + STEP * np.arange(known.size, dtype=float)
    grid: Floats = times[-1] + STEP * np.arange(1 - DAY, DAY + 1, dtype=float)
    seen = pd.DataFrame({"ds": _dates(times[known]), "y": past.means[known]})
    model = Prophet(
        growth="flat",
        daily_seasonality=False,
        weekly_seasonality=5 if known.size >= WEEKLY_MINIMUM else False,
        yearly_seasonality=False,
        uncertainty_samples=0,
    )
    model.add_seasonality(name="daily", period=1, fourier_order=20)
    try:
        with warnings.catch_warnings():
            # Prophet's own use of pandas; ours would be heard at the lines above.
            warnings.simplefilter("ignore", DeprecationWarning)
            model.fit(seen, seed=seed)
            told = model.predict(pd.DataFrame({"ds": _dates(grid)}))
    except (RuntimeError, ValueError, OSError) as error:
        raise Unavailable(f"Prophet did not fit: {error}") from error
    expected = tuple(told["yhat"].to_numpy(float).tolist())
    return ProphetFit(float(grid[0]), float(STEP), expected, int(known.sum()))


def _hushed() -> None:
    """Prophet and cmdstanpy log each fit, and the absence of plotly as an error."""
    logging.getLogger("prophet").setLevel(logging.WARNING)
    logging.getLogger("prophet.plot").setLevel(logging.CRITICAL)
    quiet = logging.getLogger("cmdstanpy")
    quiet.setLevel(logging.ERROR)
    if not quiet.handlers:  # else it adds a handler of its own and lowers the level again
        quiet.addHandler(logging.NullHandler())


def _dates(seconds: Floats) -> NDArray[np.datetime64]:
    return (seconds * 1000).astype("datetime64[ms]")


def _packed(array: NDArray[Any]) -> dict[str, str]:
    kind = array.dtype.newbyteorder("<").str
    return {"type": kind, "bytes": b64encode(array.astype(kind).tobytes()).decode()}


def _unpacked(data: Mapping[str, str]) -> NDArray[Any]:
    return np.frombuffer(b64decode(data["bytes"]), dtype=np.dtype(data["type"]))


def _track_dict(track: Track) -> dict[str, Any]:
    reaches = [
        {name: _jsonable(part) for name, part in vars(reach).items()} for reach in track.reaches
    ]
    return {
        "deviation": _jsonable(track.deviation),
        "deviations": _packed(track.deviations),
        "reaches": reaches,
    }


def _jsonable(part: Any) -> Any:
    """Arrays packed, and the unknown as null: NaN is no JSON."""
    if isinstance(part, np.ndarray):
        return _packed(part)
    return None if np.isnan(part) else part


def _restored(part: Any) -> Any:
    if isinstance(part, dict):
        return _unpacked(part)
    return np.nan if part is None else part


def _track(data: Mapping[str, Any]) -> Track:
    reaches = []
    for saved in data["reaches"]:
        parts: dict[str, Any] = {name: _restored(part) for name, part in saved.items()}
        reaches.append(Reach(**parts))
    return Track(_restored(data["deviation"]), _unpacked(data["deviations"]), tuple(reaches))
