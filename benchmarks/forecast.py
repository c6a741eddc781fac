"""What the budget forecast is worth: simulated incidents, against a constant burn rate.

    python benchmarks/forecast.py [INCIDENTS]

Each incident: calm, then errors that step up, ramp, saw, or leak slowly; 40 % heal by
themselves; load has a daily wave and noise, errors are overdispersed. A fixed allowance
is left that the burn would use up after 5 minutes to 4 hours. Forecasts are made every
five minutes and 60, 30, 10 and 5 minutes before the true end. Coverage and error are over
forecasts whose budget was gone within six hours, the Brier score over all.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.budget import LADDER, BudgetFilter, BudgetForecast, forecast, rank
from agents.burn import Budget

Floats = NDArray[np.float64]

HORIZON = 360
CALM = 60
BEFORE = (60, 30, 10, 5)
BANDS = (0.50, 0.80, 0.95)
YEAR = timedelta(days=365)  # far enough for no fixed period to turn within the horizon


class Incident(NamedTuple):
    """Counts a minute, when errors began, what was left then, and when it was gone."""

    bad: Floats
    total: Floats
    allowed: float
    gone: float  # minutes from the first one; infinite if the incident ended before


@dataclass(frozen=True)
class Told:
    """One forecast's claims: band edges and median by level, and the chance."""

    quantile: Callable[[float], float]
    chance: float


def incident(rng: np.random.Generator, epsilon: float, load: float) -> Incident:
    """An incident of up to six hours after an hour of calm; `load` is events a minute."""
    length = CALM + 2 * HORIZON
    t = np.arange(length, dtype=float)
    wave = 1 + 0.3 * np.sin(2 * np.pi * (t / 1440 + rng.uniform()))
    total = rng.poisson(load * wave * np.exp(0.05 * rng.standard_normal(length))).astype(float)
    age = np.maximum(t - CALM, 0.0)
    peak = epsilon * np.exp(rng.uniform(np.log(5), np.log(min(300, 0.5 / epsilon))))
    shape = _shape(rng, age)
    if rng.uniform() < 0.4:
        ends = 20 * (1 / rng.uniform(1e-6, 1) - 1) ** (1 / 1.9)
        shape *= np.exp(-np.maximum(age - ends, 0) / 3)
    ratio = np.clip(0.3 * epsilon + np.where(t >= CALM, peak * shape, 0.0), 0, 0.9)
    spread = np.exp(rng.uniform(np.log(1.2), np.log(10)))
    bad = _overdispersed(rng, total, ratio, spread)
    lasts = np.exp(rng.uniform(np.log(5), np.log(240)))
    allowed = max(load * peak * lasts, 5.0)
    spent = np.cumsum(bad[CALM:])
    over = np.flatnonzero(spent >= allowed)
    gone = CALM + float(over[0]) + 1 if over.size else np.inf
    return Incident(bad, total, allowed, gone)


def _shape(rng: np.random.Generator, age: Floats) -> Floats:
    """The excess of errors, 1 at its height."""
    kind = rng.integers(4)
    if kind == 0:
        return np.ones_like(age)
    if kind == 1:
        return np.minimum(age / rng.uniform(10, 60), 1.0)
    if kind == 2:
        return 0.3 + 0.7 * (age % rng.uniform(10, 40)) / 40
    return np.minimum(age / rng.uniform(120, 360), 1.5)


def _overdispersed(rng: np.random.Generator, total: Floats, ratio: Floats, spread: float) -> Floats:
    """Failures with about `spread` times the variance of a Poisson."""
    mean = total * ratio
    shape = np.maximum(mean / max(spread - 1, 0.05), 1e-3)
    return np.minimum(rng.poisson(rng.gamma(shape, mean / shape)), total).astype(float)


def ours(told: BudgetForecast) -> Told:
    """The product's forecast."""
    return Told(lambda level: float(np.interp(level, LADDER, told.ladder)), told.p_exhaust)


def constant(bad: float, total: float, load: float, remaining: float, rng_seed: int) -> Told:
    """The burn of some minutes kept for ever; its band is the counting error of `bad`."""
    rates = np.random.default_rng(rng_seed).gamma(bad + 0.5, 1 / total, 2000) * load
    etas = np.sort(remaining / np.maximum(rates, 1e-12))
    return Told(lambda level: float(np.quantile(etas, level)), float(np.mean(etas <= HORIZON)))


