"""Severity from the score: how likely it is that somebody would have wanted to know.

On labelled operations data, alarms up to 1.25 are right in two of three cases, up to 2 in five
of six, up to 3 in nine of ten. What lies beyond is too rare to tell it from those.
"""

from schemas.event import Severity

MEDIUM, HIGH, CRITICAL = 1.25, 2.0, 3.0  # least score of each; an alarm below MEDIUM is low


def severity(score: float) -> Severity:
    """Step of a score (0 or more, 1 alarms); monotone, and `low` for whatever is no alarm.

    >>> severity(1.0).value, severity(2.0).value
    ('low', 'high')
    """
    if score >= CRITICAL:
        return Severity.critical
    if score >= HIGH:
        return Severity.high
    return Severity.medium if score >= MEDIUM else Severity.low
