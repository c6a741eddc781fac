"""Static rules beside the models: a limit that holds for some time is an anomaly by itself.

Which rules concern a series is decided once. Of the samples of those, a kernel picks the few
that are beyond a limit or belong to a breach that is under way; those alone are looked at one by
one. A missing sample neither fires nor clears: what a rule knows of a series ends when the
series does.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from numba import njit

from agents.scorer.severity import CRITICAL, HIGH, MEDIUM
from runbooks.thresholds import Rule
from schemas.anomalies import Anomaly
from schemas.event import Severity, derive
from schemas.frames import parsed

OPS = (">", ">=", "<", "<=", "==", "!=")
SCORES = {
    Severity.low: 1.0,
    Severity.medium: MEDIUM,
    Severity.high: HIGH,
    Severity.critical: CRITICAL,
}


class Breach(msgspec.Struct, frozen=True):
    """A rule's limit is passed by one series; times in epoch seconds."""

    since: float
    heard_at: float
    worst: float
    said_at: float = 0.0
    firing: bool = False
    good_since: float | None = None  # firing, but on the good side since
    heard_by: float = 0.0  # the partition's newest time when that sample came: clocks differ

    @property
    def silent_since(self) -> float:
        """The partition's time from which on nothing was heard."""
        return max(self.heard_at, self.heard_by)


class Ruling(NamedTuple):
    """What a sample changes: the breach as it is now, none when it is over, and what to say."""

    breach: Breach | None
    change: Literal["", "opened", "updated", "cleared"] = ""


def judge(rule: Rule, breach: Breach | None, at: float, value: float, update_s: float) -> Ruling:
    """A rule on one more sample of a series; one that is older than the last says nothing."""
    if breach is not None and at < breach.heard_at:
        return Ruling(breach)
    if breach is None or not breach.firing:
        if not rule.when.holds(value):
            return Ruling(None)
        since = at if breach is None else breach.since
        worst = value if breach is None else _worse(rule, breach.worst, value)
        fires = at - since >= rule.when.for_s
        now = Breach(since, at, worst, said_at=at, firing=fires)
        return Ruling(now, "opened" if fires else "")
    good_since = None
    if rule.over(value):
        good_since = at if breach.good_since is None else breach.good_since
        if at - good_since >= rule.clear.for_s:
            return Ruling(None, "cleared")
    due = at - breach.said_at >= update_s
    now = msgspec.structs.replace(
        breach,
        heard_at=at,
        worst=_worse(rule, breach.worst, value),
        good_since=good_since,
        said_at=at if due else breach.said_at,
    )
    return Ruling(now, "updated" if due else "")


def _worse(rule: Rule, one: float, other: float) -> float:
    return min(one, other) if rule.when.compare in {"<", "<="} else max(one, other)


class Concerns(NamedTuple):
    """Which rules concern the rows of a block: `rule[first[row]:first[row + 1]]`."""

    first: npt.NDArray[np.int32]
    rule: npt.NDArray[np.int32]


