"""Approve: a plan waits until enough people have said yes to exactly that plan.

What policy allows by itself passes at once. For the rest, an answer counts when it is signed
by a known person who may approve, is not the requester, names the hash of the plan as it
stands, comes in time and is that person's first. One no ends the plan. Whatever does not count
is refused aloud, with the reason, so that the person sees it and audit has it.

Answers and decisions travel on different topics, so an answer may overtake the decision that
it is for: it is kept for a while, and judged when the decision comes.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from schemas.event import Event, derive
from schemas.identity import Keyring, refusal
from schemas.operations import Tick
from schemas.outcomes import Outcome
from schemas.plans import Approval, Approved, Decision, plan_hash
from schemas.turn import Turn


class ApproveSettings(BaseModel):
    """How answers are taken."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window_s: float = Field(
        default=600.0,
        gt=0,
        description="an answer is signed at most this many seconds before it is handled",
    )
    skew_s: float = Field(
        default=30.0, ge=0, description="an answer's time may be this many seconds ahead of ours"
    )
    expire_after_s: float = Field(
        default=3600.0, gt=0, description="a plan waits this long when policy names no time"
    )
    early_s: float = Field(
        default=60.0, gt=0, description="an answer waits this many seconds for its decision"
    )
    early: int = Field(default=100, ge=0, description="answers an incident that may wait so")


class Early(BaseModel):
    """An answer to a plan of which no decision has come yet."""

    model_config = ConfigDict(frozen=True)

    answer: Approval
    until: datetime


class Waiting(BaseModel):
    """What is remembered of an incident: its newest decision, and the answers that count."""

    model_config = ConfigDict(frozen=True)

    decision: Decision | None = None
    closed: str = Field(default="", description="why no more answers are taken; empty: they are")
    until: datetime = Field(description="when the plan expires, or a closed one is forgotten")
    over: str = Field(default="", description="why the incident needs no plan any more")
    yes: tuple[Approval, ...] = ()
    early: tuple[Early, ...] = ()
    spent: tuple[tuple[str, datetime], ...] = Field(
        default=(), description="digests of signed texts that were judged: none counts again"
    )


class Verdict(NamedTuple):
    """Whether an answer counts, and why."""

    counts: bool
    reason: str


