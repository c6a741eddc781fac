"""A runbook with its values in place: the steps of a plan, exactly as they would be carried out."""

from collections.abc import Mapping

from runbooks import template
from runbooks.checks import parse
from runbooks.model import Arguments, Runbook, StepSpec, StringParam
from schemas.event import Severity
from schemas.plans import Action, Check, Step

INCIDENT = ("id", "service", "severity")  # what a runbook may say of the incident


def values_for(
    runbook: Runbook, *, incident: str, service: str, severity: Severity
) -> template.Values:
    """What the runbook's placeholders stand for in an incident.

    Raises Rejected when the name of the service is not one that could be meant.
    """
    return {
        "params": {name: param.value(severity) for name, param in runbook.params.items()},
        "incident": {"id": incident, "service": service, "severity": severity.value},
    }


def resolved(runbook: Runbook, values: template.Values) -> tuple[Step, ...]:
    """The steps. Raises Rejected for an unknown placeholder, an unsafe value, a broken check."""
    allowed = {
        name: param.path_characters
        for name, param in runbook.params.items()
        if isinstance(param, StringParam)
    }
    return tuple(_step(spec, values, allowed) for spec in runbook.steps)


def blast_radius(runbook: Runbook, values: template.Values) -> tuple[str, ...]:
    """The services that the runbook touches. Raises Rejected as `resolved`."""
    return tuple(template.text(service, values) for service in runbook.blast_radius)


def _step(spec: StepSpec, values: template.Values, allowed: Mapping[str, str]) -> Step:
    def action(arguments: Arguments) -> Action:
        return Action.of(spec.use, dict(template.filled(arguments, values, allowed)))

    precheck = None
    if spec.precheck is not None:
        expect = template.expression(spec.precheck.expect, values)
        parse(expect)
        precheck = Check(action=action(spec.precheck.call), expect=expect)
    return Step(
        name=spec.name,
        summary=template.sentence(spec.summary, values),
        touches=template.text(spec.touches, values),
        precheck=precheck,
        observe=None if spec.observe is None else action(spec.observe),
        do=action(spec.do),
        undo=None if spec.undo is None else action(spec.undo),
        irreversible=spec.because,
        timeout_s=spec.timeout,
    )
