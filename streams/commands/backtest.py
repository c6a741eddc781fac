"""`sentinel backtest`: what the detector would have said about a folder of history."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

import sys
from collections.abc import Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from streams.commands.terminal import Json, as_json, console, rows, say, show

if TYPE_CHECKING:
    from streams.backtest.detector import Choice
    from streams.backtest.summary import Summary

app = typer.Typer()
SHOWN = 20  # series in the terminal's table; all are on the page
EXAMPLES = """Input: .csv(.gz) and .parquet with a timestamp and a value, or a column a series; the
saved answer of a Prometheus range query (.json); .jsonl(.gz) of {"line": text}. Times are ISO 8601
or epoch numbers in s, ms, us or ns. The series' scores go to OUT under the same names, pictures and
index.html beside them. A file that cannot be read is told; the others go on, and the status is 1.

With labels (--labels FILE of series,start,end, or a column label or is_anomaly of 0 and 1): an
event is a labelled window, found if an alarm comes in it, or until 10 rows after its start. Alarms
at most 20 rows apart are one. A false alarm begins outside of every event. Precision is found /
(found + false alarms), recall found / events, F1 their harmonic mean, AP the area under precision
over recall for all thresholds, delay the median time to an event's first alarm. False a day is per
series. Labels in the Numenta benchmark's JSON give its score too. Log lines with a template_id give
grouping accuracy, the share of lines whose group is exactly the labelled one.

Examples:

\b
  sentinel backtest history/ scores/
  sentinel backtest history/ scores/ --labels incidents.csv --pictures all
  sentinel backtest history/ scores/ --json | jq '.found[] | {name, alarms, highest}'
  sentinel backtest history/ river/ --model anomaly.HalfSpaceTrees --param seed=1 --threshold 0.9
"""


@app.command("backtest", epilog=EXAMPLES)
def backtest(
    source: Annotated[
        Path,
        typer.Argument(metavar="IN", help="Folder of history: .csv, .parquet, .json, .jsonl."),
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the scores.")],
    *,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="When something was wrong: CSV or JSON, see below."),
    ] = None,
    pictures: Annotated[
        Literal["some", "all", "none"],
        typer.Option(help="Pictures of the 50 most interesting series, of all, or none."),
    ] = "some",
    no_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="The same as --pictures none.")
    ] = False,
    zone: Annotated[
        str, typer.Option("--timezone", metavar="NAME", help="Of times that name no zone.")
    ] = "UTC",
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Score with River's detector of that name instead.")
    ] = "",
    param: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Its parameter, as YAML.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Its score that alarms; without, it only scores.")
    ] = None,
    json: Json = False,
) -> None:
    """Score every series of a folder, and find the template of every log line.

    A series gets a file of the same name with timestamp, score and alarm a row, and a picture;
    log lines get a file with a template_id a line, and beside it in `NAME-merged` what that
    turned out to be.
    """
    from streams.backtest.album import Pictures
    from streams.backtest.run import Wish
    from streams.backtest.run import backtest as score

    def progress(what: str, done: int, number: int) -> None:
        sys.stderr.write(f"\r{done}/{number} {what[:100]}\x1b[K" + ("\n" if done == number else ""))
        sys.stderr.flush()

    wish = Wish(
        labels=labels,
        zone=_zone(zone),
        pictures=Pictures.none if no_pictures else Pictures(pictures),
        detector=_detector(model, param or [], threshold),
    )
    summary = score(source, target, wish, progress if sys.stderr.isatty() else None)
    if json:
        as_json(summary._asdict())
    else:
        _tell(summary, target)
    for fault in summary.faults:
        say(f"left out: {fault}")
    if summary.faults:
        raise typer.Exit(1)


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = f"{name!r} is no time zone, such as Europe/Berlin"
        raise typer.BadParameter(message, param_hint="--timezone") from error


def _detector(model: str, params: list[str], threshold: float | None) -> "Choice":
    from schemas.errors import Rejected
    from streams.backtest.detector import River, Shipped

    if not model:
        if params or threshold is not None:
            raise typer.BadParameter("--param and --threshold belong to a --model of River's")
        return Shipped()
    spec: dict[str, Any] = {"model": model}
    if model.startswith("{"):
        spec = _yaml(model, "--model")
    if unknown := set(spec) - {"model", "params", "args"}:
        raise typer.BadParameter(f"unknown key {min(unknown)!r}", param_hint="--model")
    given = dict(spec.get("params", {}))
    for pair in params:
        key, equals, value = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--param")
        given[key.strip()] = _yaml(value, "--param")
    try:
        return River(str(spec.get("model", "")), given, spec.get("args", ()), threshold)
    except Rejected as error:
        raise typer.BadParameter(str(error), param_hint="--model") from error


def _yaml(text: str, option: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise typer.BadParameter(f"{text!r}: {said}", param_hint=option) from error


def _fitting(
    head: Sequence[str], body: Sequence[Sequence[str]]
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """The columns for which a terminal is wide enough; elsewhere, and with --json, all."""
    out = console()
    if not out.is_terminal:
        return head, body
    widths = {column[0]: max(map(len, column)) for column in zip(head, *body, strict=True)}
    dropped: set[str] = set()
    for name in ("samples", "highest", "kinds", "AP", "alarms", "F1", "found", "delay"):
        left = [width + 2 for column, width in widths.items() if column not in dropped]
        if sum(left) <= out.width:
            break
        dropped.add(name)
    kept = [i for i, name in enumerate(head) if name not in dropped]
    return [head[i] for i in kept], [[row[i] for i in kept] for row in body]


def _tell(summary: "Summary", target: Path) -> None:
    from streams.backtest.summary import count, table

    if summary.series:
        head, body = table(summary)
        shown = SHOWN + (summary.quality is not None)
        rows(*_fitting(head, body[:shown]))
        if len(body) > shown:
            show(f"... and {count(len(body) - shown, 'more series', 'more series')}")
        show(
            f"{summary.series} series, {summary.samples} samples, {summary.alarms} alarms,"
            f" {summary.microseconds:.1f} us of CPU a sample; scores are in {target}"
        )
    if summary.logs:
        show(
            f"{summary.lines} log lines in {summary.logs} files, {summary.templates} templates;"
            f" they are in {target}"
        )
    if summary.grouping:
        emitted, merged = summary.grouping
        show(f"grouping accuracy {emitted:.3f} as emitted, {merged:.3f} after merges")
    for score in summary.numenta:
        show(
            f"Numenta score, {score.profile}: {score.best:.1f} at the best threshold"
            f" ({score.threshold:.4g}), {score.alarmed:.1f} as alarmed"
        )
    for note in summary.notes:
        show(note)
    if summary.page:
        show(f"pictures: {summary.page}")
