"""What a runbook file may say: frozen, typed, and nothing that is not understood.

A runbook is written by the team that owns the service and is carried out at night without
them, so every value that can vary has a type and bounds here, and every step says how it is
taken back. Reading files, and all that takes more than one field to judge, is in loader.py.
"""

import re
from typing import Annotated, Generic, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from runbooks.objectives import length
from schemas.event import Severity

LONGEST_TEXT = 200  # characters of a string parameter
NAME = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"

Name = Annotated[str, Field(pattern=NAME, max_length=63)]
Text = Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_TEXT)]
Glob = Annotated[StrictStr, Field(min_length=1, description="shell pattern: * ? [abc]")]


def _seconds(value: object) -> float:
    if not isinstance(value, str):
        raise ValueError("must be a duration such as 30s or 5m")  # noqa: TRY004 - pydantic's own
    return length(value).total_seconds()


def _undo(value: object) -> object:
    if value == "none":
        return None
    if not isinstance(value, dict):
        raise ValueError("must be the call that takes the step back, or `none` with a `because`")  # noqa: TRY004 - pydantic's own
    return value


Duration = Annotated[float, BeforeValidator(_seconds)]
Finite = Annotated[StrictFloat, Field(allow_inf_nan=False)]
Arguments = dict[str, JsonValue]

V = TypeVar("V", bound=float | str)  # bool and int are floats to a type checker
N = TypeVar("N", bound=float)


class Strict(BaseModel):
    """Frozen, and refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class _Bounded(Strict, Generic[V]):
    """What parameters share: a default, and values for incidents of some severity or more."""

    description: str = ""
    default: V
    by_severity: dict[Severity, V] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _allowed(self) -> Self:
        for value in (self.default, *self.by_severity.values()):
            self.check(value)
        return self

    def check(self, value: V) -> None:
        """Raises ValueError for a value that the parameter does not allow."""

    def value(self, severity: Severity) -> V:
        """The value for an incident: of the highest severity listed that it reaches."""
        reached = [listed for listed in self.by_severity if listed.rank <= severity.rank]
        if not reached:
            return self.default
        return self.by_severity[max(reached, key=lambda listed: listed.rank)]


class _Range(_Bounded[N]):
    min: N
    max: N

    def check(self, value: N) -> None:
        """Raises ValueError for a number outside of the range."""
        if not self.min <= value <= self.max:
            raise ValueError(f"{value} is outside {self.min} to {self.max}")


class IntegerParam(_Range[StrictInt]):
    """A whole number; `min` and `max` are allowed values."""

    type: Literal["integer"]


class NumberParam(_Range[Finite]):
    """A number; `min` and `max` are allowed values."""

    type: Literal["number"]


class DurationParam(_Range[Duration]):
    """A length of time such as `30s`; its value is a number of seconds."""

    type: Literal["duration"]


class BooleanParam(_Bounded[StrictBool]):
    """True or false."""

    type: Literal["boolean"]


class StringParam(_Bounded[Text]):
    """A text that one of `pattern` (anchored at both ends) and `enum` allows."""

    type: Literal["string"]
    pattern: str = ""
    enum: tuple[Text, ...] = ()
    path_characters: str = Field(
        default="", description="characters that it may carry into a path beside the safe ones"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_limit(cls, data: object) -> object:
        if isinstance(data, dict) and bool(data.get("pattern")) == bool(data.get("enum")):
            raise ValueError("a string needs a `pattern` or an `enum`, and not both")
        return data

    def check(self, value: str) -> None:
        """Raises ValueError for a text that pattern or enum does not allow."""
        if self.enum and value not in self.enum:
            raise ValueError(f"{value!r} is none of {', '.join(self.enum)}")
        try:
            fits = not self.pattern or re.fullmatch(self.pattern, value) is not None
        except re.error as error:
            raise ValueError(f"the pattern {self.pattern!r} is no regular expression") from error
        if not fits:
            raise ValueError(f"{value!r} does not match {self.pattern!r}")


Param = Annotated[
    IntegerParam | NumberParam | DurationParam | BooleanParam | StringParam,
    Field(discriminator="type"),
]


class SignalMatch(Strict):
    """Conditions on one signal of the incident; those that are given must all hold."""

    source: Literal["metric", "slo", "log", "rule"] | None = None
    name: Glob = Field(default="*", description="the metric's, objective's or template's name")
    labels: dict[str, Glob] = Field(default_factory=dict, description="patterns by label")
    service: Glob = "*"
    kind: Glob = "*"
    direction: Literal["up", "down"] | None = None
    severity: Severity = Field(default=Severity.low, description="at least")


class When(Strict):
    """When the runbook fits: every signal match of `all`, and one of `any` if there are some."""

    severity: Severity = Field(default=Severity.low, description="the incident's, at least")
    every: tuple[SignalMatch, ...] = Field(default=(), alias="all")
    some: tuple[SignalMatch, ...] = Field(default=(), alias="any")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.every and not self.some:
            raise ValueError("needs conditions on signals under `all` or `any`")
        return self


class PrecheckSpec(Strict):
    """A call that only reads, and what its answer must show (runbooks/checks.py)."""

    call: Arguments
    expect: StrictStr


class StepSpec(Strict):
    """One step of a runbook; calls are arguments of the executor that `use` names."""

    name: Name
    summary: Text
    touches: Text = Field(description="the service that the step changes")
    use: Name = Field(description="the executor")
    precheck: PrecheckSpec | None = None
    observe: Arguments | None = None
    do: Arguments
    undo: Annotated[Arguments | None, BeforeValidator(_undo)]
    because: str = Field(default="", description="why there is nothing to undo")
    timeout: Duration

    @model_validator(mode="after")
    def _undo_is_explained(self) -> Self:
        if (self.undo is None) != bool(self.because.strip()):
            raise ValueError("`undo: none` needs a `because`, and only that does")
        return self


class VerificationSpec(Strict):
    """How it is seen that the runbook helped: signals clear within, and stay so."""

    within: Duration
    stable: Duration


class Runbook(Strict):
    """A remedy: when it fits, what it does step by step, and how it is undone and verified."""

    api_version: Literal["sentinel/v1"] = Field(alias="apiVersion")
    kind: Literal["Runbook"]
    name: Name
    version: StrictInt = Field(ge=1, description="raise it with every change of the steps")
    owner: Text
    description: StrictStr = Field(min_length=1)
    services: tuple[Glob, ...] = Field(min_length=1, description="one of the incident's, at least")
    risk: Literal["low", "medium", "high"]
    blast_radius: tuple[Text, ...] = Field(min_length=1, description="services that it touches")
    environments: tuple[Name, ...] = Field(min_length=1)
    params: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Param] = Field(
        default_factory=dict
    )
    when: When
    steps: tuple[StepSpec, ...] = Field(min_length=1)
    verification: VerificationSpec
