"""The narrative: what happened, why, what was done and what it was worth, for a manager to read.

Plain sentences around facts: every figure, name and quotation goes through `Evidence`, which
notes the record it is from. The sentences themselves hold no digits, which a test checks.
"""

from collections.abc import Iterator, Sequence

from agents.case import Case
from agents.evidence import Evidence, Ref
from agents.facts import PERCENT
from schemas.outcomes import Cost, Outcome
from schemas.results import StepResult

SIGNALS = 5  # listed; the others are in the bundle


HEADLINES = {
    "refused": "{runbook} was not carried out, {who}",
    "no_plan": "no runbook fits, people are needed",
    "dry_run": "{runbook} was gone through as a dry run",
    "unverified": "{runbook} did not help",
    "rolled_back": "{runbook} was taken back, people are needed",
    "rollback_failed": "{runbook} could not be taken back, look now",
    "escalated": "handed to people, {runbook} could not be carried out",
}


def headline(case: Case, ev: Evidence) -> str:
    """One line that says how it ended."""
    service = _plain(ev.name("service", Ref(case.last.id), "service"))
    runbook = "the plan"
    if case.plan and case.plan_ref and case.plan.runbook:
        runbook = _plain(ev.name("runbook", case.plan_ref, "runbook"))
    if case.outcome.result == "resolved":
        took = ev.number("minutes until quiet", lasted(case, ev), "value")
        if case.outcome.verified:
            return f"{service}: fixed by {runbook} in {took} min, verified"
        return f"{service}: over by itself after {took} min"
    how = HEADLINES[case.outcome.result].format(runbook=runbook, who=_who(case))
    return f"{service}: {how}"


def _plain(name: str) -> str:
    return name.strip("`")


def _who(case: Case) -> str:
    if case.decision is not None and case.decision.effect == "deny":
        return "policy denied it"
    if any(answer.answer == "reject" for answer in case.answers):
        return "it was rejected"
    if case.decision is not None and case.decision.effect == "approve":
        return "nobody approved it in time"
    return "it was refused"


def lasted(case: Case, ev: Evidence) -> Ref:
    """Minutes from the opening until the signals were quiet, or until this ending."""
    start = ev.fact("opened", Ref(case.first.id), "opened_at", "time")
    if case.quiet is not None:
        end = ev.fact("quiet since", Ref(case.quiet.id), "quiet_since", "time")
    else:
        end = ev.fact("ended", Ref(case.outcome.id), "at", "time")
    return ev.computed("minutes until quiet", "minutes between", (start, end))


def story(case: Case, cost: Cost, figures: Sequence[Ref], gaps: Sequence[str], ev: Evidence) -> str:
    """The story in Markdown.

    `figures` are the computed cost, low, middle and high; empty when none is claimed. `gaps` says
    what of the case had not come when it was told.
    """
    parts = (
        ("What happened", _happened(case, ev)),
        ("What was to be expected", _expected(case, ev)),
        ("What was proposed", _proposed(case, ev)),
        ("What policy and people said", _judged(case, ev)),
        ("What was done", _done(case, ev)),
        ("How it ended", _ended(case, ev)),
        ("What it was worth", _worth(cost, figures, ev)),
        ("What to do next", _next(case, ev)),
    )
    told = [f"## {title}\n\n" + "\n".join(lines) for title, found in parts if (lines := [*found])]
    if gaps:
        told.append(f"*Not on record when this was written: {', '.join(gaps)}.*")
    return "\n\n".join(told) + "\n"


def bare(outcome: Outcome, ev: Evidence) -> tuple[str, str]:
    """Headline and story of an ending of which nothing else is on record."""
    at = Ref(outcome.id)
    incident = _plain(ev.name("incident", at, "incident"))
    why = ev.quote("reason", at, "reason")
    told = f"{ENDINGS[outcome.result]}: {why}.\n\n*Nothing else of it is on record.*\n"
    return f"{incident}: {ENDINGS[outcome.result].lower()}", told


def _happened(case: Case, ev: Evidence) -> Iterator[str]:
    first, last = Ref(case.first.id), Ref(case.last.id)
    yield (
        f"On {ev.time('opened', first, 'opened_at')}"
        f" {ev.name('service', last, 'service')} showed {ev.quote('title', last, 'title')},"
        f" of {case.last.severity.value} severity."
    )
    if case.last.severity != case.first.severity:
        yield f"It began as {case.first.severity.value}."
    signals = sorted(enumerate(case.last.signals), key=lambda item: -item[1].severity.rank)
    for place, signal in signals[:SIGNALS]:
        at = f"signals.{place}."
        end = "; it has cleared" if signal.cleared_at else ""
        yield (
            f"- {ev.name('series', last, at + 'series')} on"
            f" {ev.name('service', last, at + 'service')}:"
            f" {ev.name('kind', last, at + 'kind')} {signal.direction},"
            f" at {ev.number('value', last, at + 'value')}, expected"
            f" {ev.number('low', last, at + 'low')} to {ev.number('high', last, at + 'high')}{end}."
        )
    if len(signals) > SIGNALS:
        yield "- More signals are in the bundle."


