"""Times: one answer, whether a column is read at once or one by one."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.formats.times import epoch_ms, one

times = (
    st.integers(-5, 10**20)
    | st.integers(-(2**63), -1)  # which times a thousand wrap around
    | st.floats()
    | st.datetimes().map(lambda t: f"{t.isoformat()}Z")
    | st.text(max_size=6)
    | st.none()
)


@settings(deadline=None)  # the first call may import much
@example([-(2**63) + 2**60])
@example([112_664_812_444_501, 0.0])  # together they are floats, and rounded where one is cut
@given(st.lists(times, max_size=6))
def test_a_column_reads_as_its_times_do_alone(column: list[Any]) -> None:
    refused: dict[int, str] = {}
    result = epoch_ms(column, refused.__setitem__).tolist()
    for i, given_time in enumerate(column):
        try:
            expected = one(given_time)
        except (ValueError, TypeError, OverflowError):
            assert i in refused
            assert result[i] == -1
        else:
            assert result[i] == expected
            assert i not in refused


@pytest.mark.parametrize(
    ("given_time", "ms"),
    [
        (99_999_999_999, 99_999_999_999_000),
        (100_000_000_000, 100_000_000_000),
        (99_999_999_999_999, 99_999_999_999_999),
        (100_000_000_000_000, 100_000_000_000),
        (99_999_999_999_999_999, 99_999_999_999_999),
        (100_000_000_000_000_000, 100_000_000_000),
        (1_767_323_045.6785, 1_767_323_045_678),
        ("2024-02-29T23:59:60Z", None),
        ("1969-12-31T23:59:59Z", None),
    ],
)
def test_a_unit_is_told_by_magnitude(given_time: float | str, ms: int | None) -> None:
    refused: list[int] = []
    (result,) = epoch_ms([given_time], lambda i, _why: refused.append(i)).tolist()
    assert result == (-1 if ms is None else ms)
    assert refused == ([] if ms is not None else [0])
