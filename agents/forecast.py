"""Forecast: what an incident will do to the budget, and where load goes, if nobody acts.

Every closed bucket of an objective moves its filters and its load history. When an incident
opens or changes, the objective of its services that burns fastest is forecast; while it is
open and not quiet, again every `refresh_s`. Prophet is fitted beside the stream, in a process
of its own.
"""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import datetime, timedelta
from multiprocessing import get_context, parent_process
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from agents import budget as budgets
from agents import load as loads
from agents.burn import Counts, History
from agents.forecast_settings import ForecastSettings
from runbooks.objectives import Objective
from schemas.budgets import Budget
from schemas.errors import Rejected, Unavailable
from schemas.event import Event, derive
from schemas.forecasts import BudgetForecast, Eta, Forecast, LoadFit, LoadForecast
from schemas.incidents import Incident
from schemas.turn import Job, Turn

HOUR, SIX_HOURS = timedelta(hours=1), timedelta(hours=6)
SAID_ON = {"opened", "updated", "noisy"}
FAN_POINTS = 48  # of the chart: what a terminal or a small picture can show


class Track(BaseModel):
    """What is remembered of one objective, as JSON of the numerics' own states."""

    model_config = ConfigDict(frozen=True)

    filter: dict[str, Any]
    history: dict[str, Any]
    load: dict[str, Any]
    points: int = 0  # closed 5-minute means
    fitted_at: datetime | None = None
    latest: Budget


class Outlook(BaseModel):
    """What forecast remembers of a group."""

    model_config = ConfigDict(frozen=True)

    tracks: dict[str, Track] = {}
    open: dict[str, Incident] = {}
    said: dict[str, datetime] = {}  # when each incident was forecast last


