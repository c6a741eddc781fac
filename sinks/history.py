"""History: what the database answers to the command line, the API and the console.

Reading only: a command that asks must not create the database that it asks, and says what to
do when there is none. One call gives an incident's whole life, from its first anomaly to its
report, in causal order.
"""

import difflib
import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any, NamedTuple, Self, TypeVar, cast

from sqlalchemy import Engine, Row, Select, and_, exists, func, or_, select
from sqlalchemy.orm import aliased

from schemas.avro import decode
from schemas.errors import Rejected
from schemas.event import Event
from schemas.forecasts import Forecast
from schemas.incidents import Incident
from schemas.outcomes import Outcome, Report
from schemas.plans import Decision, Plan, Refusal
from schemas.results import StepResult
from schemas.topics import CATALOGUE
from schemas.verdicts import Bar, Verdict
from sinks.database import (
    BudgetHistory,
    Budgets,
    Costs,
    Events,
    IncidentAnomalies,
    Incidents,
    Waiting,
    opened,
    translated,
)

E = TypeVar("E", bound=Event)

SUGGESTIONS = 5  # more would not be read
ANSWERED = ("approved", "outcome")  # an event of either subject ends a plan's waiting
# Where causes do not tell, events of one moment come in the order of the pipeline.
RANK = {topic.event.SUBJECT: n for n, topic in enumerate(CATALOGUE) if topic.event is not None}


class Summary(NamedTuple):
    """An incident's line in a list."""

    incident: str
    status: str
    severity: str
    service: str
    title: str
    opened_at: datetime
    updated_at: datetime
    closed_at: datetime | None


class BudgetLeft(NamedTuple):
    """An objective's budget as it stands; `left` is a ratio, negative when overspent."""

    objective: str
    service: str
    target: float
    left: float
    burn: float
    at: datetime


class BudgetPoint(NamedTuple):
    """A closed bucket: events in it, and the budget left (a ratio) when it closed."""

    bucket_start: datetime
    total: float
    bad: float
    left: float
    burn: float


class Avoided(NamedTuple):
    """Cost avoided over incidents, by currency, with its range."""

    currency: str
    amount: float
    low: float
    high: float
    incidents: int


class Judged(NamedTuple):
    """A verdict of a person, and what came of it; neither bar nor refusal: not counted yet."""

    verdict: Verdict
    bar: Bar | None  # as it stood after the verdict
    refusal: Refusal | None
    undone_by: Verdict | None


@dataclass(frozen=True)
class Lifecycle:
    """An incident's whole life: as it stands, and all its events, causes before effects."""

    incident: Incident
    events: tuple[Event, ...]

    @property
    def plans(self) -> tuple[Plan, ...]:
        """What was proposed, oldest first."""
        return self.of(Plan)

    @property
    def steps(self) -> tuple[StepResult, ...]:
        """What was done."""
        return self.of(StepResult)

    @property
    def outcome(self) -> Outcome | None:
        """The latest word on how it ends; None while nothing is known."""
        return next(reversed(self.of(Outcome)), None)

    @property
    def report(self) -> Report | None:
        """The latest report; None before the first end."""
        return next(reversed(self.of(Report)), None)

    def of(self, kind: type[E]) -> tuple[E, ...]:
        """Its events of one kind."""
        return tuple(event for event in self.events if isinstance(event, kind))


