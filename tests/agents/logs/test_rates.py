"""Rates: counts that the scorer can take, zeros and ends among them."""

import random
from itertools import pairwise

import numpy as np
import pytest

from agents.logs.entries import RANK, Entries
from agents.logs.miner import Merge
from agents.logs.rates import BUCKET_MS, FILL, WIDTH, Closed, Tally
from agents.logs.settings import LogSettings
from schemas.errors import Rejected

Row = tuple[int, str, str, str, str]  # at, service, severity, text, template
A, B, NEW = "a" * 16, "b" * 16, "c" * 16
HOUR = 360  # buckets


def feed(tally: Tally, *rows: Row) -> None:
    names = sorted({row[1] for row in rows})
    entries = Entries(
        names,
        np.array([names.index(row[1]) for row in rows], np.int32),
        np.array([row[0] for row in rows], np.int64),
        np.array([RANK[row[2]] for row in rows], np.int8),
        [row[3] for row in rows],
    )
    tally.feed(entries, [row[4] for row in rows])


def made(**settings: float) -> Tally:
    """A tally in which nothing waits."""
    return Tally(LogSettings.model_validate({"late_s": 0, "wait_s": 0, **settings}))


def close(tally: Tally, until: int) -> Closed:
    """Close all buckets that end by then; the others' time moves by a bucket a frame."""
    began = max(tally._newest, max((s.newest for s in tally._services.values()), default=0))
    times = [*range(began, until, BUCKET_MS), until]
    found = [tally.close(newest, lambda ident: f"text of {ident}") for newest in times]
    rows = [(n, s) for one in found for n, s in one.samples.items()]
    samples = {f"{i} {name}": one for i, (name, one) in enumerate(rows)}
    return Closed(
        samples, [n for one in found for n in one.notes], [s for one in found for s in one.said]
    )


def values(closed: Closed) -> dict[tuple[str, int], float]:
    """By series and the begin of the bucket."""
    return {
        (samples.names[code], at - BUCKET_MS): value
        for samples in closed.samples.values()
        for code, at, value in zip(
            samples.code.tolist(), samples.at.tolist(), samples.value.tolist(), strict=True
        )
    }


def series(template: str, service: str = "shop", severity: str = "info") -> str:
    level = f'severity="{severity}",' if severity else ""
    labels = f'service="{service}",{level}template="{template}"'
    labels = ",".join(sorted(labels.split(",")))
    return f"log_lines{{{labels}}}"


def said(at: int, template: str = A, severity: str = "info", text: str = "line") -> Row:
    return at, "shop", severity, text, template


# ---- counts


def test_lines_are_counted_by_service_template_severity_and_bucket_with_zeros_between() -> None:
    tally = made()
    feed(tally, said(0), said(9_999), said(1, A, "error"), said(10_000, B), said(40_000, B))
    feed(tally, (30_000, "cart", "", "x", A), (40_000, "cart", "", "x", A))
    assert values(close(tally, 40_000)) == {
        (series(A), 0): 2, (series(A), 10_000): 0, (series(A), 20_000): 0, (series(A), 30_000): 0,
        (series(A, severity="error"), 0): 1, (series(A, severity="error"), 10_000): 0,
        (series(A, severity="error"), 20_000): 0, (series(A, severity="error"), 30_000): 0,
        (series(B), 10_000): 1, (series(B), 20_000): 0, (series(B), 30_000): 0,
        (series(A, "cart", ""), 30_000): 1,
    }  # fmt: skip


def test_a_bucket_closes_once_and_only_when_it_is_over() -> None:
    tally = made()
    feed(tally, said(0))
    assert values(close(tally, 9_999)) == {}
    assert values(close(tally, 10_000)) == {(series(A), 0): 1}
    assert values(close(tally, 10_000)) == {}


def test_a_late_line_counts_in_the_oldest_open_bucket() -> None:
    tally = made()
    feed(tally, said(0))
    close(tally, 20_000)
    feed(tally, said(5_000), said(30_000))
    assert values(tally.close(20_000, str)) == {(series(A), 20_000): 1}


def test_services_that_are_read_one_after_the_other_count_each_in_its_own_time() -> None:
    """As after an outage: the second is not late because the first is done."""
    tally = Tally(LogSettings())
    found: dict[tuple[str, int], float] = {}
    for name in ("shop", "cart"):
        for bucket in range(100):
            feed(tally, (bucket * BUCKET_MS, name, "", "x", A))
            newest = BUCKET_MS * (bucket if name == "shop" else 99)
            found |= values(tally.close(newest, str))
    assert [v for (name, _), v in found.items() if "cart" in name] == [1.0] * 98


