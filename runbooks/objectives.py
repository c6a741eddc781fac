"""Service level objectives: OpenSLO files in, frozen `Objective`s out.

An SLO file is written by a person and read by a machine that may page that person at
night. So whatever is not understood is refused with file and path, and whatever is
understood but cannot work (an alert that no outage could ever reach) is said when the
file is loaded, not found out in the outage.

Source of the format: OpenSLO v1, https://github.com/OpenSLO/OpenSLO. Source of the alert
windows: Google, "The Site Reliability Workbook", chapter 5, with Sloth's ticket row of a day.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import Rejected

Severity = Literal["page", "ticket"]

SHORTEST_LONG = 5  # buckets: fewer, and one bad bucket alone would be the whole window
DAY = timedelta(days=1)
MONTH = timedelta(days=30)  # the period that the workbook's table is made for
# `M`, `Q` and `Y` are calendar lengths: exact for fixed windows, 30, 90 and 365 days for rolling.
LENGTHS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": DAY,
    "w": 7 * DAY,
    "M": MONTH,
    "Q": 90 * DAY,
    "Y": 365 * DAY,
}
MONTHS = {"M": 1, "Q": 3, "Y": 12}
SHORTEST_MONTH = 28
LONGEST_YEARS = 10


class Row(NamedTuple):
    """A line of the workbook's table: the share of a 30-day budget spent in `long`."""

    long: timedelta
    short: timedelta
    share: float
    severity: Severity


GOOGLE_30D = (
    Row(timedelta(hours=1), timedelta(minutes=5), 0.02, "page"),
    Row(timedelta(hours=6), timedelta(minutes=30), 0.05, "page"),
    Row(timedelta(days=1), timedelta(hours=2), 0.10, "ticket"),
    Row(timedelta(days=3), timedelta(hours=6), 0.10, "ticket"),
)


class Strict(BaseModel):
    """Frozen, and refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class BurnAlert(Strict):
    """Fires when both windows burn at `factor` or faster."""

    long: timedelta
    short: timedelta
    factor: float = Field(gt=0, description="burn rate, 1.0 spends the budget over the period")
    severity: Severity = "page"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not timedelta() < self.short < self.long:
            raise ValueError("the short window must be shorter than the long one, and above zero")
        return self


class LabelMatcher(Strict):
    """One Prometheus label matcher; a missing label counts as the empty string."""

    name: str
    op: Literal["=", "!=", "=~", "!~"]
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether `labels` satisfy it; expressions are anchored at both ends."""
        held = labels.get(self.name, "")
        if self.op in ("=", "!="):
            return (held == self.value) == (self.op == "=")
        return (re.fullmatch(self.value, held) is not None) == (self.op == "=~")


class SeriesSelector(Strict):
    """A metric's name and what its labels must be: picks series out of the stream."""

    metric: str = Field(min_length=1)
    matchers: tuple[LabelMatcher, ...] = ()

    def matches(self, metric: str, labels: Mapping[str, str]) -> bool:
        """Whether the series `metric{labels}` is one of those counted."""
        return metric == self.metric and all(matcher.matches(labels) for matcher in self.matchers)


class Period(Strict):
    """What the budget is for: the last `length`, or a stretch of the calendar."""

    length: timedelta
    start: datetime | None = Field(default=None, description="a fixed window's first start; UTC")
    zone: str = Field(default="UTC", description="time zone in which a fixed window turns over")
    months: int = Field(default=0, ge=0, description="a fixed window's length in calendar months")

    @property
    def rolling(self) -> bool:
        """Whether old events leave one by one, rather than all at a turn of the calendar."""
        return self.start is None

    def bounds(self, now: datetime) -> tuple[datetime, datetime]:
        """Start (included) and end (excluded) of the period that holds `now`, in UTC.

        >>> march = Period(length=MONTH, start=datetime(2025, 1, 1, tzinfo=UTC), months=1)
        >>> [f"{edge:%d %b}" for edge in march.bounds(datetime(2025, 3, 9, tzinfo=UTC))]
        ['01 Mar', '01 Apr']
        """
        if self.start is None:
            return now.astimezone(UTC) - self.length, now.astimezone(UTC)
        turns = self._turns(now) + 1  # the estimate may be one late, never early by more than two
        while self._turn(turns) > now:
            turns -= 1
        return self._turn(turns), self._turn(turns + 1)

    def _turns(self, now: datetime) -> int:
        first, local = self.first(), now.astimezone(ZoneInfo(self.zone))
        if self.months:
            return ((local.year - first.year) * 12 + local.month - first.month) // self.months
        return (local.replace(tzinfo=None) - first.replace(tzinfo=None)) // self.length

    def _turn(self, turns: int) -> datetime:
        """The start of window number `turns`; days keep their wall clock across summer time."""
        first = self.first()
        if not self.months:
            return (first + turns * self.length).astimezone(UTC)
        year, month = divmod(first.year * 12 + first.month - 1 + turns * self.months, 12)
        return first.replace(year=year, month=month + 1).astimezone(UTC)

    def first(self) -> datetime:
        """A fixed window's first start, on the clock of its zone."""
        assert self.start is not None  # noqa: S101 - only fixed windows are asked
        return self.start.astimezone(ZoneInfo(self.zone))


