"""`sentinel demo`: a real Kafka, a small shop, a real fault, and what Sentinel does about it."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

app = typer.Typer()
ENDS = (signal.SIGINT, signal.SIGTERM)
EXAMPLES = """Examples:

\b
  sentinel demo
  sentinel demo --break-fix --out broken
  sentinel demo --dry-run --json
  sentinel demo --no-fault --minutes 30
"""


@app.command("demo", epilog=EXAMPLES)
def demo(
    *,
    manual: Annotated[
        bool, typer.Option("--manual", help="Play in production: you approve the plan.")
    ] = False,
    break_fix: Annotated[
        bool, typer.Option("--break-fix", help="The last step fails: see the rollback.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Plan and check, change nothing.")
    ] = False,
    no_fault: Annotated[
        bool, typer.Option("--no-fault", help="Normal load only: nothing may be found.")
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="With --no-fault: how long to watch.  [default: 2/3]"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("demo-out"),
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the scratch folder: settings, logs, database.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Kafka's port.  [default: a free one]")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print summary.json; the story goes to standard error.")
    ] = False,
) -> None:
    """Break a small shop for real and watch Sentinel find, plan, decide, fix, verify and explain.

    Starts Kafka, the shop and every stage on this machine, about a minute and a half in all,
    and leaves nothing but the report. Exit status 1 when the story was not the expected one.
    """
    from streams.demo.director import Director
    from streams.demo.mode import QUIET_MINUTES, Mode, Options
    from streams.demo.screen import Screen, console_for
    from streams.worker import utc_now

    wanted = {Mode.manual: manual, Mode.break_fix: break_fix}
    wanted |= {Mode.dry_run: dry_run, Mode.no_fault: no_fault}
    chosen = [mode for mode, asked in wanted.items() if asked] or [Mode.fix]
    if len(chosen) > 1:
        names = " and ".join(f"--{mode.value}" for mode in chosen)
        raise typer.BadParameter(f"{names} are different stories: choose one")
    if minutes is not None and not no_fault:
        raise typer.BadParameter("--minutes is how long --no-fault watches: give both")
    for number in ENDS:
        signal.signal(number, _end)
    with Screen(console_for(json=json), clock=utc_now) as screen:
        watched = QUIET_MINUTES if minutes is None else minutes
        options = Options(chosen[0], out, keep, port, watched)
        summary = Director(options, screen, clock=utc_now).run()
    if json:
        sys.stdout.write(summary.model_dump_json(indent=1) + "\n")
    raise typer.Exit(1 if summary.missing else 0)


def _end(_signum: int, _frame: FrameType | None) -> NoReturn:
    """Clear away, which takes seconds; a second Ctrl-C must not break that off half way."""
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