class History:
    """Questions to the database; all raise Unavailable when it is away.

    All raise Rejected, saying what to do, when there is no database yet.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._reader: Engine | None = None
        self._lock = Lock()  # threads of one process ask at once

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all connections."""
        if self._reader is not None:
            self._reader.dispose()
            self._reader = None

    def incidents(self, status: str | None = None, limit: int = 50) -> tuple[Summary, ...]:
        """Incidents, newest first; `status` is one of Incident.status, None for all."""
        row = Incidents
        asked = select(
            row.incident, row.status, row.severity, row.service, row.title,
            row.opened_at, row.at, row.closed_at,
        ).order_by(row.opened_at.desc(), row.incident).limit(limit)  # fmt: skip
        if status is not None:
            asked = asked.where(row.status == status)
        return tuple(Summary(*found) for found in self._ask(asked))

    def incident(self, prefix: str) -> Lifecycle:
        """The whole life of one incident, named by its id or an unambiguous start of it.

        `inc-` may be left out. Raises Rejected, with near ids, for none or several.
        """
        ident = self._incident_id(prefix)
        events = self._life(ident)
        latest = self._ask(
            select(Events.body, Events.schema)
            .join(Incidents, Incidents.event == Events.id)
            .where(Incidents.incident == ident)
        )
        return Lifecycle(cast("Incident", _decoded(latest)[0]), causal(events))

    def plan(self, prefix: str) -> Plan:
        """A plan, named by the start of its hash or of its event's id.

        Raises Rejected, with near hashes, for none or several.
        """
        found = _decoded(
            self._ask(
                select(Events.body, Events.schema)
                .where(Events.subject == Plan.SUBJECT, Events.plan_hash != "")
                .where(or_(_starts(Events.plan_hash, prefix), _starts(Events.id, prefix)))
                .order_by(Events.at.desc(), Events.offset.desc())
                .limit(SUGGESTIONS * 4)
            )
        )
        plans = {plan.hash: plan for plan in reversed(cast("list[Plan]", found))}
        if len(plans) == 1 and prefix:
            return next(iter(plans.values()))
        raise _not_one("plan", prefix, list(plans) or self._recent_plans())

    def waiting(self, now: datetime) -> tuple[Decision, ...]:
        """Decisions that wait for people at `now`, oldest first."""
        answer = aliased(Events)
        asked = (
            select(Events.body, Events.schema)
            .join(Waiting, Waiting.decision == Events.id)
            .where(or_(Waiting.expires_at.is_(None), Waiting.expires_at > now))
            .where(
                ~exists().where(
                    and_(
                        answer.plan_hash == Waiting.plan_hash,
                        answer.subject.in_(ANSWERED),
                        answer.at >= Waiting.at,
                    )
                )
            )
            .order_by(Waiting.at, Waiting.decision)
        )
        return tuple(cast("list[Decision]", _decoded(self._ask(asked))))

    def report(self, incident: str) -> Report:
        """The latest report of an incident, named as in `incident`.

        Raises Rejected when it has none yet.
        """
        ident = self._incident_id(incident)
        found = _decoded(
            self._ask(
                select(Events.body, Events.schema)
                .where(Events.incident == ident, Events.subject == Report.SUBJECT)
                .order_by(Events.at.desc(), Events.offset.desc())
                .limit(1)
            )
        )
        if not found:
            raise Rejected(f"no report on {ident} yet: it is written when the incident has ended")
        return cast("Report", found[0])

    def verdicts(self) -> tuple[Judged, ...]:
        """What people said of incidents, newest first, `undo` included."""
        said = self._verdicts()
        about = select(Events.incident).where(Events.subject == Verdict.SUBJECT)
        came = select(Events.body, Events.schema).where(
            Events.subject.in_((Bar.SUBJECT, Refusal.SUBJECT)), Events.incident.in_(about)
        )
        of = {event.cause: event for event in _decoded(self._ask(came))}
        undone = {v.undoes: v for v in said if v.undoes and isinstance(of.get(v.id), Bar)}
        return tuple(
            Judged(
                verdict,
                end if isinstance(end := of.get(verdict.id), Bar) else None,
                end if isinstance(end, Refusal) else None,
                undone.get(verdict.id),
            )
            for verdict in said
        )

    def verdict(self, prefix: str) -> Verdict:
        """A verdict, named by the start of its id. Raises Rejected for none or several."""
        known = {verdict.id: verdict for verdict in self._verdicts()}
        found = [ident for ident in known if ident.startswith(prefix)]
        if len(found) == 1 and prefix:
            return known[found[0]]
        raise _not_one("verdict", prefix, [ident[:12] for ident in found or known])

    def _verdicts(self) -> list[Verdict]:
        """All of them, newest first: people wrote each by hand, so they are few."""
        asked = select(Events.body, Events.schema).where(Events.subject == Verdict.SUBJECT)
        found = self._ask(asked.order_by(Events.at.desc(), Events.id))
        return cast("list[Verdict]", _decoded(found))

    def budgets(self) -> tuple[BudgetLeft, ...]:
        """Every objective's budget, the emptiest first."""
        row = Budgets
        asked = select(row.objective, row.service, row.target, row.left, row.burn, row.at)
        return tuple(BudgetLeft(*found) for found in self._ask(asked.order_by(row.left)))

    def budget_history(self, objective: str, since: datetime) -> tuple[BudgetPoint, ...]:
        """An objective's closed buckets since then, oldest first; `left` as of each bucket."""
        row = BudgetHistory
        asked = select(row.bucket_start, row.total, row.bad, row.left, row.burn)
        asked = asked.where(row.objective == objective, row.bucket_start >= since)
        return tuple(BudgetPoint(*found) for found in self._ask(asked.order_by(row.bucket_start)))

    def avoided(self, since: datetime) -> tuple[Avoided, ...]:
        """Cost avoided in incidents reported since then, by currency; only verified fixes."""
        asked = (
            select(
                Costs.currency,
                func.sum(Costs.amount),
                func.sum(Costs.low),
                func.sum(Costs.high),
                func.count(),
            )
            .where(Costs.at >= since, Costs.amount > 0)
            .group_by(Costs.currency)
            .order_by(Costs.currency)
        )
        return tuple(Avoided(*found) for found in self._ask(asked))

    def _life(self, ident: str) -> list[Event]:
        anomalies = select(IncidentAnomalies.anomaly).where(IncidentAnomalies.incident == ident)
        asked = select(Events.body, Events.schema).order_by(Events.at, Events.offset)
        events = _decoded(
            self._ask(asked.where(or_(Events.incident == ident, Events.anomaly.in_(anomalies))))
        )
        known = {event.id for event in events}
        cited = {event.budget.record for event in events if isinstance(event, Forecast)} - known
        return events + _decoded(self._ask(asked.where(Events.id.in_(sorted(cited)))))

    def _incident_id(self, prefix: str) -> str:
        asked = select(Incidents.incident).order_by(Incidents.opened_at.desc())
        starts = or_(
            _starts(Incidents.incident, prefix), _starts(Incidents.incident, f"inc-{prefix}")
        )
        found = [row[0] for row in self._ask(asked.where(starts).limit(SUGGESTIONS + 1))]
        if prefix in found:
            return prefix
        if len(found) == 1 and prefix:
            return str(found[0])
        recent = found or [row[0] for row in self._ask(asked.limit(200))]
        raise _not_one("incident", prefix, recent, several=bool(found))

    def _recent_plans(self) -> list[str]:
        asked = select(Events.plan_hash).where(
            Events.subject == Plan.SUBJECT, Events.plan_hash != ""
        )
        return [row[0] for row in self._ask(asked.order_by(Events.at.desc()).limit(200))]

    def _ask(self, asked: Select[*tuple[Any, ...]]) -> Sequence[Row[*tuple[Any, ...]]]:
        with self._lock:
            if self._reader is None:
                self._reader = opened(self.url, writing=False)
            reader = self._reader
        with translated(reader), reader.connect() as connection:
            return connection.execute(asked).all()