class Objective(Strict):
    """One target for one service, with all that is needed to watch it."""

    name: str
    service: str
    target: float = Field(gt=0, lt=1, description="ratio of good events, 0.999 for three nines")
    period: Period
    bucket: timedelta = Field(description="width of the counts that are kept")
    counter: bool = Field(description="series only rise: their increases count")
    good: SeriesSelector | None = None
    bad: SeriesSelector | None = None
    total: SeriesSelector
    alerts: tuple[BurnAlert, ...]
    description: str = ""

    @property
    def epsilon(self) -> float:
        """The share of events that may fail."""
        return 1 - self.target


class Problem(NamedTuple):
    """Something to say about an SLO file: an error stops it, a warning does not."""

    path: Path
    where: str
    message: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{self.path}: {self.where}: {self.message}"


class Loaded(NamedTuple):
    """What a file or folder holds, and what a person should know about it."""

    objectives: tuple[Objective, ...]
    notes: tuple[str, ...]


def length(text: str) -> timedelta:
    """An OpenSLO duration such as `30d`, `1h` or `1M`, or seconds as `15s`.

    >>> length("4w").days
    28
    """
    found = re.fullmatch(r"([1-9]\d{0,3})([smhdwMQY])", str(text).strip())
    if not found:
        raise ValueError(
            f"{text!r} is no duration: write a number below 10000 and one of s m h d w M Q Y"
        )
    number, unit = int(found[1]), found[2]
    if unit == "Y" and number > LONGEST_YEARS:
        raise ValueError(f"{text!r} is too long: {LONGEST_YEARS} years at most")
    return number * (timedelta(seconds=1) if unit == "s" else LENGTHS[unit])


def alerts_for(period: timedelta, bucket: timedelta) -> tuple[BurnAlert, ...]:
    """The workbook's four alerts, their windows scaled from 30 days to `period`.

    A long window holds at least five buckets and a short one at least one, so in short
    periods rows fall together (the most severe name and the largest share stay) and
    factors sink, factor = share * period / long. Below 1 a burn is no burn: not alerted.

    >>> [(str(a.long), a.factor) for a in alerts_for(MONTH, timedelta(minutes=1))][:2]
    [('1:00:00', 14.4), ('6:00:00', 6.0)]
    """
    merged: dict[timedelta, BurnAlert] = {}
    severities: dict[timedelta, Severity] = {}
    for row in GOOGLE_30D:
        long = max(_whole(row.long * (period / MONTH), bucket), SHORTEST_LONG * bucket)
        short = max(_whole(row.short * (period / MONTH), bucket), bucket)
        factor = round(row.share * (period / long), 6)
        severity = severities.setdefault(long, row.severity)  # the table's rows sink in severity
        seen = merged.get(long)
        if factor >= 1 and (seen is None or factor > seen.factor):
            merged[long] = BurnAlert(long=long, short=short, factor=factor, severity=severity)
    return tuple(merged.values())


def _whole(window: timedelta, bucket: timedelta) -> timedelta:
    return round(window / bucket) * bucket


def load(path: Path) -> Loaded:
    """The objectives of one file, or of all `*.yaml` and `*.yml` of a folder.

    Raises `Rejected` with every error, one a line, if there is any; warnings become notes.
    """
    objectives, problems = _read(path)
    errors = [str(problem) for problem in problems if problem.severity == "error"]
    if errors:
        raise Rejected("\n".join(errors))
    return Loaded(tuple(objectives), tuple(str(problem) for problem in problems))


def lint(path: Path) -> list[Problem]:
    """All that is wrong with, or should be known about, the SLO files at `path`."""
    return _read(path)[1]


