"""Charts of an incident as SVG: its timeline, its signals with what was expected, its budget.

Drawn without pyplot, so there is no global state and threads do not meet. Colours are CSS
variables of the page, so one picture is right in light and in dark.
"""

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zlib import crc32

from schemas.anomalies import Anomaly
from schemas.budgets import Budget
from schemas.event import Event
from schemas.forecasts import Forecast
from schemas.incidents import Incident
from schemas.outcomes import Outcome
from schemas.plans import Approval, Approved, Decision, Plan
from schemas.results import StepResult

WIDTH, HEIGHT = 8.2, 2.3  # inches of 72 points: the width of the page's column
INK, LINE, BAND, MARK, GOOD, BAD = (f"#0102{n:02x}" for n in range(6))
VARIABLES = {
    INK: "--ink", LINE: "--line", BAND: "--band", MARK: "--mark", GOOD: "--good", BAD: "--bad",
}  # fmt: skip
SIGNALS = 6  # charts of signals; more would bury the report
LANES = ("incident", "forecast", "plan", "policy", "people", "steps", "outcome")
HUNDRED = 100


@dataclass(frozen=True)
class Series:
    """A line over time: epoch seconds, values, and the range around them (or none).

    `low` and `high` are as long as `at`, or empty.
    """

    name: str
    at: Sequence[float]
    value: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


class Moment(NamedTuple):
    """Something that happened: epoch seconds, one of LANES, and whether it is good news."""

    at: float
    lane: str
    label: str
    good: bool | None = None


@dataclass(frozen=True)
class Charts:
    """What is to be drawn; whatever is empty is left out."""

    timeline: Sequence[Moment] = ()
    signals: Sequence[Series] = ()
    budget: Series | None = None
    fan: Series | None = None


class Drawing(NamedTuple):
    """A chart ready for a page: what it shows in words, and the SVG."""

    caption: str
    svg: str


def charts_of(events: Iterable[Event], budget: Series | None = None) -> Charts:
    """The charts of an incident from its events; `budget` is its budget's past, when known."""
    moments: list[Moment] = []
    series: dict[str, dict[float, tuple[float, float, float]]] = {}
    left: dict[float, float] = {}
    fan = None
    for event in events:
        if moment := _moment(event):
            moments.append(moment)
        if isinstance(event, Anomaly):
            points = series.setdefault(event.series, {})
            for at, value in zip(event.evidence_at, event.evidence_value, strict=True):
                points[at] = (value, event.low, event.high)
        elif isinstance(event, Budget):
            left[event.at.timestamp()] = event.left
        elif isinstance(event, Forecast) and event.budget.fan_minutes:
            fan = _fan(event)
    signals = [
        Series(name, sorted(points), *zip(*(points[at] for at in sorted(points)), strict=True))
        for name, points in series.items()
        if points
    ]
    if budget is None and left:
        budget = Series("budget", sorted(left), [left[at] for at in sorted(left)])
    return Charts(sorted(moments), signals, budget, fan)


def _fan(event: Forecast) -> Series:
    said, start = event.budget, event.at.timestamp()
    at = [start + minutes * 60 for minutes in said.fan_minutes]
    return Series(said.objective, at, said.fan_mid, said.fan_low, said.fan_high)


GOOD_ENDS = ("succeeded", "resolved", "allow", "constrain", "approve")
BAD_ENDS = ("failed", "rolled_back", "rollback_failed", "unverified", "escalated", "deny", "reject",
            "refused", "no_plan")  # fmt: skip


def _moment(event: Event) -> Moment | None:
    lane, label = "", ""
    match event:
        case Incident():
            lane, label = "incident", event.change
        case Forecast():
            lane, label = "forecast", event.budget.verdict
        case Plan():
            lane, label = "plan", event.runbook or "none"
        case Decision():
            lane, label = "policy", event.effect
        case Approval():
            lane, label = "people", event.answer
        case Approved():
            lane, label = "people", "none asked" if event.approved_by == ("policy",) else "approve"
        case StepResult() if event.status != "started":
            lane, label = "steps", event.status
        case Outcome():
            lane, label = "outcome", event.result
    if not lane:
        return None
    good = True if label in GOOD_ENDS else False if label in BAD_ENDS else None
    return Moment(event.at.timestamp(), lane, label.replace("_", " "), good)


