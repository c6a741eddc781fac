"""An open anomaly as an event, and in words for a person.

What is said follows from the watch, the row's last points and the sample: a replay says it again
with the same id.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from agents.levels import level_before, moved_at
from agents.scorer.interval import UNKNOWN
from agents.scorer.kind import Kind, horizon, statistic
from agents.scorer.scorer import Scores
from agents.scorer.severity import severity
from agents.series_block import Block
from agents.watch import Opening, Sample, Verdict, Watch, open_watch, shifted
from schemas.anomalies import Anomaly
from schemas.event import derive
from schemas.frames import parsed


def opened(block: Block, row: int, sample: Sample, scores: Scores, i: int) -> Watch:
    """The watch over a row whose sample, the frame's number `i`, has just alarmed."""
    times, values = block.evidence(row)
    low, high, fired = float(scores.low[i]), float(scores.high[i]), int(scores.statistic[i])
    if min(values) >= 0:
        low = max(low, 0.0)  # what was never negative is not expected to be
    before = level_before(values, low, high)
    alarm = Opening(
        kind=int(scores.kind[i]),
        direction=int(scores.direction[i]),
        low=low,
        high=high,
        statistic=fired,
        horizon_s=horizon(fired, interval(scores, i)),
        before=before,
        moved_at=sample.at if before is None else moved_at(times, values, before),
    )
    name = f"anm-{derive('anomaly', block.names[row], f'{sample.at:.3f}')[:12]}"
    return open_watch(name, sample, alarm)


def interval(scores: Scores, i: int) -> float:
    """How often the series of a frame's sample was sampled until then, in seconds."""
    return float(scores.gap[i]) or UNKNOWN


def event_of(
    block: Block,
    row: int,
    verdict: Verdict,
    change: Literal["opened", "updated", "cleared"],
    sample: Sample,
    groups: Mapping[str, str],
    cause: str,
) -> Anomaly:
    """The event of a change; `groups` are the services' correlation groups."""
    watch, name = verdict.watch, block.names[row]
    metric, labels = parsed(name)
    service = labels.get("service", "")
    times, values = block.evidence(row)
    moved = shifted(watch)
    return Anomaly(
        id=derive("detect", watch.anomaly, change, f"{sample.at:.3f}"),
        at=datetime.fromtimestamp(sample.at, UTC),
        cause=cause,
        group=groups.get(service, service),
        anomaly=watch.anomaly,
        change=change,
        source="metric",
        kind=kind_name(watch.kind),
        service=service,
        series=name,
        direction="down" if watch.direction < 0 else "up",
        severity=severity(watch.score),
        score=watch.score,
        raw=sample.raw,
        value=sample.value,
        low=watch.low,
        high=watch.high,
        since=datetime.fromtimestamp(watch.since, UTC),
        ending=verdict.ending,
        statistic=statistic(watch.statistic),
        horizon_s=watch.horizon_s,
        level_before=watch.before if moved else None,
        level_after=watch.level if moved else None,
        reason=reason(f"{metric} a second" if block.counter[row] else metric, verdict, sample),
        evidence_at=times,
        evidence_value=values,
    )


def kind_name(kind: int) -> str:
    """A kind in words.

    >>> kind_name(2)
    'level shift'
    """
    return Kind(kind).name.lower().replace("_", " ")


def reason(what: str, verdict: Verdict, sample: Sample) -> str:
    """One line of what has happened to `what`."""
    if verdict.ending:
        return _end(what, verdict, sample.value)
    watch, value = verdict.watch, sample.value
    if shifted(watch):
        since = datetime.fromtimestamp(watch.moved_at, UTC)
        return f"{what} went from {watch.before:.4g} to {watch.level:.4g} since {since:%H:%M} UTC"
    expected = f"{watch.low:.4g} to {watch.high:.4g}"
    if watch.kind == Kind.JITTER:
        return f"{what} is restless at {value:.4g}, expected steady within {expected}"
    if watch.kind == Kind.TREND and not watch.left:
        return f"{what} creeps to {value:.4g}, still within {expected}"
    return f"{what} is {value:.4g}, expected {expected}"


def _end(what: str, verdict: Verdict, value: float) -> str:
    watch = verdict.watch
    if verdict.ending == "recovered":
        return f"{what} {'is back' if watch.left else 'is calm again'} at {value:.4g}"
    if verdict.ending == "ended":
        return f"{what} has sent nothing since {value:.4g}"
    before = f", {watch.before:.4g} before" if watch.before is not None else ""
    return f"{what} stays at {watch.level:.4g}{before}: the new normal"
