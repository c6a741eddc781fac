"""Correlate: the anomalies of one fault become one incident with one life.

An anomaly joins the open incident of its group when its service is related to one that the
incident names. A new incident needs more than a weak sign: a burning budget, a score that is
severe by itself, or series that agree for a while. Series that agree must include one of a
service with an objective where there is one nearby: a batch job that starts is no incident
as long as nobody feels it. What else of a service moved counts for both (support.py): a severe
anomaly that stands alone must last as well, and one that many siblings back opens without a
second. Until then anomalies wait as candidates; weak signs support, they open nothing. Only an
outcome ends an incident; while it is open, everything related joins it, so one fault is one
incident.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from agents.support import SupportSettings, support, weigh
from runbooks.topology import Topology
from schemas.anomalies import Anomaly
from schemas.event import Event, Severity, derive
from schemas.incidents import Incident, Signal
from schemas.operations import Tick
from schemas.outcomes import Outcome
from schemas.plans import Approved
from schemas.results import StepResult
from schemas.turn import Turn

WEAK = 64  # weak signs a group that are remembered: they are counted, not told one by one
ESCALATING = {"rolled_back", "rollback_failed", "refused", "no_plan", "escalated"}


class CorrelateSettings(BaseModel):
    """When anomalies belong together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window_s: float = Field(
        default=300.0, gt=0, description="anomalies within this many seconds can be one fault"
    )
    alone: Severity = Field(
        default=Severity.high, description="an anomaly this severe is an incident by itself"
    )
    together: int = Field(
        default=2, ge=1, description="as many series that agree are an incident, if they last"
    )
    confirm_s: float = Field(
        default=10.0, ge=0, description="how long they must agree, seconds; 0: at once"
    )
    backed: Severity = Field(
        default=Severity.medium,
        description="an anomaly this severe that its siblings back is an incident at once",
    )
    support: SupportSettings = SupportSettings()


class Weak(BaseModel):
    """A weak sign of a series: the newest."""

    model_config = ConfigDict(frozen=True)

    service: str
    series: str
    at: datetime


class Open(BaseModel):
    """An incident that has not been resolved, as last said."""

    model_config = ConfigDict(frozen=True)

    incident: Incident


class Group(BaseModel):
    """What correlate remembers of a group: candidates and open incidents."""

    model_config = ConfigDict(frozen=True)

    name: str
    candidates: tuple[Signal, ...] = ()
    open: tuple[Open, ...] = ()
    weak: tuple[Weak, ...] = ()


