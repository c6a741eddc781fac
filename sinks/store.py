"""The store: every event once in the database, and rows that answer questions at once.

A batch is one transaction, and all of it may come again: an event is inserted once by its id,
and a row that shows how things stand only ever moves forward in its partition. So a replay of
a whole topic changes nothing, and a crash between commit and acknowledgement costs nothing.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, Engine, Table, and_, case, func, or_
from sqlalchemy.dialects import postgresql, sqlite

from schemas.anomalies import Anomaly
from schemas.avro import HEADER, encode
from schemas.budgets import Budget
from schemas.errors import Rejected
from schemas.event import Event
from schemas.forecasts import Forecast
from schemas.incidents import Incident
from schemas.outcomes import Report
from schemas.plans import Approved, Decision, Plan
from schemas.results import StepResult
from sinks import database as tables
from sinks.database import opened, translated, upgrade
from sinks.history import History

Row = dict[str, Any]
Rows = dict[str, list[Row]]


class Position(Protocol):
    """Where a record stood; `streams.stage.Position` is one."""

    @property
    def topic(self) -> str:
        """The topic's name."""

    @property
    def partition(self) -> int:
        """Its partition, from 0."""

    @property
    def offset(self) -> int:
        """Its offset there, from 0."""


class Document(NamedTuple):
    """A rate card, objective file or runbook, as text; `kind` is a word such as `rates`."""

    kind: str
    name: str
    body: str


class Store(History):
    """Writes events and answers what `History` answers.

    The first write brings the tables to this version. Not for use by read-only commands: it
    creates a SQLite file that is not there.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._writer: Engine | None = None

    async def write(self, events: Sequence[tuple[Event, Position]]) -> None:
        """Keep a batch in one transaction; events that are there already change nothing.

        Raises Unavailable, with nothing of the batch kept, when the database is away.
        """
        await asyncio.to_thread(self.keep, events)

    def keep(self, events: Sequence[tuple[Event, Position]]) -> None:
        """`write`, for callers that may block."""
        rows = rows_of(events)
        with translated(self._writing()), self._writing().begin() as connection:
            for table, kept in ORDER.items():
                if rows[table]:
                    kept(connection, rows[table])

    def catalogue(self, documents: Iterable[Document], now: datetime) -> None:
        """Keep what is in force; a version that is there already keeps its first time."""
        rows = [
            {
                **document._asdict(),
                "version": hashlib.sha256(document.body.encode()).hexdigest(),
                "since": now,
            }
            for document in documents
        ]
        if rows:
            with translated(self._writing()), self._writing().begin() as connection:
                insert_once(table_of(tables.Catalogue))(connection, rows)

    def close(self) -> None:
        """Let go of all connections."""
        super().close()
        if self._writer is not None:
            self._writer.dispose()
            self._writer = None

    def _writing(self) -> Engine:
        with self._lock:
            if self._writer is None:
                upgrade(self.url)
                self._writer = opened(self.url, writing=True)
            return self._writer


def incident_of(event: Event) -> str:
    """The incident that an event is about; empty for anomalies, budgets and ticks.

    >>> from datetime import UTC, datetime
    >>> from schemas.operations import Tick
    >>> incident_of(Tick(at=datetime(2026, 1, 1, tzinfo=UTC), group="", number=0))
    ''
    """
    if isinstance(event, (Forecast, Plan)):
        return event.incident.incident
    if isinstance(event, (Decision, Approved)):
        return event.plan.incident.incident
    return getattr(event, "incident", "")


def plan_of(event: Event) -> str:
    """The hash of the plan that an event is about; empty for those of no plan."""
    if isinstance(event, Plan):
        return event.hash
    if isinstance(event, (Decision, Approved)):
        return event.plan.hash
    return getattr(event, "plan_hash", "")


def rows_of(events: Iterable[tuple[Event, Position]]) -> Rows:
    """What each table is to hold because of a batch; pure.

    Raises Rejected for an event without id: nothing could tell its repetition.
    """
    rows: Rows = defaultdict(list)
    for event, position in events:
        if not event.id:
            raise Rejected(f"{event.SUBJECT} without id at {position.topic}/{position.partition}")
        where = {"partition": position.partition, "offset": position.offset}
        stand = {"event": event.id, "at": event.at, **where}
        value, headers = encode(event)
        rows["events"].append(
            {
                **_named(event, "id", "group", "at", "cause", "trace"),
                **where,
                "subject": event.SUBJECT,
                "schema": headers[HEADER],
                "incident": incident_of(event),
                "anomaly": event.anomaly if isinstance(event, Anomaly) else "",
                "plan_hash": plan_of(event),
                "topic": position.topic,
                "body": value.decode(),
            }
        )
        for table, row in _views(event, stand):
            rows[table].append(row)
    return rows


def _named(event: Event, *names: str) -> Row:
    return {name: getattr(event, name) for name in names}


def _views(event: Event, stand: Row) -> Iterable[tuple[str, Row]]:
    """The rows, by table, that show how things stand after `event`."""
    match event:
        case Incident():
            names = ("incident", "group", "status", "severity", "service", "title", "opened_at")
            closed = event.at if event.status == "resolved" else None
            yield "incidents", {**_named(event, *names), "closed_at": closed, **stand}
            for anomaly in dict.fromkeys(signal.anomaly for signal in event.signals):
                yield "incident_anomalies", {"incident": event.incident, "anomaly": anomaly}
        case Anomaly() if event.change != "weak":  # a weak one has no life: it is an event alone
            said = ("anomaly", "group", "change", "source", "kind", "service", "series")
            cleared = event.at if event.change == "cleared" else None
            more = _named(event, "severity", "since")
            yield "anomalies", {**_named(event, *said), **more, "cleared_at": cleared, **stand}
        case StepResult():
            told = ("at", "incident", "run", "step", "name", "phase", "status", "dry_run", "detail")
            yield "actions", {"event": event.id, **_named(event, *told)}
        case Decision() if event.effect == "approve":
            about = {"plan_hash": event.plan.hash, "incident": event.plan.incident.incident}
            yield "waiting", {"decision": event.id, **about, **_named(event, "at", "expires_at")}
        case Budget():
            bucket = _named(event, "objective", "bucket_start", "left", "burn")
            yield "budgets", {**bucket, **_named(event, "service", "target"), **stand}
            yield "budget_history", {**bucket, **_named(event, "total", "bad"), **stand}
        case Report():
            money = event.cost.model_dump(include={"amount", "low", "high", "currency"})
            yield "costs", {"incident": event.incident, **money, **stand}


Keeper = Callable[[Connection, list[Row]], None]


def table_of(model: type[tables.Base]) -> Table:
    """A model's table."""
    assert isinstance(model.__table__, Table)  # noqa: S101 - no model maps a join
    return model.__table__


