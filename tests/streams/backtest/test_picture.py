"""Pictures and the page: spikes survive, nothing from a history is obeyed, nothing is fetched."""

import gzip
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from schemas.errors import Unavailable
from streams.backtest import album as backtest_album
from streams.backtest.album import Pictures
from streams.backtest.detector import Scored
from streams.backtest.labels import Span
from streams.backtest.picture import (
    ABOVE,
    AT_HIGH,
    AT_LOW,
    BELOW,
    BUCKETS,
    HIGHEST,
    LOWEST,
    RAW,
    Mark,
    Trace,
    draw,
)
from streams.backtest.run import Wish, backtest
from tests.agents.scorer.series import daily, flat

PNG = b"\x89PNG\r\n\x1a\n"


def scored_as(value: Any, low: float = 0.0, high: float = 2.0) -> Scored:
    n = len(value)
    none = np.zeros(n)
    flags, kind = np.zeros(n, np.bool_), np.zeros(n, np.int8)
    return Scored(np.asarray(value, float), none, flags, none, none + low, none + high, kind)


# ---- buckets


@pytest.mark.parametrize("n", [0, 1, 7, 2 * BUCKETS, 2 * BUCKETS + 1, 50_000, 300_001])
@pytest.mark.parametrize("cut", [1000, 65_536])
def test_a_spike_of_one_sample_survives_any_length(n: int, cut: int) -> None:
    value = np.sin(np.arange(n))
    trace = Trace()
    if n:
        value[n // 3], value[n // 2] = 99.0, -99.0
    for first in range(0, n, cut):
        part = value[first : first + cut]
        trace.add(np.arange(first, first + len(part), dtype=float), scored_as(part))
    rows = trace.columns()
    assert len(rows) <= 2 * BUCKETS + 1
    if n > 2 * BUCKETS:
        assert len(rows) > BUCKETS - 2
        assert (rows[rows[:, HIGHEST].argmax(), [HIGHEST, AT_HIGH]] == [99.0, n // 3]).all()
    if n > 1:
        assert (rows[rows[:, LOWEST].argmin(), [LOWEST, AT_LOW]] == [-99.0, n // 2]).all()
        assert (np.diff(rows[:, AT_LOW]) > 0).all()


def test_missing_values_and_ranges_leave_no_trace() -> None:
    trace = Trace()
    trace.add(np.arange(3.0), scored_as([1.0, np.nan, np.inf], -np.inf, np.inf))
    (row,) = trace.columns()
    assert np.isnan(row[[BELOW, ABOVE]]).all()
    assert row[[LOWEST, HIGHEST, RAW]].tolist() == [1.0, 1.0, 0.0]


# ---- one picture


@pytest.mark.parametrize(
    "value",
    [
        [],
        [1.0],
        [5.0] * 50,
        [np.nan] * 5,
        [1e308, -1e308] * 20,
        [0.0, -0.0] * 20,
        np.arange(10_000.0),
    ],
    ids=["none", "one", "constant", "missing", "huge", "zeros", "long"],
)
@pytest.mark.filterwarnings("error")
def test_a_picture_is_drawn_of_whatever_comes(value: Any, tmp_path: Path) -> None:
    trace = Trace()
    trace.add(np.arange(0.0, 60.0 * len(value), 60.0), scored_as(value))
    marks = [Mark(60.0, 1e308, 1.0, "spike", None, None), Mark(0.0, -4, 1.0, "spike", -1.0, 5.0)]
    draw(tmp_path / "a.png", "a$b_{^ <é>", trace, marks, [Span(0, 120), Span(300, 1e9)], 1.0)
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("at", [-1e18, 1e12, 1e300])
def test_times_that_no_calendar_has_are_drawn_at_its_ends(at: float, tmp_path: Path) -> None:
    trace = Trace()
    trace.add(np.array([0.0, at]), scored_as([1.0, 2.0]))
    draw(tmp_path / "a.png", "a", trace, [], [], None)
    assert (tmp_path / "a.png").exists()


def test_a_picture_that_cannot_be_written_may_work_later(tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("")
    with pytest.raises(Unavailable, match="cannot be written"):
        draw(tmp_path / "in the way" / "a.png", "a", Trace(), [], [], 1.0)


# ---- the page


class Seen(HTMLParser):
    """What a browser would load, and what it would run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.images: list[str] = []
        self.lazy: list[str | None] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember it."""
        has = dict(attrs)
        self.tags.append(tag)
        if tag == "img":
            self.images.append(str(has["src"]))
            self.lazy.append(has.get("loading"))
        if tag == "a":
            self.links.append(str(has["href"]))
        if "id" in has:
            self.ids.append(str(has["id"]))
        assert not [name for name in has if name.startswith("on")]


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Series of which one has a spike, one an evil name; and one file that is broken."""
    folder = tmp_path / "history"
    folder.mkdir()
    at, value = flat(900)
    value[700] += 60
    for name, shown in (("quiet", flat(300)[1]), ("<b>50%&#1", value), ("tail", value[:500])):
        rows = "".join(f"{t},{v}\n" for t, v in zip(at, shown, strict=False))
        (folder / f"{name}.csv").write_text("timestamp,value\n" + rows)
    (folder / "<script>alert(1)<.csv").write_text("timestamp,value\n1,<img src=x onerror=y>\n")
    return folder


def page(scored: Path) -> tuple[Seen, str]:
    text = (scored / "index.html").read_text()
    return Seen(text), text


def test_the_page_shows_every_series_and_asks_nothing_of_the_network(
    history: Path, tmp_path: Path
) -> None:
    scored = tmp_path / "scored"
    summary = backtest(history, scored, Wish(pictures=Pictures.some))
    seen, text = page(scored)
    assert summary.page == str(scored / "index.html")
    assert len(seen.images) == 3
    assert all(loading == "lazy" for loading in seen.lazy)
    for image in seen.images:
        assert (scored / unquote(image)).read_bytes().startswith(PNG)
    assert not {"script", "b0", "link", "iframe", "object"} & set(seen.tags)
    assert not re.findall(r"https?:|//[a-z]", text)
    assert {link[1:] for link in seen.links if link.startswith("#")} == set(seen.ids)
    assert "&lt;b&gt;50%&amp;#1.csv" in text
    assert "&lt;img src=x onerror=y&gt;" in text  # the broken file, with its line
    assert summary.found[0].name == "<b>50%&#1.csv"  # its spike is first


def test_only_the_most_interesting_have_pictures_unless_all_are_asked_for(
    history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backtest_album, "SOME", 1)
    summary = backtest(history, tmp_path / "some", Wish(pictures=Pictures.some))
    assert [bool(found.picture) for found in summary.found] == [True, False, False]
    seen, text = page(tmp_path / "some")
    assert len(seen.images) == 1
    assert "2 series have" in text
    summary = backtest(history, tmp_path / "all", Wish(pictures=Pictures.all))
    assert all(found.picture for found in summary.found)


def test_series_that_differ_only_in_their_ending_have_a_picture_each(
    history: Path, tmp_path: Path
) -> None:
    packed = gzip.compress((history / "quiet.csv").read_bytes())
    (history / "quiet.csv.gz").write_bytes(packed)
    summary = backtest(history, tmp_path / "out", Wish(pictures=Pictures.all))
    assert {found.picture for found in summary.found} >= {
        "pictures/quiet.png",
        "pictures/quiet.csv.gz.png",
    }
    assert len({found.picture for found in summary.found}) == len(summary.found) == 4


def test_no_pictures_is_no_page(history: Path, tmp_path: Path) -> None:
    summary = backtest(history, tmp_path / "scored", Wish(pictures=Pictures.none))
    assert summary.page is None
    assert not (tmp_path / "scored" / "index.html").exists()


def test_pictures_tell_their_progress(history: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    wish = Wish(pictures=Pictures.some)
    backtest(history, tmp_path / "out", wish, lambda what, done, of: seen.append((what, done, of)))
    assert [(done, of) for what, done, of in seen if what.startswith("picture of ")] == [
        (1, 3),
        (2, 3),
        (3, 3),
    ]


def test_a_labelled_page_has_the_total_first_and_says_what_it_means(tmp_path: Path) -> None:
    folder = tmp_path / "history"
    folder.mkdir()
    at, value = daily(600)
    rows = "".join(f"{t},{v},{int(i > 590)}\n" for i, (t, v) in enumerate(zip(at, value)))  # noqa: B905 - the same length
    (folder / "a.csv").write_text("timestamp,value,label\n" + rows)
    backtest(folder, tmp_path / "out", Wish(pictures=Pictures.some))
    _, text = page(tmp_path / "out")
    assert "An event is a labelled window." in text
    assert text.index('class="total"') < text.index("a.csv")
