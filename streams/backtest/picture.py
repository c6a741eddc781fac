"""A picture of a series: its values, the range that was expected, its alarms and its labels.

A long series is drawn from buckets of rows. Each keeps its lowest and its highest value with
their times, so that a spike of one sample survives however many rows a pixel has.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from streams.backtest.detector import Scored
from streams.backtest.labels import Span
from streams.backtest.table import Floats
from streams.history import whole

BUCKETS = 1500  # kept at least, of a series with that many rows: about as many as pixels
GAP = 8  # typical distances without a sample, after which the line is broken
LONG = 1e5  # values from here on are written with k, M, G
MOST_SCORE = 4.0  # thresholds that the score's axis shows at most
WIDTH, HEIGHT, DPI = 12.0, 4.2, 100  # inches
LARGEST = 1e36  # beyond, axes cannot be computed; the scorer takes what is beyond for it too

# Okabe and Ito's palette, which is told apart by people who see colours differently.
VALUE, BAND, ALARM, LABEL, SCORE = "#0072B2", "#56B4E9", "#D55E00", "#F0E442", "#555555"

MOST = 110  # characters of a title

# Times are drawn between these: matplotlib has the years 1 to 9999, margins included.
EARLIEST = datetime(1000, 1, 1, tzinfo=UTC).timestamp()
LATEST = datetime(9000, 1, 1, tzinfo=UTC).timestamp()

AT_LOW, AT_HIGH, LOWEST, HIGHEST, BELOW, ABOVE, RAW = range(7)


class Mark(NamedTuple):
    """An alarm: when (epoch s), of which value, and what was expected (None: nothing yet)."""

    at: float
    value: float
    score: float
    kind: str
    low: float | None
    high: float | None


class Trace:
    """The buckets of a series; memory stays the same however long it gets."""

    def __init__(self) -> None:
        self._rows = np.empty((0, 7))  # not yet a whole bucket
        self._size = 1  # rows a bucket
        self._buckets = np.empty((0, 7))

    def add(self, at: Floats, scored: Scored) -> None:
        """More rows; those without a value are left out."""
        there = np.isfinite(scored.value)
        at = at[there]
        value = np.clip(scored.value[there], -LARGEST, LARGEST)
        band = (np.where(np.isfinite(x), x, np.nan) for x in (scored.low, scored.high))
        low, high = (np.clip(x[there], -LARGEST, LARGEST) for x in band)
        rows = np.column_stack((at, at, value, value, low, high, scored.raw[there]))
        self._rows = np.concatenate((self._rows, rows))
        count = len(self._rows) // self._size * self._size
        settled = _merged(self._rows[:count], self._size)
        self._buckets, self._rows = np.concatenate((self._buckets, settled)), self._rows[count:]
        while len(self._buckets) > 2 * BUCKETS:
            even = len(self._buckets) // 2 * 2  # an odd one stays as it is, at half the rows
            merged = _merged(self._buckets[:even], 2)
            self._buckets = np.concatenate((merged, self._buckets[even:]))
            self._size *= 2

    def columns(self) -> Floats:
        """The buckets, and what is left as one more: float64 [m, 7]."""
        if len(self._rows):
            return np.concatenate((self._buckets, _merged(self._rows, len(self._rows))))
        return self._buckets


def _merged(rows: Floats, size: int) -> Floats:
    """Every `size` rows as one: extremes with their times, the middle of the range."""
    if size == 1 or not len(rows):
        return rows
    groups = rows.reshape(-1, size, 7)
    number = np.arange(len(groups))
    lowest, highest = groups[:, :, LOWEST].argmin(1), groups[:, :, HIGHEST].argmax(1)
    out = np.empty((len(groups), 7))
    out[:, AT_LOW] = groups[number, lowest, AT_LOW]
    out[:, LOWEST] = groups[number, lowest, LOWEST]
    out[:, AT_HIGH] = groups[number, highest, AT_HIGH]
    out[:, HIGHEST] = groups[number, highest, HIGHEST]
    for column in (BELOW, ABOVE):
        known = np.isfinite(groups[:, :, column])
        total = np.where(known, groups[:, :, column], 0.0).sum(1)
        count = known.sum(1)
        out[:, column] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    out[:, RAW] = groups[:, :, RAW].max(1)
    return out


def draw(
    path: Path,
    title: str,
    trace: Trace,
    marks: Sequence[Mark],
    spans: Sequence[Span],
    threshold: float | None,
) -> None:
    """Write a PNG. Unavailable when it cannot be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow to load
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to load

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    rows = trace.columns()
    if len(rows):
        _values(upper, rows)
        _scores(lower, rows, threshold)
        _alarms(upper, marks)
        _axes(figure, upper, lower, rows, spans)
    else:
        upper.text(0.5, 0.5, "no values", ha="center", transform=upper.transAxes)
    upper.set_title(_short(title), loc="left", fontsize=10, parse_math=False)
    with whole(path) as unfinished:
        figure.savefig(unfinished, format="png")


