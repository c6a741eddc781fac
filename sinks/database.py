"""The database: its tables, and an engine that treats SQLite and PostgreSQL alike.

SQLite is the default, so that one machine needs no server; PostgreSQL is chosen by its URL.
What differs between the two is here and in the migrations, nowhere else: how a transaction
that will write begins, how a time is kept, and which failures are worth another try.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import (
    BigInteger,
    Connection,
    DateTime,
    Dialect,
    Engine,
    ForeignKey,
    Index,
    MetaData,
    Text,
    TypeDecorator,
    create_engine,
    event,
    exc,
    text,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from schemas.errors import Rejected, SentinelError, Unavailable

BUSY_S = 10  # store and audit take turns on one SQLite file; a batch takes milliseconds
MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0x53454E54  # any number that is always the same: PostgreSQL's advisory lock


class Line(TypeDecorator[str]):
    """Text that PostgreSQL takes too: it refuses NUL characters, which log lines may hold."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """The text with NUL shown as the replacement character."""
        return value.replace("\0", "\ufffd") if value is not None else None


class Moment(TypeDecorator[datetime]):
    """A time in UTC; SQLite keeps no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The time as the database keeps it."""
        if value is None:
            return None
        at = value.astimezone(UTC)
        return at.replace(tzinfo=None) if dialect.name == "sqlite" else at

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """The time with its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """All tables; names of constraints are fixed, so that both dialects agree on them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
        }
    )
    type_annotation_map = {str: Line, datetime: Moment, int: BigInteger}  # noqa: RUF012 - SQLAlchemy reads it


class Events(Base):
    """Every event once, as it was on the wire; the other tables can be made from it again."""

    __tablename__ = "events"
    __table_args__ = (Index(None, "subject", "at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str]
    schema: Mapped[str]
    incident: Mapped[str] = mapped_column(index=True)
    anomaly: Mapped[str] = mapped_column(index=True)
    plan_hash: Mapped[str] = mapped_column(index=True)
    group: Mapped[str]
    at: Mapped[datetime]
    cause: Mapped[str]
    trace: Mapped[str]
    topic: Mapped[str]
    partition: Mapped[int]
    offset: Mapped[int]
    body: Mapped[str]


class Snapshot:
    """The event that a row was last taken from: a replay must not take it back."""

    event: Mapped[str]
    at: Mapped[datetime]
    partition: Mapped[int]
    offset: Mapped[int]


class Incidents(Snapshot, Base):
    """One row an incident, as it stands."""

    __tablename__ = "incidents"
    __table_args__ = (Index(None, "status", "opened_at"), Index(None, "opened_at"))

    incident: Mapped[str] = mapped_column(primary_key=True)
    group: Mapped[str]
    status: Mapped[str]
    severity: Mapped[str]
    service: Mapped[str]
    title: Mapped[str]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class IncidentAnomalies(Base):
    """Which anomalies an incident is made of."""

    __tablename__ = "incident_anomalies"

    incident: Mapped[str] = mapped_column(ForeignKey("incidents.incident"), primary_key=True)
    anomaly: Mapped[str] = mapped_column(primary_key=True)


class Anomalies(Snapshot, Base):
    """One row an anomaly, as it stands."""

    __tablename__ = "anomalies"
    __table_args__ = (Index(None, "since"),)

    anomaly: Mapped[str] = mapped_column(primary_key=True)
    group: Mapped[str]
    change: Mapped[str]
    source: Mapped[str]
    kind: Mapped[str]
    service: Mapped[str]
    series: Mapped[str]
    severity: Mapped[str]
    since: Mapped[datetime]
    cleared_at: Mapped[datetime | None]


class Actions(Base):
    """What was done to the world, one row a step's event."""

    __tablename__ = "actions"

    event: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    incident: Mapped[str] = mapped_column(index=True)
    run: Mapped[str] = mapped_column(index=True)
    step: Mapped[int]
    name: Mapped[str]
    phase: Mapped[str]
    status: Mapped[str]
    dry_run: Mapped[bool]
    detail: Mapped[str]


class Waiting(Base):
    """Plans that policy sent to people; answered once an event of the same plan says so."""

    __tablename__ = "waiting"

    decision: Mapped[str] = mapped_column(primary_key=True)
    plan_hash: Mapped[str] = mapped_column(index=True)
    incident: Mapped[str]
    at: Mapped[datetime] = mapped_column(index=True)
    expires_at: Mapped[datetime | None]


class Budgets(Snapshot, Base):
    """What is left of each objective's budget now."""

    __tablename__ = "budgets"

    objective: Mapped[str] = mapped_column(primary_key=True)
    service: Mapped[str]
    target: Mapped[float]
    bucket_start: Mapped[datetime]
    left: Mapped[float]
    burn: Mapped[float]


class BudgetHistory(Snapshot, Base):
    """Buckets of events, good and bad, as they were closed."""

    __tablename__ = "budget_history"

    objective: Mapped[str] = mapped_column(ForeignKey("budgets.objective"), primary_key=True)
    bucket_start: Mapped[datetime] = mapped_column(primary_key=True)
    total: Mapped[float]
    bad: Mapped[float]
    left: Mapped[float]
    burn: Mapped[float]


