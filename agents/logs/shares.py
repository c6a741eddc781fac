"""Error share: how much of what a service says is errors, and whether that jumped.

The share of the last minute is held against that of the half hour before it by their
confidence bounds, so that few lines prove nothing, whatever their share.

Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
Journal of the American Statistical Association 22, 1927.
"""

import math
from typing import NamedTuple

Z = 3.29  # two-sided 99.9 %: a verdict is given every few seconds for every service
FACTOR = 2.0  # that the share must have grown by, for certain
LEAST = 5  # errors: fewer are no storm


class Counts(NamedTuple):
    """Lines of a stretch of time."""

    errors: int
    total: int

    @property
    def share(self) -> float:
        """0 to 1; 0 where there were no lines."""
        return self.errors / self.total if self.total else 0.0


class Verdict(NamedTuple):
    """Whether the share jumped; `score` is 1 or more where it did."""

    fires: bool
    score: float
    reason: str


def bounds(counts: Counts) -> tuple[float, float]:
    """Wilson's interval of a share, each bound 0 to 1; (0, 1) without lines.

    >>> low, high = bounds(Counts(5, 10))
    >>> round(low, 2), round(high, 2)
    (0.14, 0.86)
    """
    if not counts.total:
        return 0.0, 1.0
    n, p, z2 = counts.total, counts.share, Z * Z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    reach = Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def judge(recent: Counts, before: Counts) -> Verdict:
    """Whether the error share of `recent` is for certain FACTOR times that of `before`."""
    if recent.errors < LEAST:
        return Verdict(
            fires=False, score=0.0, reason=f"only {recent.errors} errors in {recent.total} lines"
        )
    if not before.total:
        return Verdict(fires=False, score=0.0, reason="nothing before to compare with")
    low, usual = bounds(recent)[0], bounds(before)[1]
    score = low / (FACTOR * usual)
    said = (
        f"{recent.share:.1%} of {recent.total} lines are errors, {before.share:.1%} of"
        f" {before.total} before"
    )
    return Verdict(fires=score >= 1, score=score, reason=said)
