"""The layout: no number twice, no hole, and no larger than it may be."""

import pytest

from agents.scorer.records import BY_WEEK
from agents.scorer.state import (
    BYTES,
    COUNT_FIELDS,
    COUNT_OFFSET,
    COUNT_WIDTH,
    COUNTS_AT,
    END,
    FIELDS,
    OFFSET,
    SINGLE_FIELDS,
    SINGLE_OFFSET,
    SINGLE_WIDTH,
    SINGLES_AT,
    STATISTICS,
    WIDTH,
)


@pytest.mark.parametrize(
    ("fields", "offset", "width"),
    [
        (FIELDS, OFFSET, WIDTH),
        (SINGLE_FIELDS, SINGLE_OFFSET, SINGLE_WIDTH),
        (COUNT_FIELDS, COUNT_OFFSET, COUNT_WIDTH),
    ],
)
def test_every_number_of_a_row_belongs_to_one_field(
    fields: tuple[tuple[str, int, str], ...], offset: dict[str, int], width: int
) -> None:
    covered = [offset[name] + i for name, count, _ in fields for i in range(count)]
    assert covered == list(range(width))
    assert len(offset) == len(fields)


def test_a_series_takes_no_more_than_two_kibibytes_and_a_tenth() -> None:
    """Each part begins where the one before ends, and the next row where a float64 may."""
    assert (SINGLES_AT, COUNTS_AT, END) == (
        8 * WIDTH,
        8 * WIDTH + 4 * SINGLE_WIDTH,
        8 * WIDTH + 4 * SINGLE_WIDTH + COUNT_WIDTH,
    )
    assert END <= BYTES <= 2.1 * 1024
    assert BYTES % 8 == 0


def test_the_fast_norms_lie_behind_the_slow_ones() -> None:
    """norms.py steps from one to the other."""
    assert OFFSET["up_fast"] - OFFSET["up_slow"] == OFFSET["down_fast"] - OFFSET["down_slow"] == 8


def test_the_statistics_fill_their_rows() -> None:
    assert BY_WEEK + 3 == STATISTICS