def _expected(case: Case, ev: Evidence) -> Iterator[str]:
    at, budget = None, None
    if case.plan and case.plan_ref:
        at, budget = Ref(case.plan_ref.record, case.plan_ref.prefix), case.plan.budget
    elif case.forecast:
        at, budget = Ref(case.forecast.id), case.forecast.budget
    if at and budget and budget.verdict == "not enough data":
        yield f"When the error budget would be gone could not be told: {_said(ev, at)}."
    elif at and budget:
        yield (
            f"Of the error budget of {ev.name('objective', at, 'budget.objective')}"
            f" {ev.number('budget left', at, 'budget.left', PERCENT)} % was left, and it burned at"
            f" {ev.number('burn rate', at, 'budget.burn')} times the rate that the objective"
            f" allows: {_said(ev, at)}."
        )
        if budget.minutes is not None:
            yield (
                "Had nobody acted, it would have been gone with a chance of"
                f" {ev.number('chance', at, 'budget.exhausts', PERCENT)} %, and then in half of the"
                f" cases within {ev.number('half of the cases', at, 'budget.minutes.p50')} min"
                f" ({ev.number('early', at, 'budget.minutes.p10')} to"
                f" {ev.number('late', at, 'budget.minutes.p90')})."
            )
    if case.forecast and case.forecast.load.verdict == "forecast":
        load = Ref(case.forecast.id, "load.")
        yield (
            f"Load was {ev.number('load', load, 'now')} requests a second, expected within the"
            f" hour: {ev.number('load in an hour', load, 'hour')}"
            f" ({ev.number('low', load, 'hour_low')} to {ev.number('high', load, 'hour_high')})."
        )


def _said(ev: Evidence, at: Ref) -> str:
    return ev.quote("forecast", at, "budget.reason")


def _proposed(case: Case, ev: Evidence) -> Iterator[str]:
    plan, at = case.plan, case.plan_ref
    if plan is None or at is None:
        yield "Nothing that this ending goes back to."
        return
    if not plan.runbook:
        yield f"Nothing: {ev.quote('reason', at, 'reason')}."
    else:
        kind = "a dry run of " if plan.dry_run else ""
        yield (
            f"{kind.capitalize() if kind else ''}{ev.name('runbook', at, 'runbook')}"
            f" (version {ev.name('version', at, 'runbook_version')}, owner"
            f" {ev.name('owner', at, 'owner')}, {plan.risk} risk) in"
            f" {ev.name('environment', at, 'environment')}, asked for by"
            f" {ev.name('requested by', at, 'requested_by')}, because"
            f" {ev.quote('reason', at, 'reason')}:"
        )
    for place in range(len(plan.steps)):
        step = f"steps.{place}."
        summary = ev.quote("summary", at, step + "summary")
        yield f"- {ev.name('step', at, step + 'name')}: {summary}"
    for place, candidate in enumerate(plan.candidates):
        if not candidate.chosen:
            found = f"candidates.{place}."
            why = "; ".join(
                ev.quote("why not", at, f"{found}reasons.{n}")
                for n in range(len(candidate.reasons))
            )
            yield (
                f"- Not chosen: {ev.name('runbook', at, found + 'runbook')}, fit"
                f" {ev.number('fit', at, found + 'score')}{': ' * bool(why)}{why}"
            )


EFFECTS = {
    "allow": "Policy allowed it",
    "constrain": "Policy allowed it within limits",
    "approve": "Policy asked for approval by people",
    "deny": "Policy denied it",
}


def _judged(case: Case, ev: Evidence) -> Iterator[str]:
    if case.decision is not None:
        at = Ref(case.decision.id)
        yield (
            f"{EFFECTS[case.decision.effect]}: {ev.quote('reason', at, 'reason')}"
            f" (decided by {ev.name('engine', at, 'engine')})."
        )
        for place, rule in enumerate(case.decision.rules):
            found = f"rules.{place}."
            why = ev.quote("reason", at, found + "reason")
            yield f"- Rule {ev.name('rule', at, found + 'id')} says {rule.effect}: {why}"
        for place in range(len(case.decision.constraints)):
            found = f"constraints.{place}."
            limit = ev.name("limit", at, found + "value")
            yield f"- Limit {ev.name('limit', at, found + 'name')}: {limit}"
    for answer in case.answers:
        at = Ref(answer.id)
        said = "approved" if answer.answer == "approve" else "rejected"
        words = f": {ev.quote('comment', at, 'comment')}" if answer.comment else ""
        who = ev.name("by", at, "by")
        yield f"- {who} {said} it at {ev.clock('answered', at, 'at')}{words}"
    for refusal in case.refusals:
        at = Ref(refusal.id)
        why = ev.quote("reason", at, "reason")
        yield f"- An answer in the name of {ev.name('by', at, 'by')} did not count: {why}"
    if case.approved is not None and case.approved.approved_by == ("policy",):
        yield "- Nobody had to be asked."