def _read(path: Path) -> tuple[list[Objective], list[Problem]]:
    files = sorted({*path.glob("*.yaml"), *path.glob("*.yml")}) if path.is_dir() else [path]
    objectives: list[Objective] = []
    problems: list[Problem] = []
    for file in files:
        for where, document in _documents(file, problems):
            try:
                found = list(_Slo.model_validate(document).objectives())
            except ValidationError as error:
                problems += [Problem(file, *_placed(where, detail)) for detail in error.errors()]
                continue
            except ValueError as error:
                problems.append(Problem(file, where, str(error)))
                continue
            taken = {objective.name for objective in objectives}
            problems += [
                Problem(file, where, f"objective {new.name!r} is defined twice: rename one")
                for new in found
                if new.name in taken
            ]
            problems += [Problem(file, where, note, "warning") for o in found for note in notes(o)]
            objectives += found
    return objectives, problems


def _documents(file: Path, problems: list[Problem]) -> Iterator[tuple[str, Any]]:
    try:
        documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    except OSError as error:
        problems.append(Problem(file, "file", f"cannot be read: {error.strerror}"))
        return
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no UTF-8, or no such date
        problems.append(Problem(file, "file", f"is no YAML: {' '.join(str(error).split())}"))
        return
    filled = [(i, document) for i, document in enumerate(documents) if document is not None]
    if not filled:
        problems.append(Problem(file, "file", "holds no SLO"))
    for i, document in filled:
        yield (f"document {i + 1}" if len(documents) > 1 else "document"), document


def _placed(where: str, detail: Any) -> tuple[str, str]:
    place = ".".join(str(part) for part in detail["loc"]) or where
    if detail["type"] == "extra_forbidden":
        return place, "unknown key: remove it or correct its spelling"
    return place, str(detail["msg"]).removeprefix("Value error, ")


def notes(objective: Objective) -> list[str]:
    """What a person should know about an objective that is nevertheless valid."""
    highest = 1 / objective.epsilon
    said = [
        f"{objective.name}: the {alert.factor:g}x alert over {_spell(alert.long)} can never fire: "
        f"at {objective.target:.4%} a total outage burns {highest:.2f}x"
        for alert in objective.alerts
        if alert.factor > highest * (1 + 1e-9)
    ]
    if not objective.alerts:
        said.append(
            f"{objective.name}: no alert fits a period of {_spell(objective.period.length)} in "
            f"buckets of {_spell(objective.bucket)}: shorten sentinel/bucket or set sentinel/alerts"
        )
    longest = max((alert.long for alert in objective.alerts), default=timedelta())
    if longest > objective.period.length:
        said.append(f"{objective.name}: an alert looks back further than the period")
    return said


def _spell(span: timedelta) -> str:
    """A duration as OpenSLO writes it."""
    seconds = int(span.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


# The file's own shape, key by key; nothing outside this module sees it.

MATCHER = re.compile(r"""\s*([a-zA-Z_][\w.]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*""")


class _SeriesQuery(Strict):
    metric: str = Field(min_length=1)
    labels: dict[str, str] = {}
    matchers: tuple[str, ...] = ()

    def selector(self) -> SeriesSelector:
        equal = [LabelMatcher(name=k, op="=", value=v) for k, v in sorted(self.labels.items())]
        return SeriesSelector(
            metric=self.metric, matchers=(*equal, *(_matcher(text) for text in self.matchers))
        )

    @model_validator(mode="after")
    def _readable(self) -> Self:
        self.selector()
        return self


def _matcher(text: str) -> LabelMatcher:
    found = MATCHER.fullmatch(text)
    if not found:
        raise ValueError(f'{text!r} is no label matcher: write it as code!~"5.."')
    value = re.sub(r'\\(["\\])', r"\1", found[3])
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{text!r} holds a wrong expression: {error}") from error
    return LabelMatcher.model_validate({"name": found[1], "op": found[2], "value": value})


class _SourceSpec(Strict):
    series: _SeriesQuery


class _MetricSource(Strict):
    type: Literal["Sentinel"] = "Sentinel"
    spec: _SourceSpec


class _Metric(Strict):
    source: _MetricSource = Field(alias="metricSource")


class _RatioMetric(Strict):
    counter: bool = True
    good: _Metric | None = None
    bad: _Metric | None = None
    total: _Metric

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.good is None) == (self.bad is None):
            raise ValueError("give exactly one of good and bad beside total")
        return self


class _IndicatorSpec(Strict):
    description: str = ""
    ratio: _RatioMetric = Field(alias="ratioMetric")


class _Metadata(Strict):
    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    display_name: str = Field(default="", alias="displayName")
    labels: dict[str, str | list[str]] = {}
    annotations: dict[str, str] = {}


class _Indicator(Strict):
    metadata: _Metadata | None = None
    spec: _IndicatorSpec


