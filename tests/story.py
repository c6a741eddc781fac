"""One incident from its first anomaly to its end, as the pipeline would tell it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from schemas.anomalies import Anomaly
from schemas.budgets import Budget
from schemas.event import Event, Severity, derive
from schemas.forecasts import BudgetForecast, Eta, Forecast, LoadForecast
from schemas.incidents import Incident, Signal
from schemas.outcomes import Outcome
from schemas.plans import (
    Action,
    Approval,
    Approved,
    Candidate,
    Check,
    Constraint,
    Decision,
    Plan,
    Rule,
    Step,
    Verification,
    plan_hash,
)
from schemas.results import StepResult
from schemas.topics import BY_EVENT

START = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)


class Stood(NamedTuple):
    """Where a record stood."""

    topic: str
    partition: int
    offset: int


@dataclass
class Script:
    """Builds events in order, stamping each from its cause; `said` holds all of them."""

    name: str = "a"
    service: str = "checkout"
    said: list[Event] = field(default_factory=list)

    def say(self, event: Event, cause: Event | None = None) -> Any:
        """Stamp and keep an event."""
        stamped = event.stamped(
            stage=event.SUBJECT,
            cause=cause.id if cause else "",
            position=f"{self.name}/{len(self.said)}",
            trace=cause.trace if cause else "",
        )
        self.said.append(stamped)
        return stamped

    @property
    def ident(self) -> str:
        """The incident that it is about."""
        return f"inc-{derive(self.name)[:12]}"

    @property
    def group(self) -> str:
        """Its correlation group."""
        return f"{self.service}-group"

    def positions(self, first: int = 0) -> list[tuple[Event, Stood]]:
        """The events as a sink is given them."""
        return [
            (event, Stood(BY_EVENT[type(event)].name, 0, first + n))
            for n, event in enumerate(self.said)
        ]

    def anomaly(self, seconds: float, *, change: str = "opened", number: int = 1) -> Anomaly:
        """Errors far above expected, or their end."""
        at = START + timedelta(seconds=seconds)
        return self.say(  # type: ignore[no-any-return]
            Anomaly(
                at=at,
                group=self.group,
                anomaly=derive(self.name, "anomaly", str(number)),
                change=change,  # type: ignore[arg-type]
                source="metric",
                kind="level shift",
                service=self.service,
                series=f'http_errors_per_s{{service="{self.service}",n="{number}"}}',
                direction="up",
                severity=Severity.high,
                score=2.25,
                raw=7.125,
                value=42.5 + number,
                low=0.5,
                high=3.75,
                since=START,
                ending="recovered" if change == "cleared" else "",
                reason="errors at 42.5/s, expected 0.5 to 3.75",
                evidence_at=tuple(START.timestamp() - 300 + 10 * n for n in range(36)),
                evidence_value=tuple(2 + (n % 3) * 0.5 + 40 * (n > 30) for n in range(36)),
            )
        )

    def signal(self, anomaly: Anomaly) -> Signal:
        """The anomaly as its incident knows it."""
        names = set(Signal.model_fields) - {"score", "seen", "cleared_at", "record"}
        copied = {name: getattr(anomaly, name) for name in names}
        cleared = anomaly.at if anomaly.change == "cleared" else None
        return Signal(
            **copied, score=anomaly.raw, seen=anomaly.at, cleared_at=cleared, record=anomaly.id
        )

    def incident(self, seconds: float, *anomalies: Anomaly, **changes: Any) -> Incident:
        """The incident after a change."""
        at = START + timedelta(seconds=seconds)
        values: dict[str, Any] = {
            "change": "opened",
            "status": "open",
            "title": f"{self.service}: errors far above expected",
            "severity": Severity.high,
            "reason": "first anomaly of its group",
            **changes,
        }
        return self.say(  # type: ignore[no-any-return]
            Incident(
                at=at,
                group=self.group,
                incident=self.ident,
                service=self.service,
                services=(self.service,),
                opened_at=START,
                signals=tuple(self.signal(anomaly) for anomaly in anomalies),
                **values,
            ),
            anomalies[-1] if anomalies else None,
        )

    def budget(self, seconds: float, *, left: float = 0.61, burn: float = 18.4) -> Budget:
        """A closed bucket."""
        at = START + timedelta(seconds=seconds)
        return self.say(  # type: ignore[no-any-return]
            Budget(
                at=at,
                group=self.group,
                service=self.service,
                objective=f"{self.service}-availability",
                target=0.999,
                period_s=30 * 86400,
                bucket_start=at.replace(second=0),
                bucket_s=60,
                total=7200,
                bad=132.48,
                period_total=3e8,
                period_bad=117_000,
                left=left,
                burn=burn,
            )
        )

    def budget_forecast(self, budget: Budget) -> BudgetForecast:
        """When that budget is gone."""
        return BudgetForecast(
            objective=budget.objective,
            verdict="exhausts",
            reason="at this burn the budget is gone today",
            left=budget.left,
            burn=budget.burn,
            exhausts=0.93,
            minutes=Eta(p05=18.5, p10=21.25, p25=30, p50=41.5, p75=60, p90=77.75, p95=95),
            horizon_minutes=240,
            fan_minutes=(0, 60, 120, 240),
            fan_low=(0.61, -0.2, -0.9, -2.0),
            fan_mid=(0.61, 0.1, -0.3, -1.1),
            fan_high=(0.61, 0.4, 0.2, 0.05),
            record=budget.id,
        )

    def forecast(self, seconds: float, incident: Incident, budget: Budget) -> Forecast:
        """What to expect."""
        return self.say(  # type: ignore[no-any-return]
            Forecast(
                at=START + timedelta(seconds=seconds),
                group=self.group,
                incident=incident,
                budget=self.budget_forecast(budget),
                load=LoadForecast(
                    verdict="forecast",
                    model="profile",
                    reason="14 days of history",
                    now=118.75,
                    hour=120.5,
                    hour_low=96.25,
                    hour_high=151.0,
                    six_hours=90,
                    six_hours_low=70,
                    six_hours_high=120,
                ),
            ),
            incident,
        )

    def plan(self, seconds: float, forecast: Forecast, **changes: Any) -> Plan:
        """A proposal of one step."""
        scale = Action.of("kubernetes", {"kind": "scale", "replicas": 6})
        values: dict[str, Any] = {
            "runbook": "scale-out",
            "runbook_version": "3",
            "owner": "checkout-team",
            "risk": "low",
            "blast_radius": (self.service,),
            "environment": "production",
            "dry_run": False,
            "requested_by": "sentinel",
            "steps": (
                Step(
                    name="scale",
                    summary="run 6 replicas in place of 4",
                    precheck=Check(
                        action=Action.of("kubernetes", {"kind": "read"}), expect="replicas < 8"
                    ),
                    observe=Action.of("kubernetes", {"kind": "read"}),
                    do=scale,
                    undo=Action.of("kubernetes", {"kind": "scale", "replicas": "{{before.x}}"}),
                    timeout_s=30,
                ),
            ),
            "verification": Verification(within_s=300, stable_s=60),
            "candidates": (
                Candidate(
                    runbook="scale-out", score=0.82, chosen=True, reasons=("load is up by 40 %",)
                ),
                Candidate(runbook="restart", score=0.31, chosen=False, reasons=("no leak seen",)),
            ),
            "reason": "scale-out fits best, 0.82 of 1",
            **changes,
        }
        plan = Plan(
            at=START + timedelta(seconds=seconds),
            group=self.group,
            incident=forecast.incident,
            budget=forecast.budget,
            **values,
        )
        return self.say(plan.model_copy(update={"hash": plan_hash(plan)}), forecast)  # type: ignore[no-any-return]

    def decision(self, seconds: float, plan: Plan, effect: str = "allow", **more: Any) -> Decision:
        """What policy said."""
        values: dict[str, Any] = {
            "rules": (Rule(id="risk.low", effect=effect, reason="risk low in production"),),  # type: ignore[arg-type]
            "constraints": (Constraint(name="step_timeout_s", value="20"),),
            "engine": "regopy 1.0",
            "reason": "risk low in production",
            **more,
        }
        at = START + timedelta(seconds=seconds)
        event = Decision(at=at, group=self.group, plan=plan, effect=effect, **values)  # type: ignore[arg-type]
        return self.say(event, plan)  # type: ignore[no-any-return]

    def approval(self, seconds: float, plan: Plan, answer: str = "approve") -> Approval:
        """A person's answer."""
        return self.say(  # type: ignore[no-any-return]
            Approval(
                at=START + timedelta(seconds=seconds),
                group=self.group,
                incident=self.ident,
                plan_hash=plan.hash,
                answer=answer,  # type: ignore[arg-type]
                by="sre-oncall",
                comment="looks right",
                signature="00" * 64,
            ),
        )

    def approved(self, seconds: float, decision: Decision, *approvals: Approval) -> Approved:
        """The plan may run."""
        return self.say(  # type: ignore[no-any-return]
            Approved(
                at=START + timedelta(seconds=seconds),
                group=self.group,
                plan=decision.plan,
                decision=decision.id,
                rules=decision.rules,
                constraints=decision.constraints,
                approved_by=tuple(a.by for a in approvals) or ("policy",),
                approvals=tuple(a.id for a in approvals),
            ),
            decision,
        )

    def result(
        self, seconds: float, approved: Approved, phase: str, status: str, **more: Any
    ) -> StepResult:
        """What a phase of a step, or the run, came to."""
        run = phase == "run"
        values: dict[str, Any] = {
            "detail": f"{phase} {status}",
            "duration_s": 0.0 if run or status == "started" else 1.75,
            "rollback_token": "rb-token" if run else "",
            **more,
        }
        return self.say(  # type: ignore[no-any-return]
            StepResult(
                at=START + timedelta(seconds=seconds),
                group=self.group,
                incident=self.ident,
                plan_hash=approved.plan.hash,
                run=f"run-{derive('run', approved.id)[:12]}",
                step=-1 if run else 0,
                name="run" if run else "scale",
                phase=phase,  # type: ignore[arg-type]
                status=status,  # type: ignore[arg-type]
                dry_run=approved.plan.dry_run,
                **values,
            ),
            approved,
        )

    def outcome(self, seconds: float, result: str, cause: Event | None, **more: Any) -> Outcome:
        """A turn in how it ends."""
        values: dict[str, Any] = {"final": True, "by": "verify", "reason": "as said", **more}
        return self.say(  # type: ignore[no-any-return]
            Outcome(
                at=START + timedelta(seconds=seconds),
                group=self.group,
                incident=self.ident,
                result=result,  # type: ignore[arg-type]
                **values,
            ),
            cause,
        )

    def proposed(self, **changes: Any) -> Plan:
        """From the first anomaly to a plan."""
        anomaly = self.anomaly(0)
        incident = self.incident(1, anomaly)
        return self.plan(3, self.forecast(2, incident, self.budget(1.5)), **changes)

    def carried_out(self, approved: Approved, *ends: str) -> StepResult:
        """A run of one step; `ends` names how the run ended."""
        self.result(21, approved, "run", "started")
        self.result(22, approved, "precheck", "succeeded", answer='{"replicas": 4}')
        self.result(23, approved, "do", "started")
        self.result(25, approved, "do", "succeeded", before='{"replicas": 4}')
        return self.result(26, approved, "run", *(ends or ("succeeded",)))


def fixed(name: str = "a") -> Script:
    """An incident that a run has fixed and that stayed quiet."""
    script = Script(name)
    plan = script.proposed()
    approved = script.approved(20, script.decision(4, plan))
    end = script.carried_out(approved)
    cleared = script.anomaly(90, change="cleared")
    quiet = script.incident(
        91, cleared, change="quiet", status="mitigating", quiet_since=START + timedelta(seconds=90)
    )
    outcome = script.outcome(
        151, "resolved", end, run=end.run, plan_hash=plan.hash, verified=True,
        reason="quiet for 60 s",
    )  # fmt: skip
    script.incident(
        152, cleared, change="resolved", status="resolved", quiet_since=quiet.quiet_since,
        reason=outcome.reason,
    )  # fmt: skip
    return script
