"""`sentinel slo`: the objectives, and whether they are written without mistakes."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

from pathlib import Path
from typing import Annotated

import typer

from streams.commands.terminal import Json, as_json, rows, say, show, span

app = typer.Typer(help="Check and list service level objectives.", no_args_is_help=True)
Where = Annotated[
    Path | None, typer.Argument(help="OpenSLO file, or a folder of them.  [default: files.slo]")
]


@app.command("lint", epilog="Example: sentinel slo lint slo/checkout.yaml")
def lint(where: Where = None, *, json: Json = False) -> None:
    """Say every mistake and every warning; exit status 1 when there is a mistake."""
    from runbooks import objectives
    from streams.settings import Settings

    path = where or Settings.load().files.slo
    problems = objectives.lint(path)
    errors = [problem for problem in problems if problem.severity == "error"]
    if json:
        as_json([{**problem._asdict(), "path": str(problem.path)} for problem in problems])
    else:
        show(*map(str, problems))
    if errors:
        say(f"{len(errors)} mistakes in {path}: nothing of it would be loaded")
        raise typer.Exit(1)
    say(f"{len(objectives.load(path).objectives)} objectives in {path}, no mistakes")


@app.command("list", epilog="Example: sentinel slo list --json")
def listed(where: Where = None, *, json: Json = False) -> None:
    """Every objective with its target, period and alerts."""
    from runbooks import objectives
    from streams.settings import Settings

    found = objectives.load(where or Settings.load().files.slo).objectives
    if json:
        as_json([objective.model_dump(mode="json") for objective in found])
        return
    body = [
        (
            each.name, each.service, f"{each.target:.4%}", span(each.period.length),
            ", ".join(f"{a.severity} at {a.factor:g}x over {span(a.long)}" for a in each.alerts),
        )
        for each in found
    ]  # fmt: skip
    rows(("OBJECTIVE", "SERVICE", "TARGET", "PERIOD", "ALERTS"), body)
