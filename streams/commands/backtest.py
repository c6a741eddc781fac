"""`sentinel backtest`: what the detector would have said about a folder of history."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

import sys
from pathlib import Path
from typing import Annotated

import typer

from streams.commands.terminal import Json, as_json, show

app = typer.Typer()
EXAMPLES = """Examples:

\b
  sentinel backtest history/ scores/
  sentinel backtest history/ scores/ --json | jq .alarms
"""


@app.command("backtest", epilog=EXAMPLES)
def backtest(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="Folder of .csv, .csv.gz, .parquet, .jsonl.")
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the scores.")],
    *,
    json: Json = False,
) -> None:
    """Score every series of a folder, and find the template of every log line.

    A series gets a file of the same name with timestamp, score and alarm a row; log lines get
    one with a template_id a line, and beside it in `NAME-merged` what that turned out to be.
    """
    from streams.backtest import backtest as score

    def progress(name: Path, done: int, number: int) -> None:
        sys.stderr.write(f"\r{done}/{number} {name}\x1b[K" + ("\n" if done == number else ""))
        sys.stderr.flush()

    summary = score(source, target, progress if sys.stderr.isatty() else None)
    if json:
        as_json(summary._asdict())
        return
    if summary.series:
        show(
            f"{summary.series} series, {summary.samples} samples, {summary.alarms} alarms,"
            f" {summary.microseconds:.1f} us a sample; scores are in {target}"
        )
    if summary.logs:
        show(
            f"{summary.lines} log lines in {summary.logs} files, {summary.templates} templates;"
            f" they are in {target}"
        )
