"""An incident's whole life on one screen: what was seen, foreseen, decided, done, and the end.

Built from the events alone; the caller says what time it is.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from rich.text import Text

from schemas.anomalies import Anomaly
from schemas.budgets import Budget
from schemas.event import Event
from schemas.forecasts import Forecast
from schemas.plans import Approval, Approved, Decision, Plan, Refusal
from schemas.results import Rollback, StepResult
from schemas.verdicts import Bar, Verdict
from sinks.history import Lifecycle
from streams.commands.lines import (
    BAD,
    BY_EFFECT,
    BY_RESULT,
    BY_SEVERITY,
    BY_STATUS,
    GOOD,
    QUIET,
    WARN,
    foreseen,
    line,
)
from streams.commands.terminal import clock, span

Lines = Iterator[Text]
MOST = 40  # lines of the timeline; `tail --from-beginning --incident` has all
OVER = ("rolled_back", "rollback_failed", "failed")  # ends of a run that leave nothing to undo


def told(life: Lifecycle, now: datetime) -> Lines:
    """The whole screen."""
    yield from _head(life, now)
    yield from _section("Signals", _signals(life))
    yield from _section("Forecast", _forecast(life))
    yield from _section("Plan", _plan(life))
    yield from _section("Policy", _policy(life))
    yield from _section("Answers", _answers(life))
    yield from _section("Steps", _steps(life))
    yield from _section("Outcome", _outcome(life))
    yield from _section("Verdicts", _verdicts(life))
    yield from _section("Timeline", _timeline(life))
    yield from _section("Next", next_commands(life, now))


def _section(title: str, lines: Lines) -> Lines:
    body = list(lines)
    if body:
        yield Text("")
        yield Text(title, "bold")
        for each in body:
            yield Text("  ").append_text(each)


def _head(life: Lifecycle, now: datetime) -> Lines:
    incident = life.incident
    over = incident.at if incident.status in {"resolved", "escalated"} else now
    yield Text.assemble(
        (incident.incident, "bold"), "  ",
        (incident.status, GOOD if incident.status == "resolved" else BAD), "  ",
        (incident.severity, BY_SEVERITY[incident.severity]), "  ", incident.title,
    )  # fmt: skip
    yield Text(
        f"services {', '.join(incident.services)}; opened {clock(incident.opened_at)},"
        f" {'took' if over is incident.at else 'for'} {span(over - incident.opened_at)};"
        f" trace {_trace(life.events)}",
        QUIET,
    )
    if incident.support:
        yield Text(incident.support, QUIET)


def _trace(events: Iterable[Event]) -> str:
    """The trace id that most of the events share: the newest one's."""
    ids = [event.trace.split("-")[1] for event in events if event.trace.count("-") == 3]  # noqa: PLR2004 - W3C's four fields
    return ids[-1] if ids else "-"


def _signals(life: Lifecycle) -> Lines:
    for signal in life.incident.signals:
        cleared = f", cleared {signal.cleared_at:%H:%M:%S}Z" if signal.cleared_at else ""
        yield Text.assemble(
            (f"{signal.severity:<8}", BY_SEVERITY[signal.severity]),
            f"  {signal.kind:<12}  {signal.series}  {signal.value:g}",
            f" (expected {signal.low:g} to {signal.high:g}), since {signal.since:%H:%M:%S}Z",
            (cleared, GOOD),
        )


def _forecast(life: Lifecycle) -> Lines:
    for forecast in life.of(Forecast)[-1:]:
        yield Text(foreseen(forecast.budget))
        load = forecast.load
        if load.verdict == "forecast":
            yield Text(
                f"load {load.now:g}/s now, in an hour {load.hour:g}"
                f" ({load.hour_low:g} to {load.hour_high:g}), in six {load.six_hours:g}"
                f" ({load.six_hours_low:g} to {load.six_hours_high:g})"
            )
        else:
            yield Text(f"load: {load.verdict}: {load.reason}")


def _plan(life: Lifecycle) -> Lines:
    for plan in life.plans[-1:]:
        yield from _plan_lines(plan)
    if len(life.plans) > 1:
        yield Text(f"{len(life.plans) - 1} earlier, see the timeline", QUIET)


def _plan_lines(plan: Plan) -> Lines:
    if not plan.runbook:
        yield Text(f"none: {plan.reason}", WARN)
    else:
        dry = ", dry run" if plan.dry_run else ""
        yield Text.assemble(
            (f"{plan.runbook} {plan.runbook_version}", "bold"),
            f"  risk {plan.risk}, touches {', '.join(plan.blast_radius)}, in {plan.environment}",
            f"{dry}; owner {plan.owner or '-'}",
        )
        yield Text(plan.reason)
        yield Text(f"hash {plan.hash}", QUIET)
    yield from steps_of(plan)
    for candidate in plan.candidates:
        if not candidate.chosen:
            reasons = "; ".join(candidate.reasons)
            yield Text(f"not {candidate.runbook} ({candidate.score:.2f}): {reasons}", QUIET)


def steps_of(plan: Plan) -> Lines:
    """What would be done, step by step, and how it would be undone."""
    for number, step in enumerate(plan.steps, 1):
        undo = "can be undone" if step.undo else f"cannot be undone: {step.irreversible}"
        yield Text.assemble(
            f"{number}. {step.name}: {step.summary}",
            (f" ({undo}; {step.do.executor}, {step.timeout_s:g} s at most)", QUIET),
        )
        yield Text(f"   {step.do.executor} {step.do.arguments}", QUIET)
    if plan.verification:
        must = plan.verification
        yield Text(
            f"then quiet within {must.within_s:g} s and for {must.stable_s:g} s, or undone", QUIET
        )


