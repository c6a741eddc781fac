"""Execute: an approved plan is carried out step by step, and taken back in reverse.

`run` only moves the ledger: it intends one phase of one step, and the next when a result says
how that one ended. `act` carries a phase out beside the stream. Its results travel through
results.v1 like everyone's, so the ledger knows exactly what the world was told.

A phase that changes something takes two jobs. The first one claims it: its result names the
process that may send, and the ledger keeps that. The second one sends, once. Whoever finds a
claimed phase and did not claim it itself, or has tried before, knows that the change may have
been made, and asks the target. So a call has its effect once, whenever a worker dies.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from executors.admission import admit
from executors.before import fill
from executors.executor import Executor, decode
from executors.ledger import Ledger, RunStatus, rollback_token, run_id
from executors.worker import Worker
from schemas.errors import Denied, Rejected
from schemas.event import Event, derive
from schemas.identity import Keyring, refusal
from schemas.operations import Tick
from schemas.outcomes import Outcome
from schemas.plans import Approved
from schemas.results import Rollback, StepResult
from schemas.turn import Job, Turn

ENDS = {"succeeded", "failed", "skipped"}


class ExecuteSettings(BaseModel):
    """How runs are carried out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dry_run: bool = Field(default=False, description="look, but change nothing in any run")
    retry_for_s: float = Field(
        default=60.0, ge=0, description="a target that is away is tried again for this long"
    )
    backoff_s: float = Field(default=0.5, gt=0, description="first pause between tries, doubled")
    rollback_ttl_s: float = Field(
        default=86_400.0, gt=0, description="a run can be taken back for this many seconds"
    )
    window_s: float = Field(
        default=600.0, gt=0, description="a demand is signed at most this many seconds before"
    )
    skew_s: float = Field(default=30.0, ge=0, description="and at most this many seconds ahead")