class Rules:
    """The rules in force."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self.rules = tuple(rules)
        self.by_id = {rule.id: rule for rule in rules}
        self._op = np.array([OPS.index(rule.when.compare) for rule in rules], np.int8)
        self._limit = np.array([rule.when.limit for rule in rules], np.float64)
        self.concerned = lru_cache(262_144)(self._concerned)

    def __len__(self) -> int:
        """How many."""
        return len(self.rules)

    def _concerned(self, name: str) -> tuple[int, ...]:
        metric, labels = parsed(name)
        return tuple(n for n, rule in enumerate(self.rules) if rule.when.selects(metric, labels))

    def of(self, names: Sequence[str]) -> Concerns:
        """The rules of each row, by its series' name."""
        found = [self.concerned(name) for name in names]
        first = np.zeros(len(names) + 1, np.int32)
        first[1:] = np.cumsum([len(numbers) for numbers in found])
        return Concerns(first, np.array([n for numbers in found for n in numbers], np.int32))

    def picked(
        self,
        concerns: Concerns,
        breached: npt.NDArray[np.bool_],
        rows: npt.NDArray[np.int32],
        value: npt.NDArray[np.float64],
    ) -> npt.NDArray[np.bool_]:
        """Samples, [n], that a rule must look at: beyond its limit, or of a `breached` row."""
        out = np.zeros(len(rows), np.bool_)
        if len(concerns.rule):
            first, rule = concerns
            _pick(first, rule, self._op, self._limit, breached, rows, value, out)
        return out


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator] # numba has no types
def _pick(
    first: Any, rule: Any, op: Any, limit: Any, breached: Any, rows: Any, value: Any, out: Any
) -> None:
    for i in range(rows.size):
        row, x = rows[i], value[i]
        if not np.isfinite(x):
            continue
        for k in range(first[row], first[row + 1]):
            y, how = limit[rule[k]], op[rule[k]]
            if (
                breached[row]
                or (how == 0 and x > y)
                or (how == 1 and x >= y)
                or (how == 2 and x < y)  # noqa: PLR2004 - the place in OPS
                or (how == 3 and x <= y)  # noqa: PLR2004 - the place in OPS
                or (how == 4 and x == y)  # noqa: PLR2004 - the place in OPS
                or (how == 5 and x != y)  # noqa: PLR2004 - the place in OPS
            ):
                out[i] = True


class Ending(NamedTuple):
    """Why a rule has nothing more to say of a series."""

    ending: Literal["", "recovered", "ended"]
    reason: str = ""


def event_of(
    rule: Rule,
    series: str,
    breach: Breach,
    change: Literal["opened", "updated", "cleared"],
    at: float,
    value: float,
    *,
    groups: Mapping[str, str],
    cause: str,
    end: Ending,
    points: tuple[tuple[float, ...], tuple[float, ...]],
) -> Anomaly:
    """The event of a change; `at` epoch seconds, `value` the newest, `points` the last ones."""
    metric, labels = parsed(series)
    service, when = labels.get("service", ""), rule.when
    anomaly = f"anm-{derive('rule', rule.id, series, f'{breach.since:.3f}')[:12]}"
    limit = when.limit if rule.clear.limit is None else rule.clear.limit
    below = when.compare in {"<", "<="}
    return Anomaly(
        id=derive("detect", anomaly, change, f"{at:.3f}"),
        at=datetime.fromtimestamp(at, UTC),
        cause=cause,
        group=groups.get(service, service),
        anomaly=anomaly,
        change=change,
        source="rule",
        kind="threshold",
        service=service,
        series=series,
        direction="down" if below else "up",
        severity=rule.severity,
        score=SCORES[rule.severity],
        raw=0.0 if change == "cleared" else SCORES[rule.severity],
        value=value,
        low=limit if below else min((limit, *points[1])),
        high=max((limit, *points[1])) if below else limit,
        since=datetime.fromtimestamp(breach.since, UTC),
        ending=end.ending,
        statistic=rule.id,
        horizon_s=when.for_s,
        reason=end.reason or _reason(rule, metric, change, value),
        evidence_at=points[0],
        evidence_value=points[1],
    )


def _reason(rule: Rule, metric: str, change: str, value: float) -> str:
    when = rule.when
    if change == "cleared":
        return f"{metric} is {value:.4g}: {rule.id} is over"
    lasted = f" for {when.for_s:g} s" if when.for_s else ""
    meant = f": {rule.reason}" if rule.reason else ""
    return f"{metric} is {value:.4g}, {when.compare} {when.limit:g}{lasted}{meant}"


def removed(rule_id: str) -> Rule:
    """A stand-in for a rule that is no more, so that what it opened can be ended."""
    when: Any = '{rule="removed"} > 0'
    return Rule(id=rule_id, when=when, severity=Severity.low)