def _policy(life: Lifecycle) -> Lines:
    for decision in life.of(Decision)[-1:]:
        yield Text.assemble(
            (decision.effect, BY_EFFECT[decision.effect]), f": {decision.reason}",
            (f"  ({decision.engine})", QUIET),
        )  # fmt: skip
        for rule in decision.rules:
            yield Text.assemble(
                (f"{rule.effect:<9}", BY_EFFECT[rule.effect]), f"  {rule.id}: {rule.reason}"
            )
        for limit in decision.constraints:
            yield Text(f"limit      {limit.name} = {limit.value}")


def _answers(life: Lifecycle) -> Lines:
    for event in life.events:
        if isinstance(event, Approval | Approved | Refusal | Rollback):
            yield line(event, at=f"{event.at:%H:%M:%S}Z", about=life.incident.incident)


def _steps(life: Lifecycle) -> Lines:
    for result in life.steps:
        if result.phase == "run":
            dry = " (dry run)" if result.dry_run else ""
            yield Text.assemble(
                (f"{result.run} {result.status}", BY_STATUS.get(result.status, "bold")),
                f"{dry}: {result.detail}",
            )
        elif result.status != "started":
            note = ", found out by asking" if result.reconciled else ""
            yield Text.assemble(
                f"  {result.step + 1}. {result.name} {result.phase} ",
                (result.status, BY_STATUS.get(result.status, "")),
                f" in {result.duration_s:.2f} s{note}: {result.detail}",
            )


def _outcome(life: Lifecycle) -> Lines:
    outcome, report = life.outcome, life.report
    if outcome is not None:
        proof = ", verified" if outcome.verified else ""
        yield Text.assemble(
            (f"{outcome.result}{proof}", BY_RESULT.get(outcome.result, BAD)),
            f": {outcome.reason} (says {outcome.by})",
        )
    if report is not None:
        cost = report.cost
        yield Text(report.headline)
        if cost.amount:
            yield Text(
                f"cost avoided {cost.amount:.2f} {cost.currency}"
                f" ({cost.low:.2f} to {cost.high:.2f}): {cost.formula}"
            )
        else:
            yield Text(f"cost avoided none: {cost.reason}")


def _verdicts(life: Lifecycle) -> Lines:
    """What people said of it afterwards, and the bar after each; refused ones are answers."""
    for event in life.events:
        if isinstance(event, Verdict | Bar):
            yield line(event, at=f"{event.at:%Y-%m-%d %H:%M:%S}Z", about=life.incident.incident)


def _timeline(life: Lifecycle) -> Lines:
    begin = life.incident.opened_at
    events = [event for event in life.events if not isinstance(event, Budget) and _is_news(event)]
    left_out = len(events) - MOST
    for number, event in enumerate(events):
        if left_out > 0 and MOST // 2 <= number < MOST // 2 + left_out:
            if number == MOST // 2:
                yield Text(f"... {left_out} more ...", QUIET)
            continue
        sign = "-" if event.at < begin else "+"
        at = f"{sign + span(abs(event.at - begin)):>8}"
        yield line(event, at=at, about=life.incident.incident)


def _is_news(event: Event) -> bool:
    """What tells something that is not told by what stands beside it."""
    return not (
        (isinstance(event, Anomaly) and event.change == "updated")
        or (isinstance(event, StepResult) and event.status == "started" and event.phase != "run")
    )


def next_commands(life: Lifecycle, now: datetime) -> Lines:
    """The commands that somebody may want to give now, ready to be copied."""
    ident = life.incident.incident
    decision = waiting(life, now)
    if decision is not None:
        until = f" until {clock(decision.expires_at)}" if decision.expires_at else ""
        who = ", ".join(decision.approvers) or "anyone known"
        yield Text(f"{decision.plan.runbook} waits for {who}{until}:", WARN)
        yield Text(f"sentinel approve {ident}", "bold")
        yield Text(f"sentinel reject {ident}", "bold")
    run = undoable(life, now)
    if run is not None:
        until = f" until {clock(run.rollback_until)}" if run.rollback_until else ""
        yield Text(f"{run.run} can be taken back{until}:", QUIET)
        yield Text(f"sentinel rollback {run.rollback_token}", "bold")


def waiting(life: Lifecycle, now: datetime) -> Decision | None:
    """The decision that people have to answer; None when there is none."""
    for decision in life.of(Decision)[-1:]:
        asked = decision.effect == "approve"
        late = decision.expires_at is not None and decision.expires_at <= now
        done = {event.plan.hash for event in life.of(Approved)}
        ended = life.outcome is not None and life.outcome.at >= decision.at
        if asked and not late and decision.plan.hash not in done and not ended:
            return decision
    return None


def undoable(life: Lifecycle, now: datetime) -> StepResult | None:
    """The run's event with the token by which it can still be taken back."""
    runs = [result for result in life.steps if result.phase == "run"]
    if not runs or runs[-1].status in OVER:
        return None
    granted = [run for run in runs if run.run == runs[-1].run and run.rollback_token]
    spent = {demand.token for demand in life.of(Rollback)}
    for run in reversed(granted):
        open_still = run.rollback_until is None or run.rollback_until > now
        if open_still and run.rollback_token not in spent:
            return run
    return None
