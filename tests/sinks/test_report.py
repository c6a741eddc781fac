"""The report for people: complete, self-contained, and safe to open."""

import re
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from schemas.outcomes import Cost, Fact, Report
from sinks.charts import LANES, Charts, Moment, Series, charts_of, drawn
from sinks.report import Block, Span, blocks, render_html, render_markdown
from tests.story import START, fixed

EVIL = "<script>alert('x')</script>"


def report(**changes: object) -> Report:
    fact = Fact(name="title", value=EVIL, unit="quote", record="r|1", field="title")
    values: dict[str, object] = {
        "headline": f"checkout: {EVIL}",
        "story": "## What happened\n\n`a<b` showed “\\<i\\> \\*x\\*”.\n- one\n- two `c`\n\n*Gone.*\n",
        "facts": (fact,),
        "cost": Cost(
            amount=6566.86, low=74.4, high=41854.4, currency="EUR", formula="a * b",
            inputs=(fact,), reason="fixed",
        ),
        "bundle": '{"title":"</pre><script>"}',
        **changes,
    }  # fmt: skip
    return Report(
        id="report-1", at=START, group="g", incident="inc-1", outcome="rolled_back",
        records=("r|1",), bundle_sha256="ab" * 32, **values,  # type: ignore[arg-type]  # as named above
    )  # fmt: skip


class Page(HTMLParser):
    """What tags and addresses a page has, and whether they are closed."""

    VOID = frozenset({"meta", "br", "path", "use", "rect"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that is to be closed."""
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - the parser's signature
        """Note one that closes itself."""
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Every end fits its beginning."""
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note what can be read."""
        self.words.append(data)


@pytest.fixture(scope="module")
def charts() -> Charts:
    return charts_of(fixed().said)


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(charts: Charts) -> None:
    html = render_html(report(), charts)
    page = Page(html)
    assert page.open == []
    assert page.tags.count("svg") == 3
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert [address for address in page.addresses if not address.startswith("#")] == []
    assert "url(http" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html
    assert "prefers-color-scheme: dark" in html


def test_words_of_others_are_escaped_everywhere(charts: Charts) -> None:
    """Title, story, facts, bundle, and the names of series in charts."""
    evil = Series(EVIL, [0, 60], [1, 2])
    timeline = (Moment(0, "plan", EVIL),)
    html = render_html(report(), Charts(timeline, (evil,)))
    page = Page(html)
    assert "script" not in page.tags
    assert sum(EVIL in words for words in page.words) >= 4


def test_figures_and_money_are_on_the_page_and_in_markdown() -> None:
    html, markdown = render_html(report(), Charts()), render_markdown(report())
    for shown in ("6,567 ", "74.40", "41,854", "a * b", "ab" * 32, "2026-03-04 10:00:00 UTC"):
        assert shown in re.sub(r"</?strong>", " ", html)
        assert shown in markdown


def test_markdown_keeps_the_words_of_others_as_words() -> None:
    markdown = render_markdown(report())
    assert "# checkout: \\<script\\>" in markdown
    assert "| `title` | `<script>alert('x')</script>` | `quote` | `r'1` | `title` |" in markdown
    for line in markdown.splitlines():
        if line.startswith("|"):
            assert line.count("|") == 6


def test_the_storys_markdown_becomes_blocks() -> None:
    assert blocks(report().story) == [
        Block("heading", [[Span("text", "What happened")]]),
        Block("text", [[Span("code", "a<b"), Span("text", " showed “<i> *x*”.")]]),
        Block("list", [[Span("text", "one")], [Span("text", "two "), Span("code", "c")]]),
        Block("text", [[Span("em", "Gone.")]]),
    ]


def test_charts_are_made_from_the_events(charts: Charts) -> None:
    assert {moment.lane for moment in charts.timeline} == set(LANES)
    (signal,) = charts.signals
    assert list(signal.at) == sorted(set(signal.at))
    assert len(signal.at) == len(signal.value) == len(signal.low) == len(signal.high) == 36
    assert charts.budget is not None
    assert list(charts.budget.value) == [0.61]
    assert charts.fan is not None
    assert list(charts.fan.at) == [START.timestamp() + 2 + 60 * m for m in (0, 60, 120, 240)]


def test_a_budgets_past_replaces_the_one_point_of_the_forecast() -> None:
    past = Series("budget", [0, 60], [1, 0.9])
    assert charts_of(fixed().said, past).budget is past


def test_each_chart_is_xml_with_the_pages_colours_and_ids_of_its_own(charts: Charts) -> None:
    ids: list[str] = []
    for drawing in drawn(charts):
        root = ET.fromstring(drawing.svg)  # noqa: S314 - of our own making
        assert root.tag.endswith("svg")
        assert "var(--ink)" in drawing.svg
        assert "#0102" not in drawing.svg
        names = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
        used = re.findall(r'(?:url\(#|href="#)([^")]+)', drawing.svg)
        assert set(used) <= set(names)
        ids += names
    assert len(ids) == len(set(ids))


def test_the_same_incident_gives_the_same_page(charts: Charts) -> None:
    """Also when several are drawn at once."""
    with ThreadPoolExecutor(4) as threads:
        pages = set(threads.map(lambda _: render_html(report(), charts), range(8)))
    assert len(pages) == 1


def test_empty_and_lonely_charts_are_drawn_or_left_out() -> None:
    assert drawn(Charts()) == []
    lonely = Charts((Moment(0, "incident", "opened"),), (Series("s", [0], [1]),))
    assert len(drawn(lonely)) == 2
    many = Charts(signals=[Series(str(n), [0, 1], [1, 2], [0, 0], [3, 3]) for n in range(20)])
    assert len(drawn(many)) == 6
