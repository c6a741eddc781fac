"""Minutes until the error budget is gone, with bands that say how little is known.

Keeping the present burn rate constant is as good a point forecast as any and a dishonest
band: errors jump, drift, and often heal by themselves. Two filters follow the error ratio,
one that believes in trends (Kalman, on its logarithm) and one that forgets fast (gamma);
each draws a hundred futures, some of which heal, and the budget is spent along every one.

Everything counts in buckets: at 60 seconds a bucket is the minute that the constants were
tuned in. With another width they stay as they are, a step of the filters is then a bucket
(drift, memory and "the last 5" scale with it), while healing and forecasts keep to minutes.

Sources: Kalman filter with damped trend, Harvey, "Forecasting, Structural Time Series
Models and the Kalman Filter", 1989; discounted gamma-Poisson filter, West and Harrison,
"Bayesian Forecasting and Dynamic Models", 1997, chapter 14; survival of incidents:
log-logistic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from functools import lru_cache
from math import exp, log
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from agents.burn import Budget

Floats = NDArray[np.float64]
Verdict = Literal["not enough data", "holds", "exhausts", "exhausted"]

MINUTE = timedelta(minutes=1)
START = 10  # buckets that the filters are started from
SHORT, LONG = 5, 15  # buckets of the present burn, and of the mean load
PATHS = 100  # futures from each filter; 200 place a 5 % quantile on the tenth value
FINE = 60  # steps forecast one by one; after that they are taken five at a time
COARSE = 5
LEVELS = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
LADDER = tuple(i / 40 for i in range(41))
UNLIKELY = 0.05  # fewer than ten of 200 paths would draw quantiles from nothing
POOL_MINIMUM = 20  # ranks: fewer know less about the tails than no calibration
HIGHEST = -0.02  # log of the highest error ratio, 98 %: keeps the logarithm's noise below 1
LOWEST = log(1e-12)

# Kalman filter: damping of the trend, noise of level and trend a bucket, jump at 4 sigma.
PHI, LEVEL_NOISE, TREND_NOISE = 0.9, 0.04, 0.0016
JUMP = 16.0
WIDEST = 4.0  # variance that buckets without events may grow to: e^2 either way is "unknown"
# Gamma filter: memory a bucket, in calm and after a jump, and the drift of its paths.
KEEP, KEEP_JUMP, WALK = 0.6, 0.05, 0.25
ABOVE_CALM = 2.0  # times its calm level: a service that always burns 1 has no endless incident
CALM_MEMORY = 1 - 1 / 360  # buckets of calm that make the level to which an incident heals


@dataclass(frozen=True)
class Healing:
    """How incidents of this service end by themselves: log-logistic in their age.

    `share` heal at all, half of these within `median` minutes; `shape` is how alike their
    ages are, `decay` the minutes in which the excess falls to a third. The defaults are a
    prior: replace `share` and `median` by the service's own history as it grows.
    """

    share: float = 0.4
    median: float = 20.0
    shape: float = 1.9
    decay: float = 3.0


@dataclass(frozen=True)
class Kalman:
    """Log error ratio `x`, its trend `s` a bucket, their covariance, overdispersion `f`."""

    x: float
    s: float = 0.0
    xx: float = 0.5
    xs: float = 0.0
    ss: float = 0.0004
    f: float = 2.0

    def step(self, bad: float, total: float) -> Self:
        """After one more bucket of `total` events, `bad` of them failed."""
        x, s = self.x + PHI * self.s, PHI * self.s
        xx = self.xx + 2 * PHI * self.xs + PHI * PHI * self.ss + LEVEL_NOISE + TREND_NOISE
        xs = PHI * self.xs + PHI * PHI * self.ss + TREND_NOISE
        ss = PHI * PHI * self.ss + TREND_NOISE
        if total <= 0:  # nothing seen: less certain, and no more than "unknown"
            xx = min(xx, max(WIDEST, self.xx))
            return replace(self, x=min(x, HIGHEST), s=s, xx=xx, xs=xs, ss=ss)
        expected = total * exp(x)
        noise = self.f / (max(bad, 0.5 * expected) + 0.5)
        # log((bad + 1/2) / (total + 1/2)) - x would call a bucket without failures 1/2 of one,
        # and rare traffic half broken. The second term makes that zero on average (Poisson).
        innovation = log((bad + 0.5) / (expected + 0.5 * exp(-expected)))
        f = self.f
        if innovation**2 > JUMP * (xx + noise):
            xx += innovation**2
        else:
            f = _overdispersion(f, bad, expected)
        gain_x, gain_s = xx / (xx + noise), xs / (xx + noise)
        return replace(
            self,
            x=max(min(x + gain_x * innovation, HIGHEST), LOWEST),
            s=s + gain_s * innovation,
            xx=xx * (1 - gain_x),
            xs=xs * (1 - gain_x),
            ss=ss - gain_s * xs,
            f=f,
        )


@dataclass(frozen=True)
class Gamma:
    """Error ratio as a gamma of shape `a` and rate `b`, with overdispersion `f`."""

    a: float
    b: float
    f: float = 2.0

    def step(self, bad: float, total: float) -> Self:
        """After one more bucket; one without events changes nothing."""
        if total <= 0:
            return self
        expected = total * self.a / self.b
        surprise = (bad - expected) ** 2
        keep, f = KEEP, self.f
        if surprise > JUMP * (f * expected + total**2 * self.a / self.b**2):
            keep = KEEP_JUMP
        else:
            f = _overdispersion(f, bad, expected)
        return replace(self, a=keep * self.a + bad / f, b=keep * self.b + total / f, f=f)


def _overdispersion(f: float, bad: float, expected: float) -> float:
    """How many times the Poisson variance the counts show, 1 to 200."""
    seen = (bad - expected) ** 2 / max(expected, 0.5)
    return min(max(f + 0.05 * (min(seen, 20 * f) - f), 1.0), 200.0)


@dataclass(frozen=True)
class BudgetFilter:
    """What is remembered of one objective's buckets. `epsilon` is 1 - target.

    `recent` are (bad, total) of the last 15 buckets, oldest first. `age` is the number of
    buckets since the burn of five rose to 1 and to twice the calm level, 0 in calm. `calm`
    are (bad, total) of calm buckets, fading over six hours: what an incident heals to.
    """

    epsilon: float
    seen: int = 0
    recent: tuple[tuple[float, float], ...] = ()
    age: int = 0
    calm: tuple[float, float] = (0.0, 0.0)
    kalman: Kalman | None = None
    gamma: Gamma | None = None

    def update(self, bad: float, total: float) -> "BudgetFilter":
        """After the next bucket; every bucket counts, also one without events."""
        recent = (*self.recent, (bad, total))[-LONG:]
        after: BudgetFilter = replace(self, recent=recent, seen=self.seen + 1)
        if self.kalman and self.gamma:
            kalman, gamma = self.kalman.step(bad, total), self.gamma.step(bad, total)
            after = replace(after, kalman=kalman, gamma=gamma)
        elif after.seen >= START and after.mean(START)[1] > 0:
            after = _started(after)
        excess = max(1.0, ABOVE_CALM * self.baseline() / self.epsilon)
        if after.burn(SHORT) >= excess or (self.age > 0 and after.burn(LONG) >= excess):
            return replace(after, age=self.age + 1)
        calm = (self.calm[0] * CALM_MEMORY + bad, self.calm[1] * CALM_MEMORY + total)
        return replace(after, age=0, calm=calm)

    def mean(self, buckets: int) -> tuple[float, float]:
        """Failures and events a bucket, over the last ones."""
        held = self.recent[-buckets:]
        if not held:
            return 0.0, 0.0
        return sum(b for b, _ in held) / len(held), sum(n for _, n in held) / len(held)

    def burn(self, buckets: int) -> float:
        """Burn rate of the last buckets, 0 without events."""
        bad, total = self.mean(buckets)
        return bad / total / self.epsilon if total else 0.0

    def load(self) -> float:
        """Mean events a bucket, over the last 15."""
        return self.mean(LONG)[1]

    def baseline(self) -> float:
        """Error ratio of calm times; the sustainable one while none was seen."""
        bad, total = self.calm
        return bad / total if total else self.epsilon

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        kalman, gamma = data["kalman"], data["gamma"]
        return cls(
            epsilon=data["epsilon"],
            seen=data["seen"],
            recent=tuple((bad, total) for bad, total in data["recent"]),
            age=data["age"],
            calm=(data["calm"][0], data["calm"][1]),
            kalman=Kalman(**kalman) if kalman else None,
            gamma=Gamma(**gamma) if gamma else None,
        )


def _started(held: BudgetFilter) -> BudgetFilter:
    """With both filters begun from the mean of the first buckets."""
    bad, total = (amount * START + 0.5 for amount in held.mean(START))
    kalman = Kalman(x=min(log(bad / total), HIGHEST))
    return replace(held, kalman=kalman, gamma=Gamma(a=bad / kalman.f, b=total / kalman.f))


class Fan(NamedTuple):
    """The chart: at each of `minutes`, the budget left at the seven `LEVELS`.

    `left` has a row a time; a ratio of the present allowance, 0 is gone.
    """

    minutes: tuple[float, ...]
    left: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class BudgetForecast:
    """When the budget will be gone, why it is said or not said, and from what.

    An ETA is told with `exhausts` only; `holds` covers calm times and slight chances.

    `eta` maps the levels 0.05 to 0.95 to minutes, given that the budget does run out
    within the horizon, which it does with probability `p_exhaust`. `ladder` are the
    41 uncalibrated quantiles that `rank` measures an outcome with.
    """

    verdict: Verdict
    reason: str
    horizon: float  # minutes
    p_exhaust: float = 0.0
    eta: Mapping[float, float] | None = None
    fan: Fan | None = None
    ladder: tuple[float, ...] = ()
    inputs: Mapping[str, float] = field(default_factory=dict)


def forecast(
    held: BudgetFilter,
    *,
    budget: Budget,
    rng: np.random.Generator,
    bucket: timedelta = MINUTE,
    rolling: timedelta | None = None,
    leaving: Sequence[float] | Floats = (),
    horizon: timedelta = timedelta(hours=6),
    healing: Healing | None = None,
    pool: Sequence[float] = (),
) -> BudgetForecast:
    """Minutes until `budget` is gone, from what the filter saw last.

    `bucket` is the width of those the filter saw. `rolling` is the length of a rolling
    period and `leaving` what it gives back a minute (`History.leaving`); a fixed period has
    neither. `pool` are ranks of earlier outcomes (`rank`), 20 at least: its quantiles replace
    the levels, so that bands come to hold what they claim. The same generator gives the same
    forecast.
    """
    limit = horizon / MINUTE
    if budget.resets_in is not None:
        limit = min(limit, budget.resets_in / MINUTE)
    remaining = budget.allowed - budget.bad
    facts = {
        "remaining": remaining,
        "allowed": budget.allowed,
        "load_per_bucket": held.load(),
        "burn_short": held.burn(SHORT),
        "burn_long": held.burn(LONG),
        "age_buckets": float(held.age),
    }
    early = _without_paths(held, budget, limit)
    if early:
        return replace(early, inputs=facts)
    width = bucket / MINUTE
    steps = _steps(limit, width)
    minutes = np.concatenate(([0.0], np.cumsum(steps))) * width
    ratios = _heal(
        _ratios(held, steps, rng),
        minutes=minutes,
        age=held.age * width,
        baseline=held.baseline(),
        healing=healing or Healing(),
        rng=rng,
    )
    period = rolling / MINUTE if rolling else None
    spent = _spent(ratios, minutes, held.load() / width, held.epsilon, period)
    left = remaining - spent
    if period is not None:
        left += _given_back(np.asarray(leaving, float), minutes)
    told = _told(left / budget.allowed, minutes, limit=limit, burn=held.burn(SHORT), pool=pool)
    return replace(told, inputs=facts)


def _without_paths(held: BudgetFilter, budget: Budget, limit: float) -> BudgetForecast | None:
    """What can be said without a simulation."""
    if held.kalman is None:
        seen = f"{min(held.seen, START)} of {START} buckets seen"
        reason = seen if held.seen < START else f"no events in the first {held.seen} buckets"
        return BudgetForecast("not enough data", reason, limit)
    if budget.allowed <= 0:
        return BudgetForecast("not enough data", "no events in the period", limit)
    if budget.bad >= budget.allowed:
        reason = f"{budget.bad:g} failures, {budget.allowed:.4g} were allowed"
        return BudgetForecast("exhausted", reason, limit, p_exhaust=1.0)
    if held.load() <= 0:
        return BudgetForecast("holds", f"no events in the last {LONG} buckets", limit)
    return None


def _steps(limit: float, width: float) -> Floats:
    """Lengths of the forecast's steps, in buckets, up to the limit or a bit beyond."""
    buckets = max(limit / width, 1e-6)
    fine = np.ones(min(FINE, int(np.ceil(buckets))))
    coarse = np.full(max(0, int(np.ceil((buckets - FINE) / COARSE))), float(COARSE))
    return np.concatenate((fine, coarse))