class Costs(Snapshot, Base):
    """Cost avoided by incident, as its latest report says."""

    __tablename__ = "costs"

    incident: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[float]
    low: Mapped[float]
    high: Mapped[float]
    currency: Mapped[str]


class Catalogue(Base):
    """Rate cards, objectives and runbooks as they were in force, so that old figures can be read.

    `kind` is a word such as `rates`; `version` is the SHA-256 of `body`.
    """

    __tablename__ = "catalogue"

    kind: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]
    body: Mapped[str]


class AuditRecords(Base):
    """The audit chain (sinks/audit.py); triggers refuse any change of what is written."""

    __tablename__ = "audit"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    event: Mapped[str] = mapped_column(index=True, unique=True)
    schema: Mapped[str]
    body: Mapped[str]
    previous: Mapped[str]
    hash: Mapped[str]


def opened(url: str, *, writing: bool) -> Engine:
    """An engine on `url`; only a writing one creates a SQLite file and its folder.

    Raises Rejected for a URL that is neither SQLite nor PostgreSQL, and, when reading, for a
    SQLite file that is not there. Does not connect.
    """
    try:
        parsed = make_url(url)
    except exc.ArgumentError as error:
        raise Rejected(
            "the database URL is not one: write sqlite:///path or postgresql://..."
        ) from error
    match parsed.drivername.partition("+")[0]:
        case "sqlite":
            return _sqlite(parsed, writing=writing)
        case "postgresql" | "postgres":
            return _postgresql(parsed, writing=writing)
    raise Rejected(
        f"{parsed.drivername}: not a database we know: use sqlite:///path or postgresql://..."
    )


def _sqlite(url: URL, *, writing: bool) -> Engine:
    if not url.database or ":memory:" in url.database:
        raise Rejected("a database in memory is lost at once: name a file, sqlite:///path")
    path = Path(url.database)
    if writing:
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.is_file():
        raise Rejected(f"no database at {path}: run `sentinel up` first")
    location = f"file:{quote(str(path.resolve()))}?mode={'rwc' if writing else 'rw'}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            location, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        # A damaged text must reach the audit's comparison, not stop at the decoder.
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        # FULL: what a checkpoint outside has confirmed must survive a power cut.
        for pragma in ("foreign_keys = ON", "synchronous = FULL", *WRITING[writing]):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    engine = create_engine(f"sqlite:///{path}", creator=connect)
    # IMMEDIATE: a transaction that reads first and then writes would otherwise fail, not wait.
    begin = "BEGIN IMMEDIATE" if writing else "BEGIN"
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


WRITING = {True: ("journal_mode = WAL",), False: ("query_only = ON",)}


def _postgresql(url: URL, *, writing: bool) -> Engine:
    options = "" if writing else "-c default_transaction_read_only=on"
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=2,
        pool_pre_ping=True,  # a server that was restarted in between costs no batch
        connect_args={
            "connect_timeout": 5,
            "tcp_user_timeout": 15_000,  # ms; a dead network must not hold a batch for hours
            "options": options,
            "application_name": "sentinel",
        },
    )


def place(engine: Engine) -> str:
    """Where the database is, for a person, without its password."""
    return engine.url.render_as_string(hide_password=True)


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Failures of the database, in our terms.

    Raises Unavailable when it is away or busy, Rejected when its tables are not ours.
    """
    try:
        yield
    except SentinelError:
        raise
    except exc.DBAPIError as error:
        reason = str(error.orig).strip().partition("\n")[0]
        if "no such table" in reason or "does not exist" in reason or "no such column" in reason:
            raise Rejected(
                f"the database at {place(engine)} is not set up for this version"
                f" ({reason}): run `sentinel up` first"
            ) from error
        if isinstance(error, (exc.OperationalError, exc.InterfaceError)):
            raise Unavailable(f"the database at {place(engine)} is away: {reason}") from error
        if error.connection_invalidated:
            raise Unavailable(f"the database at {place(engine)} went away: {reason}") from error
        if "malformed" in reason or "not a database" in reason:
            raise Rejected(f"{place(engine)} is damaged ({reason}): restore it") from error
        raise
    except exc.TimeoutError as error:
        raise Unavailable(f"no connection to {place(engine)} came free") from error


def upgrade(url: str) -> None:
    """Bring the database to this version's tables, from empty or from any earlier version.

    Safe to call from several processes at once. Raises Unavailable when the database is away,
    Rejected when a later version has made it.
    """
    engine = opened(url, writing=True)
    try:
        with translated(engine), engine.begin() as connection:
            migrate(connection)
    finally:
        engine.dispose()


def migrate(connection: Connection) -> None:
    """`upgrade` within a transaction that writes."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)

    def steps(revision: Any, _: Any) -> Any:
        return script._upgrade_revs("head", revision)  # noqa: SLF001 - what alembic.command.upgrade does, without an env.py

    try:
        with EnvironmentContext(config, script, fn=steps) as environment:
            environment.configure(connection=connection, target_metadata=Base.metadata)
            environment.run_migrations()
    except CommandError as error:
        raise Rejected(
            f"the database was made by a later version of Sentinel ({error}): update Sentinel"
        ) from error
