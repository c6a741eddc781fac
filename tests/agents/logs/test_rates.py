"""Rates: counts that the scorer can take, and what is strange by itself."""

import random
from itertools import pairwise

import numpy as np
import pytest

from agents.logs.miner import Merge
from agents.logs.rates import (
    BUCKET_MS,
    IDLE,
    SERIES,
    WARM_BUCKETS,
    WARM_LINES,
    Closed,
    Finding,
    Tally,
)
from agents.logs.shares import Counts, bounds, judge
from schemas.errors import Rejected
from schemas.event import Severity
from schemas.frames import Lines

Row = tuple[int, str, str, str, str]  # at, service, severity, text, template


def feed(tally: Tally, *rows: Row) -> list[Finding]:
    lines = Lines(
        service=[row[1] for row in rows],
        at=np.array([row[0] for row in rows], np.int64),
        severity=[row[2] for row in rows],
        text=[row[3] for row in rows],
        labels=[""] * len(rows),
    )
    return tally.feed(lines, [row[4] for row in rows])


def values(closed: Closed) -> dict[tuple[str, int], float]:
    samples = closed.samples
    rows = zip(samples.code.tolist(), samples.at.tolist(), samples.value.tolist(), strict=True)
    return {(samples.names[code], at): value for code, at, value in rows}


def series(template: str, service: str = "shop") -> str:
    return f'log_lines{{service="{service}",template="{template}"}}'


def said(at: int, template: str = "t", severity: str = "info", text: str = "line") -> Row:
    return at, "shop", severity, text, template


def seasoned() -> Tally:
    """A tally that has known the shop for long enough."""
    tally = Tally()
    for bucket in range(WARM_BUCKETS + 1):
        feed(tally, *[said(bucket * BUCKET_MS + i) for i in range(WARM_LINES // WARM_BUCKETS + 1)])
        tally.close(bucket * BUCKET_MS)
    return tally


NOW = (WARM_BUCKETS + 1) * BUCKET_MS


# ---- counts


def test_lines_are_counted_by_service_template_and_bucket_with_zeros_between() -> None:
    tally = Tally()
    feed(tally, said(0), said(9_999), said(10_000, "u"), (30_000, "cart", "", "x", "t"))
    assert values(tally.close(40_000)) == {
        (series("t"), 0): 2, (series("t"), 10_000): 0, (series("t"), 20_000): 0, (series("t"), 30_000): 0,
        (series("u"), 10_000): 1, (series("u"), 20_000): 0, (series("u"), 30_000): 0,
        (series("t", "cart"), 30_000): 1,
    } | {(series("u"), 0): 0}  # fmt: skip


def test_a_bucket_closes_once_and_only_when_it_is_over() -> None:
    tally = Tally()
    feed(tally, said(0))
    assert values(tally.close(9_999)) == {}
    assert values(tally.close(10_000)) == {(series("t"), 0): 1}
    assert values(tally.close(10_000)) == {}


def test_a_late_line_counts_in_the_oldest_open_bucket() -> None:
    tally = Tally()
    feed(tally, said(0))
    tally.close(20_000)
    feed(tally, said(5_000))
    assert values(tally.close(30_000)) == {(series("t"), 20_000): 1}


def test_a_merged_template_goes_on_under_its_new_id() -> None:
    tally = Tally()
    feed(tally, said(0, "old"), said(1, "new"))
    tally.merge([Merge("old", "new")])
    assert values(tally.close(20_000)) == {(series("new"), 0): 2, (series("new"), 10_000): 0}


def test_a_series_ends_after_an_hour_of_silence_and_a_service_with_its_last() -> None:
    tally = Tally()
    feed(tally, said(0))
    closed = values(tally.close((IDLE + 50) * BUCKET_MS))
    assert max(at for _, at in closed) == IDLE * BUCKET_MS
    assert tally.dump() == Tally.load(tally.dump()).dump()
    feed(tally, said((IDLE + 60) * BUCKET_MS))
    assert len(values(tally.close((IDLE + 61) * BUCKET_MS))) == 1


def test_templates_beyond_the_bound_are_one_series() -> None:
    tally = Tally()
    feed(tally, *[said(0, f"t{i}") for i in range(SERIES + 9)])
    closed = values(tally.close(BUCKET_MS))
    assert closed[series("other"), 0] == 9
    assert len(closed) == SERIES + 1


def test_batches_dumps_and_loads_change_nothing() -> None:
    draw = random.Random(10)
    rows = [
        said(
            i * 500,
            f"t{draw.randrange(9 + i // 300)}",
            draw.choice(("info", "error", "warning", "")),
        )
        for i in range(4000)
    ]
    one, other = Tally(), Tally()
    expected = feed(one, *rows)
    closed = one.close(3_000_000)
    found = []
    edges = [0, *sorted(draw.sample(range(len(rows)), 9)), len(rows)]
    for first, last in pairwise(edges):
        found += feed(other, *rows[first:last])
        other = Tally.load(other.dump())
    parts = other.close(3_000_000)
    assert len(expected) > 3
    assert found == expected
    assert values(parts) == values(closed)
    assert parts.findings == closed.findings


# ---- findings


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        ("info", None),
        ("", None),
        ("warning", Severity.low),
        ("error", Severity.medium),
        ("critical", Severity.high),
    ],
)
def test_a_template_never_seen_is_a_finding_when_it_says_warning_or_worse(
    severity: str, expected: Severity | None
) -> None:
    found = feed(
        seasoned(), said(NOW, "n", severity, "lost password=hunter"), said(NOW, "n", severity)
    )
    assert [one.severity for one in found] == ([expected] if expected else [])
    for one in found:
        assert (one.kind, one.service, one.series, one.at) == (
            "new template",
            "shop",
            series("n"),
            NOW,
        )
        assert one.evidence == ("lost password=<secret>",)
        assert "hunter" not in one.reason


def test_all_templates_of_a_young_service_are_new_and_none_is_a_finding() -> None:
    assert feed(Tally(), *[said(i, f"t{i}", "error") for i in range(2 * WARM_LINES)]) == []


def test_a_jump_in_the_error_share_is_said_once_until_it_is_over() -> None:
    tally = seasoned()
    found = []
    for bucket in range(WARM_BUCKETS + 1, WARM_BUCKETS + 60):
        bad = WARM_BUCKETS + 10 <= bucket < WARM_BUCKETS + 20 or bucket >= WARM_BUCKETS + 40
        level = "error" if bad else "info"
        feed(tally, *[said(bucket * BUCKET_MS + i, "t", level, f"no {i}") for i in range(20)])
        found += tally.close((bucket + 1) * BUCKET_MS).findings
    assert [one.at // BUCKET_MS - WARM_BUCKETS for one in found] == [11, 43]
    assert found[0].kind == "error share"
    assert found[0].evidence == tuple(f"no {i}" for i in range(15, 20))
    assert "lines are errors, 0.0% of" in found[0].reason


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


def test_bytes_that_are_no_tally_are_refused() -> None:
    with pytest.raises(Rejected, match="no tally"):
        Tally.load(b"nothing")
