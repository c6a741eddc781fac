"""What a backtest found, for a table on the terminal and on the page."""

from datetime import timedelta
from typing import NamedTuple

from streams.backtest.numenta import Numenta
from streams.backtest.quality import Quality
from streams.backtest.series import Found
from streams.commands.terminal import span


class Summary(NamedTuple):
    """What a backtest saw; `logs` are files of log lines, `templates` theirs after merges."""

    series: int
    samples: int
    alarms: int
    microseconds: float  # of CPU a sample, scoring alone
    logs: int
    lines: int
    templates: int
    grouping: tuple[float, float] | None  # accuracy, mean of labelled files: emitted, merged
    detector: str  # who scored, for a person
    faults: tuple[str, ...]  # a line for each file that could not be read
    notes: tuple[str, ...]
    quality: Quality | None  # of the series that have labels; None if none has
    numenta: tuple[Numenta, ...]  # a profile each, where labels are the benchmark's
    found: tuple[Found, ...]  # the series, most interesting first
    page: str | None  # where the page over all series is


Row = tuple[str, ...]
PLAIN = ("series", "samples", "alarms", "highest")
LABELLED = ("events", "found", "false", "precision", "recall", "F1", "AP", "delay", "false a day")


def table(summary: Summary) -> tuple[Row, list[Row]]:
    """Head and rows: a row a series; if there are labels, what they say and the total first."""
    if summary.quality is None:
        return (*PLAIN, "kinds"), [(*_plain(each), _kinds(each)) for each in summary.found]
    every = count(summary.series, "series", "series")
    total = (every, f"{summary.samples:,}", f"{summary.alarms:,}", "")
    rows = [total + _measured(summary.quality)]
    rows += [_plain(each) + _measured(each.quality) for each in summary.found]
    return PLAIN + LABELLED, rows


def figures(summary: Summary) -> list[tuple[str, str]]:
    """The figures that stand first: name, figure."""
    first = [
        ("series", f"{summary.series:,}"),
        ("samples", f"{summary.samples:,}"),
        ("alarms", f"{summary.alarms:,}"),
    ]
    if summary.lines:
        first += [("log lines", f"{summary.lines:,}"), ("templates", f"{summary.templates:,}")]
    if summary.grouping:
        both = " / ".join(f"{each:.3f}" for each in summary.grouping)
        first.append(("grouping: emitted, merged", both))
    if summary.quality is not None:
        first += list(zip(LABELLED, _measured(summary.quality), strict=True))
    first += [
        (f"Numenta {each.profile}: best, as alarmed", f"{each.best:.1f} / {each.alarmed:.1f}")
        for each in summary.numenta
    ]
    return first


def _plain(series: Found) -> Row:
    numbers = (f"{series.samples:,}", f"{series.alarms:,}", f"{series.highest:.2f}")
    return (series.name, *numbers)


def _kinds(series: Found) -> str:
    return ", ".join(f"{kind} {n}" if n > 1 else kind for kind, n in series.kinds.items())


def _measured(quality: Quality | None) -> Row:
    if quality is None:
        return ("",) * len(LABELLED)
    rates = (quality.precision, quality.recall, quality.f1, quality.average_precision)
    late, daily = quality.delay_s, quality.false_alarms_a_day
    return (
        f"{quality.events:,}",
        f"{quality.found:,}",
        f"{quality.false_alarms:,}",
        *("-" if rate is None else f"{rate:.3f}" for rate in rates),
        "-" if late is None else span(timedelta(seconds=late)),
        "-" if daily is None else f"{daily:.3f}",
    )


def count(number: int, one: str, many: str = "") -> str:
    """A number of things.

    >>> count(1, "alarm"), count(2000, "alarm")
    ('1 alarm', '2,000 alarms')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
