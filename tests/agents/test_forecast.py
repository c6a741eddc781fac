"""What an incident's forecast says, when it is said again, and how a fit comes to serve."""

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta
from multiprocessing import active_children
from typing import Any

import numpy as np
import pytest

from agents.forecast import Foresee, Outlook
from agents.forecast_settings import ForecastSettings
from agents.load import DAY, LoadState, Past, ProphetFit
from runbooks.objectives import Objective, Period, SeriesSelector, alerts_for
from schemas.budgets import Budget
from schemas.errors import Unavailable
from schemas.event import Event, Severity, derive
from schemas.forecasts import Forecast, LoadFit
from schemas.incidents import Incident
from schemas.operations import Tick
from schemas.turn import Job
from tests.streams.kafka_world import until

T0 = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def objective(name: str, service: str) -> Objective:
    period = Period(length=timedelta(hours=4))
    return Objective(
        name=name, service=service, target=0.99, period=period, bucket=MINUTE, counter=True,
        good=SeriesSelector(metric="good"), total=SeriesSelector(metric="all"),
        alerts=alerts_for(period.length, MINUTE),
    )  # fmt: skip


OBJECTIVES = (objective("answers", "shop"), objective("speed", "shop"), objective("jobs", "batch"))


def foresee(**settings: Any) -> Foresee:
    return Foresee(ForecastSettings.model_validate(settings), OBJECTIVES)


def bucket(number: int, bad: float = 0.0, *, objective: str = "answers", **more: Any) -> Budget:
    start = T0 + number * MINUTE
    fields: dict[str, Any] = {
        "id": derive("bucket", objective, str(number)), "at": start + MINUTE, "group": "shop",
        "service": "shop", "objective": objective, "target": 0.99, "period_s": 14_400.0,
        "bucket_start": start, "bucket_s": 60.0, "total": 600.0, "bad": bad,
        "period_total": 600.0 * (number + 1), "period_bad": bad, "left": 0.5, "burn": bad / 6,
    }  # fmt: skip
    return Budget.model_validate(fields | more)


def incident(change: str = "opened", status: str = "open", **more: Any) -> Incident:
    fields: dict[str, Any] = {
        "id": derive("incident", change), "at": T0, "group": "shop", "incident": "inc-1",
        "change": change, "status": status, "severity": Severity.high, "title": "shop is slow",
        "service": "shop", "services": ("shop",), "opened_at": T0, "quiet_since": None,
        "signals": (), "reason": "",
    }  # fmt: skip
    return Incident.model_validate(fields | more)


def told(
    events: list[Event], by: Foresee | None = None, state: Outlook | None = None
) -> tuple[Outlook, list[Forecast]]:
    """The state after the events, handled at their own times, and all forecasts."""
    by = by or foresee()
    said: list[Forecast] = []
    for event in events:
        turn = by.run(event, state, event.at)
        state = turn.state
        said += [each for each in turn.events if isinstance(each, Forecast)]
    assert state is not None
    return state, said


def history(minutes: int = 60, bad: float = 3.0, **more: Any) -> list[Event]:
    return [bucket(n, bad, **more) for n in range(minutes)]


def test_an_incident_is_forecast_when_it_opens_with_what_burns_fastest() -> None:
    calm = history(objective="speed", bad=0.0)
    _, said = told([*history(bad=30.0), *calm, incident(at=T0 + 60 * MINUTE)])
    (forecast,) = said
    assert forecast.incident.incident == "inc-1"
    assert forecast.group == "shop"
    assert forecast.budget.objective == "answers"
    assert forecast.budget.burn == pytest.approx(5.0)
    assert forecast.budget.record == bucket(59).id
    assert forecast.budget.verdict in {"exhausts", "exhausted"}