class Foresee:
    """Budgets, incidents and fits of a group to forecasts."""

    State = Outlook

    def __init__(self, settings: ForecastSettings, objectives: Sequence[Objective]) -> None:
        self._settings = settings
        self._objectives = {objective.name: objective for objective in objectives}
        self._one_at_a_time = asyncio.Lock()

    def key(self, event: Event) -> str:
        """The group."""
        return event.group

    def run(self, event: Event, state: Outlook | None, now: datetime) -> Turn[Outlook]:
        """Learn buckets and fits; forecast incidents."""
        outlook = state or Outlook()
        match event:
            case Budget():
                return self._on_budget(event, outlook, now)
            case Incident():
                return self._on_incident(event, outlook, now)
            case LoadFit():
                return Turn(self._fitted(event, outlook))
        return Turn(state)

    # ---- learning

    def _on_budget(self, event: Budget, outlook: Outlook, now: datetime) -> Turn[Outlook]:
        objective = self._objectives.get(event.objective)
        if objective is None:
            return Turn(outlook if outlook.tracks or outlook.open else None)
        track = self._learned(objective, outlook.tracks.get(event.objective), event)
        outlook = outlook.model_copy(update={"tracks": {**outlook.tracks, event.objective: track}})
        due = now - timedelta(seconds=self._settings.refresh_s)
        said = tuple(
            self._forecast(incident, outlook, event.id, now)
            for incident in outlook.open.values()
            if incident.quiet_since is None
            and track in self._near(incident, outlook)
            and outlook.said.get(incident.incident, due) <= due
        )
        return Turn(_told(outlook, said, now), said)

    @staticmethod
    def _learned(objective: Objective, track: Track | None, event: Budget) -> Track:
        counts = Counts(event.total - event.bad, event.total)
        inside = event.bucket_start + timedelta(seconds=event.bucket_s / 2)
        if track is None:
            held = budgets.BudgetFilter(objective.epsilon)
            history, load = History.empty(objective), loads.LoadState.empty()
        else:
            held = budgets.BudgetFilter.from_dict(track.filter)
            history = History.from_dict(objective, track.history)
            load = loads.LoadState.from_dict(track.load)
        load = load.update(inside, event.total / event.bucket_s)
        return Track(
            filter=held.update(event.bad, event.total).to_dict(),
            history=history.add(objective, inside, counts).to_dict(),
            load=load.to_dict(),
            points=int(np.count_nonzero(np.isfinite(load.values))),
            fitted_at=track.fitted_at if track else None,
            latest=event,
        )

    def _fitted(self, fit: LoadFit, outlook: Outlook) -> Outlook:
        track = outlook.tracks.get(fit.objective)
        if track is None:
            return outlook
        grid = loads.ProphetFit(fit.start, fit.step_s, fit.expected, fit.fitted_on)
        load = loads.LoadState.from_dict(track.load).adopt(grid)
        track = track.model_copy(update={"load": load.to_dict(), "fitted_at": fit.at})
        return outlook.model_copy(update={"tracks": {**outlook.tracks, fit.objective: track}})

    # ---- forecasting

    def _on_incident(self, event: Incident, outlook: Outlook, now: datetime) -> Turn[Outlook]:
        name = event.incident
        rest = {key: value for key, value in outlook.open.items() if key != name}
        if event.status == "resolved":
            said = {key: at for key, at in outlook.said.items() if key != name}
            return Turn(outlook.model_copy(update={"open": rest, "said": said}))
        outlook = outlook.model_copy(update={"open": {**rest, name: event}})
        if event.change not in SAID_ON:
            return Turn(outlook)
        said_now = (self._forecast(event, outlook, event.id, now),)
        return Turn(_told(outlook, said_now, now), said_now)

    def _forecast(self, incident: Incident, outlook: Outlook, seed: str, now: datetime) -> Forecast:
        tracks = self._near(incident, outlook)
        if not tracks:
            services = ", ".join(incident.services)
            reason = f"no objective near {services} has closed a bucket yet"
            budget = BudgetForecast(
                objective="", verdict="not enough data", reason=reason, left=1.0, burn=0.0,
                exhausts=0.0, horizon_minutes=self._settings.horizon_s / 60,
            )  # fmt: skip
            load = LoadForecast(verdict="not enough data", reason=reason)
        else:
            track = max(tracks, key=lambda t: t.latest.burn)
            budget = self._budget(track, np.random.default_rng(int(derive("forecast", seed), 16)))
            load = _load(loads.LoadState.from_dict(track.load), _rate(track))
        return Forecast(at=now, group=incident.group, incident=incident, budget=budget, load=load)

    def _near(self, incident: Incident, outlook: Outlook) -> list[Track]:
        """The objectives of its services, else of those that it hangs together with."""
        known = [t for n, t in sorted(outlook.tracks.items()) if n in self._objectives]
        return [t for t in known if t.latest.service in incident.services] or known

    def _budget(self, track: Track, rng: np.random.Generator) -> BudgetForecast:
        latest = track.latest
        objective = self._objectives[latest.objective]
        end = latest.bucket_start + timedelta(seconds=latest.bucket_s)
        history = History.from_dict(objective, track.history)
        horizon = timedelta(seconds=self._settings.horizon_s)
        told = budgets.forecast(
            budgets.BudgetFilter.from_dict(track.filter),
            bucket=objective.bucket,
            rolling=objective.period.length if objective.period.rolling else None,
            budget=history.budget(objective, end),
            rng=rng,
            leaving=history.leaving(objective, end, int(horizon.total_seconds() // 60)),
            horizon=horizon,
        )
        minutes, low, middle, high = _fan(told)
        return BudgetForecast(
            objective=objective.name,
            verdict=told.verdict,
            reason=told.reason,
            left=latest.left,
            burn=latest.burn,
            exhausts=told.p_exhaust,
            minutes=_eta(told.eta),
            horizon_minutes=told.horizon,
            fan_minutes=minutes,
            fan_low=low,
            fan_mid=middle,
            fan_high=high,
            record=latest.id,
        )

    # ---- beside the stream

    def pending(self, state: Outlook) -> Iterable[Job]:
        """A fit for each objective that has the history and no fit of this day."""
        for name, track in state.tracks.items():
            due = (
                track.fitted_at is None
                or (track.latest.at - track.fitted_at).total_seconds() > self._settings.refit_s
            )
            if due and track.points >= loads.PROPHET_MINIMUM:
                day = int(track.latest.at.timestamp() // self._settings.refit_s)
                yield Job(f"fit/{name}/{day}", track.latest.id, track.latest.trace, track)

    async def act(self, job: Job) -> AsyncIterator[Event]:
        """Fit Prophet in a process of its own: its import alone would stall the stream.

        Raises Unavailable when that process dies: it is the first to go where memory is short.
        """
        track: Track = job.payload
        past = loads.LoadState.from_dict(track.load).past()
        async with self._one_at_a_time:
            pool = ProcessPoolExecutor(1, get_context("spawn"), initializer=_belong)
            try:
                loop = asyncio.get_running_loop()
                fit = await loop.run_in_executor(pool, loads.fit_prophet, past)
            except BrokenProcessPool as error:
                raise Unavailable("the process that fits the load forecast died") from error
            except Rejected:  # history with holes: the profile serves until there is more
                return
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        yield LoadFit(
            at=track.latest.at,
            group=track.latest.group,
            service=track.latest.service,
            objective=track.latest.objective,
            start=fit.start,
            step_s=fit.step,
            expected=fit.expected,
            fitted_on=fit.fitted_on,
        )


def _belong() -> None:
    """In the fitting process: end with its parent, however that ends, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _told(outlook: Outlook, said: Sequence[Forecast], now: datetime) -> Outlook:
    times = {forecast.incident.incident: now for forecast in said}
    return outlook.model_copy(update={"said": {**outlook.said, **times}}) if times else outlook


def _eta(eta: Mapping[float, float] | None) -> Eta | None:
    if eta is None:
        return None
    return Eta(**{f"p{round(level * 100):02d}": minutes for level, minutes in eta.items()})


def _fan(told: budgets.BudgetForecast) -> tuple[tuple[float, ...], ...]:
    if told.fan is None:
        return (), (), (), ()
    step = max(1, len(told.fan.minutes) // FAN_POINTS)
    minutes, left = told.fan.minutes[::step], told.fan.left[::step]
    columns = list(zip(*left, strict=True))
    return minutes, columns[0], columns[len(columns) // 2], columns[-1]


def _rate(track: Track) -> float:
    """Requests a second over the last buckets."""
    return budgets.BudgetFilter.from_dict(track.filter).load() / track.latest.bucket_s


def _load(state: loads.LoadState, rate: float) -> LoadForecast:
    hour, later = loads.forecast(state, HOUR), loads.forecast(state, SIX_HOURS)
    if hour.verdict != "forecast" or later.verdict != "forecast":
        reason = hour.reason if hour.verdict != "forecast" else later.reason
        return LoadForecast(verdict="not enough data", reason=reason, now=rate)
    return LoadForecast(
        verdict="forecast",
        model=hour.base,
        reason=hour.reason,
        now=hour.now,
        hour=hour.value,
        hour_low=hour.low80,
        hour_high=hour.high80,
        six_hours=later.value,
        six_hours_low=later.low80,
        six_hours_high=later.high80,
    )
