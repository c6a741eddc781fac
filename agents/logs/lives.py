"""Lives: what is strange in the lines of a service, from its opening to its end.

A service has at most one anomaly of a kind: a deploy that brings 500 new templates is one with
a count. Each kind is a function from the life so far and what a bucket showed to the next;
time is the bucket's number, so a replay gives the same lives with the same ids.
"""

import math
from collections.abc import Callable, Collection, Sequence
from operator import itemgetter
from typing import Literal, NamedTuple

import msgspec

from agents.logs.entries import CRITICAL, ERROR, LEVELS, WARNING
from agents.logs.shares import FACTOR, Counts, bounds, judge
from schemas.event import Severity, derive

BUCKET_S = 10
EVIDENCE = 5  # lines
CALM = 30  # buckets without it, after which it has recovered: five minutes
CALM_SHARE = 2  # the share is that of many lines already
ADAPT = 360  # buckets after which what lasts is the new normal: an hour
RECENT = 6  # buckets whose error share is judged: a minute
BEFORE = 180  # buckets before them that it is held against: half an hour
IDENTS = 256  # templates that a life follows
MANY = 10  # templates that are more than a line here and there

Kind = Literal["new template", "missing template", "silent", "error share"]
Change = Literal["opened", "updated", "cleared"]
Ending = Literal["", "recovered", "adapted"]

BY_RANK = {WARNING: Severity.low, ERROR: Severity.medium, CRITICAL: Severity.high}


class Life(msgspec.Struct):
    """An open anomaly; times are buckets."""

    anomaly: str
    kind: Kind
    since: int
    said: int
    grown: int
    severity: Severity
    score: float
    value: float
    high: float
    reason: str
    low: float = 0.0
    told: float = 0.0  # the value when it was said last
    calm: int = 0
    idents: list[str] = []
    lines: list[str] = []


class Said(NamedTuple):
    """What a bucket changed: the life as it is to be said."""

    change: Change
    ending: Ending
    life: Life
    bucket: int


class News(NamedTuple):
    """A template that a service says for the first time."""

    ident: str
    rank: int
    line: str  # masked


class Lost(NamedTuple):
    """A template that is no longer said; `score` is 1 or more."""

    ident: str
    text: str
    score: float


class Quiet(NamedTuple):
    """Buckets without a line of a service."""

    now: int
    before: float  # the longest
    usual: float  # lines a bucket
    score: float  # 1 or more when that is too long


class Step(NamedTuple):
    """The life to keep, None when there is none, and what to say of it."""

    life: Life | None
    said: Said | None = None


def new_templates(
    life: Life | None, news: Sequence[News], spoken: Collection[str], about: "About"
) -> Step:
    """Templates never seen before that say warning or worse; `spoken` are the bucket's."""
    if not news and life is None:
        return Step(None)
    if life is None:
        life = about.opened("new template", high=0.0)
    if news:
        worst = max(news, key=lambda one: one.rank)
        lines = [one.line for one in news if one.line]
        what = _grown(life, [one.ident for one in news], lines, about.bucket)
        life.score = 1 + math.log10(life.value)
        life.severity = _worse(life.severity, BY_RANK[worst.rank])
        life.reason = (
            f"says {LEVELS[worst.rank]} with {what} never seen in {about.lines} lines:"
            f" {_first_line(worst.line)}"
        )
    active = bool(news) or any(ident in spoken for ident in life.idents)
    return _next(life, about, active=active, calm=CALM)


def missing_templates(
    life: Life | None, lost: Sequence[Lost], spoken: Collection[str], about: "About"
) -> Step:
    """Templates that had a rhythm and are no longer said."""
    if not lost and life is None:
        return Step(None)
    if life is None:
        life = about.opened("missing template", high=0.0)
    if lost:
        lines = [one.text for one in lost]
        what = _grown(life, [one.ident for one in lost], lines, about.bucket)
        life.score = max(life.score, *(one.score for one in lost))
        life.reason = f"no longer says {what} that it said steadily: {lost[0].text}"
    life.idents = [ident for ident in life.idents if ident not in spoken]
    return _next(life, about, active=bool(life.idents), calm=1)


