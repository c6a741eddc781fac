"""The whole system on one screen: every stage, what it reads, what it writes, what it is made of.

Each is a consumer group of its own and can move to a worker of its own. Before them stands
intake (raw records to frames); beside them the clock, whose ticks reach the stages that wait
for something.
"""

from schemas.topics import (
    ANOMALIES,
    APPROVALS,
    APPROVED,
    BARS,
    BUDGETS,
    DECISIONS,
    FITS,
    FORECASTS,
    INCIDENTS,
    LOGLINES,
    OUTCOMES,
    PLANS,
    REFUSALS,
    REPORTS,
    RESULTS,
    ROLLBACKS,
    SAMPLES,
    TEMPLATES,
    VERDICTS,
)
from streams import parts
from streams.stage import Stage

STORY = (INCIDENTS, FORECASTS, PLANS, DECISIONS, APPROVALS, APPROVED, RESULTS, OUTCOMES)
RECORD = (ANOMALIES, BUDGETS, *STORY, ROLLBACKS, REFUSALS, REPORTS, VERDICTS, BARS)

STAGES: tuple[Stage, ...] = (
    Stage("detect", (SAMPLES, BARS), (ANOMALIES,), parts.detect),
    Stage("logs", (LOGLINES,), (TEMPLATES, SAMPLES, ANOMALIES), parts.logs),
    Stage("slo", (SAMPLES,), (BUDGETS, ANOMALIES), parts.slo),
    Stage("correlate", (ANOMALIES, APPROVED, RESULTS, OUTCOMES), (INCIDENTS,), parts.correlate, ticks=True),
    Stage("forecast", (BUDGETS, INCIDENTS, FITS), (FORECASTS, FITS), parts.forecast),
    Stage("plan", (FORECASTS, OUTCOMES), (PLANS, OUTCOMES), parts.plan, ticks=True),
    Stage("policy", (PLANS,), (DECISIONS, OUTCOMES), parts.policy),
    Stage("approve", (DECISIONS, APPROVALS, OUTCOMES), (APPROVED, REFUSALS, OUTCOMES), parts.approve, ticks=True),
    Stage("execute", (APPROVED, RESULTS, ROLLBACKS, OUTCOMES), (RESULTS, REFUSALS), parts.execute, ticks=True),
    Stage("verify", (RESULTS, INCIDENTS, OUTCOMES), (OUTCOMES,), parts.verify, ticks=True),
    Stage("explain", (*STORY, ROLLBACKS, REFUSALS), (REPORTS,), parts.explain, ticks=True),
    Stage("verdicts", (VERDICTS,), (BARS, REFUSALS), parts.verdicts),
    Stage("store", RECORD, (), parts.store),
    Stage("audit", RECORD, (), parts.audit),
)  # fmt: skip

BY_NAME: dict[str, Stage] = {stage.name: stage for stage in STAGES}
