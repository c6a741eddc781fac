"""Verdicts: what people say of incidents moves the bar that a service's scores must exceed.

"Not an incident" raises the bar, "too late" lowers it, "good" leaves it. The bar is a pure
function of the verdicts that count, in the order of their times, and stays within bounds at
every step, so that the newest word is always heard. Of one incident the newest verdict counts,
whoever said it: a fault is one lesson, however many agree. What was taken back does not count.

A bar does not decay: one that moved by itself at night could not be explained to anybody. It
is moved by the next verdict, or by taking one back.

Verdicts are signed; whatever does not count is refused aloud, with the reason.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from agents.verdict_settings import VerdictSettings
from schemas.event import Event, derive
from schemas.identity import Keyring, refusal
from schemas.turn import Turn
from schemas.verdicts import Bar, BarStep, Verdict, Word

KEPT = 200  # verdicts a service; the oldest are forgotten, with their effect
STEPS = 64  # changes of a bar that are told to detect: of months
DIGITS = 4  # of a factor


class Counted(BaseModel):
    """A verdict that was valid when it came."""

    model_config = ConfigDict(frozen=True)

    id: str
    at: datetime
    incident: str
    says: Word
    by: str
    undone: bool = False


class Standing(BaseModel):
    """What people said of a service's incidents, and what came of it."""

    model_config = ConfigDict(frozen=True)

    said: tuple[Counted, ...] = ()
    steps: tuple[BarStep, ...] = ()


def counting(said: Sequence[Counted]) -> tuple[Counted, ...]:
    """The verdicts that count, by time: of each incident the newest that was not taken back."""
    newest = {each.incident: each for each in sorted(said, key=_moment) if not each.undone}
    return tuple(sorted(newest.values(), key=_moment))


def factor(said: Sequence[Counted], settings: VerdictSettings) -> float:
    """How high the bar is: 1 without verdicts, within `lowest` to `highest`.

    >>> from datetime import UTC
    >>> def said(day: int, word: Word) -> Counted:
    ...     at = datetime(2026, 3, day, tzinfo=UTC)
    ...     return Counted(id=str(day), at=at, incident=f"inc-{day}", says=word, by="sre")
    >>> factor([said(1, "false"), said(2, "false"), said(3, "good")], VerdictSettings())
    1.3225
    >>> factor([said(day, "false") for day in range(1, 30)] + [said(30, "late")], VerdictSettings())
    1.7391
    """
    bar = 1.0
    for verdict in counting(said):
        if verdict.says == "false":
            bar = min(bar * settings.step, settings.highest)
        elif verdict.says == "late":
            bar = max(bar / settings.step, settings.lowest)
    return round(bar, DIGITS)


class Judge:
    """Reads verdicts; says the service's bar after each, or why it does not count."""

    State = Standing

    def __init__(
        self, settings: VerdictSettings, keyring: Keyring, groups: Mapping[str, str]
    ) -> None:
        """`groups` is the correlation group of each service that is not one of its own."""
        self._settings = settings
        self._keyring = keyring
        self._groups = groups

    def key(self, event: Event) -> str:
        """The service."""
        return event.service if isinstance(event, Verdict) else ""

    def run(self, event: Event, state: Standing | None, now: datetime) -> Turn[Standing]:
        """One verdict."""
        if not isinstance(event, Verdict):
            return Turn(state)
        standing = state or Standing()
        flaw = self._flaw(event, standing, now)
        if flaw:
            return Turn(state, (refusal(event, flaw, now),))
        said = _with(standing.said, event)[-KEPT:]
        moved = self._moved(standing.steps, factor(said, self._settings), now)
        after = Standing(said=said, steps=moved)
        return Turn(after, (self._bar(event, after, now),))

    def _flaw(self, verdict: Verdict, standing: Standing, now: datetime) -> str:
        """Why it does not count; empty when it does."""
        group = self._groups.get(verdict.service, verdict.service)
        if flaw := self._unproved(verdict, now):
            return flaw
        if group != verdict.group:
            return f"{verdict.service} belongs to the group {group}, not to {verdict.group}"
        if any(each.id == verdict.id for each in standing.said):
            return "the same verdict was counted before"
        if verdict.says != "undo":
            return "it takes a verdict back, and says another word" if verdict.undoes else ""
        return _not_undone(verdict, standing)

    def _unproved(self, verdict: Verdict, now: datetime) -> str:
        """Why it is not that person's own and recent; empty when it is."""
        proof = self._keyring.check(
            by=verdict.by, text=verdict.signed_text(), signature=verdict.signature
        )
        if not proof.holds:
            return proof.reason
        if verdict.id != derive("verdict", verdict.signature):
            return "its id is not of its signature"
        age = (now - verdict.at).total_seconds()
        if age > self._settings.window_s:
            return f"signed {age:.0f} s ago, at most {self._settings.window_s:g} s are taken"
        return f"signed {-age:.0f} s in the future" if age < -self._settings.skew_s else ""

    def _moved(self, steps: tuple[BarStep, ...], bar: float, now: datetime) -> tuple[BarStep, ...]:
        """The steps with one more, if the bar has moved; never before an earlier one."""
        if bar == (steps[-1].factor if steps else 1.0):
            return steps
        at = now + timedelta(seconds=self._settings.after_s)
        if steps:
            at = max(at, steps[-1].at)
        return (*steps, BarStep(at=at, factor=bar))[-STEPS:]

    def _bar(self, verdict: Verdict, after: Standing, now: datetime) -> Bar:
        counted = counting(after.said)
        bar = after.steps[-1].factor if after.steps else 1.0
        return Bar(
            at=now,
            group=verdict.service,
            service=verdict.service,
            incident=verdict.incident,
            factor=bar,
            steps=after.steps,
            counted=tuple(each.id for each in counted),
            reason=_reason(counted, bar),
        )


def _with(said: tuple[Counted, ...], verdict: Verdict) -> tuple[Counted, ...]:
    if verdict.says == "undo":
        return tuple(
            each.model_copy(update={"undone": True}) if each.id == verdict.undoes else each
            for each in said
        )
    new = Counted(
        id=verdict.id, at=verdict.at, incident=verdict.incident, says=verdict.says, by=verdict.by
    )
    return (*said, new)


def _not_undone(verdict: Verdict, standing: Standing) -> str:
    """Why there is nothing to take back; empty when there is."""
    meant = next((each for each in standing.said if each.id == verdict.undoes), None)
    if meant is None:
        return f"no verdict {verdict.undoes[:12]!r} on {verdict.service} counts"
    if meant.undone:
        return "it was taken back before"
    return ""


def _moment(counted: Counted) -> tuple[datetime, str]:
    return counted.at, counted.id


def _reason(counted: Sequence[Counted], bar: float) -> str:
    if not counted:
        return "no verdict counts: alarms from a score of 1"
    numbers = [
        f"{count} {word}"
        for word in ("false", "late", "good")
        if (count := sum(each.says == word for each in counted))
    ]
    return f"{', '.join(numbers)}: alarms from a score of {bar:g}"
