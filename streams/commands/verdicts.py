"""`sentinel verdict`, `verdicts`: what people say of incidents, signed, and what came of it."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streams.commands.answers import Key, Name, Wait, Yes, person_of, sent
from streams.commands.terminal import Json, as_json, clock, confirmed, rows, say, show

if TYPE_CHECKING:
    from schemas.incidents import Incident
    from schemas.verdicts import Verdict
    from sinks.history import Judged

app = typer.Typer()
WAIT_S = 60.0  # a verdict is counted in well under a second
SHORT = 12  # characters of an id, enough to name a verdict
MEANS = {
    "good": "it was one, and in time: the bar stays",
    "late": "it was one, and too late: alarms come earlier from now on",
    "false": "it was none: alarms need more from now on",
}
EXAMPLES = """Examples:

\b
  sentinel verdict inc-4f2a false --reason "nightly import"
  sentinel verdict inc-4f2a late --service queue
  sentinel verdict --undo 9c1e
"""


@app.command("verdict", epilog=EXAMPLES)
def verdict(
    incident: Annotated[
        str, typer.Argument(help="The incident's id, or the start of it.", show_default=False)
    ] = "",
    says: Annotated[
        Literal["good", "late", "false", ""],
        typer.Argument(metavar="good|late|false", help="Right; too late; no incident at all."),
    ] = "",
    *,
    reason: Annotated[str, typer.Option(help="Kept with the verdict.")] = "",
    service: Annotated[
        str, typer.Option(help="Whose bar it moves; without it, where it hurt most.")
    ] = "",
    undo: Annotated[
        str, typer.Option(metavar="ID", help="Take this verdict back, named as in `verdicts`.")
    ] = "",
    name: Name = None,
    key: Key = None,
    yes: Yes = False,
    wait: Wait = False,
) -> None:
    """Say what an incident was; the service's alarms begin lower or higher for it."""
    from sinks.history import History
    from streams.answering import judged, undone
    from streams.settings import Settings

    if bool(undo) == bool(incident) or bool(incident) != bool(says) or (undo and service):
        raise typer.BadParameter("name an incident and good, late or false; or --undo ID alone")
    settings = Settings.load()
    person = person_of(name, key, settings)
    with History(settings.database.url.get_secret_value()) as history:
        if undo:
            meant = history.verdict(undo)
            show(_meant(meant))
            said = undone(person, meant, datetime.now(UTC), reason=reason)
        else:
            about = history.incident(incident).incident
            said = judged(
                person, about, says or "good", datetime.now(UTC), service=service, reason=reason
            )
            show(*_judging(about, said))
    confirmed(f"{said.says.capitalize()} as {person.name}?", yes=yes)
    sent(settings, said, WAIT_S, wait=wait)


def _judging(incident: "Incident", said: "Verdict") -> tuple[str, ...]:
    opened = clock(incident.opened_at)
    return (
        f"{incident.incident} ({incident.title}), {incident.status}, opened {opened}",
        f"{said.says} for {said.service}: {MEANS[said.says]}",
    )


def _meant(verdict: "Verdict") -> str:
    why = f" ({verdict.reason})" if verdict.reason else ""
    return (
        f"take back {verdict.id[:SHORT]}: {verdict.says} on {verdict.incident} for"
        f" {verdict.service}, by {verdict.by} at {clock(verdict.at)}{why}"
    )


@app.command("verdicts", epilog="Example: sentinel verdicts --service checkout")
def verdicts(
    *,
    service: Annotated[str, typer.Option(help="Only this service's.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    json: Json = False,
) -> None:
    """What people said of incidents, newest first: who, when, why, and what came of it."""
    from sinks.history import History
    from streams.settings import Settings

    with History(Settings.load().database.url.get_secret_value()) as history:
        found = [j for j in history.verdicts() if service in ("", j.verdict.service)][:limit]
    if json:
        as_json([{**each.verdict.model_dump(), "effect": effect(each)} for each in found])
        return
    if not found:
        say("no verdict" + (f" on {service}" if service else "") + " yet: `sentinel verdict`")
        return
    body = [
        (
            each.verdict.id[:SHORT], each.verdict.says, each.verdict.incident,
            each.verdict.service, each.verdict.by, clock(each.verdict.at), effect(each),
            each.verdict.reason,
        )
        for each in found
    ]  # fmt: skip
    rows(("ID", "SAYS", "INCIDENT", "SERVICE", "BY", "AT", "EFFECT", "REASON"), body)


def effect(judged: "Judged") -> str:
    """What came of a verdict, in a few words."""
    if judged.refusal is not None:
        return f"refused: {judged.refusal.reason}"
    if judged.bar is None:
        return "not counted yet"
    back = f", taken back by {judged.undone_by.by}" if judged.undone_by else ""
    return f"bar {judged.bar.factor:g}{back}"