class Execute:
    """Reads approved, results, rollbacks, outcomes and ticks; says results and refusals."""

    State = Ledger

    def __init__(
        self,
        settings: ExecuteSettings,
        executors: Mapping[str, Executor],
        keyring: Keyring,
        *,
        clock: Callable[[], datetime],
        worker: str = "",
    ) -> None:
        self._settings = settings
        self._executors = executors
        self._keyring = keyring
        self._worker = Worker(
            executors,
            retry_for_s=settings.retry_for_s,
            backoff_s=settings.backoff_s,
            clock=clock,
            name=worker,
        )

    def key(self, event: Event) -> str:
        """The incident."""
        match event:
            case Approved():
                return event.plan.incident.incident
            case StepResult() | Rollback() | Outcome():
                return event.incident
        return ""

    def run(self, event: Event, state: Ledger | None, now: datetime) -> Turn[Ledger]:
        """One message moves the ledger; ticks forget what can no longer be taken back."""
        match event:
            case Approved():
                turn = self._on_approved(event, state, now)
            case Rollback():
                turn = self._on_rollback(event, state, now)
            case StepResult() if state is not None and event.run == state.run:
                turn = self._on_result(event, state, now)
            case Outcome() if state is not None and event.run == state.run:
                turn = self._on_outcome(event, state, now)
            case Tick() if state is not None and _over(state, now):
                turn = Turn(None)
            case _:
                turn = Turn(state)
        return turn

    # ---- starting

    def _on_approved(
        self, approved: Approved, ledger: Ledger | None, now: datetime
    ) -> Turn[Ledger]:
        opened = self._opened(approved, now)
        if ledger is not None and ledger.run == opened.run:
            return Turn(ledger)  # read again
        try:
            _alone(ledger)
            terms = admit(approved, self._executors, now)
        except (Denied, Rejected) as error:
            refused = opened.run_event("failed", f"not started: {error}", now, token=False)
            return Turn(ledger, (refused,))
        opened = opened.model_copy(
            update={
                "dry_run": terms.dry_run or opened.dry_run,
                "step_timeout_s": terms.step_timeout_s,
            }
        )
        how = " as a dry run: nothing will be changed" if opened.dry_run else ""
        title = f"{approved.plan.runbook}, {len(opened.entries)} steps{how}"
        started = opened.run_event("started", title, now, token=not opened.dry_run)
        return _after((started,), self._next(opened, 0, now))

    def _opened(self, approved: Approved, now: datetime) -> Ledger:
        plan, run = approved.plan, run_id(approved)
        return Ledger.model_validate(
            {
                "incident": plan.incident.incident,
                "group": approved.group,
                "run": run,
                "plan_hash": plan.hash,
                "dry_run": self._settings.dry_run or plan.dry_run,
                "verification": plan.verification,
                "entries": [{"step": step} for step in plan.steps],
                "token": rollback_token(run),
                "until": now + timedelta(seconds=self._settings.rollback_ttl_s),
                "cause": approved.id,
                "trace": approved.trace,
            }
        )

    # ---- forwards

    def _next(self, ledger: Ledger, index: int, now: datetime) -> Turn[Ledger]:
        """Intend the first phase of step `index`; succeed when there is none."""
        if ledger.demanded:
            return self._take_back(ledger, ledger.demanded, now)
        if index == len(ledger.entries):
            return self._succeeded(ledger, now)
        step = ledger.entries[index].step
        if step.precheck is not None or step.observe is not None:
            return Turn(ledger.intending(index, "precheck"))
        skipped = ledger.step_event(index, "precheck", "skipped", "nothing to check", now)
        return _after((skipped,), self._do(ledger, index, now))

    def _do(self, ledger: Ledger, index: int, now: datetime) -> Turn[Ledger]:
        step = ledger.entries[index].step
        if not ledger.dry_run:
            return Turn(ledger.intending(index, "do", step.do.arguments))
        detail = f"dry run, would send by {step.do.executor}: {step.do.arguments}"
        skipped = ledger.step_event(index, "do", "skipped", detail, now)
        return _after(
            (skipped,), self._next(ledger.marked(index, progress="skipped"), index + 1, now)
        )

    def _succeeded(self, ledger: Ledger, now: datetime) -> Turn[Ledger]:
        until = now + timedelta(seconds=self._settings.rollback_ttl_s)
        ended = ledger.model_copy(update={"intent": None, "status": "succeeded", "until": until})
        count = len(ledger.entries)
        detail = (
            f"dry run of {count} steps: all checks hold"
            if ledger.dry_run
            else (f"all {count} steps are done; can be taken back with {ledger.token}")
        )
        said = ended.run_event("succeeded", detail, now, token=not ledger.dry_run)
        return Turn(ended, (said,))

    def _on_result(self, result: StepResult, ledger: Ledger, now: datetime) -> Turn[Ledger]:
        intent = ledger.intent
        if intent is None or (intent.step, intent.phase) != (result.step, result.phase):
            return Turn(ledger)  # of a phase that is over, or the run's own
        ledger = ledger.model_copy(update={"cause": result.id, "trace": result.trace})
        if result.status in ENDS:
            return self._on_end(result, ledger.model_copy(update={"intent": None}), now)
        if result.phase != "precheck" and not intent.worker:
            ledger = ledger.claimed(result.worker)
        return Turn(ledger)

    def _on_end(self, result: StepResult, ledger: Ledger, now: datetime) -> Turn[Ledger]:
        """The phase that was under way has ended: the next one."""
        index = result.step
        if result.phase == "undo":
            progress = "undone" if result.status == "succeeded" else "left"
            return self._undo_next(ledger.marked(index, progress=progress), now)
        if result.status == "failed":
            progress = "unknown" if result.unknown else "failed"
            why = f"{result.name}, {result.phase}: {result.detail}"
            return self._take_back(ledger.marked(index, progress=progress), why, now)
        if result.phase == "do":
            return self._next(ledger.marked(index, progress="done"), index + 1, now)
        ledger = ledger.marked(index, before=result.before)
        if ledger.demanded:
            return self._take_back(ledger, ledger.demanded, now)
        return self._do(ledger, index, now)

    # ---- backwards

    def _take_back(self, ledger: Ledger, why: str, now: datetime) -> Turn[Ledger]:
        undoing = ledger.model_copy(update={"status": "undoing", "why": why, "intent": None})
        return self._undo_next(undoing, now)

    def _undo_next(self, ledger: Ledger, now: datetime) -> Turn[Ledger]:
        """Intend the undo of the last step that needs one; end when there is none."""
        for index in reversed(range(len(ledger.entries))):
            entry = ledger.entries[index]
            if entry.progress not in {"done", "unknown"}:
                continue
            if entry.step.undo is None:
                if entry.progress == "unknown":
                    continue
                detail = f"nothing to undo: {entry.step.irreversible}"
                skipped = ledger.step_event(index, "undo", "skipped", detail, now)
                rest = ledger.marked(index, progress="undone")
                return _after((skipped,), self._undo_next(rest, now))
            try:
                arguments = fill(entry.step.undo.arguments, entry.before)
            except Rejected as error:
                failed = ledger.step_event(index, "undo", "failed", str(error), now)
                return _after(
                    (failed,), self._undo_next(ledger.marked(index, progress="left"), now)
                )
            executor = self._executors.get(entry.step.undo.executor)
            if entry.progress == "done" or (executor and _harmless(executor, arguments)):
                return Turn(ledger.intending(index, "undo", arguments))
        return self._taken_back(ledger, now)

    def _taken_back(self, ledger: Ledger, now: datetime) -> Turn[Ledger]:
        left, unknown = ledger.names("left"), ledger.names("unknown")
        undone = ledger.names("undone")
        said = [ledger.why]
        said += [f"undone: {undone}"] if undone else []
        said += [f"NOT undone: {left}"] if left else []
        said += (
            [f"unknown whether it took effect, a person must look: {unknown}"] if unknown else []
        )
        status: RunStatus
        if left or unknown:
            status = "rollback_failed"
        elif undone:
            status = "rolled_back"
        else:
            status = "failed"
            said.append("nothing was changed")
        ended = ledger.model_copy(update={"status": status})
        return Turn(ended, (ended.run_event(status, "; ".join(said), now, token=False),))

    def _on_outcome(self, outcome: Outcome, ledger: Ledger, now: datetime) -> Turn[Ledger]:
        if outcome.final:
            return Turn(ledger.model_copy(update={"settled": True}))
        if outcome.result == "unverified" and ledger.status == "succeeded" and ledger.live:
            return self._take_back(ledger, f"not verified: {outcome.reason}", now)
        return Turn(ledger)

    def _on_rollback(
        self, rollback: Rollback, ledger: Ledger | None, now: datetime
    ) -> Turn[Ledger]:
        flaw = self._flaw(rollback, ledger, now)
        if flaw or ledger is None:
            return Turn(ledger, (refusal(rollback, flaw, now),))
        why = f"{rollback.by} takes it back" + (f": {rollback.reason}" if rollback.reason else "")
        ledger = ledger.model_copy(
            update={"demanded": why, "cause": rollback.id, "trace": rollback.trace}
        )
        if ledger.status == "succeeded":
            return self._take_back(ledger, why, now)
        return Turn(ledger)  # once the phase under way has ended

    def _flaw(self, rollback: Rollback, ledger: Ledger | None, now: datetime) -> str:
        """Why the demand does not count; empty when it does."""
        proof = self._keyring.check(
            by=rollback.by, text=rollback.signed_text(), signature=rollback.signature
        )
        if not proof.holds:
            return proof.reason
        age = (now - rollback.at).total_seconds()
        if not -self._settings.skew_s <= age <= self._settings.window_s:
            return f"signed {age:.0f} s ago, at most {self._settings.window_s:g} s are taken"
        if ledger is None or rollback.token != ledger.token or ledger.dry_run:
            return "the token is of no run of this incident that can be taken back"
        return _unusable(ledger, now)

    # ---- acting

    def pending(self, state: Ledger) -> Iterable[Job]:
        """The one job that the ledger intends."""
        intent = state.intent
        if intent is None:
            return ()
        part = "look" if intent.phase == "precheck" else intent.worker or "claim"
        ident = derive("execute", state.run, str(intent.step), intent.phase, part)
        return (Job(ident, state.cause, state.trace, state),)

    def act(self, job: Job) -> AsyncIterator[Event]:
        """Carry the job out."""
        return self._worker.act(job)


def _after(events: tuple[Event, ...], turn: Turn[Ledger]) -> Turn[Ledger]:
    return Turn(turn.state, events + turn.events)


def _alone(ledger: Ledger | None) -> None:
    """Raises Denied while another run may still change something."""
    if ledger is not None and ledger.live:
        raise Denied(f"{ledger.run} is not over: one run at a time for an incident")


def _unusable(ledger: Ledger, now: datetime) -> str:
    """Why a run's own token cannot be used; empty when it can."""
    if now > ledger.until:
        return f"the token expired at {ledger.until:%Y-%m-%d %H:%M:%S} UTC"
    if ledger.demanded:
        return f"the token was used: {ledger.demanded}"
    if ledger.status not in {"running", "succeeded"}:
        return f"there is nothing to take back: {ledger.run} is {ledger.status}"
    return ""


def _harmless(executor: Executor, arguments: str) -> bool:
    """Whether an undo may be sent though the change may not have been made."""
    try:
        return executor.repeatable(decode(arguments))
    except (Denied, Rejected):
        return False


def _over(ledger: Ledger, now: datetime) -> bool:
    """Whether nothing can come any more that the ledger is needed for."""
    return not ledger.live and ledger.intent is None and now > ledger.until