def _ratios(held: BudgetFilter, steps: Floats, rng: np.random.Generator) -> Floats:
    """Error ratios of the paths, without healing: rows are paths, columns times."""
    assert held.kalman is not None  # noqa: S101 - asked by `_without_paths`
    assert held.gamma is not None  # noqa: S101 - started together
    logs = np.vstack((_trending(held.kalman, steps, rng), _wandering(held.gamma, steps, rng)))
    return np.exp(logs)


def _trending(kalman: Kalman, steps: Floats, rng: np.random.Generator) -> Floats:
    """Paths of the Kalman filter's log ratio, shape (PATHS, steps + 1)."""
    start = _root(kalman.xx, kalman.xs, kalman.ss) @ rng.standard_normal((2, PATHS))
    x, s = kalman.x + start[0], kalman.s + start[1]
    out = np.empty((len(steps) + 1, PATHS))
    noise = rng.standard_normal((len(steps), 2, PATHS))
    for i, step in enumerate(steps):
        np.minimum(x, HIGHEST, out=out[i])
        reach, fade, root = _transition(int(step))
        x = out[i] + reach * s + root[0, 0] * noise[i, 0]
        s = fade * s + root[1, 0] * noise[i, 0] + root[1, 1] * noise[i, 1]
    np.minimum(x, HIGHEST, out=out[-1])
    return np.maximum(out.T, LOWEST)


