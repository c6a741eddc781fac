"""Static rules: limits that people know and no model should have to learn, as `cpu > 90 for 3m`.

    rules:
      - id: cpu-high
        when: cpu{service="checkout",host=~"web-.*"} > 90 for 3m
        clear: 80 for 1m
        severity: high
        reason: a checkout host has no CPU left

`when` is a selector in Prometheus' notation (matchers `=`, `!=`, `=~`, `!~`, whole values), a
comparison, a limit and for how long it must hold; without `for`, one sample is enough. `clear`
says when it is over: on the other side of which limit, and for how long; without it, the first
sample for which `when` does not hold. A counter is compared by its rate a second.
"""

import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from runbooks.document import mapping
from schemas.errors import Rejected
from schemas.event import Severity

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
FOR = r"(?:\s+for\s+(?P<time>.+?))?"
WHEN = re.compile(
    r"\s*(?P<metric>[a-zA-Z_:][a-zA-Z0-9_:.]*)?\s*(?:\{(?P<matchers>.*)\})?"
    rf"\s*(?P<compare>>=|<=|==|!=|>|<)\s*(?P<limit>{NUMBER}){FOR}\s*"
)
CLEAR = re.compile(rf"\s*(?P<limit>{NUMBER})?{FOR}\s*")
MATCHER = re.compile(
    r'\s*(?P<label>[a-zA-Z_][a-zA-Z0-9_.]*)\s*(?P<kind>=~|!~|!=|=)\s*"(?P<value>(?:[^"\\]|\\.)*)"\s*(?:,|$)'
)
EXAMPLE = 'such as cpu{service="checkout"} > 90 for 3m'
NAME = "__name__"  # the metric, as a label

Compare = Literal[">", ">=", "<", "<=", "==", "!="]
HOLDS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


class Matcher(NamedTuple):
    """What a label must be, or must not be."""

    label: str
    wanted: bool
    pattern: re.Pattern[str]

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether labels pass; one that is not there is empty, as in Prometheus."""
        return bool(self.pattern.fullmatch(labels.get(self.label, ""))) == self.wanted


class When(NamedTuple):
    """A condition on the samples of the series that it selects."""

    metric: str  # empty: by matchers alone
    matchers: tuple[Matcher, ...]
    compare: Compare
    limit: float
    for_s: float
    text: str  # as it was written

    def selects(self, metric: str, labels: Mapping[str, str]) -> bool:
        """Whether a series is concerned."""
        if self.metric not in ("", metric):
            return False
        named = {**labels, NAME: metric}
        return all(matcher.fits(named) for matcher in self.matchers)

    def holds(self, value: float) -> bool:
        """Whether a value is as feared."""
        return HOLDS[self.compare](value, self.limit)


class Clear(NamedTuple):
    """When it is over."""

    limit: float | None = None
    for_s: float = 0.0
    text: str = "at once"


class Rule(BaseModel):
    """One limit; its id is what anomalies and incidents cite."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    when: When
    clear: Clear = Clear()
    severity: Severity = Severity.high
    reason: str = Field(default="", description="what it means, for a person")

    @field_validator("when", mode="plain")
    @classmethod
    def _when(cls, text: object) -> When:
        return parse_when(str(text))

    @field_validator("clear", mode="plain")
    @classmethod
    def _clear(cls, text: object) -> Clear:
        found = CLEAR.fullmatch(str(text))
        if found is None:
            raise ValueError(f"{text!r} is no end of an alarm, such as 80 for 1m")
        limit = found["limit"]
        at = None if limit is None else float(limit)
        return Clear(at, seconds(found["time"]), " ".join(str(text).split()))

    @model_validator(mode="after")
    def _ends(self) -> "Rule":
        """A limit to clear at must lie on the good side, or it would clear while it holds."""
        compare, limit, at = self.when.compare, self.when.limit, self.clear.limit
        if at is None:
            return self
        if compare in {"==", "!="}:
            raise ValueError(f"clear: {compare} has one limit, so only `for` can be said here")
        if (at > limit) if compare in {">", ">="} else (at < limit):
            raise ValueError(f"clear: {at:g} is on the wrong side of {compare} {limit:g}")
        return self

    def over(self, value: float) -> bool:
        """Whether a value is on the good side of the limit to clear at."""
        if self.clear.limit is None:
            return not self.when.holds(value)
        return not HOLDS[self.when.compare](value, self.clear.limit)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[Rule, ...] = ()


def parse_when(text: str) -> When:
    """A condition from its text. Raises ValueError that says what is wrong.

    >>> parse_when("cpu > 90 for 3m").for_s
    180.0
    """
    found = WHEN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no condition, {EXAMPLE}")
    matchers = _matchers(found["matchers"] or "")
    if not found["metric"] and not matchers:
        raise ValueError(f"{text!r} names neither a metric nor a label, {EXAMPLE}")
    compare: Any = found["compare"]
    return When(
        found["metric"] or "", matchers, compare, float(found["limit"]), seconds(found["time"]),
        " ".join(text.split()),
    )  # fmt: skip


def _matchers(text: str) -> tuple[Matcher, ...]:
    out, at = [], 0
    while at < len(text.rstrip()):
        found = MATCHER.match(text, at)
        if found is None:
            raise ValueError(f'{text[at:]!r} is no matcher, such as service="checkout"')
        value = re.sub(r"\\(.)", r"\1", found["value"])
        if found["kind"] in {"=", "!="}:
            value = re.escape(value)
        try:
            pattern = re.compile(value)
        except re.error as error:
            raise ValueError(f"{found['label']}: {value!r} is no pattern: {error}") from error
        out.append(Matcher(found["label"], found["kind"] in {"=", "=~"}, pattern))
        at = found.end()
    return tuple(out)


def seconds(text: str | None) -> float:
    """Seconds of a time such as `90s`, `3m`, `1h30m`; 0 for none. Raises ValueError.

    >>> seconds("1h30m")
    5400.0
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text or "")
    if "".join(number + unit for number, unit in parts) != (text or "").replace(" ", ""):
        raise ValueError(f"{text!r} is no time, such as 90s, 3m or 1h30m")
    return sum((float(number) * UNITS[unit] for number, unit in parts), 0.0)


def load_rules(path: Path) -> tuple[Rule, ...]:
    """The rules in a YAML file. Raises Rejected with file and place for a bad one."""
    document = mapping(path, "with `rules`")
    try:
        rules = _File.model_validate(document).rules
    except ValidationError as error:
        raise Rejected(f"{path}: {_said(error, document)}") from error
    ids = [rule.id for rule in rules]
    if double := sorted({one for one in ids if ids.count(one) > 1}):
        raise Rejected(f"{path}: rule {double[0]} is there twice")
    return rules


def _said(error: ValidationError, document: Mapping[Any, Any]) -> str:
    """The first fault in one line, under the rule's id where it has one."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = first["loc"]
    what = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        known = _File if len(place) == 1 else Rule
        what = f"unknown key; known here: {', '.join(known.model_fields)}"
    names = [str(part) for part in place]
    if len(place) > 1 and isinstance(place[1], int):
        rule = document["rules"][place[1]]
        named = rule.get("id") if isinstance(rule, dict) else None
        names[:2] = [f"rule {named or place[1] + 1}"]
    return f"{', '.join(names)}: {what}"
