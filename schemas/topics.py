"""Every topic, once: what travels on it, how it is keyed, how long it is kept.

Control topics share one partition count and one key, the incident's correlation group,
so that all that concerns one incident is in one partition, in order, and stages that read
several topics are given the same partitions of each.
"""

from dataclasses import dataclass, field

from schemas.anomalies import Anomaly
from schemas.budgets import Budget
from schemas.event import Event
from schemas.forecasts import Forecast, LoadFit
from schemas.incidents import Incident
from schemas.intake import IntakeReport
from schemas.operations import DeadLetter, Tick
from schemas.outcomes import Outcome, Report
from schemas.plans import Approval, Approved, Decision, Plan, Refusal
from schemas.results import Rollback, StepResult
from schemas.templates import Template
from schemas.verdicts import Bar, Verdict

DAY_MS = 86_400_000
PARTITIONS = 4  # of every topic that we make; more workers than this would idle


@dataclass(frozen=True)
class Topic:
    """A topic of ours: `event` is None where frames travel (schemas/frames.py)."""

    name: str
    event: type[Event] | None
    key: str
    retention_ms: int
    partitions: int = PARTITIONS
    compacted: bool = False
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, str]:
        """The broker's topic settings, by Kafka's names."""
        return {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": str(self.retention_ms),
            **self.settings,
        }


LARGE = {"max.message.bytes": str(8 * 1024 * 1024)}  # batches, frames, bundles

RAW_METRICS = Topic("raw.metrics", None, "producer's own", 3 * DAY_MS, settings=LARGE)
RAW_LOGS = Topic("raw.logs", None, "producer's own", 3 * DAY_MS, settings=LARGE)
RAW_REMOTE_WRITE = Topic("raw.remote-write", None, "producer's own", 3 * DAY_MS, settings=LARGE)

SAMPLES = Topic("samples.v1", None, "service", 3 * DAY_MS, settings=LARGE)
LOGLINES = Topic("loglines.v1", None, "service", 3 * DAY_MS, settings=LARGE)
TEMPLATES = Topic("templates.v1", Template, "group", 90 * DAY_MS)
ANOMALIES = Topic("anomalies.v1", Anomaly, "group", 30 * DAY_MS)
BUDGETS = Topic("budgets.v1", Budget, "group", 30 * DAY_MS)
INCIDENTS = Topic("incidents.v1", Incident, "group", 90 * DAY_MS)
FORECASTS = Topic("forecasts.v1", Forecast, "group", 30 * DAY_MS)
FITS = Topic("fits.v1", LoadFit, "group", 7 * DAY_MS)
PLANS = Topic("plans.v1", Plan, "group", 90 * DAY_MS)
DECISIONS = Topic("decisions.v1", Decision, "group", 90 * DAY_MS)
APPROVALS = Topic("approvals.v1", Approval, "group", 90 * DAY_MS)
APPROVED = Topic("approved.v1", Approved, "group", 90 * DAY_MS)
RESULTS = Topic("results.v1", StepResult, "group", 90 * DAY_MS)
ROLLBACKS = Topic("rollbacks.v1", Rollback, "group", 90 * DAY_MS)
REFUSALS = Topic("refusals.v1", Refusal, "group", 90 * DAY_MS)
OUTCOMES = Topic("outcomes.v1", Outcome, "group", 90 * DAY_MS)
REPORTS = Topic("reports.v1", Report, "group", 365 * DAY_MS, settings=LARGE)
VERDICTS = Topic("verdicts.v1", Verdict, "group", 365 * DAY_MS)
BARS = Topic("bars.v1", Bar, "service", 365 * DAY_MS, compacted=True)
TICKS = Topic("ticks.v1", Tick, "none, one a partition", DAY_MS // 24)
DEADLETTERS = Topic("deadletters.v1", DeadLetter, "source topic", 14 * DAY_MS, settings=LARGE)
INTAKE_REPORTS = Topic("intakereports.v1", IntakeReport, "worker", DAY_MS, settings=LARGE)

RAW = (RAW_METRICS, RAW_LOGS, RAW_REMOTE_WRITE)
CATALOGUE: tuple[Topic, ...] = (
    *RAW, SAMPLES, LOGLINES, TEMPLATES, ANOMALIES, BUDGETS, INCIDENTS, FORECASTS, FITS, PLANS,
    DECISIONS, APPROVALS, APPROVED, RESULTS, ROLLBACKS, REFUSALS, OUTCOMES, REPORTS,
    VERDICTS, BARS, TICKS, DEADLETTERS, INTAKE_REPORTS,
)  # fmt: skip

BY_EVENT: dict[type[Event], Topic] = {t.event: t for t in CATALOGUE if t.event is not None}
BY_NAME: dict[str, Topic] = {t.name: t for t in CATALOGUE}