@lru_cache(maxsize=8)
def _transition(step: int) -> tuple[float, float, Floats]:
    """Over `step` buckets: the trend's share in the level, its fading, the noise's root."""
    f = np.array([[1.0, PHI], [0.0, PHI]])
    q = np.array([[LEVEL_NOISE + TREND_NOISE, TREND_NOISE], [TREND_NOISE, TREND_NOISE]])
    power, noise = np.eye(2), np.zeros((2, 2))
    for _ in range(step):
        power, noise = f @ power, f @ noise @ f.T + q
    root = _root(noise[0, 0], noise[0, 1], noise[1, 1])
    return float(power[0, 1]), float(power[1, 1]), root


def _root(xx: float, xs: float, ss: float) -> Floats:
    """Cholesky root of a 2x2 covariance that rounding may have left a bit indefinite."""
    first = max(xx, 1e-12) ** 0.5
    return np.array([[first, 0.0], [xs / first, max(ss - (xs / first) ** 2, 0.0) ** 0.5]])


def _wandering(gamma: Gamma, steps: Floats, rng: np.random.Generator) -> Floats:
    """Paths of the gamma filter's log ratio, shape (PATHS, steps + 1)."""
    ratio = rng.gamma(max(gamma.a, 0.0), 1 / gamma.b, PATHS)
    walk = WALK * np.sqrt(steps) * rng.standard_normal((PATHS, len(steps)))
    moved = np.hstack((np.zeros((PATHS, 1)), np.cumsum(walk, axis=1)))
    return np.clip(np.log(np.maximum(ratio, 1e-12))[:, None] + moved, LOWEST, HIGHEST)


