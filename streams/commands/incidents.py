"""`sentinel incidents`: what happened, from the first anomaly to the report."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from schemas.errors import Rejected
from streams.commands.terminal import Json, as_json, clock, rows, say, show

if TYPE_CHECKING:
    from sinks.history import Lifecycle

app = typer.Typer(
    help="List incidents, show one from its first anomaly to its report.", no_args_is_help=True
)
Status = Literal["open", "mitigating", "resolved", "escalated"]


@app.command("list", epilog="Example: sentinel incidents list --status open")
def listed(
    *,
    status: Annotated[Status | None, typer.Option(help="Only those that stand so.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    json: Json = False,
) -> None:
    """Incidents, newest first."""
    from schemas.event import Severity
    from sinks.history import History
    from streams.commands.lines import BY_SEVERITY
    from streams.settings import Settings

    with History(Settings.load().database.url.get_secret_value()) as history:
        found = history.incidents(status, limit)
    if json:
        as_json([summary._asdict() for summary in found])
        return
    if not found:
        say("no incident" + (f" is {status}" if status else " yet"))
        return
    body = [
        (
            each.incident, each.status,
            Text(each.severity, BY_SEVERITY[Severity(each.severity)]),
            each.service, clock(each.opened_at), clock(each.closed_at), each.title,
        )
        for each in found
    ]  # fmt: skip
    rows(("INCIDENT", "STATUS", "SEVERITY", "SERVICE", "OPENED", "CLOSED", "TITLE"), body)


EXAMPLES = """Examples:

\b
  sentinel incidents show inc-4f2a
  sentinel incidents show 4f2a --html report.html
"""


@app.command("show", epilog=EXAMPLES)
def shown(
    incident: Annotated[str, typer.Argument(help="Its id, or the start of it.")],
    *,
    html: Annotated[
        Path | None, typer.Option(help="Write its report to this file, one page of HTML.")
    ] = None,
    json: Json = False,
) -> None:
    """The whole life of an incident, and the commands that may be wanted next."""
    from sinks.history import History
    from streams.commands.story import told
    from streams.settings import Settings

    with History(Settings.load().database.url.get_secret_value()) as history:
        life = history.incident(incident)
    if html is not None:
        _write(life, html)
        return
    if json:
        events = [{"subject": event.SUBJECT, **event.model_dump()} for event in life.events]
        as_json({"incident": life.incident.model_dump(), "events": events})
        return
    show(*told(life, datetime.now(UTC)))


def _write(life: "Lifecycle", path: Path) -> None:
    """The latest report as one page. Raises Rejected when there is none or it cannot be written."""
    from sinks.charts import charts_of
    from sinks.report import render_html

    if life.report is None:
        raise Rejected(
            f"no report on {life.incident.incident} yet: it is written when the incident has ended"
        )
    try:
        path.write_text(render_html(life.report, charts_of(life.events)), encoding="utf-8")
    except OSError as error:
        raise Rejected(f"cannot write {path}: {error.strerror}") from error
    say(f"the report is in {path}")