class Correlate:
    """Anomalies, approvals, results and outcomes of a group to the lives of its incidents."""

    State = Group

    def __init__(
        self,
        settings: CorrelateSettings,
        topology: Topology,
        guarded: Collection[str] = (),
    ) -> None:
        """`guarded` are the services that have an objective."""
        self._settings = settings
        self._topology = topology
        self._guarded = frozenset(guarded)

    def key(self, event: Event) -> str:
        """The group; results count only as the start of a run."""
        if isinstance(event, StepResult) and (event.phase, event.status) != ("run", "started"):
            return ""
        return event.group

    def run(self, event: Event, state: Group | None, now: datetime) -> Turn[Group]:
        """Anomalies open, feed and quieten incidents; outcomes end them; ticks forget."""
        group = state or Group(name=event.group)
        match event:
            case Anomaly():
                return self._on_anomaly(event, group, now)
            case Approved():
                return _mitigating(group, event.plan.incident.incident, "a plan was approved", now)
            case StepResult():
                return _mitigating(group, event.incident, f"{event.run} started", now)
            case Outcome():
                return _ended(group, event, now)
            case Tick():
                return self._on_tick(group, now)
        return Turn(state)

    def _on_anomaly(self, anomaly: Anomaly, group: Group, now: datetime) -> Turn[Group]:
        if anomaly.change == "weak":  # no alarm and no life: it neither opens nor disquiets
            return Turn(self._with_weak(group, anomaly, now))
        signal = _signal(anomaly)
        for index, opened in enumerate(group.open):
            if self._belongs(signal, opened):
                fed, said = _fed(opened, signal, now)
                return Turn(_replaced(group, index, fed), said)
        if anomaly.change == "cleared":
            kept = tuple(s for s in group.candidates if s.anomaly != signal.anomaly)
            return Turn(_or_none(group.model_copy(update={"candidates": kept})))
        candidates = _merged(self._fresh(group.candidates, now), signal)
        waiting = group.model_copy(update={"candidates": candidates})
        return self._opened_by(signal, waiting, now) or Turn(waiting)

    def _with_weak(self, group: Group, anomaly: Anomaly, now: datetime) -> Group | None:
        if anomaly.raw < self._settings.support.weak:  # noise has as much
            return _or_none(group)
        new = Weak(service=anomaly.service, series=anomaly.series, at=anomaly.at)
        others = (w for w in self._lately(group, now).weak if w.series != new.series)
        return group.model_copy(update={"weak": (*others, new)[-WEAK:]})

    def _lately(self, group: Group, now: datetime) -> Group:
        oldest = now - timedelta(seconds=self._settings.window_s)
        if all(weak.at >= oldest for weak in group.weak):
            return group
        return group.model_copy(update={"weak": tuple(w for w in group.weak if w.at >= oldest)})

    def _near(self, group: Group, signals: tuple[Signal, ...], now: datetime) -> list[Weak]:
        """Weak signs of services that are related to the signals', of other series than theirs."""
        theirs = {signal.series for signal in signals}
        services = {signal.service for signal in signals}
        return [
            weak
            for weak in self._lately(group, now).weak
            if weak.series not in theirs
            and any(self._topology.related(weak.service, service) for service in services)
        ]

    def _opened_by(self, signal: Signal, group: Group, now: datetime) -> Turn[Group] | None:
        """The incident that a candidate and all that is related to it make, if they do."""
        related = self._cluster(signal, group.candidates)
        near = self._near(group, related, now)
        reason = self._enough(related, near, now)
        if not reason:
            return None
        incident = _opened(group.name, related, reason, now)
        said = support(related, [weak.service for weak in near])
        incident = incident.model_copy(update={"support": said})
        left = tuple(s for s in group.candidates if s not in related)
        opened = group.model_copy(
            update={"candidates": left, "open": (*group.open, Open(incident=incident))}
        )
        return Turn(opened, (incident,))

    def _cluster(self, signal: Signal, candidates: tuple[Signal, ...]) -> tuple[Signal, ...]:
        """The candidates that hang together with one, directly or over others."""
        services, before = {signal.service}, 0
        while len(services) != before:
            before = len(services)
            services |= {
                s.service
                for s in candidates
                if any(self._topology.related(s.service, service) for service in services)
            }
        return tuple(s for s in candidates if s.service in services)

    def _belongs(self, signal: Signal, opened: Open) -> bool:
        incident = opened.incident
        if any(s.anomaly == signal.anomaly for s in incident.signals):
            return True
        return signal.cleared_at is None and any(
            self._topology.related(signal.service, service) for service in incident.services
        )

    def _fresh(self, candidates: tuple[Signal, ...], now: datetime) -> tuple[Signal, ...]:
        oldest = now - timedelta(seconds=self._settings.window_s)
        return tuple(s for s in candidates if s.since >= oldest)

    def _enough(self, signals: tuple[Signal, ...], near: list[Weak], now: datetime) -> str:
        """Why these are an incident; empty when they are not yet."""
        for signal in signals:
            if signal.source == "slo":
                return f"the budget burns: {signal.reason}"
            if reason := self._by_itself(signal, len(near)):
                return reason
        alarms = [s for s in signals if s.score >= 1]
        if len({s.series for s in alarms}) < self._settings.together or not self._felt(alarms):
            return ""
        agreed = sorted(s.since for s in alarms)[self._settings.together - 1]
        lasted = (now - agreed).total_seconds()
        for alarm in alarms:
            weight = weigh(alarm, self._settings.support, len(near))
            if weight.backed:
                return f"{len(alarms)} series of related services agree; {weight.reason}"
        if lasted < self._settings.confirm_s:
            return ""
        return f"{len(alarms)} series of related services agree for {lasted:.0f} s"

    def _by_itself(self, signal: Signal, weak: int) -> str:
        """Why one anomaly is an incident without another; empty when it is not, or not yet."""
        if signal.score < 1:
            return ""
        settings = self._settings
        weight = weigh(signal, settings.support, weak)
        if signal.severity.rank >= settings.alone.rank:
            if not weight.alone:
                return f"{signal.severity.value} by itself: {signal.reason}"
            lasted = _lasted(signal)
            if lasted < settings.confirm_s:
                return ""
            return f"{signal.severity.value} for {lasted:.0f} s: {signal.reason}; {weight.reason}"
        if signal.severity.rank >= settings.backed.rank and weight.backed and self._felt([signal]):
            return f"{signal.severity.value} and backed: {signal.reason}; {weight.reason}"
        return ""

    def _felt(self, signals: list[Signal]) -> bool:
        """Whether a service with an objective is among them, or none is anywhere near."""
        services = {s.service for s in signals}
        near = {
            guarded
            for guarded in self._guarded
            if any(self._topology.related(guarded, service) for service in services)
        }
        return not near or bool(near & services)

    def _on_tick(self, group: Group, now: datetime) -> Turn[Group]:
        """Time passes: candidates become incidents, or are let go."""
        fresh = self._fresh(group.candidates, now)
        kept = self._lately(group, now).model_copy(update={"candidates": fresh})
        for signal in kept.candidates:
            opened = self._opened_by(signal, kept, now)
            if opened is not None:
                return opened
        return Turn(_or_none(kept))


