"""The report for people: one HTML page, or Markdown, of one ending of an incident.

The page stands by itself: no script, no font, no picture from elsewhere, and a policy in the
page that forbids them, so it can be mailed and archived. Everything in it that was written by
others (titles, log lines, answers of targets) is escaped, never trusted.
"""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from schemas.outcomes import Fact, Report
from sinks.charts import Charts, drawn

TEMPLATES = Path(__file__).parent / "templates"
HUNDRED = 100
SPAN = re.compile(r"`(?P<code>[^`]*)`|\*(?P<em>[^*\\]+)\*")
ESCAPED = re.compile(r"\\([\\`*_\[\]<>#|~])")


class Span(NamedTuple):
    """A piece of a line: plain text, code or emphasis."""

    kind: str
    text: str


class Block(NamedTuple):
    """A heading, a paragraph or a list, each of lines of spans."""

    kind: str
    lines: list[list[Span]]


def render_html(report: Report, charts: Charts) -> str:
    """The report as one page; `charts` may be empty."""
    return _template("report.html").render(
        report=report,
        blocks=blocks(report.story),
        drawings=[(drawing.caption, Markup(drawing.svg)) for drawing in drawn(charts)],  # noqa: S704 - matplotlib escapes all text in its SVG
        inputs=report.cost.inputs,
        money=money,
        bundle=orjson.dumps(orjson.loads(report.bundle), option=orjson.OPT_INDENT_2).decode(),
    )


def render_markdown(report: Report) -> str:
    """The report as Markdown: the story, the money, and where every figure is from."""
    cost = report.cost
    parts = [
        f"# {_plain(report.headline)}",
        (
            f"Incident `{report.incident}`, {report.outcome.replace('_', ' ')}, reported"
            f" {report.at:%Y-%m-%d %H:%M:%S} UTC."
        ),
        report.story.strip(),
        "## Cost avoided",
        (
            f"{money(cost.amount)} {cost.currency} ({money(cost.low)} to {money(cost.high)}):"
            f" {cost.reason}."
        ),
        f"Formula: `{cost.formula}`",
        *([_table(cost.inputs)] if cost.inputs else []),
        "## Where the figures are from",
        _table(report.facts),
        "## Records",
        "\n".join(f"- `{record}`" for record in report.records),
        f"SHA-256 of the bundle: `{report.bundle_sha256}`",
    ]
    return "\n\n".join(parts) + "\n"


def money(amount: float) -> str:
    """An amount as the story writes it: cents only where they mean something.

    >>> money(12.5), money(6566.86)
    ('12.50', '6,567')
    """
    return f"{amount:,.0f}" if amount >= HUNDRED else f"{amount:,.2f}"


def blocks(story: str) -> list[Block]:
    """The story's Markdown as blocks; it is of our own making and knows only a few forms."""
    found: list[Block] = []
    for line in story.splitlines():
        if not line.strip():
            found.append(Block("end", []))
            continue
        kind = "heading" if line.startswith("## ") else "list" if line.startswith("- ") else "text"
        spans = _spans(re.sub(r"^(## |- )", "", line))
        if found and found[-1].kind == kind and kind != "heading":
            found[-1].lines.append(spans)
        else:
            found.append(Block(kind, [spans]))
    return [block for block in found if block.kind != "end"]


def _spans(line: str) -> list[Span]:
    # What is escaped is put aside, so that it opens neither code nor emphasis.
    aside = ESCAPED.sub(lambda found: chr(0xE000 + ord(found[1])), line)
    spans: list[Span] = []
    last = 0
    for found in SPAN.finditer(aside):
        spans.append(Span("text", aside[last : found.start()]))
        kind = "code" if found["code"] is not None else "em"
        spans.append(Span(kind, found[kind]))
        last = found.end()
    spans.append(Span("text", aside[last:]))
    return [Span(kind, _back(text)) for kind, text in spans if text]


def _back(text: str) -> str:
    return re.sub("[\ue000-\ue07f]", lambda found: chr(ord(found[0]) - 0xE000), text)


def _table(facts: tuple[Fact, ...]) -> str:
    rows = ["| figure | value | unit | record | field |", "|---|---|---|---|---|"]
    for fact in facts:
        cells = (fact.name, fact.value, fact.unit, fact.record, fact.field)
        rows.append("| " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return "`" + " ".join(re.sub(r"[`|]", "'", text).split()) + "`" if text else ""


def _plain(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>#|~])", r"\\\1", " ".join(text.split()))


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
