"""Everything that detect can say, of one story, cut into frames in any way: the same, in order."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from runbooks.thresholds import Rule
from schemas.frames import Samples, canonical

T0 = 1_767_323_040_000  # ms
NAMES = [
    canonical(m, {"service": s}) for s in ("web", "queue") for m in ("cpu", "depth", "jobs_total")
]
RULES = [
    Rule.model_validate({"id": "cpu-high", "when": "cpu > 150 for 30s", "clear": "130 for 20s"})
]
LENGTH = 130  # samples of a series, 5 s apart

Moves = list[tuple[int, int, int, str]]  # series, first sample, how many, what happens
MOVES = st.lists(
    st.tuples(
        st.integers(0, len(NAMES) - 1), st.integers(62, 120), st.integers(1, 60),
        st.sampled_from(["up", "silent", "missing", "again"]),
    ),
    max_size=6,
)  # fmt: skip


def story(moves: Moves) -> Samples:
    """Six series of two services that are quiet but for the moves."""
    value = np.random.default_rng(5).normal(100, 2, (LENGTH, len(NAMES)))
    spoken = np.ones(value.shape, np.bool_)
    for series, first, count, _ in (m for m in moves if m[3] == "up"):
        value[first : first + count, series] += 80
    counters = [n for n, name in enumerate(NAMES) if "_total" in name]
    value[:, counters] = np.cumsum(value[:, counters], axis=0)
    for series, first, count, what in moves:
        part = slice(first, first + count)
        if what == "silent":
            spoken[part, series] = False
        elif what == "missing":
            value[part, series] = np.nan
        elif what == "again" and series in counters:
            for row in range(first, min(first + count, LENGTH), 9):
                value[row:, series] -= value[row, series] - 1
    at = T0 + 5000 * np.arange(LENGTH)[:, None] + np.arange(len(NAMES)) * 100
    code = np.broadcast_to(np.arange(len(NAMES), dtype=np.int32), value.shape)
    return Samples(NAMES, code[spoken], at[spoken].astype(np.int64), value[spoken])


def said(whole: Samples, cuts: list[int]) -> list[tuple[str, str, str, float, float]]:
    """Id, change, reason, score and horizon of all events, in order."""
    detect = Detect(DetectSettings(ended_s=100.0), {"web": "shop", "queue": "shop"}, RULES)
    edges = [0, *sorted(cuts), len(whole)]
    out: list[tuple[str, str, str, float, float]] = []
    for offset, (first, last) in enumerate(pairwise(edges)):
        part = slice(first, last)
        frame = Samples(whole.names, whole.code[part], whole.at[part], whole.value[part])
        events = detect.feed(frame, 0, offset)
        out += [(a.id, a.change, a.reason, a.score, a.horizon_s) for a in events]
    return out


@settings(max_examples=40, deadline=None)
@given(moves=MOVES, data=st.data())
def test_however_frames_are_cut_the_same_is_said_in_the_same_order(
    moves: Moves, data: st.DataObject
) -> None:
    whole = story(moves)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=12))
    assert said(whole, cuts) == said(whole, list(range(0, len(whole), 50)))


def test_how_often_a_series_is_sampled_is_what_was_known_at_the_sample() -> None:
    """It changes from one to the other here; what comes later in a frame must not count yet."""
    draw = np.random.default_rng(7)
    at = T0 + 1000 * np.cumsum(np.where(np.arange(400) % 4 < 2, 1, 5))
    value = draw.normal(100, 2, 400)
    value[200:300:10] += 60
    whole = Samples(NAMES[:1], np.zeros(400, np.int32), at.astype(np.int64), value)
    every = said(whole, list(range(400)))
    assert {change for _, change, *_ in every} >= {"opened", "cleared"}
    assert len({horizon for *_, horizon in every}) > 1
    for size in (7, 50, 211):
        assert said(whole, list(range(0, 400, size))) == every