def _starts(column: Any, prefix: str) -> Any:
    return column.startswith(prefix, autoescape=True)


def _decoded(rows: Iterable[Row[*tuple[Any, ...]]]) -> list[Event]:
    return [decode(body.encode(), schema) for body, schema in rows]


def _not_one(what: str, prefix: str, known: Sequence[str], *, several: bool = False) -> Rejected:
    if not known:
        return Rejected(f"no {what} is known yet")
    if several or any(ident.startswith(prefix) for ident in known):
        near, trouble = list(known[:SUGGESTIONS]), f"{prefix!r} may mean several"
    else:
        near = difflib.get_close_matches(prefix, known, SUGGESTIONS, cutoff=0.3)
        near, trouble = near or list(known[:SUGGESTIONS]), f"no {what} {prefix!r}"
    return Rejected(f"{trouble}: {', '.join(near)}")


def causal(events: Sequence[Event]) -> tuple[Event, ...]:
    """Events with every cause before its effects; else by time, then by place in the pipeline.

    Times alone do not do: stages on different machines have different clocks.
    """
    ids = {event.id for event in events}
    children: dict[str, list[Event]] = {}
    ready: list[tuple[datetime, int, int, Event]] = []
    place = {event.id: n for n, event in enumerate(events)}

    def push(event: Event) -> None:
        heapq.heappush(ready, (event.at, RANK[event.SUBJECT], place[event.id], event))

    for event in events:
        if event.cause in ids and event.cause != event.id:
            children.setdefault(event.cause, []).append(event)
        else:
            push(event)
    ordered: list[Event] = []
    while ready:
        event = heapq.heappop(ready)[-1]
        ordered.append(event)
        for child in children.pop(event.id, ()):
            push(child)
    rest = [child for late in children.values() for child in late]  # causes in a ring: none of ours
    return (*ordered, *rest)
