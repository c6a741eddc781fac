"""`sentinel runbooks`: what may be done, and whether it is written without mistakes."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

from pathlib import Path
from typing import Annotated

import typer

from streams.commands.terminal import Json, as_json, rows, say, show

app = typer.Typer(help="Check and list runbooks.", no_args_is_help=True)
Folder = Annotated[Path | None, typer.Argument(help="Folder of *.yaml.  [default: files.runbooks]")]


@app.command("lint", epilog="Example: sentinel runbooks lint ops/runbooks")
def lint(folder: Folder = None, *, json: Json = False) -> None:
    """Say every mistake with file and line; exit status 1 when there is one."""
    from executors.registry import targets
    from runbooks import loader
    from streams.settings import Settings

    settings = Settings.load()
    names = targets(settings.executor)
    where = folder or settings.files.runbooks
    problems = loader.lint(where, names)
    if json:
        as_json([{"file": str(p.path), "line": p.line, "problem": p.message} for p in problems])
    else:
        show(*map(str, problems))
    if problems:
        say(f"{len(problems)} mistakes in {where}: nothing of it would be loaded")
        raise typer.Exit(1)
    say(f"{len(loader.load(where, names))} runbooks in {where}, no mistakes")


@app.command("list", epilog="Example: sentinel runbooks list --json")
def listed(folder: Folder = None, *, json: Json = False) -> None:
    """Every runbook with its owner, risk and steps, and whether its targets are listed."""
    from executors.registry import targets
    from runbooks import loader
    from streams.settings import Settings

    settings = Settings.load()
    found = loader.load(folder or settings.files.runbooks, targets(settings.executor))
    if json:
        as_json([runbook.model_dump(mode="json", by_alias=True) for runbook in found])
        return
    body = [
        (
            book.name,
            str(book.version),
            book.owner,
            book.risk,
            ", ".join(step.name for step in book.steps),
        )
        for book in found
    ]
    rows(("RUNBOOK", "VERSION", "OWNER", "RISK", "STEPS"), body)
