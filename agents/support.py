"""Support: what else of a service moved with an anomaly, and what that says for or against it.

A fault is seen from several sides. One series that jumps while none of its siblings moved and
the service as a whole looks as ever is a glitch of that series more often than a fault; one
that takes a third of its siblings along needs no second series to confirm it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from schemas.incidents import Signal


class SupportSettings(BaseModel):
    """When siblings and the service's model count."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float = Field(
        default=0.2, gt=0, le=1, description="so many of the siblings moved: the anomaly is backed"
    )
    least: int = Field(default=2, ge=1, description="and no fewer siblings than this")
    unusual: float = Field(
        default=0.97, gt=0, le=1, description="service score from which it backs an anomaly, too"
    )
    usual: float = Field(
        default=0.97, gt=0, le=1, description="service score below which the service is as ever"
    )
    weak: float = Field(
        default=0.7, ge=0, description="raw score from which a weak sign nearby is company"
    )
    informative: int = Field(
        default=3, ge=1, description="with fewer siblings, that none of them moved says nothing"
    )


class Weight(NamedTuple):
    """What stands behind a signal: `backed`, `alone` or neither, and the reason."""

    backed: bool
    alone: bool
    reason: str


def weigh(signal: Signal, settings: SupportSettings, weak: int = 0) -> Weight:
    """What the siblings, the service's model and `weak` signs nearby say of a signal."""
    moved, siblings, score = signal.siblings_moved, signal.siblings, signal.service_score
    many = moved >= max(settings.least, settings.share * siblings)
    unusual = score is None or score >= settings.unusual
    if many and unusual:
        return Weight(backed=True, alone=False, reason=_said(signal))
    as_ever = score is None or score < settings.usual
    if siblings >= settings.informative and moved == 0 and as_ever and not weak:
        none = f"none of {siblings} other series of {signal.service} moved"
        return Weight(backed=False, alone=True, reason=none)
    return Weight(backed=False, alone=False, reason=_said(signal))


def support(signals: Sequence[Signal], weak: Sequence[str] = ()) -> str:
    """What else moved, service by service, for a person; empty when nothing did.

    `weak` are the services of weak signs nearby, one entry a series.
    """
    best: dict[str, Signal] = {}
    for signal in signals:
        held = best.get(signal.service)
        if held is None or signal.siblings_moved > held.siblings_moved:
            best[signal.service] = signal
    said = [words for service in sorted(best) if (words := _said(best[service]))]
    for service in sorted(set(weak)):
        count = list(weak).count(service)
        said.append(f"{count} weak sign{'s' if count > 1 else ''} in {service}")
    return "; ".join(said)


def _said(signal: Signal) -> str:
    if not signal.siblings_moved:
        return ""
    text = f"{signal.siblings_moved} of {signal.siblings} other series of {signal.service} moved"
    if signal.service_score is None:
        return text
    return f"{text}, the service more unusual than {signal.service_score:.1%} of its past"
