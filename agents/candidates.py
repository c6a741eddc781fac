"""Candidates: which runbooks fit an incident, and which fits best.

A runbook fits when its environment, services, severity and conditions on signals do. Among
those, one written for this very service comes before a general one, then the one that explains
more of what is seen, then the one that risks and touches less. How fast the budget burns is no
part of it: urgency makes no risky remedy any better.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from runbooks.model import Runbook, SignalMatch
from schemas.frames import parsed
from schemas.incidents import Incident, Signal

# In the order of the docstring; together 1. A general runbook that explains everything scores
# less than one for the service that explains a part, as long as that is no riskier.
WRITTEN_FOR, EXPLAINS, RISK, BLAST = 0.4, 0.3, 0.2, 0.1
CALM = {"low": 1.0, "medium": 0.5, "high": 0.0}
NAMED = 3  # signals that a reason names


class Verdict(NamedTuple):
    """Whether a runbook fits, how well (0 to 1, 0 when it does not), and why."""

    fits: bool
    score: float
    reasons: tuple[str, ...]


def judge(
    runbook: Runbook, incident: Incident, environment: str, tried: Mapping[str, str]
) -> Verdict:
    """The runbook for the incident as it stands; `tried` gives how earlier tries ended."""
    for obstacle in _obstacles(runbook, incident, environment, tried):
        return Verdict(fits=False, score=0.0, reasons=(obstacle,))
    seen = active(incident)
    matched = [
        signal
        for signal in seen
        if any(_matches(match, signal) for match in (*runbook.when.every, *runbook.when.some))
    ]
    written_for, name = max(_closeness(runbook, incident))
    score = (
        WRITTEN_FOR * written_for
        + EXPLAINS * _weight(matched) / _weight(seen)
        + RISK * CALM[runbook.risk]
        + BLAST / len(runbook.blast_radius)
    )
    names = ", ".join(f"{_name(signal)} {signal.direction}" for signal in matched[:NAMED])
    more = f" and {len(matched) - NAMED} more" if len(matched) > NAMED else ""
    return Verdict(
        fits=True,
        score=round(score, 4),
        reasons=(
            f"for {name}" if written_for == 1 else f"for services like {name}",
            f"explains {len(matched)} of {len(seen)} signals: {names}{more}",
            f"{runbook.risk} risk",
            f"touches {_count(len(runbook.blast_radius), 'service')}",
        ),
    )


def active(incident: Incident) -> tuple[Signal, ...]:
    """The signals that have not cleared."""
    return tuple(signal for signal in incident.signals if signal.cleared_at is None)


def _obstacles(
    runbook: Runbook, incident: Incident, environment: str, tried: Mapping[str, str]
) -> Iterator[str]:
    if runbook.name in tried:
        yield f"was tried for this incident: {tried[runbook.name]}"
    if environment not in runbook.environments:
        yield f"is not for {environment}, but for {', '.join(runbook.environments)}"
    if not any(_closeness(runbook, incident)):
        yield f"is for {', '.join(runbook.services)}"
    if incident.severity.rank < runbook.when.severity.rank:
        yield f"is for severity {runbook.when.severity.value} and above"
    seen = active(incident)
    for match in runbook.when.every:
        if not any(_matches(match, signal) for signal in seen):
            yield f"needs a signal like {_spelled(match)}"
    some = runbook.when.some
    if some and not any(_matches(match, signal) for match in some for signal in seen):
        yield f"needs a signal like {' or '.join(_spelled(match) for match in some)}"


def _closeness(runbook: Runbook, incident: Incident) -> list[tuple[float, str]]:
    """How much of a service's name the runbook spells out: 1 all of it, 0 any service."""
    return [
        (sum(character not in "*?" for character in pattern) / max(len(pattern), 1), service)
        for pattern in runbook.services
        for service in dict.fromkeys((incident.service, *incident.services))
        if fnmatchcase(service, pattern)
    ]


def _matches(match: SignalMatch, signal: Signal) -> bool:
    return (
        match.source in (None, signal.source)
        and match.direction in (None, signal.direction)
        and signal.severity.rank >= match.severity.rank
        and fnmatchcase(_name(signal), match.name)
        and fnmatchcase(signal.kind, match.kind)
        and fnmatchcase(signal.service, match.service)
        and _labelled(match, signal)
    )


def _labelled(match: SignalMatch, signal: Signal) -> bool:
    labels = parsed(signal.series)[1] if match.labels else {}
    return all(fnmatchcase(labels.get(name, ""), glob) for name, glob in match.labels.items())


def _name(signal: Signal) -> str:
    return parsed(signal.series)[0]


def _spelled(match: SignalMatch) -> str:
    given = match.model_dump(mode="json", exclude_defaults=True)
    plain = [str(given.pop(key)) for key in ("source", "name", "direction") if key in given]
    return " ".join([*plain, *(f"{key} {value}" for key, value in given.items())]) or "any"


def _weight(signals: tuple[Signal, ...] | list[Signal]) -> float:
    return float(sum(signal.severity.rank + 1 for signal in signals))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