def drawn(charts: Charts) -> list[Drawing]:
    """All charts as SVG, in reading order."""
    drawings = []
    if charts.timeline:
        drawings.append(Drawing("What happened when (UTC)", timeline(charts.timeline)))
    for signal in charts.signals[:SIGNALS]:
        caption = f"{signal.name}, with the range that was expected"
        drawings.append(Drawing(caption, _svg(lambda axes, s=signal: _line(axes, s, 1), HEIGHT)))
    if charts.budget or charts.fan:
        drawings.append(
            Drawing("Error budget left, and its forecast had nobody acted", budget(charts))
        )
    return drawings


def timeline(moments: Sequence[Moment]) -> str:
    """What happened when: one lane a stage, as SVG."""
    lanes = [lane for lane in LANES if any(moment.lane == lane for moment in moments)]

    def draw(axes: Any) -> None:
        for lane in lanes:
            here = [moment for moment in moments if moment.lane == lane]
            times = [_time(moment.at) for moment in here]
            colours = [{True: GOOD, False: BAD, None: MARK}[moment.good] for moment in here]
            axes.scatter(times, [lane] * len(here), c=colours, s=30, zorder=3)
            axes.annotate(
                here[-1].label, (times[-1], lane), xytext=(7, 0), textcoords="offset points",
                va="center", fontsize=8, color=INK,
            )  # fmt: skip
        axes.set_ylim(len(lanes) - 0.4, -0.6)
        axes.margins(x=0.12)

    return _svg(draw, 0.6 + 0.28 * len(lanes))


def budget(charts: Charts) -> str:
    """Budget left so far, and the forecast's fan, as SVG; 100 % is the whole budget."""

    def draw(axes: Any) -> None:
        if charts.budget:
            _line(axes, charts.budget, HUNDRED)
        if charts.fan:
            _line(axes, charts.fan, HUNDRED, style="--")
        axes.axhline(0, color=BAD, linewidth=1)
        axes.set_ylabel("%", color=INK, fontsize=8)

    return _svg(draw, HEIGHT)


def _line(axes: Any, series: Series, scale: float, style: str = "-") -> None:
    times = [_time(at) for at in series.at]
    if series.low and series.high:
        low, high = ([bound * scale for bound in bounds] for bounds in (series.low, series.high))
        axes.fill_between(times, low, high, color=BAND, linewidth=0)
    values = [value * scale for value in series.value]
    marker = "o" if len(values) == 1 else None
    axes.plot(times, values, color=LINE, linewidth=1.5, linestyle=style, marker=marker)


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _svg(draw: Any, height: float) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415 - takes a second
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415 - the same
    from matplotlib.figure import Figure  # noqa: PLC0415 - the same

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    draw(axes)
    locator = AutoDateLocator(tz=UTC, minticks=3, maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC, show_offset=False))
    axes.tick_params(colors=INK, labelsize=8, length=3)
    axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
        spine.set_alpha(0.4)
    text = io.StringIO()
    FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})
    return _inline(text.getvalue())


def _inline(svg: str) -> str:
    """The SVG for use in a page: no prologue, ids of its own, colours from the page.

    The ids are derived from the drawing, so that one page can hold several, and the same
    incident always gives the same page.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    names = list(dict.fromkeys(re.findall(r'\bid="([^"]+)"', body)))
    shape = re.sub(r"[0-9a-f]{10}", "", body)  # without matplotlib's ids, which are random
    numbered = {name: f"c{crc32(shape.encode()):08x}-{n}" for n, name in enumerate(names)}
    body = re.sub(
        r'(\bid="|url\(#|href="#)([^")]+)', lambda m: m[1] + numbered.get(m[2], m[2]), body
    )
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    return body.replace("<svg ", '<svg role="img" ', 1)
