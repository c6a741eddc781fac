"""Shares: few lines prove nothing, and a usual share is no jump."""

import pytest

from agents.logs.shares import Counts, bounds, judge


@pytest.mark.parametrize(
    ("recent", "before", "fires"),
    [
        (Counts(4, 4), Counts(0, 1000), False),
        (Counts(5, 5), Counts(0, 1000), True),
        (Counts(50, 100), Counts(0, 0), False),
        (Counts(50, 100), Counts(10, 1000), True),
        (Counts(2, 100), Counts(10, 1000), False),
        (Counts(500, 10_000), Counts(400, 10_000), False),
        (Counts(5, 200), Counts(1, 100), False),
        (Counts(0, 0), Counts(10, 1000), False),
    ],
)
def test_few_lines_prove_nothing_and_a_usual_share_is_no_jump(
    recent: Counts, before: Counts, *, fires: bool
) -> None:
    verdict = judge(recent, before)
    assert verdict.fires is fires
    assert verdict.fires == (verdict.score >= 1)


def test_bounds_hold_the_share_and_narrow_with_lines() -> None:
    wide, narrow = bounds(Counts(1, 10)), bounds(Counts(100, 1000))
    assert wide[0] < narrow[0] < 0.1 < narrow[1] < wide[1]
    assert bounds(Counts(0, 0)) == (0.0, 1.0)