def _values(axes: Any, rows: Floats) -> None:
    at, value = _line(rows)
    axes.plot(_dates(at), value, color=VALUE, lw=0.9, label="value", zorder=3)
    low, high = float(rows[:, LOWEST].min()), float(rows[:, HIGHEST].max())
    middle = (rows[:, AT_LOW] + rows[:, AT_HIGH]) / 2
    known = np.isfinite(rows[:, BELOW]) & np.isfinite(rows[:, ABOVE])
    if known.any():
        below = rows[known, BELOW] if low < 0 else np.maximum(rows[known, BELOW], 0.0)
        axes.fill_between(
            _dates(middle[known]),
            below,
            rows[known, ABOVE],
            color=BAND,
            alpha=0.3,
            lw=0,
            label="expected",
            zorder=1,
        )
    room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    axes.set_ylim(low - room, high + 1.5 * room)  # the range of the first samples may be far wider
    if max(abs(low), abs(high)) >= LONG:
        axes.yaxis.set_major_formatter(_large)


def _large(value: float, _position: Any = None) -> str:
    """A large value as people say it.

    >>> _large(2.5e6), _large(-1000), _large(3e16)
    ('2.5M', '-1k', '3e+16')
    """
    for size, name in ((1e15, ""), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{name}" if name else f"{value:g}"
    return f"{value:g}"


def _line(rows: Floats) -> tuple[Floats, Floats]:
    """Both extremes of each bucket in the order of their times, broken at gaps."""
    first_low = rows[:, AT_LOW] <= rows[:, AT_HIGH]
    pairs_at = np.sort(rows[:, (AT_LOW, AT_HIGH)], axis=1)
    low, high = rows[:, LOWEST], rows[:, HIGHEST]
    pairs = np.column_stack((np.where(first_low, low, high), np.where(first_low, high, low)))
    at, value = pairs_at.ravel(), pairs.ravel()
    step = np.diff(at)
    moving = step[step > 0]
    typical = float(np.median(moving)) if len(moving) else 0.0
    gaps = np.flatnonzero(step > GAP * typical) + 1 if typical else np.empty(0, np.int64)
    return np.insert(at, gaps, at[gaps - 1]), np.insert(value, gaps, np.nan)


def _alarms(axes: Any, marks: Sequence[Mark]) -> None:
    """A triangle whose tip is on the value: from below where that is below what was expected."""
    down = [mark for mark in marks if mark.low is not None and mark.value < mark.low]
    up = [mark for mark in marks if mark not in down]
    label: str | None = f"alarm ({len(marks)})"
    for some, shape in ((up, 7), (down, 6)):  # matplotlib's caret down and up, tip on the point
        if some:
            axes.plot(
                _dates(np.array([mark.at for mark in some])),
                np.clip([mark.value for mark in some], -LARGEST, LARGEST),
                ls="",
                marker=shape,
                ms=8,
                mfc=ALARM,
                mec="white",
                mew=0.6,
                label=label,
                zorder=4,
            )
            label = None


def _scores(axes: Any, rows: Floats, threshold: float | None) -> None:
    at = (rows[:, AT_LOW] + rows[:, AT_HIGH]) / 2
    axes.fill_between(_dates(at), 0, rows[:, RAW], color=SCORE, lw=0, alpha=0.8, step="mid")
    if threshold is not None:
        axes.axhline(threshold, color=ALARM, lw=0.8, ls="--")
    top = float(rows[:, RAW].max()) * 1.1
    if threshold:  # what lies far beyond would flatten all the rest
        top = min(max(top, 1.5 * threshold), MOST_SCORE * threshold)
    axes.set_ylim(0, top or 1.0)
    axes.set_ylabel("score", fontsize=8)


def _axes(figure: Any, upper: Any, lower: Any, rows: Floats, spans: Sequence[Span]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415 - slow

    first, last = rows[:, (AT_LOW, AT_HIGH)].min(), rows[:, (AT_LOW, AT_HIGH)].max()
    for number, span in enumerate(spans):
        for axes in (upper, lower):
            axes.axvspan(
                *_dates(np.array([max(span.start, first), min(span.end, last)])),
                color=LABEL,
                alpha=0.55,
                lw=1.2,
                zorder=0,
                label="labelled" if axes is upper and number == 0 else None,
            )
    locator = AutoDateLocator(maxticks=12, tz=UTC)
    lower.xaxis.set_major_locator(locator)
    lower.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))
    lower.set_xlabel("times in UTC", fontsize=8, loc="left")
    for axes in (upper, lower):
        axes.tick_params(labelsize=8)
        axes.grid(color="#dddddd", lw=0.5)
        axes.set_axisbelow(True)
        axes.margins(x=0.01)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.legend(
        *upper.get_legend_handles_labels(), loc="outside upper right", ncols=4, fontsize=8
    ).set_frame_on(False)


def _dates(at: Floats) -> Any:
    """Days since 1970, as matplotlib counts; times no calendar has are taken for its ends."""
    return np.clip(at, EARLIEST, LATEST) / 86400.0


def _short(title: str) -> str:
    return title if len(title) <= MOST else f"{title[: MOST - 30]} … {title[-27:]}"