def _lasted(signal: Signal) -> float:
    """For how long a signal was seen out of its range, seconds; 0 when it is back in it.

    Event time: of a series that is sampled each minute nothing is known in between.
    """
    if signal.seen is None or signal.low <= signal.value <= signal.high:
        return 0.0
    return (signal.seen - signal.since).total_seconds()


def _signal(anomaly: Anomaly) -> Signal:
    cleared = anomaly.change == "cleared"
    return Signal(
        anomaly=anomaly.anomaly,
        source=anomaly.source,
        kind=anomaly.kind,
        service=anomaly.service,
        series=anomaly.series,
        direction=anomaly.direction,
        severity=anomaly.severity,
        score=anomaly.raw,
        value=anomaly.value,
        low=anomaly.low,
        high=anomaly.high,
        since=anomaly.since,
        seen=anomaly.at,
        cleared_at=anomaly.at if cleared else None,
        ending=anomaly.ending,
        reason=anomaly.reason,
        record=anomaly.id,
        siblings=anomaly.siblings,
        siblings_moved=anomaly.siblings_moved,
        service_score=anomaly.service_score,
    )


def _merged(signals: Iterable[Signal], new: Signal) -> tuple[Signal, ...]:
    """The signals with `new` in the place of what it updates, its highest score kept."""
    kept, found = [], False
    for signal in signals:
        if signal.anomaly != new.anomaly:
            kept.append(signal)
            continue
        found = True
        kept.append(_strongest(signal, new))
    return (*kept,) if found else (*kept, new)


def _strongest(old: Signal, new: Signal) -> Signal:
    """The newer one, with the most that was ever seen of either."""
    scores = [s for s in (old.service_score, new.service_score) if s is not None]
    most = max(old, new, key=lambda s: s.siblings_moved)
    return new.model_copy(
        update={
            "score": max(old.score, new.score),
            "severity": max(old.severity, new.severity, key=lambda s: s.rank),
            "siblings": most.siblings,
            "siblings_moved": most.siblings_moved,
            "service_score": max(scores, default=None),
        }
    )


def _opened(group: str, signals: tuple[Signal, ...], reason: str, now: datetime) -> Incident:
    first = min(signals, key=lambda s: s.since)
    worst = _worst(signals)
    return Incident(
        at=now,
        group=group,
        incident=f"inc-{derive('incident', group, first.anomaly)[:10]}",
        change="opened",
        status="open",
        title=_title(signals),
        service=worst.service,
        services=_services(signals),
        severity=worst.severity,
        opened_at=now,
        signals=signals,
        reason=reason,
    )