def test_a_burn_that_leaves_budget_gets_an_hour_of_exhaustion_with_its_chart() -> None:
    """30 of 600 fail, five times what may: what is left of it lasts a known time."""
    _, said = told([*history(30, 0.0), *[bucket(n, 12.0) for n in range(30, 50)],
                    incident(at=T0 + 50 * MINUTE)])  # fmt: skip
    budget = said[0].budget
    assert budget.verdict == "exhausts"
    assert budget.exhausts > 0.5
    assert budget.minutes is not None
    assert 0 < budget.minutes.p05 <= budget.minutes.p50 <= budget.minutes.p95
    assert len(budget.fan_minutes) == len(budget.fan_low) == len(budget.fan_mid) > 10
    assert all(
        low <= mid <= high
        for low, mid, high in zip(budget.fan_low, budget.fan_mid, budget.fan_high, strict=True)
    )


def test_without_history_it_says_that_there_is_not_enough() -> None:
    _, said = told([incident()])
    (forecast,) = said
    assert forecast.budget.verdict == forecast.load.verdict == "not enough data"
    assert forecast.budget.reason == "no objective near shop has closed a bucket yet"


def test_a_short_history_has_a_budget_but_no_season() -> None:
    _, said = told([*history(30), incident(at=T0 + 30 * MINUTE)])
    assert said[0].budget.verdict != "not enough data"
    assert said[0].load.verdict == "not enough data"
    assert "a day is needed" in said[0].load.reason


def test_a_neighbours_objective_speaks_only_for_a_service_without_one() -> None:
    """And then the forecast is refreshed by the neighbour's buckets."""
    batch = history(objective="jobs", service="batch", bad=30.0)
    later = [bucket(n, 30.0, objective="jobs", service="batch") for n in range(60, 63)]
    opened = incident(at=T0 + 60 * MINUTE)
    state, said = told([*batch, opened, *later])
    assert [forecast.budget.objective for forecast in said] == ["jobs"] * 4
    _, said = told([*history(1, at=T0 + 65 * MINUTE), *later], state=state)
    assert [forecast.budget.objective for forecast in said] == ["answers"]


@pytest.mark.parametrize(
    ("change", "status", "forecasts"),
    [
        ("opened", "open", 1), ("updated", "open", 1), ("noisy", "mitigating", 1),
        ("quiet", "mitigating", 0), ("mitigating", "mitigating", 0), ("resolved", "resolved", 0),
    ],
)  # fmt: skip
def test_changes_that_need_a_forecast(change: str, status: str, forecasts: int) -> None:
    assert len(told([*history(5), incident(change, status)])[1]) == forecasts


def test_an_open_incident_is_forecast_again_but_not_more_often_than_asked() -> None:
    later = [bucket(n, 3.0) for n in range(60, 70)]
    events = [*history(), incident(at=T0 + 60 * MINUTE), *later]
    assert len(told(events, foresee(refresh_s=60.0))[1]) == 11
    assert len(told(events, foresee(refresh_s=300.0))[1]) == 3
    assert len(told(events, foresee(refresh_s=100_000.0))[1]) == 1


def test_a_quiet_incident_is_not_forecast_until_it_is_noisy_again() -> None:
    later = [bucket(n, 3.0) for n in range(60, 70)]
    quiet = incident("quiet", "escalated", quiet_since=T0)
    assert len(told([*history(), quiet, *later])[1]) == 0
    assert len(told([*history(), quiet, incident("noisy", "escalated"), *later])[1]) > 1


def test_a_resolved_incident_is_forgotten() -> None:
    resolved = incident("resolved", "resolved", at=T0 + 61 * MINUTE)
    state, said = told([*history(), incident(), resolved, *[bucket(n) for n in range(61, 70)]])
    assert len(said) == 1
    assert (state.open, state.said) == ({}, {})


def test_the_same_input_gives_the_same_forecast_also_from_the_changelog() -> None:
    """The paths are drawn from the event's own id."""
    events = history(45, 12.0)
    state, _ = told(list(events))
    again = Outlook.model_validate_json(state.model_dump_json())
    opened = incident(at=T0 + 45 * MINUTE)
    first = foresee().run(opened, state, opened.at)
    second = foresee().run(opened, again, opened.at)
    assert first.events == second.events
    other = opened.model_copy(update={"id": derive("other")})
    assert foresee().run(other, state, opened.at).events != first.events


