"""What each stage is made of: the one place where decisions meet settings, files and clients.

Imports are inside: a worker loads what its own stages need and nothing else.
"""
# ruff: noqa: PLC0415 - see above

from typing import Any

from streams.settings import Settings


def groups(settings: Settings) -> dict[str, str]:
    """Service -> correlation group."""
    services: dict[str, str] = topology(settings).groups()
    return services


def topology(settings: Settings) -> Any:
    """The services' dependencies; none when no file is named."""
    from runbooks.topology import Topology, load_topology

    path = settings.files.topology
    return load_topology(path) if path else Topology()


def objectives(settings: Settings) -> Any:
    """The objectives in the SLO folder."""
    from runbooks.objectives import load

    return load(settings.files.slo).objectives


def rules(settings: Settings) -> Any:
    """The static rules; none when no file is named."""
    from runbooks.thresholds import load_rules

    path = settings.files.rules
    return load_rules(path) if path else ()


def detect(settings: Settings) -> Any:
    """The vectorised scorer over frames."""
    from agents.detect import Detect
    from agents.scorer.scorer import warm_up

    warm_up()
    return Detect(settings.detect, groups(settings), rules(settings))


def logs(settings: Settings) -> Any:
    """The template miner over frames of log lines."""
    from agents.logs.stage import Logs

    return Logs(settings.logs, groups(settings))


def slo(settings: Settings) -> Any:
    """Error budgets and burn alerts over frames."""
    from agents.slo import Slo

    return Slo(objectives(settings), groups(settings))


def correlate(settings: Settings) -> Any:
    """Anomalies to incidents."""
    from agents.correlate import Correlate

    guarded = {objective.service for objective in objectives(settings)}
    return Correlate(settings.correlate, topology(settings), guarded)


def forecast(settings: Settings) -> Any:
    """Incidents to forecasts."""
    from agents.forecast import Foresee

    return Foresee(settings.forecast, objectives(settings))


def plan(settings: Settings) -> Any:
    """Forecasts to plans, from the runbooks whose targets are allowed."""
    from agents.plan import Propose
    from executors.registry import targets
    from runbooks.loader import load

    allowed = targets(settings.executor)
    return Propose(
        settings.plan,
        load(settings.files.runbooks, allowed),
        allowed,
        environment=settings.environment,
        dry_run=settings.dry_run,
    )


def policy(settings: Settings) -> Any:
    """Plans to decisions, by Rego in process or by an OPA server."""
    from agents.policy import Judge

    return Judge(evaluator(settings), environment=settings.environment)


def evaluator(settings: Settings) -> Any:
    """What answers for the policies."""
    if settings.opa.url:
        from runbooks.opa import Opa

        return Opa(settings.opa)
    from runbooks.rego import Rego

    return Rego(settings.files.policies)


def approve(settings: Settings) -> Any:
    """Decisions and signed answers to approved plans."""
    from agents.approve import Approve

    return Approve(settings.approve, settings.identity)


def execute(settings: Settings) -> Any:
    """Approved plans to results."""
    from executors.execute import Execute
    from executors.registry import make
    from streams.worker import utc_now

    executor = make(settings.executor, utc_now)
    return Execute(
        settings.execute, {settings.executor.backend: executor}, settings.identity, clock=utc_now
    )


def verify(settings: Settings) -> Any:
    """Results and incidents to outcomes."""
    from agents.verify import Verify

    return Verify(settings.verify)


def explain(settings: Settings) -> Any:
    """Everything of an incident to a report."""
    from agents.explain import Explain
    from runbooks.rates import load_rates

    return Explain(settings.explain, load_rates(settings.files.rates), objectives(settings))


def verdicts(settings: Settings) -> Any:
    """People's verdicts to the bars of services."""
    from agents.verdicts import Judge

    return Judge(settings.verdicts, settings.identity, groups(settings))


def store(settings: Settings) -> Any:
    """Every event in the database."""
    from sinks.store import Store

    return Store(settings.database.url.get_secret_value())


def audit(settings: Settings) -> Any:
    """Every event in the hash chain."""
    from sinks.audit import Audit

    return Audit(
        settings.database.url.get_secret_value(),
        settings.audit.checkpoint,
        settings.audit.key.get_secret_value().encode(),
    )