def _done(case: Case, ev: Evidence) -> Iterator[str]:
    if not case.results:
        yield "Nothing was carried out."
        return
    if case.dry_run:
        yield "This was a dry run: nothing was changed."
    for result in case.results:
        if result.status != "started" and result.phase != "run":
            yield _step(result, ev)
    for result in case.results:
        if result.phase == "run" and result.status != "started":
            at = Ref(result.id)
            how = result.status.replace("_", " ")
            detail = ev.quote("detail", at, "detail")
            yield f"- At {ev.clock('ended', at, 'at')} the run {how}: {detail}"


PHASES = {"precheck": "check before", "do": "carried out", "undo": "taken back"}


def _step(result: StepResult, ev: Evidence) -> str:
    at = Ref(result.id)
    took = f" in {ev.number('took', at, 'duration_s')} s" if result.duration_s else ""
    doubt = "; whether it took effect is not known" if result.unknown else ""
    found = "; found out after a restart" if result.reconciled else ""
    detail = f": {ev.quote('detail', at, 'detail')}" if result.detail else ""
    return (
        f"- At {ev.clock('at', at, 'at')} {ev.name('step', at, 'name')},"
        f" {PHASES[result.phase]}: {result.status}{took}{doubt}{found}{detail}"
    )


ENDINGS = {
    "resolved": "It is over",
    "unverified": "It did not help",
    "rolled_back": "It did not help, and all was taken back",
    "rollback_failed": "It did not help, and not all could be taken back",
    "escalated": "It is in people's hands",
    "refused": "It was not carried out",
    "no_plan": "Nothing could be proposed",
    "dry_run": "The dry run is complete",
}


def _ended(case: Case, ev: Evidence) -> Iterator[str]:
    at = Ref(case.outcome.id)
    verified = ", and this was verified by its own signals" if case.outcome.verified else ""
    yield (
        f"{ENDINGS[case.outcome.result]}{verified}: {ev.quote('reason', at, 'reason')}"
        f" (said by {ev.name('by', at, 'by')} at {ev.clock('ended', at, 'at')})."
    )
    if case.quiet is not None:
        minutes = ev.number("minutes until quiet", lasted(case, ev), "value")
        yield f"The signals were quiet {minutes} min after the incident had opened."
    for outcome in case.earlier:
        before = Ref(outcome.id)
        yield (
            f"- Before that, at {ev.clock('ended', before, 'at')}:"
            f" {ENDINGS[outcome.result].lower()}, {ev.quote('reason', before, 'reason')}"
        )


def _worth(cost: Cost, figures: Sequence[Ref], ev: Evidence) -> Iterator[str]:
    if cost.high <= 0:
        yield f"No cost avoided is claimed: {cost.reason}."
        return
    low, mid, high = (ev.number("cost avoided", at, "value", cost.currency) for at in figures)
    yield f"Cost avoided: {mid} {cost.currency} ({low} to {high})."
    yield (
        "It is the loss that the burn would have gone on to cause until people would typically"
        " have repaired it by hand; formula and inputs are part of the report."
    )


NEXT = {
    "unverified": "The run is being taken back.",
    "rolled_back": "All is as it was before the run, and the fault is still there: repair it by"
    " hand, then say in the runbook when it does not help.",
    "rollback_failed": "Look at the target now: steps above that were not taken back are still in"
    " effect, or half so.",
    "escalated": "Repair it by hand; what was tried is above.",
    "refused": "Repair it by hand, or change what spoke against the plan and wait for a new one.",
    "no_plan": "Repair it by hand, then write a runbook for it.",
    "dry_run": "Nothing was changed. Let it run for real when the steps above are what you want.",
}


def _next(case: Case, ev: Evidence) -> Iterator[str]:
    if case.outcome.result in NEXT:
        yield NEXT[case.outcome.result]
        if case.plan and case.plan_ref and case.plan.owner:
            yield f"The runbook's owner is {ev.name('owner', case.plan_ref, 'owner')}."
    elif not case.outcome.verified:
        yield "Find out why it came and went: nothing was changed, so it may come again."
