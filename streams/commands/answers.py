"""`sentinel approve`, `reject`, `rollback`: a person's word, signed with the person's key."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from schemas.errors import Denied, Unavailable
from streams.commands.terminal import clock, confirmed, say, show

if TYPE_CHECKING:
    from schemas.event import Event
    from schemas.plans import Decision
    from streams.answering import Person, Said
    from streams.settings import Settings

app = typer.Typer()
WAIT_S = 600.0  # an answer is taken for ten minutes by default (approve.window_s)

Meant = Annotated[
    str,
    typer.Argument(
        metavar="INCIDENT|PLAN", help="The incident's id or the plan's hash; a start will do."
    ),
]
Comment = Annotated[str, typer.Option(help="Kept with the answer.")]
Name = Annotated[str | None, typer.Option("--as", envvar="SENTINEL_IDENTITY", help="Who you are.")]
Key = Annotated[
    Path | None,
    typer.Option("--key", envvar="SENTINEL_IDENTITY_KEY", help="The file with your key."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Wait = Annotated[bool, typer.Option("--wait", help="Stay until it is known what came of it.")]


@app.command("approve", epilog='Example: sentinel approve inc-4f2a --comment "seen it before"')
def approve(
    plan: Meant,
    *,
    comment: Comment = "",
    name: Name = None,
    key: Key = None,
    yes: Yes = False,
    wait: Wait = False,
) -> None:
    """Say yes to exactly the plan that waits. Shows it and asks first."""
    _answer(plan, "approve", comment=comment, name=name, key=key, yes=yes, wait=wait)


@app.command("reject", epilog='Example: sentinel reject inc-4f2a --comment "sale is on"')
def reject(
    plan: Meant,
    *,
    comment: Comment = "",
    name: Name = None,
    key: Key = None,
    yes: Yes = False,
    wait: Wait = False,
) -> None:
    """Say no to the plan that waits; one no is enough."""
    _answer(plan, "reject", comment=comment, name=name, key=key, yes=yes, wait=wait)


@app.command("rollback", epilog='Example: sentinel rollback rb-0123 --reason "made it worse"')
def rollback(
    token: Annotated[str, typer.Argument(help="As `sentinel incidents show` tells it.")],
    *,
    reason: Annotated[str, typer.Option(help="Kept with the demand.")] = "",
    name: Name = None,
    key: Key = None,
    yes: Yes = False,
    wait: Wait = False,
) -> None:
    """Take a run back: its completed steps are undone in reverse order. Shows it and asks first."""
    from sinks.history import History
    from streams.answering import demanded, run_of
    from streams.settings import Settings

    settings = Settings.load()
    person = person_of(name, key, settings)
    with History(settings.database.url.get_secret_value()) as history:
        run = run_of(history, token)
    granted = run.granted
    if granted.rollback_until is not None and granted.rollback_until <= datetime.now(UTC):
        raise Denied(f"the token expired at {clock(granted.rollback_until)}: undo it by hand")
    show(
        f"{granted.run} of {run.incident.incident} ({run.incident.title}): {granted.detail}",
        f"can be taken back until {clock(granted.rollback_until)}",
    )
    confirmed(f"Take {granted.run} back as {person.name}?", yes=yes)
    sent(settings, demanded(person, run, datetime.now(UTC), reason=reason), WAIT_S, wait=wait)


def _answer(
    plan: str,
    answer: Literal["approve", "reject"],
    *,
    comment: str,
    name: str | None,
    key: Path | None,
    yes: bool,
    wait: bool,
) -> None:
    from sinks.history import History
    from streams.answering import answered, waiting
    from streams.settings import Settings

    settings = Settings.load()
    person = person_of(name, key, settings)
    with History(settings.database.url.get_secret_value()) as history:
        decision = waiting(history, plan, datetime.now(UTC))
    if decision.approvers and person.name not in decision.approvers:
        raise Denied(f"{person.name} is not among the approvers: {', '.join(decision.approvers)}")
    _show(decision)
    confirmed(f"{answer.capitalize()} this plan as {person.name}?", yes=yes)
    event = answered(person, decision, answer, datetime.now(UTC), comment=comment)
    left = (decision.expires_at - event.at).total_seconds() if decision.expires_at else WAIT_S
    sent(settings, event, max(left, 1.0), wait=wait)


def person_of(name: str | None, key: Path | None, settings: "Settings") -> "Person":
    """Who answers. Raises BadParameter when that was not said, and what `Person.load` does."""
    from streams.answering import Person

    if not name:
        raise typer.BadParameter("say who you are: --as NAME, or SENTINEL_IDENTITY")
    if key is None:
        raise typer.BadParameter(
            "name your key: --key FILE, or SENTINEL_IDENTITY_KEY; `sentinel keys new` makes one"
        )
    return Person.load(name, key, settings.identity)


def _show(decision: "Decision") -> None:
    from streams.commands.story import steps_of

    plan = decision.plan
    until = f", until {clock(decision.expires_at)}" if decision.expires_at else ""
    show(
        f"{plan.runbook} {plan.runbook_version} for {plan.incident.incident}"
        f" ({plan.incident.title}), in {plan.environment}{', dry run' if plan.dry_run else ''}",
        f"risk {plan.risk}, touches {', '.join(plan.blast_radius)}; {plan.reason}",
        f"policy: {decision.reason}; {max(1, decision.approvals_needed)} must say yes{until}",
        f"plan {plan.hash}",
        *steps_of(plan),
    )


def sent(settings: "Settings", event: "Said", for_s: float, *, wait: bool) -> None:
    """Send it, and if wanted wait for what comes of it. Raises Unavailable, Denied."""
    from streams.answering import Answerer

    answerer = Answerer(settings.kafka, event, follow=wait)
    place = answerer.send()
    show(f"sent: {_what(event)} as {event.by} ({place})")
    if not wait:
        say("the pipeline checks it; see `sentinel incidents show`, or use --wait")
        return
    end = answerer.end(for_s)
    if end is None:
        raise Unavailable(f"nothing came of it in {for_s:.0f} s: is the pipeline running?")
    _tell(end)


def _what(event: "Said") -> str:
    from schemas.plans import Approval
    from schemas.verdicts import Verdict

    if isinstance(event, Approval):
        return f"{event.answer} of plan {event.plan_hash[:12]}, {event.incident}"
    if isinstance(event, Verdict):
        return f"{event.says} on {event.incident} for {event.service}, {event.id[:12]}"
    return f"rollback by {event.token}, {event.incident}"


def _tell(end: "Event") -> None:
    """What came of the answer. Raises Denied when it did not count."""
    from schemas.plans import Refusal
    from streams.commands.lines import line

    if isinstance(end, Refusal):
        raise Denied(f"refused: {end.reason}")
    show(line(end))
