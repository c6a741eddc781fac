"""Increments become totals, whichever way they are cut into batches or come twice."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.formats.totals import Totals

rows = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1000)), max_size=30)


def added(totals: Totals, batch: list[tuple[int, int]]) -> list[float]:
    code = np.array([series for series, _ in batch], np.int64)
    grown = totals.grown(code, np.array([value for _, value in batch], np.float64))
    return list(map(float, grown))


@settings(deadline=None)
@given(rows, st.integers(0, 30))
def test_totals_are_the_same_however_a_stream_is_cut(batch: list[tuple[int, int]], at: int) -> None:
    cut = Totals()
    assert added(Totals(), batch) == added(cut, batch[:at]) + added(cut, batch[at:])


@settings(deadline=None)
@given(rows, rows)
def test_an_aborted_transaction_leaves_no_trace(
    first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    """Its records come again, and are added again."""
    totals, calm = Totals(), Totals()
    assert added(totals, first) == added(calm, first)
    totals.ended(committed=True)
    calm.ended(committed=True)
    added(totals, second)
    totals.ended(committed=False)
    assert added(totals, second) == added(calm, second)


def test_a_total_that_no_float_holds_starts_anew() -> None:
    assert added(Totals(), [(0, 10**308), (0, 10**308)]) == [1e308, 1e308]


def test_totals_follow_their_series_to_new_numbers() -> None:
    totals = Totals()
    added(totals, [(0, 1), (1, 10), (2, 100)])
    totals.renumbered([2, 0])
    assert added(totals, [(0, 1), (1, 1), (2, 1)]) == [101, 2, 1]
