"""The two levels of a shift: where a series was, where it is now, and when it moved.

An alarm comes a few samples after the move, so the last points hold the end of the old level and
the beginning of the new. The median over the points that lie in the expected range is the old
level, however the new one began.
"""

from collections.abc import Sequence
from statistics import median

LEAST = 5  # points that make a level


def level_before(values: Sequence[float], low: float, high: float) -> float | None:
    """The level of the points in the expected range; None when there are too few.

    `values` are the last points, oldest first, the alarming one among them; the range is that
    of the alarm. A series that was restless before has points outside: when fewer than half
    are inside, all but the last count.

    >>> level_before([12, 11, 12, 13, 12, 12, 80, 81], 8, 16)
    12.0
    >>> level_before([12, 80], 8, 16) is None
    True
    """
    past = values[:-1]
    inside = [value for value in past if low <= value <= high]
    held = inside if 2 * len(inside) >= len(past) else list(past)
    return float(median(held)) if len(held) >= LEAST else None


def moved_at(times: Sequence[float], values: Sequence[float], before: float) -> float:
    """When the newest value's level began: the last crossing of the middle between both levels.

    `times` in epoch seconds, as long as `values`, oldest first, at least one.

    >>> moved_at([0, 10, 20, 30], [12, 12, 78, 80], 12)
    20
    """
    now = values[-1]
    middle, above = (now + before) / 2, now > before
    begun = len(values) - 1
    while begun > 0 and (values[begun - 1] > middle) == above:
        begun -= 1
    return times[begun]