def insert_once(table: Table) -> Keeper:
    """Insert rows whose key is not there yet."""

    def keep(connection: Connection, rows: list[Row]) -> None:
        statement = _insert(connection, table).on_conflict_do_nothing()
        connection.execute(statement, rows)

    return keep


def advance(table: Table) -> Keeper:
    """Insert rows, or move them forward: by offset in one partition, by time across.

    A time of ending (the columns that may be empty) stays as first told until it is taken back.
    """
    keys = [column.name for column in table.primary_key]

    def keep(connection: Connection, rows: list[Row]) -> None:
        statement = _insert(connection, table)
        new, old = statement.excluded, table.c
        later = or_(
            and_(new.partition == old.partition, new.offset > old.offset),
            and_(new.partition != old.partition, new.at > old.at),
        )
        values = {
            column.name: case(
                (new[column.name].is_(None), None), else_=func.coalesce(column, new[column.name])
            )
            if column.nullable
            else new[column.name]
            for column in table.columns
            if column.name not in keys
        }
        connection.execute(
            statement.on_conflict_do_update(index_elements=keys, set_=values, where=later), rows
        )

    return keep


def _insert(connection: Connection, table: Table) -> Any:
    dialect = {"sqlite": sqlite, "postgresql": postgresql}[connection.dialect.name]
    return dialect.insert(table)


# In the order in which rows refer to each other.
ORDER: dict[str, Keeper] = {
    "events": insert_once(table_of(tables.Events)),
    "incidents": advance(table_of(tables.Incidents)),
    "incident_anomalies": insert_once(table_of(tables.IncidentAnomalies)),
    "anomalies": advance(table_of(tables.Anomalies)),
    "actions": insert_once(table_of(tables.Actions)),
    "waiting": insert_once(table_of(tables.Waiting)),
    "budgets": advance(table_of(tables.Budgets)),
    "budget_history": advance(table_of(tables.BudgetHistory)),
    "costs": advance(table_of(tables.Costs)),
}