class Approve:
    """Reads decisions, answers, outcomes and ticks; says approved, refused and why not."""

    State = Waiting

    def __init__(self, settings: ApproveSettings, keyring: Keyring) -> None:
        self._settings = settings
        self._keyring = keyring

    def key(self, event: Event) -> str:
        """The incident."""
        match event:
            case Decision():
                return event.plan.incident.incident
            case Approval() | Outcome():
                return event.incident
        return ""

    def run(self, event: Event, state: Waiting | None, now: datetime) -> Turn[Waiting]:
        """One message; ticks expire what waited too long."""
        match event:
            case Decision():
                return self._on_decision(event, state, now)
            case Approval():
                return self._on_answer(event, state, now)
            case Outcome() if event.result == "resolved":
                return self._on_resolved(event, state, now)
            case Tick() if state is not None:
                return self._on_tick(state, now)
        return Turn(state)

    # ---- decisions

    def _on_decision(
        self, decision: Decision, state: Waiting | None, now: datetime
    ) -> Turn[Waiting]:
        fresh = Waiting(
            decision=decision,
            until=decision.expires_at or now + timedelta(seconds=self._settings.expire_after_s),
            over=state.over if state else "",
            spent=self._fresh(state.spent, now) if state else (),
        )
        turn = self._opened(decision, fresh, now)
        for early in state.early if state else ():
            answered = self._on_answer(early.answer, turn.state, now)
            turn = Turn(answered.state, turn.events + answered.events)
        return turn

    def _opened(self, decision: Decision, fresh: Waiting, now: datetime) -> Turn[Waiting]:
        if decision.effect == "deny":  # policy has said so itself
            return Turn(self._closed(fresh, f"policy refused the plan: {decision.reason}", now))
        if fresh.over:  # nothing to say: it may be read again, and have been granted before that
            return Turn(self._closed(fresh, fresh.over, now))
        flaw = self._flaw(decision, now)
        if flaw:
            return self._refused(fresh, flaw, "approve", now)
        if decision.effect == "approve":
            return Turn(fresh)
        closed = self._closed(fresh, "policy let the plan run without approval", now)
        return Turn(closed, (_approved(decision, ("policy",), (), now),))

    def _flaw(self, decision: Decision, now: datetime) -> str:
        """Why nobody can ever approve this; empty when somebody may."""
        plan = decision.plan
        if plan.hash != plan_hash(plan):
            return "the plan is not the one that its hash was made of"
        if decision.effect != "approve":
            return ""
        if decision.expires_at is not None and decision.expires_at <= now:
            return f"the time for approval ended at {decision.expires_at:%H:%M:%S} UTC"
        may = [name for name in self._keyring.people if not self._barred(decision, name)]
        needed = max(1, decision.approvals_needed)
        if len(may) < needed:
            who = ", ".join(sorted(may)) or "nobody"
            return f"needs {needed} to approve, and of the people known only {who} may"
        return ""

    # ---- answers

    def _on_answer(self, answer: Approval, state: Waiting | None, now: datetime) -> Turn[Waiting]:
        proof = self._proved(answer, state, now)
        if not proof.counts:
            return Turn(state, (refusal(answer, proof.reason, now),))
        if state is None or state.decision is None or answer.plan_hash != state.decision.plan.hash:
            return self._kept(answer, state, now)
        mark = (_digest(answer), answer.at)
        state = state.model_copy(update={"spent": (*self._fresh(state.spent, now), mark)})
        if not state.closed and state.until <= now:
            late = self._refused(state, _expiry(state), "approve", now)
            state, said = late.state or state, late.events
        else:
            said = ()
        verdict = self._judged(answer, state)
        if not verdict.counts:
            return Turn(state, (*said, refusal(answer, verdict.reason, now)))
        if answer.answer == "reject":
            why = f"{answer.by} rejected the plan" + (f": {answer.comment}" * bool(answer.comment))
            return self._refused(state, why, answer.by, now)
        return self._granted(state.model_copy(update={"yes": (*state.yes, answer)}), now)

    def _proved(self, answer: Approval, state: Waiting | None, now: datetime) -> Verdict:
        """Whether it is that person's own, recent, and not a copy of one that was judged."""
        proof = self._keyring.check(
            by=answer.by, text=answer.signed_text(), signature=answer.signature
        )
        if not proof.holds:
            return Verdict(counts=False, reason=proof.reason)
        age = (now - answer.at).total_seconds()
        if age > self._settings.window_s:
            old = f"signed {age:.0f} s ago, at most {self._settings.window_s:g} s are taken"
            return Verdict(counts=False, reason=old)
        if age < -self._settings.skew_s:
            return Verdict(counts=False, reason=f"signed {-age:.0f} s in the future")
        seen = {digest for digest, _ in state.spent} if state else set()
        if _digest(answer) in seen:
            return Verdict(counts=False, reason="the same answer was judged before")
        return Verdict(counts=True, reason=proof.reason)

    def _judged(self, answer: Approval, state: Waiting) -> Verdict:
        """Whether it counts for the decision that waits."""
        decision = state.decision
        if decision is None or state.closed:
            return Verdict(counts=False, reason=state.closed or "nothing waits for an answer")
        if answer.answer == "reject" and _is_requester(decision, answer.by):
            return Verdict(counts=True, reason="withdrawn by who asked for it")
        barred = self._barred(decision, answer.by)
        if barred:
            return Verdict(counts=False, reason=barred)
        if answer.answer == "approve" and any(earlier.by == answer.by for earlier in state.yes):
            return Verdict(
                counts=False, reason=f"{answer.by} has approved already: one counts once"
            )
        return Verdict(counts=True, reason="first answer of a person who may")

    @staticmethod
    def _barred(decision: Decision, name: str) -> str:
        """Why this person may not approve; empty when they may."""
        if _is_requester(decision, name):
            return f"{name} asked for the plan and cannot approve it"
        if decision.approvers and name not in decision.approvers:
            return f"{name} is not among the approvers: {', '.join(decision.approvers)}"
        return ""

    def _kept(self, answer: Approval, state: Waiting | None, now: datetime) -> Turn[Waiting]:
        """An answer to another plan than the one at hand: its decision may be on the way."""
        until = now + timedelta(seconds=self._settings.early_s)
        state = state or Waiting(until=until)
        if any(_digest(other.answer) == _digest(answer) for other in state.early):
            return Turn(state, (refusal(answer, "the same answer came before", now),))
        if len(state.early) >= self._settings.early:
            return Turn(state, (refusal(answer, f"{_stray(state)}, and too many wait", now),))
        early = (*state.early, Early(answer=answer, until=until))
        return Turn(state.model_copy(update={"early": early}))

    # ---- ends

    def _granted(self, state: Waiting, now: datetime) -> Turn[Waiting]:
        """Approved, once there are enough."""
        decision = state.decision
        if decision is None or len(state.yes) < max(1, decision.approvals_needed):
            return Turn(state)
        people = tuple(answer.by for answer in state.yes)
        said = _approved(decision, people, tuple(answer.id for answer in state.yes), now)
        closed = self._closed(state, f"the plan was approved by {' and '.join(people)}", now)
        return Turn(closed, (said,))

    def _refused(self, state: Waiting, reason: str, by: str, now: datetime) -> Turn[Waiting]:
        decision = state.decision
        closed = self._closed(state, reason, now)
        if decision is None:
            return Turn(closed)
        said = Outcome(
            id=derive("approve", "refused", decision.id),
            at=now,
            group=decision.group,
            incident=decision.plan.incident.incident,
            result="refused",
            final=True,
            plan_hash=decision.plan.hash,
            by=by,
            reason=reason,
        )
        return Turn(closed, (said,))

    def _closed(self, state: Waiting, reason: str, now: datetime) -> Waiting:
        """No more answers are taken; remembered for as long as a signature is fresh."""
        until = now + timedelta(seconds=self._settings.window_s + self._settings.skew_s)
        return state.model_copy(update={"closed": reason, "until": until})

    def _on_resolved(self, outcome: Outcome, state: Waiting | None, now: datetime) -> Turn[Waiting]:
        """A resolved incident needs no plan: neither the one that waits nor one on the way."""
        over = f"the incident is resolved: {outcome.reason}"
        state = (state or Waiting(until=now)).model_copy(update={"over": over})
        return Turn(self._closed(state, state.closed or over, now))

    def _on_tick(self, state: Waiting, now: datetime) -> Turn[Waiting]:
        stray = tuple(early for early in state.early if early.until <= now)
        said = tuple(refusal(early.answer, _stray(state), now) for early in stray)
        if stray:
            left = tuple(early for early in state.early if early.until > now)
            state = state.model_copy(update={"early": left})
        if now < state.until:
            return Turn(state, said)
        if state.decision is not None and not state.closed:
            ended = self._refused(state, _expiry(state), "approve", now)
            return Turn(ended.state, said + ended.events)
        return Turn(state if state.early else None, said)

    def _fresh(
        self, spent: tuple[tuple[str, datetime], ...], now: datetime
    ) -> tuple[tuple[str, datetime], ...]:
        oldest = now - timedelta(seconds=self._settings.window_s)
        return tuple(mark for mark in spent if mark[1] >= oldest)


def _approved(
    decision: Decision, people: tuple[str, ...], answers: tuple[str, ...], now: datetime
) -> Approved:
    return Approved(
        id=derive("approved", decision.id),  # one grant a decision, whoever tipped the scale
        at=now,
        group=decision.group,
        plan=decision.plan,
        decision=decision.id,
        rules=decision.rules,
        constraints=decision.constraints,
        approved_by=people,
        approvals=answers,
    )


def _is_requester(decision: Decision, name: str) -> bool:
    return decision.plan.requested_by.strip().casefold() == name.casefold()


def _digest(answer: Approval) -> str:
    return derive(answer.signed_text().decode())


def _expiry(state: Waiting) -> str:
    count = len(state.yes)
    needed = max(1, state.decision.approvals_needed if state.decision else 1)
    return f"{count} of {needed} approvals had come when the time ended"


def _stray(state: Waiting) -> str:
    if state.decision is None:
        return "no decision waits for the answer"
    return "the answer is for another version of the plan: this one needs its own"