class _Calendar(Strict):
    start: str | datetime = Field(alias="startTime")
    zone: str = Field(alias="timeZone")

    @model_validator(mode="after")
    def _known(self) -> Self:
        self.begin()
        return self

    def begin(self) -> datetime:
        """The start in UTC; a wall-clock time is read in the calendar's own zone."""
        try:
            zone = ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{self.zone!r} is no time zone: write one such as UTC") from error
        given = self.start
        start = given if isinstance(given, datetime) else datetime.fromisoformat(given)
        return (start if start.tzinfo else start.replace(tzinfo=zone)).astimezone(UTC)


class _Window(Strict):
    duration: str
    rolling: bool = Field(default=False, alias="isRolling")
    calendar: _Calendar | None = None

    @model_validator(mode="after")
    def _rolls_or_turns(self) -> Self:
        if self.rolling == (self.calendar is not None):
            raise ValueError("a window is either isRolling: true or has a calendar")
        period = self.period()
        if self.calendar and period.months and period.first().day > SHORTEST_MONTH:
            raise ValueError("calendar.startTime must be on day 28 or before: February is short")
        return self

    def period(self) -> Period:
        span = length(self.duration)
        if self.calendar is None:
            return Period(length=span)
        months = MONTHS.get(self.duration[-1], 0) * int(self.duration[:-1])
        begin, zone = self.calendar.begin(), self.calendar.zone
        return Period(length=span, start=begin, zone=zone, months=months)


class _Target(Strict):
    display_name: str = Field(default="", alias="displayName")
    target: float | None = Field(default=None, gt=0, lt=1)
    percent: float | None = Field(default=None, gt=0, lt=100, alias="targetPercent")

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.target is None) == (self.percent is None):
            raise ValueError("give exactly one of target (0.999) and targetPercent (99.9)")
        return self

    def ratio(self) -> float:
        return self.target if self.target is not None else round((self.percent or 0) / 100, 12)


class _Spec(Strict):
    description: str = ""
    service: str = Field(min_length=1)
    indicator: _Indicator
    windows: tuple[_Window, ...] = Field(alias="timeWindow", min_length=1, max_length=1)
    method: Literal["Occurrences"] = Field(alias="budgetingMethod")
    objectives: tuple[_Target, ...] = Field(min_length=1)


class _Slo(Strict):
    version: Literal["openslo/v1"] = Field(alias="apiVersion")
    kind: Literal["SLO"]
    metadata: _Metadata
    spec: _Spec

    def objectives(self) -> Iterator[Objective]:
        """One objective a target; several targets of one SLO carry theirs in the name."""
        period = self.spec.windows[0].period()
        bucket, alerts = self._annotated(period)
        ratio = self.spec.indicator.spec.ratio
        for target in self.spec.objectives:
            suffix = f"-{target.ratio() * 100:g}" if len(self.spec.objectives) > 1 else ""
            yield Objective(
                name=f"{self.metadata.name}{suffix}",
                service=self.spec.service,
                target=target.ratio(),
                period=period,
                bucket=bucket,
                counter=ratio.counter,
                good=ratio.good.source.spec.series.selector() if ratio.good else None,
                bad=ratio.bad.source.spec.series.selector() if ratio.bad else None,
                total=ratio.total.source.spec.series.selector(),
                alerts=alerts,
                description=self.spec.description,
            )

    def _annotated(self, period: Period) -> tuple[timedelta, tuple[BurnAlert, ...]]:
        ours = {k: v for k, v in self.metadata.annotations.items() if k.startswith("sentinel/")}
        bucket = length(ours.pop("sentinel/bucket", "60s"))
        if period.length < 2 * SHORTEST_LONG * bucket:
            raise ValueError(f"sentinel/bucket {_spell(bucket)} is too wide for the timeWindow")
        written = ours.pop("sentinel/alerts", None)
        if ours:
            raise ValueError(
                f"unknown annotation {min(ours)}: known are sentinel/bucket and sentinel/alerts"
            )
        alerts = _alerts(written) if written else alerts_for(period.length, bucket)
        short = min((alert.short for alert in alerts), default=bucket)
        if short < bucket:
            raise ValueError(f"sentinel/alerts: {_spell(short)} is shorter than sentinel/bucket")
        return bucket, alerts


def _alerts(text: str) -> tuple[BurnAlert, ...]:
    return tuple(_alert(part.strip()) for part in text.split(","))


def _alert(text: str) -> BurnAlert:
    found = re.fullmatch(r"(\w+)\+(\w+)@([\d.]+)=(page|ticket)", text)
    if not found:
        raise ValueError(f"sentinel/alerts: {text!r} is no alert: write it as 1h+5m@14.4=page")
    return BurnAlert.model_validate(
        {
            "long": length(found[1]),
            "short": length(found[2]),
            "factor": float(found[3]),
            "severity": found[4],
        }
    )
