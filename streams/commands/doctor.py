"""`sentinel doctor`: what is there, what is missing or wrong, and what to do."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

import typer
from rich.text import Text

from streams.commands.terminal import Json, as_json, show

app = typer.Typer()
STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@app.command("doctor", epilog="Example: SENTINEL_CONFIG=production.yaml sentinel doctor")
def doctor(*, json: Json = False) -> None:
    """Look at everything Sentinel needs and change nothing; exit status 1 when something fails."""
    from streams.inspection import inspect
    from streams.settings import Settings

    failed = 0
    for found in inspect(Settings.load()):
        failed += found.status == "fail"
        if json:
            as_json(found._asdict())
            continue
        todo = f": {found.todo}" if found.todo else ""
        status = (f"{found.status:<4}", STYLES[found.status])
        show(*(
            Text.assemble(status, f"  {found.name:<10}  {part}")
            for part in f"{found.detail}{todo}".splitlines()
        ))  # fmt: skip
    if failed:
        raise typer.Exit(1)