class Score:
    """Collects claims and outcomes of one method."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.errors: dict[int, list[float]] = {minutes: [] for minutes in BEFORE}
        self.hits: dict[float, list[bool]] = {band: [] for band in BANDS}
        self.widths: list[float] = []
        self.brier: list[float] = []

    def error(self, told: Told, before: int) -> None:
        """At a set time before the end."""
        self.errors[before].append(abs(np.log(max(told.quantile(0.5), 0.5) / before)))

    def claim(self, told: Told, truth: float) -> None:
        """At any time in an incident; `truth` in minutes, infinite for never."""
        within = truth <= HORIZON
        self.brier.append((told.chance - within) ** 2)
        if not within:
            return
        for band in BANDS:
            low, high = told.quantile(0.5 - band / 2), told.quantile(0.5 + band / 2)
            self.hits[band].append(low - 1 <= truth <= high + 1)  # a minute is the resolution
        self.widths.append(told.quantile(0.9) / max(told.quantile(0.1), 0.5))

    def row(self) -> str:
        """One line of the table."""
        errors = "/".join(f"{np.median(e):.2f}" if e else "-" for e in self.errors.values())
        hits = "/".join(f"{np.mean(h):.0%}" for h in self.hits.values())
        return (
            f"{self.name:<34} {errors:<20} {hits:<12} {np.median(self.widths):>6.1f} "
            f"{np.mean(self.brier):>7.3f} {len(self.widths):>7}"
        )


def run(incidents: int, load: float, seed: int = 1) -> tuple[list[Score], float, list[float]]:
    """Scores of all methods, milliseconds a forecast, and the ranks of the outcomes."""
    rng = np.random.default_rng(seed)
    scores = [Score("filters, healing (ours)"), Score("burn of 5 min, constant"),
              Score("burn of 60 min, constant")]  # fmt: skip
    ranks: list[float] = []
    spent_time, made = 0.0, 0
    for number in range(incidents):
        epsilon = float(rng.choice([0.001, 0.005, 0.01]))
        case = incident(rng, epsilon, load)
        held = BudgetFilter(epsilon=epsilon)
        spent = 0.0
        for now in range(int(min(case.gone, CALM + HORIZON))):
            held = held.update(case.bad[now], case.total[now])
            spent += case.bad[now] if now >= CALM else 0.0
            to_go = case.gone - now - 1
            timed = to_go in BEFORE
            if held.burn(5) < 1 or now < CALM + 3 or not (timed or now % 5 == 0) or to_go < 1:
                continue
            budget = Budget(1.0, spent, case.allowed, YEAR)
            begin = time.perf_counter()
            told = forecast(held, budget=budget, rng=rng)
            spent_time, made = spent_time + time.perf_counter() - begin, made + 1
            left = case.allowed - spent
            claims = [ours(told) if told.ladder else None]
            for window in (5, 60):
                part = slice(max(now + 1 - window, 0), now + 1)
                bad, total = case.bad[part].sum(), case.total[part].sum()
                claims.append(constant(bad, total, held.load(), left, number))
            for score, claim in zip(scores, claims, strict=True):
                if claim is None:
                    score.brier.append(float(to_go <= HORIZON))
                    continue
                if timed:
                    score.error(claim, int(to_go))
                if now % 5 == 0:
                    score.claim(claim, to_go)
            if told.ladder and to_go <= HORIZON and now % 5 == 0:
                ranks.append(rank(told, to_go))
    return scores, 1000 * spent_time / max(made, 1), ranks


def main() -> None:
    """Prints one table a load."""
    incidents = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    print(f"{incidents} incidents a load; error: median |ln(ETA/true)| 60/30/10/5 min before")
    for load in (20.0, 300.0, 6000.0):
        scores, cost, _ = run(incidents, load)
        print(f"\n{load:g} events a minute, {cost:.2f} ms a forecast")
        print(f"{'':<34} {'error':<20} {'50/80/95 %':<12} {'hi/lo':>6} {'Brier':>7} {'n':>7}")
        for score in scores:
            print(score.row())


if __name__ == "__main__":
    main()