def test_events_that_say_nothing_new_change_nothing() -> None:
    state, _ = told(history(3))
    tick = Tick(id="t", at=T0, group="", number=1)
    assert foresee().run(tick, state, T0) == (state, ())
    foreign = bucket(4, objective="not configured here")
    assert foresee().run(foreign, state, T0) == (state, ())
    assert foresee().run(foreign, None, T0) == (None, ())


# ---- fits


def season(days: float, *, fitted_at: datetime | None = None) -> Outlook:
    """An outlook whose objective has seen so many days of load, up and down with the hour."""
    steps = np.arange(int(days * DAY))
    means = 100 + 60 * np.sin(2 * np.pi * steps / DAY)
    load, start = LoadState.empty(), T0 - len(steps) * timedelta(minutes=5)
    for n, mean in enumerate(means.tolist()):
        load = load.update(start + n * timedelta(minutes=5), mean)
    state, _ = told([bucket(0)])
    track = state.tracks["answers"].model_copy(
        update={"load": load.to_dict(), "points": len(steps), "fitted_at": fitted_at}
    )
    return state.model_copy(update={"tracks": {"answers": track}})


@pytest.mark.parametrize(
    ("days", "fitted_at", "jobs"),
    [
        (1.9, None, []),
        (2.1, None, ["fit/answers/20516"]),
        (2.1, T0 - timedelta(hours=23), []),
        (2.1, T0 - timedelta(hours=25), ["fit/answers/20516"]),
    ],
)
def test_a_fit_is_due_once_a_day_when_there_are_two_days(
    days: float, fitted_at: datetime | None, jobs: list[str]
) -> None:
    state = season(days, fitted_at=fitted_at)
    assert [job.id for job in foresee().pending(state)] == jobs


def acted(by: Foresee, job: Job) -> list[Event]:
    async def scene() -> list[Event]:
        return [event async for event in by.act(job)]

    return asyncio.run(scene())


def test_prophet_is_fitted_beside_the_stream_and_its_fit_serves() -> None:
    """A real fit in a process of its own: the next forecast is by Prophet, near the season."""
    by, state = foresee(), season(3)
    (job,) = by.pending(state)
    (fit,) = acted(by, job)
    assert isinstance(fit, LoadFit)
    assert (fit.objective, fit.group, fit.fitted_on) == ("answers", "shop", 3 * DAY - 1)
    fit = fit.model_copy(update={"id": "fit-1", "cause": job.cause})
    adopted = by.run(fit, state, T0).state
    assert adopted is not None
    assert list(by.pending(adopted)) == []
    ten_hours = [
        bucket(n, total=60 * (100 + 60 * np.sin(2 * np.pi * n / 1440))) for n in range(1, 601)
    ]
    _, said = told([*ten_hours, incident(at=T0 + 601 * MINUTE)], by, adopted)
    load = said[0].load
    assert (load.verdict, load.model) == ("forecast", "prophet")
    assert load.hour == pytest.approx(100 + 60 * np.sin(2 * np.pi * 660 / 1440), rel=0.15)
    assert 0 < load.hour_low <= load.hour_high


def test_without_a_fit_the_profile_serves() -> None:
    (forecast,) = told([incident(at=T0 + MINUTE)], foresee(), season(2))[1]
    assert (forecast.load.verdict, forecast.load.model) == ("forecast", "profile")


def test_a_fit_of_an_unknown_objective_is_left_out() -> None:
    fit = LoadFit(
        id="f", at=T0, group="shop", service="shop", objective="gone", start=0.0, step_s=300.0,
        expected=(1.0,), fitted_on=1,
    )  # fmt: skip
    state = season(2)
    assert foresee().run(fit, state, T0).state == state


def test_history_with_holes_gives_no_fit() -> None:
    by, state = foresee(), season(2.1)
    track = state.tracks["answers"].model_copy(update={"load": season(1).tracks["answers"].load})
    assert acted(by, Job("j", "c", "", track)) == []


def dies(_: Past) -> ProphetFit:
    """What the system does to a process that takes too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_a_fitting_process_that_dies_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.load.fit_prophet", dies)
    by, state = foresee(), season(2.1)
    (job,) = by.pending(state)
    with pytest.raises(Unavailable, match="the process that fits the load forecast died"):
        acted(by, job)
    until(lambda: active_children() == [])  # and nothing is left running