def _heal(
    ratios: Floats,
    *,
    minutes: Floats,
    age: float,
    baseline: float,
    healing: Healing,
    rng: np.random.Generator,
) -> Floats:
    """The paths, of which some heal: their excess over `baseline` decays from then on."""
    survived = 1 / (1 + (age / healing.median) ** healing.shape)
    still = healing.share * survived
    chance = still / (still + 1 - healing.share) if still else 0.0
    u = rng.uniform(1e-9, 1.0, (2, len(ratios), 1))
    ends = healing.median * (1 / (u[0] * survived) - 1) ** (1 / healing.shape) - age
    since = np.where(u[1] < chance, np.maximum(minutes - ends, 0.0), 0.0)
    excess = np.maximum(ratios - baseline, 0.0)
    healed: Floats = ratios - excess * (1 - np.exp(-since / healing.decay))
    return healed


def _spent(
    ratios: Floats, minutes: Floats, load: float, epsilon: float, period: float | None
) -> Floats:
    """Budget spent along each path, in events; `load` is events a minute.

    A fixed period has its allowance, every failure spends. In a rolling one each new event
    also brings its epsilon, and after `period` minutes what was spent comes back.
    """
    rates = load * (ratios if period is None else ratios - epsilon)
    pieces = 0.5 * (rates[:, 1:] + rates[:, :-1]) * np.diff(minutes)
    spent = np.hstack((np.zeros((len(rates), 1)), np.cumsum(pieces, axis=1)))
    if period is None or minutes[-1] <= period:
        return spent
    past = np.clip(minutes - period, 0.0, None)
    place = np.clip(np.searchsorted(minutes, past, side="right") - 1, 0, len(minutes) - 2)
    share = (past - minutes[place]) / (minutes[place + 1] - minutes[place])
    return spent - (spent[:, place] * (1 - share) + spent[:, place + 1] * share)


