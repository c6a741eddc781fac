"""Severity follows the score."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.scorer.severity import severity
from schemas.event import Severity

scores = st.floats(min_value=0, allow_nan=False)


@given(scores, scores)
def test_a_higher_score_is_never_less_severe(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert severity(low).rank <= severity(high).rank


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (1.0, Severity.low),
        (1.25, Severity.medium),
        (2.0, Severity.high),
        (3.0, Severity.critical),
        (400.0, Severity.critical),
    ],
)
def test_each_step_begins_where_it_is_said_to(score: float, expected: Severity) -> None:
    assert severity(score) is expected