def test_a_merged_template_goes_on_under_its_new_id_and_people_are_told() -> None:
    tally = made()
    feed(tally, said(0, A), said(1, NEW))
    assert tally.merge([Merge(A, NEW)]) == []  # nobody has heard of it
    assert values(close(tally, 10_000)) == {(series(NEW), 0): 2}
    feed(tally, said(10_000, B), said(10_001, NEW))
    close(tally, 20_000)
    ((service, _, note),) = tally.merge([Merge(NEW, B)])
    assert (service, note.change, note.ident, note.into, note.lines) == (
        "shop",
        "merged",
        NEW,
        B,
        4,
    )
    feed(tally, said(20_000, B))
    assert values(close(tally, 30_000)) == {(series(B), 20_000): 1}


def test_a_series_ends_with_a_stale_marker_after_an_hour_of_zeros() -> None:
    tally = made()
    found: dict[tuple[str, int], float] = {}
    for bucket in range(HOUR + 5):
        feed(tally, said(bucket * BUCKET_MS, B), *([said(0)] if bucket == 0 else []))
        found |= values(close(tally, (bucket + 1) * BUCKET_MS))
    mine = {at // BUCKET_MS: value for (name, at), value in found.items() if name == series(A)}
    assert list(mine) == list(range(HOUR + 2))
    assert np.array([mine[HOUR + 1]]).view(np.uint64)[0] == 0x7FF0000000000002


def test_over_a_long_silence_of_all_time_jumps() -> None:
    tally = made()
    feed(tally, said(0))
    feed(tally, said(10_000 * BUCKET_MS))
    closed = values(close(tally, 10_001 * BUCKET_MS))
    zeros = [at for (_, at), value in closed.items() if value == 0]
    assert len(zeros) == FILL
    assert max(at for _, at in closed) == 10_000 * BUCKET_MS


def test_templates_beyond_the_bound_are_one_series() -> None:
    tally = made(series_per_service=5)
    feed(tally, *[said(0, f"{i:016x}") for i in range(14)])
    closed = values(close(tally, BUCKET_MS))
    assert closed[series("other"), 0] == 9
    assert len(closed) == 6


def test_the_severest_have_a_series_of_their_own_first() -> None:
    tally = made(series_per_service=1)
    feed(
        tally,
        (0, "shop", "info", "x", A),
        (0, "shop", "info", "x", A),
        (1, "shop", "error", "x", B),
    )
    assert values(close(tally, BUCKET_MS)) == {
        (series(B, severity="error"), 0): 1,
        (series("other"), 0): 2,
    }


def test_templates_are_forgotten_beyond_the_bound_the_oldest_first() -> None:
    tally = made(max_templates=100)
    for bucket in range(30):
        feed(tally, *[said(bucket * BUCKET_MS, f"{bucket * 10 + i:016x}") for i in range(10)])
        close(tally, (bucket + 1) * BUCKET_MS)
    known = tally._services["shop"].known
    assert 50 <= len(known) <= 100
    assert f"{299:016x}" in known


def test_of_templates_seen_at_once_no_more_than_half_is_forgotten() -> None:
    tally = made(max_templates=100)
    feed(tally, *[said(0, f"{i:016x}") for i in range(120)])
    close(tally, BUCKET_MS)
    assert len(tally._services["shop"].known) == 60


# ---- what people are told


def test_a_template_is_told_when_seen_and_each_time_that_its_count_has_doubled() -> None:
    tally = made()
    told = []
    for bucket in range(20):
        feed(tally, said(bucket * BUCKET_MS, A, "warning", "lost password=hunter"))
        told += [note for _, _, note in close(tally, (bucket + 1) * BUCKET_MS).notes]
    assert [(note.change, note.lines) for note in told] == [
        ("seen", 1), ("counted", 2), ("counted", 4), ("counted", 8), ("counted", 16)
    ]  # fmt: skip
    assert [note.sample for note in told] == ["lost password=<secret>", "", "", "", ""]


def test_a_sample_is_masked_before_it_is_cut() -> None:
    tally = made()
    feed(tally, said(0, text="x" * (WIDTH - 5) + " ann@example.com"))
    ((_, _, note),) = close(tally, BUCKET_MS).notes
    assert len(note.sample) == WIDTH
    assert note.sample.endswith("x <ema")


# ---- state


def test_batches_dumps_and_loads_change_nothing() -> None:
    draw = random.Random(10)
    rows = [
        said(
            i * 500,
            f"{draw.randrange(9 + i // 300):016x}",
            draw.choice(("info", "error", "warning", "")),
        )
        for i in range(4000)
    ]
    one, other = made(), made()
    feed(one, *rows)
    whole = close(one, 3_000_000)
    edges = [0, *sorted(draw.sample(range(len(rows)), 9)), len(rows)]
    for first, last in pairwise(edges):
        feed(other, *rows[first:last])
        other = Tally.load(other.dump(), LogSettings(late_s=0, wait_s=0))
    parts = close(other, 3_000_000)
    assert values(parts) == values(whole)
    assert parts.notes == whole.notes
    assert parts.said == whole.said
    assert one.dump() == other.dump()


def test_bytes_that_are_no_tally_are_refused() -> None:
    with pytest.raises(Rejected, match="no tally"):
        Tally.load(b"nothing", LogSettings())
