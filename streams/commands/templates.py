"""`sentinel templates`: what the log lines of each service say, once their values are taken out."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from streams.commands.terminal import Json, as_json, clock, rows, say

if TYPE_CHECKING:
    from schemas.event import Event
    from schemas.templates import Template

app = typer.Typer()
EXAMPLES = """Examples:

\b
  sentinel templates --service checkout
  sentinel templates --json --limit 1000
"""


@app.command("templates", epilog=EXAMPLES)
def templates(
    *,
    service: Annotated[str, typer.Option(help="Only this service's.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many at most.")] = 100,
    json: Json = False,
) -> None:
    """Templates of log lines, the most frequent first; merged ones are one.

    A count is told each time that it has doubled, so it is what there are at least.
    """
    from schemas.topics import TEMPLATES
    from streams.follow import Follower
    from streams.settings import Settings

    with Follower(Settings.load().kafka, (TEMPLATES,), beginning=True) as follower:
        known = folded(seen.event() for seen in follower.kept())
    found = [each for each in known if service in ("", each.service)]
    found.sort(key=lambda each: (-each.count, each.service, each.template))
    if json:
        as_json([each.model_dump() for each in found[:limit]])
        return
    if not found:
        say("no template" + (f" of {service}" if service else "") + " yet: no log line has come")
        return
    body = [
        (
            each.template, each.service, each.severity or "-", f"{each.count}+",
            clock(each.since), each.text,
        )
        for each in found[:limit]
    ]  # fmt: skip
    rows(("TEMPLATE", "SERVICE", "SEVERITY", "LINES", "SINCE", "TEXT"), body)
    if len(found) > limit:
        say(f"{len(found) - limit} more: --limit {len(found)} shows all")


def folded(events: Iterable["Event"]) -> list["Template"]:
    """Each service's templates as they stand after what was said of them, oldest first."""
    from schemas.templates import Template

    known: dict[tuple[str, str], Template] = {}
    for event in events:
        if not isinstance(event, Template):
            continue
        place = event.service, event.template
        before = known.pop(place, None)
        sample = event.sample or (before.sample if before else "")
        if event.change == "merged":
            place = event.service, event.into
            before = known.pop(place, None) or before
            sample = before.sample if before else sample
        known[place] = event.model_copy(
            update={"template": place[1], "into": "", "change": "counted", "sample": sample}
        )
    return list(known.values())