def _given_back(leaving: Floats, minutes: Floats) -> Floats:
    """What has left a rolling period by each time, in events."""
    gone = np.concatenate(([0.0], np.cumsum(leaving)))
    return np.interp(minutes, np.arange(gone.size), gone)


def _crossings(left: Floats, minutes: Floats) -> Floats:
    """Minutes at which each path first has nothing left; infinite if it never has."""
    gone = left <= 0
    at = np.argmax(gone, axis=1)
    rows = np.arange(len(left))
    before = np.maximum(at - 1, 0)
    high, low = left[rows, before], left[rows, at]
    share = np.divide(high, high - low, out=np.zeros_like(high), where=high > low)
    crossed = minutes[before] + share * (minutes[at] - minutes[before])
    return np.where(gone[rows, at], crossed, np.inf)


def _told(
    left: Floats, minutes: Floats, *, limit: float, burn: float, pool: Sequence[float]
) -> BudgetForecast:
    """The forecast with its verdict, from the share of the budget left along each path."""
    etas = _crossings(left, minutes)
    within = np.sort(etas[etas <= limit])
    chance = float(within.size / etas.size)
    said = BudgetForecast("holds", "", limit, chance, fan=_fan(left, minutes))
    if within.size:
        said = replace(said, ladder=tuple(np.quantile(within, LADDER).tolist()))
    if burn < 1:
        reason = f"burning {burn:.2g} over {SHORT} buckets, an ETA is told from 1 on"
        return replace(said, reason=reason)
    if chance < UNLIKELY:
        reason = f"{chance:.0%} of the paths use the budget up in {limit:.0f} min"
        return replace(said, verdict="holds", reason=reason)
    levels = np.quantile(pool, LEVELS) if len(pool) >= POOL_MINIMUM else np.array(LEVELS)
    eta = dict(zip(LEVELS, np.quantile(within, np.clip(levels, 0, 1)).tolist(), strict=True))
    reason = (
        f"gone in {eta[0.5]:.0f} min, between {eta[0.1]:.0f} and {eta[0.9]:.0f} (80 %), "
        f"with a probability of {chance:.0%} within {limit:.0f} min"
    )
    return replace(said, verdict="exhausts", reason=reason, eta=eta)


def _fan(left: Floats, minutes: Floats) -> Fan:
    """About 25 times are enough for a chart's width."""
    shown = np.unique(np.linspace(0, len(minutes) - 1, 25).round().astype(int))
    bands = np.quantile(left[:, shown], LEVELS, axis=0).T
    return Fan(tuple(minutes[shown].tolist()), tuple(tuple(row) for row in bands.tolist()))


def rank(told: BudgetForecast, minutes: float) -> float:
    """Where the true ETA fell among the paths: 0 before all, 1 after all.

    Kept for each resolved incident, these ranks are the calibration pool.
    """
    if not told.ladder:
        raise ValueError("no path of this forecast used the budget up: nothing to rank among")
    return float(np.interp(minutes, told.ladder, LADDER))