def _fed(opened: Open, signal: Signal, now: datetime) -> tuple[Open, tuple[Incident, ...]]:
    """The incident with the signal in it, and what is worth saying of that."""
    before = opened.incident
    known = next((s for s in before.signals if s.anomaly == signal.anomaly), None)
    signals = _merged(before.signals, signal)
    worst = _worst(signals)
    quiet = all(s.cleared_at for s in signals)
    after = before.model_copy(
        update={
            "at": now,
            "id": "",
            "cause": "",
            "trace": "",
            "signals": signals,
            "services": _services(signals),
            "service": worst.service,
            "severity": worst.severity,
            "title": _title(signals),
            "support": support(signals) or before.support,
            "quiet_since": (before.quiet_since or now) if quiet else None,
        }
    )
    change, reason = _change(before, after, known, signal)
    if change:
        after = after.model_copy(update={"change": change, "reason": reason})
    return Open(incident=after), (after,) if change else ()


def _change(
    before: Incident, after: Incident, known: Signal | None, signal: Signal
) -> tuple[str, str]:
    if after.quiet_since and not before.quiet_since:
        return "quiet", f"all {len(after.signals)} signals are clear"
    if before.quiet_since and not after.quiet_since:
        return "noisy", f"again: {signal.reason}"
    if known is None:
        return "updated", f"also: {signal.reason}"
    if after.severity != before.severity:
        return "updated", f"{after.severity.value} now: {signal.reason}"
    if bool(known.cleared_at) != bool(signal.cleared_at):
        return "updated", signal.reason
    return "", ""


def _mitigating(group: Group, incident: str, reason: str, now: datetime) -> Turn[Group]:
    for index, opened in enumerate(group.open):
        if opened.incident.incident == incident and opened.incident.status == "open":
            after = _said(opened.incident, "mitigating", "mitigating", reason, now)
            fed = opened.model_copy(update={"incident": after})
            return Turn(_replaced(group, index, fed), (after,))
    return Turn(_or_none(group))


def _ended(group: Group, outcome: Outcome, now: datetime) -> Turn[Group]:
    for index, opened in enumerate(group.open):
        if opened.incident.incident != outcome.incident:
            continue
        if outcome.result == "resolved":
            after = _said(opened.incident, "resolved", "resolved", outcome.reason, now)
            rest = (*group.open[:index], *group.open[index + 1 :])
            return Turn(_or_none(group.model_copy(update={"open": rest})), (after,))
        if outcome.result in ESCALATING and opened.incident.status != "escalated":
            after = _said(opened.incident, "escalated", "escalated", outcome.reason, now)
            fed = opened.model_copy(update={"incident": after})
            return Turn(_replaced(group, index, fed), (after,))
    return Turn(_or_none(group))


def _said(incident: Incident, change: str, status: str, reason: str, now: datetime) -> Incident:
    return incident.model_copy(
        update={
            "at": now,
            "id": "",
            "cause": "",
            "trace": "",
            "change": change,
            "status": status,
            "reason": reason,
        }
    )


def _worst(signals: tuple[Signal, ...]) -> Signal:
    """Where it hurts most: a burning budget first, then severity, then score."""
    return max(signals, key=lambda s: (s.source == "slo", s.severity.rank, s.score))


def _services(signals: tuple[Signal, ...]) -> tuple[str, ...]:
    return tuple(sorted({s.service for s in signals}))


def _title(signals: tuple[Signal, ...]) -> str:
    worst = _worst(signals)
    others = len(signals) - 1
    more = f" and {others} more signal{'s' if others > 1 else ''}" if others else ""
    return f"{worst.service}: {worst.reason}{more}"


def _replaced(group: Group, index: int, opened: Open) -> Group:
    rest = (*group.open[:index], opened, *group.open[index + 1 :])
    return group.model_copy(update={"open": rest})


def _or_none(group: Group) -> Group | None:
    return group if group.candidates or group.open or group.weak else None
