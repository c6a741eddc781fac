"""Verify: did it help? An incident is resolved by what its own signals show, nothing else.

After a run, every signal of the incident must be clear within the time that the runbook gives,
and stay clear for as long as it asks, counted from the end of the run. If not, the run is to
be taken back. A signal that ended because its model got used to the new level has not
recovered, and does not count as clear here.

An incident that becomes quiet while nothing was done to it is resolved too, but not verified:
nothing may be credited with it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from schemas.event import Event, derive
from schemas.incidents import Incident, Signal
from schemas.operations import Tick
from schemas.outcomes import Outcome
from schemas.plans import Verification
from schemas.results import StepResult
from schemas.turn import Turn

OVER = {  # how a run ended that changed nothing in the end, and what that is as an outcome
    "rolled_back": "rolled_back",
    "rollback_failed": "rollback_failed",
    "failed": "escalated",
}


class VerifySettings(BaseModel):
    """When an incident counts as over."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    self_heal_stable_s: float = Field(
        default=300.0, gt=0, description="quiet this many seconds with no run under way: resolved"
    )
    within_s: float = Field(
        default=600.0, gt=0, description="signals must be clear by then when a plan does not say"
    )
    stable_s: float = Field(
        default=120.0, gt=0, description="and stay so for this long when a plan does not say"
    )
    rollback_within_s: float = Field(
        default=900.0, gt=0, description="a rollback that has not ended by then is escalated"
    )


class Run(BaseModel):
    """The run that is under way for the incident, or waits for its verdict."""

    model_config = ConfigDict(frozen=True)

    run: str
    plan_hash: str
    started_at: datetime
    finished_at: datetime | None = None
    verification: Verification | None = None
    demanded_at: datetime | None = Field(default=None, description="its rollback was demanded")


class Watched(BaseModel):
    """What is remembered of an incident that is not resolved."""

    model_config = ConfigDict(frozen=True)

    incident: str
    group: str
    quiet_since: datetime | None = None
    clear_since: datetime | None = Field(
        default=None, description="the signals that count for the run are clear since"
    )
    moved: tuple[str, ...] = Field(default=(), description="open series that are the run's doing")
    doubt: str = Field(default="", description="why clear is not recovery; empty: it is")
    run: Run | None = None
    known: bool = Field(default=False, description="the incident itself was heard of")


class Verdict(NamedTuple):
    """What the signals say of a run: fixed, not fixed, or (neither) that it is too early."""

    fixed: bool
    failed: bool
    reason: str


