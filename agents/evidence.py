"""Evidence: the records behind a story, each with its hash, and the facts taken from them.

A bundle stands by itself: who has it needs no database and no Kafka to check every figure of
the report. Records are events as they were; beside them those parts of the catalogue that
figures rest on (the objective, the rates), and what was computed, with the inputs' places.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from agents.cost import avoided
from agents.facts import CLOCK, NAME, QUOTE, TIME, exact, resolve, shown
from schemas.errors import Rejected
from schemas.event import Event
from schemas.outcomes import Fact, Report

VERSION = 1
MINUTE_S = 60


class Piece(NamedTuple):
    """A record of the bundle."""

    id: str
    subject: str
    body: Mapping[str, Any]


class Ref(NamedTuple):
    """A record, or a part of one: a plan stands in its decision, too."""

    record: str
    prefix: str = ""


@dataclass(frozen=True)
class BundleVerdict:
    """Whether a bundle is as it was made, and what is not."""

    ok: bool
    reason: str


def minutes_between(start: str, end: str) -> float:
    """Minutes from one time to another, both ISO 8601.

    >>> minutes_between("2026-01-01T10:00:00Z", "2026-01-01T10:01:30Z")
    1.5
    """
    span = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return span.total_seconds() / MINUTE_S


# What a computed record may say that it was computed by.
OPERATIONS: dict[str, Callable[..., float]] = {
    "minutes between": minutes_between,
    "cost avoided": avoided,
}


class Evidence:
    """Collects records and facts while a story is told.

    Every method that gives text for the story also notes the fact behind it.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self._pieces: dict[str, Piece] = {}
        self._facts: dict[Fact, None] = {}
        for event in events:
            self.add(Piece(event.id, event.SUBJECT, event.model_dump(mode="json")))

    @property
    def facts(self) -> tuple[Fact, ...]:
        """The facts so far, each once."""
        return tuple(self._facts)

    def add(self, piece: Piece) -> Ref:
        """Take a record in."""
        self._pieces.setdefault(piece.id, piece)
        return Ref(piece.id)

    def value(self, ref: Ref, path: str) -> Any:
        """What a record says."""
        return resolve(self._pieces[ref.record].body, ref.prefix + path)

    def fact(self, name: str, ref: Ref, path: str, unit: str = "") -> Fact:
        """A fact, noted."""
        value = exact(self.value(ref, path))
        fact = Fact(name=name, value=value, unit=unit, record=ref.record, field=ref.prefix + path)
        self._facts[fact] = None
        return fact

    def number(self, name: str, ref: Ref, path: str, unit: str = "") -> str:
        """A figure for the story, without its unit."""
        return shown(self.fact(name, ref, path, unit))

    def name(self, name: str, ref: Ref, path: str) -> str:
        """An identifier for the story, as code."""
        return f"`{shown(self.fact(name, ref, path, NAME))}`"

    def quote(self, name: str, ref: Ref, path: str) -> str:
        """A sentence of a record for the story, in quotation marks."""
        return f"“{shown(self.fact(name, ref, path, QUOTE))}”"

    def time(self, name: str, ref: Ref, path: str) -> str:
        """A moment with its date."""
        return shown(self.fact(name, ref, path, TIME))

    def clock(self, name: str, ref: Ref, path: str) -> str:
        """A moment of the day, UTC."""
        return shown(self.fact(name, ref, path, CLOCK))

    def computed(self, name: str, operation: str, inputs: Sequence[Fact]) -> Ref:
        """A figure computed from others, as a record of its own; its figure is at `value`."""
        places = [{"record": fact.record, "field": fact.field} for fact in inputs]
        values = [self.value(Ref(fact.record), fact.field) for fact in inputs]
        ident = "computed-" + name.replace(" ", "-")
        body = {
            "id": ident,
            "operation": operation,
            "inputs": places,
            "value": OPERATIONS[operation](*values),
        }
        return self.add(Piece(ident, "computed", body))

    def bundle(self, incident: str, left_out: int) -> str:
        """The bundle as JSON; `left_out` counts repetitive events that were not kept."""
        records = [
            {**piece._asdict(), "sha256": digest(piece.body)} for piece in self._pieces.values()
        ]
        made = {
            "version": VERSION,
            "incident": incident,
            "left_out": left_out,
            "records": records,
        }
        return orjson.dumps({**made, "sha256": digest(made)}).decode()


def digest(value: Any) -> str:
    """SHA-256, in hex, of a value's canonical JSON: sorted keys, no spaces."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def verify_bundle(bundle: str) -> BundleVerdict:
    """Whether every record, every computed figure and the whole are as their hashes say."""
    try:
        made = orjson.loads(bundle)
        records, total = made["records"], made.pop("sha256")
        bodies = {record["id"]: record["body"] for record in records}
        for record in records:
            if record["sha256"] != digest(record["body"]) or record["body"]["id"] != record["id"]:
                return BundleVerdict(ok=False, reason=f"record {record['id']} was changed")
            if record["subject"] == "computed" and not _recomputes(record["body"], bodies):
                return BundleVerdict(ok=False, reason=f"{record['id']} does not follow")
    except (KeyError, TypeError, ValueError, AttributeError, Rejected) as error:
        return BundleVerdict(ok=False, reason=f"no bundle: {type(error).__name__}: {error}")
    if len(bodies) != len(records):
        return BundleVerdict(ok=False, reason="a record is there twice")
    if total != digest(made):
        return BundleVerdict(ok=False, reason="records were added, removed or moved")
    return BundleVerdict(ok=True, reason=f"{len(records)} records, none altered")


def _recomputes(body: Mapping[str, Any], bodies: Mapping[str, Any]) -> bool:
    values = [resolve(bodies[place["record"]], place["field"]) for place in body["inputs"]]
    return bool(OPERATIONS[body["operation"]](*values) == body["value"])


def unresolved(report: Report) -> list[str]:
    """What of a report cannot be found in its bundle: facts, names, quotations and figures."""
    made = orjson.loads(report.bundle)
    bodies = {record["id"]: record["body"] for record in made["records"]}
    faults: list[str] = []
    found: list[Fact] = []
    for fact in dict.fromkeys((*report.facts, *report.cost.inputs)):
        if _stands(fact, bodies):
            found.append(fact)
        else:
            faults.append(f"{fact.name}: {fact.record} {fact.field} is not {fact.value}")
    for text in (report.headline, report.story):
        faults += _untold(text, found)
    return faults


def _stands(fact: Fact, bodies: Mapping[str, Any]) -> bool:
    try:
        return exact(resolve(bodies.get(fact.record), fact.field)) == fact.value
    except Rejected:
        return False


def _untold(text: str, facts: Sequence[Fact]) -> list[str]:
    """Names, quotations and figures in a text that no fact stands for."""
    known = {shown(fact) for fact in facts if fact.unit in (NAME, QUOTE)}
    quoted = ["".join(found) for found in re.findall(r"`([^`]*)`|“([^”]*)”", text)]
    faults = [f"quoted, but from no record: {words}" for words in quoted if words not in known]
    rest = re.sub(r"`[^`]*`|“[^”]*”", " ", text)
    figures = {shown(fact) for fact in facts if fact.unit != QUOTE}  # a headline names plainly
    for figure in sorted(figures, key=len, reverse=True):
        rest = re.sub(rf"(?<![\w-])(?<!\d[.,:]){re.escape(figure)}(?![\w-]|[.,:]\d)", " ", rest)
    return faults + [f"from no record: {word}" for word in re.findall(r"\S*\d\S*", rest)]
