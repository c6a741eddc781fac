"""The first tables: events, what queries need of them, and the audit chain with its guards."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def words(name: str, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=key, nullable=False)


def whole(name: str, *, key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=key, autoincrement=False, nullable=False)


def ratio(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=False)


def time(name: str, *, key: bool = False, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), primary_key=key, nullable=nullable)


def snapshot() -> tuple[sa.Column[str], sa.Column[datetime], sa.Column[int], sa.Column[int]]:
    return words("event"), time("at"), whole("partition"), whole("offset")


def primary(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def index(table: str, *columns: str, unique: bool = False) -> None:
    op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns), unique=unique)


def upgrade() -> None:
    events()
    incidents()
    actions()
    budgets()
    audit()


def events() -> None:
    op.create_table(
        "events",
        *map(words, ("id", "subject", "schema", "incident", "anomaly", "plan_hash", "group")),
        time("at"),
        *map(words, ("cause", "trace", "topic")),
        whole("partition"),
        whole("offset"),
        words("body"),
        primary("events", "id"),
    )
    index("events", "anomaly")
    index("events", "incident")
    index("events", "plan_hash")
    index("events", "subject", "at")


def incidents() -> None:
    op.create_table(
        "incidents",
        *map(words, ("incident", "group", "status", "severity", "service", "title")),
        time("opened_at"),
        time("closed_at", nullable=True),
        *snapshot(),
        primary("incidents", "incident"),
    )
    index("incidents", "opened_at")
    index("incidents", "status", "opened_at")
    op.create_table(
        "incident_anomalies",
        words("incident"),
        words("anomaly"),
        primary("incident_anomalies", "incident", "anomaly"),
        sa.ForeignKeyConstraint(
            ["incident"], ["incidents.incident"], name=op.f("fk_incident_anomalies_incident")
        ),
    )
    op.create_table(
        "anomalies",
        *map(words, ("anomaly", "group", "change", "source", "kind", "service", "series")),
        words("severity"),
        time("since"),
        time("cleared_at", nullable=True),
        *snapshot(),
        primary("anomalies", "anomaly"),
    )
    index("anomalies", "since")


def actions() -> None:
    op.create_table(
        "actions",
        words("event"),
        time("at"),
        words("incident"),
        words("run"),
        whole("step"),
        *map(words, ("name", "phase", "status")),
        sa.Column("dry_run", sa.Boolean, nullable=False),
        words("detail"),
        primary("actions", "event"),
    )
    index("actions", "incident")
    index("actions", "run")
    op.create_table(
        "waiting",
        *map(words, ("decision", "plan_hash", "incident")),
        time("at"),
        time("expires_at", nullable=True),
        primary("waiting", "decision"),
    )
    index("waiting", "at")
    index("waiting", "plan_hash")


def budgets() -> None:
    op.create_table(
        "budgets",
        words("objective"),
        words("service"),
        ratio("target"),
        time("bucket_start"),
        ratio("left"),
        ratio("burn"),
        *snapshot(),
        primary("budgets", "objective"),
    )
    op.create_table(
        "budget_history",
        words("objective"),
        time("bucket_start"),
        *map(ratio, ("total", "bad", "left", "burn")),
        *snapshot(),
        primary("budget_history", "objective", "bucket_start"),
        sa.ForeignKeyConstraint(
            ["objective"], ["budgets.objective"], name=op.f("fk_budget_history_objective")
        ),
    )
    op.create_table(
        "costs",
        words("incident"),
        *map(ratio, ("amount", "low", "high")),
        words("currency"),
        *snapshot(),
        primary("costs", "incident"),
    )
    op.create_table(
        "catalogue",
        *map(words, ("kind", "name", "version")),
        time("since"),
        words("body"),
        primary("catalogue", "kind", "name", "version"),
    )


def audit() -> None:
    op.create_table(
        "audit",
        whole("number"),
        *map(words, ("event", "schema", "body", "previous", "hash")),
        primary("audit", "number"),
    )
    index("audit", "event", unique=True)
    for statement in GUARDS[op.get_bind().dialect.name]:
        op.execute(sa.text(statement))


# An insert is guarded too: REPLACE deletes without the delete trigger, and a number out of
# turn would hide a gap.
GUARDS = {
    "sqlite": (
        """CREATE TRIGGER audit_update BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END""",
        """CREATE TRIGGER audit_delete BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END""",
        """CREATE TRIGGER audit_insert BEFORE INSERT ON audit
        WHEN NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM audit)
        OR EXISTS (SELECT 1 FROM audit WHERE event = NEW.event)
        BEGIN SELECT RAISE(ABORT, 'the audit is append-only and without gaps'); END""",
    ),
    "postgresql": (
        """CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'the audit is append-only'; END $$""",
        """CREATE FUNCTION audit_next() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM audit) THEN
            RAISE EXCEPTION 'the audit is append-only and without gaps';
          END IF;
          RETURN NEW;
        END $$""",
        """CREATE TRIGGER audit_change BEFORE UPDATE OR DELETE ON audit
        FOR EACH ROW EXECUTE FUNCTION audit_refuse()""",
        """CREATE TRIGGER audit_truncate BEFORE TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""",
        """CREATE TRIGGER audit_insert BEFORE INSERT ON audit
        FOR EACH ROW EXECUTE FUNCTION audit_next()""",
    ),
}