def silent(life: Life | None, quiet: Quiet, about: "About") -> Step:
    """A service that says nothing any more, though others of its partition do."""
    if quiet.score < 1 and life is None:
        return Step(None)
    if life is None:
        life = about.opened("silent", high=quiet.usual)
        life.low, life.severity = 1.0, Severity.medium
    if quiet.score >= 1:
        life.score = max(life.score, quiet.score)
        life.reason = (
            f"has said nothing for {quiet.now * BUCKET_S} s, its longest pause was"
            f" {quiet.before * BUCKET_S:.0f} s"
        )
    return _next(life, about, active=quiet.score > 0, calm=1)


def error_share(
    life: Life | None,
    past: Sequence[tuple[int, int]],
    evidence: Callable[[], Sequence[str]],
    about: "About",
) -> Step:
    """The share of errors in a minute against the half hour before; `past` is by bucket."""
    before, recent = _summed(past[:-RECENT]), _summed(past[-RECENT:])
    verdict = judge(recent, before)
    high = life.high if life is not None else min(1.0, FACTOR * bounds(before)[1])
    active = Counts(*past[-1]).share > high  # a minute remembers what is over
    if life is None:
        if not (verdict.fires and active):
            return Step(None)
        life = about.opened("error share", high=high)
        life.severity = Severity.medium
    life.value = recent.share
    if verdict.fires and active:
        life.grown = about.bucket
        life.score = max(life.score, verdict.score)
        if recent.share >= 0.5:  # noqa: PLR2004 - half of all that is said
            life.severity = Severity.high
        life.lines = list(evidence())
        life.reason = verdict.reason
    return _next(life, about, active=active, calm=CALM_SHARE)


class About(NamedTuple):
    """Whose bucket it is."""

    service: str
    bucket: int
    lines: int  # of the service, before the bucket
    update: int  # buckets between two updates, at least

    def opened(self, kind: Kind, *, high: float) -> Life:
        """A new life, not yet said."""
        ident = derive("log anomaly", kind, self.service, str(self.bucket))
        return Life(
            f"anm-{ident[:12]}",
            kind,
            since=self.bucket,
            said=-1,
            grown=self.bucket,
            severity=Severity.low,
            score=1.0,
            value=0.0,
            high=high,
            reason="",
        )


def _grown(life: Life, idents: Sequence[str], lines: Sequence[str], bucket: int) -> str:
    """Take more templates into a life; how many it has now, in words."""
    life.value += len(idents)
    life.grown = bucket
    if life.value >= MANY:
        life.severity = _worse(life.severity, Severity.medium)
    life.idents = [*life.idents, *idents][:IDENTS]
    life.lines = [*life.lines, *lines][:EVIDENCE]
    return "a template" if life.value == 1 else f"{life.value:.0f} templates"


def _next(life: Life, about: About, *, active: bool, calm: int) -> Step:
    bucket = about.bucket
    if life.said < 0:
        return _told(life, "opened", bucket)
    life.calm = 0 if active else life.calm + 1
    if life.calm >= calm:
        life.reason = f"over: {life.reason}"
        return Step(None, Said("cleared", "recovered", life, bucket))
    if bucket - life.since >= ADAPT and bucket - life.grown >= CALM:
        life.reason = f"the new normal: {life.reason}"
        return Step(None, Said("cleared", "adapted", life, bucket))
    if life.value != life.told and bucket - life.said >= about.update:
        return _told(life, "updated", bucket)
    return Step(life)


def _told(life: Life, change: Change, bucket: int) -> Step:
    life.said, life.told = bucket, life.value
    return Step(life, Said(change, "", msgspec.structs.replace(life), bucket))


def _worse(one: Severity, other: Severity) -> Severity:
    return max(one, other, key=lambda severity: severity.rank)


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _summed(past: Sequence[tuple[int, int]]) -> Counts:
    return Counts(sum(map(itemgetter(0), past)), sum(map(itemgetter(1), past)))