class Verify:
    """Reads results, incidents and ticks; says outcomes."""

    State = Watched

    def __init__(self, settings: VerifySettings) -> None:
        self._settings = settings

    def key(self, event: Event) -> str:
        """The incident; of results only what concerns the whole run."""
        match event:
            case Incident():
                return event.incident
            case StepResult() if event.phase == "run":
                return event.incident
        return ""

    def run(self, event: Event, state: Watched | None, now: datetime) -> Turn[Watched]:
        """One message; ticks judge what has had its time."""
        match event:
            case Incident():
                return _on_incident(event, state)
            case StepResult():
                return self._on_result(event, state, now)
            case Tick() if state is not None:
                return self._on_tick(state, now)
        return Turn(state)

    def _on_result(self, result: StepResult, state: Watched | None, now: datetime) -> Turn[Watched]:
        watched = state or Watched(incident=result.incident, group=result.group)
        run = watched.run
        if run is not None and run.run != result.run:
            return Turn(state)  # refused while another run is under way: that one goes on
        if result.status == "started":
            run = _run(result)
            return Turn(watched.model_copy(update={"run": run}))
        if result.status == "succeeded" and not result.dry_run:
            run = run or _run(result)
            done = {"finished_at": now, "verification": result.verification}
            waiting = watched.model_copy(update={"run": run.model_copy(update=done)})
            return self._on_tick(waiting, now)
        how = "dry_run" if result.status == "succeeded" else OVER.get(result.status, "")
        if not how:
            return Turn(state)
        said = _outcome(watched, how, result.run, result.plan_hash, result.detail, now)
        left = watched.model_copy(update={"run": None}) if watched.known else None
        return Turn(left, (said,))

    def _on_tick(self, state: Watched, now: datetime) -> Turn[Watched]:
        run = state.run
        if run is None:
            return self._healed(state, now)
        if run.demanded_at is not None:
            return self._awaited(state, run, run.demanded_at, now)
        if run.finished_at is None:
            return Turn(state)
        verdict = self._judged(state, run, run.finished_at, now)
        if verdict.fixed:
            said = _outcome(state, "resolved", run.run, run.plan_hash, verdict.reason, now)
            own = state.clear_since is not None and state.clear_since < run.started_at
            return Turn(None, (said.model_copy(update={"verified": not own}),))
        if verdict.failed:
            said = _outcome(state, "unverified", run.run, run.plan_hash, verdict.reason, now)
            waits = run.model_copy(update={"demanded_at": now})
            return Turn(state.model_copy(update={"run": waits}), (said,))
        return Turn(state)

    def _judged(self, state: Watched, run: Run, finished: datetime, now: datetime) -> Verdict:
        """What the signals say of a run that has finished.

        Clear by the deadline is enough to wait for stability beyond it; a signal that comes
        back after the deadline is the end.
        """
        asked = run.verification
        within_s = asked.within_s if asked else self._settings.within_s
        stable_s = asked.stable_s if asked else self._settings.stable_s
        deadline = finished + timedelta(seconds=within_s)
        late = now >= deadline
        clear = state.clear_since
        if clear is None or clear > deadline:
            reason = f"signals are not clear {within_s:g} s after the run" if late else "not clear"
            return Verdict(fixed=False, failed=late, reason=reason)
        if state.doubt:
            return Verdict(fixed=False, failed=late, reason=state.doubt)
        clear_s = (now - max(clear, finished)).total_seconds()
        if clear_s < stable_s:
            return Verdict(fixed=False, failed=False, reason=f"clear for {clear_s:.0f} s")
        reason = f"all signals are clear, and were for {clear_s:.0f} s after the run"
        if state.moved:
            reason += f"; {', '.join(state.moved)} began after it on what it touches"
        if clear < run.started_at:
            reason = f"all signals are clear, but were so before {run.run} began"
        return Verdict(fixed=True, failed=False, reason=reason)

    def _awaited(
        self, state: Watched, run: Run, demanded: datetime, now: datetime
    ) -> Turn[Watched]:
        limit = self._settings.rollback_within_s
        if now < demanded + timedelta(seconds=limit):
            return Turn(state)
        reason = f"the rollback has not ended within {limit:g} s: a person must look"
        said = _outcome(state, "escalated", run.run, run.plan_hash, reason, now)
        return Turn(state.model_copy(update={"run": None}), (said,))

    def _healed(self, state: Watched, now: datetime) -> Turn[Watched]:
        """Resolved without a run, once quiet for long enough."""
        if state.quiet_since is None:
            return Turn(state)
        quiet_s = (now - state.quiet_since).total_seconds()
        if quiet_s < self._settings.self_heal_stable_s:
            return Turn(state)
        reason = f"quiet for {quiet_s:.0f} s with no run under way"
        reason += f"; {state.doubt}" if state.doubt else ""
        return Turn(None, (_outcome(state, "resolved", "", "", reason, now),))


def _run(result: StepResult) -> Run:
    """The run that a first word of it tells of."""
    return Run(
        run=result.run,
        plan_hash=result.plan_hash,
        started_at=result.at,
        verification=result.verification,
    )


def _on_incident(incident: Incident, state: Watched | None) -> Turn[Watched]:
    """How the incident's own signals stand; a resolved one is forgotten."""
    run = state.run if state else None
    if incident.status == "resolved":
        return Turn(state if run is not None and run.finished_at is None else None)
    known = state or Watched(incident=incident.incident, group=incident.group)
    moved = [signal for signal in incident.signals if run and _is_doing_of(run, signal)]
    counted = [signal for signal in incident.signals if signal not in moved] or incident.signals
    clear = None
    if all(signal.cleared_at for signal in counted):
        clear = known.clear_since or incident.quiet_since or incident.at
    seen = {
        "quiet_since": incident.quiet_since,
        "clear_since": clear,
        "moved": tuple(signal.series for signal in moved if not signal.cleared_at),
        "doubt": _doubt(counted) if clear else "",
        "known": True,
    }
    return Turn(known.model_copy(update=seen))


def _is_doing_of(run: Run, signal: Signal) -> bool:
    """Whether a signal is what the run has moved, and no sign of harm."""
    touches = run.verification.touches if run.verification else ()
    begun = signal.since >= run.started_at
    return begun and signal.service in touches and signal.source != "slo"


def _doubt(signals: Sequence[Signal]) -> str:
    """Why clear is not recovery; empty when it is.

    A series may end for good reasons (its process was replaced), so an ended one does not
    count against recovery as long as others have recovered.
    """
    adapted = [signal.series for signal in signals if signal.ending == "adapted"]
    if adapted:
        return f"not recovered, the new level only became usual: {adapted[0]}"
    if not any(signal.ending == "recovered" for signal in signals):
        return "no signal was seen to recover: their series ended"
    return ""


def _outcome(
    state: Watched, result: str, run: str, plan_hash: str, reason: str, now: datetime
) -> Outcome:
    return Outcome.model_validate(
        {
            "id": derive("verify", state.incident, run, result) if run else "",
            "at": now,
            "group": state.group,
            "incident": state.incident,
            "result": result,
            "final": result != "unverified",
            "run": run,
            "plan_hash": plan_hash,
            "by": "verify",
            "reason": reason,
        }
    )
