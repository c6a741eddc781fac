"""One page over all series of a backtest: the summary, a table, the pictures.

Plain HTML without scripts, beside its pictures: it opens from a disk, without a network, and
pictures are loaded as they come into view. What comes from a history is escaped.
"""

from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import jinja2

from streams.backtest.picture import DPI, HEIGHT, WIDTH
from streams.backtest.quality import DEFINITIONS
from streams.backtest.series import Found
from streams.backtest.summary import Summary, count, figures, table
from streams.history import text, whole

TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Backtest of {{ source }}</title>
<style>
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1440px; padding: 1.5rem;
  color: #1a1a1a; background: #fff; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.quiet { color: #595959; }
.figures { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1rem 0; padding: 0; }
.figures div { border: 1px solid #d0d0d0; border-radius: 6px; padding: .45rem .8rem; }
.figures b { display: block; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.faults { border-left: 4px solid #D55E00; padding: .2rem 1rem; background: #fdf3ec; }
.scroll { overflow: auto; max-height: 34rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .88rem; }
th, td { padding: .22rem .7rem; text-align: right; border-bottom: 1px solid #e4e4e4;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal;
  overflow-wrap: anywhere; min-width: 22rem; }
thead th { position: sticky; top: 0; background: #fff; box-shadow: inset 0 -2px #888; }
tr.total td { font-weight: 600; border-bottom: 2px solid #888; }
figure { margin: 0 0 1.6rem; }
figcaption { overflow-wrap: anywhere; }
img { width: 100%; height: auto; aspect-ratio: {{ shape }}; border: 1px solid #e4e4e4; }
a { color: #005a8c; }
</style>
</head>
<body>
<h1>Backtest of {{ source }}</h1>
<p class="quiet">{{ summary.detector }}. Most interesting first: {% if summary.quality
 %}those with most mistakes, then {% endif %}by the highest score.</p>
<div class="figures">
{%- for name, figure in figures %}
<div><b>{{ figure }}</b>{{ name }}</div>
{%- endfor %}
</div>
{%- if summary.faults %}
<div class="faults"><p><b>{{ summary.faults | length }} could not be read</b> and {{ "are" if
 summary.faults | length > 1 else "is" }} not in what follows:</p>
<ul>{% for fault in summary.faults %}<li>{{ fault }}</li>{% endfor %}</ul></div>
{%- endif %}
{%- if summary.notes %}
<ul class="quiet">{% for note in summary.notes %}<li>{{ note }}</li>{% endfor %}</ul>
{%- endif %}
<h2>Series</h2>
<div class="scroll"><table>
<thead><tr>{% for name in head %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for series in body %}
<tr{% if loop.first and summary.quality %} class="total"{% endif %}>
{%- for cell in series.cells %}<td>
{%- if loop.first and series.anchor %}<a href="#{{ series.anchor }}">{{ cell }}</a>
{%- else %}{{ cell }}{% endif %}</td>
{%- endfor %}</tr>
{%- endfor %}
</tbody></table></div>
{%- if definitions %}
<details><summary>What these figures mean</summary>
<ul>{% for line in definitions %}<li>{{ line }}</li>{% endfor %}</ul></details>
{%- endif %}
{%- if pictures %}
<h2>Pictures</h2>
<p class="quiet">Blue: the value. Light blue: the range that was expected just before. Orange
triangles: alarms. Yellow: labelled. Below: the score before rest and bar; the
dashed line is where alarms begin. A picture opens in full size.{% if left %} {{ left }} series have
none: --pictures all draws them too.{% endif %}</p>
{%- for picture in pictures %}
<figure id="{{ picture.anchor }}">
<figcaption><b>{{ picture.name }}</b>: {{ picture.said }}{% for note in picture.notes
 %}<br><span class="quiet">{{ note }}</span>{% endfor %}</figcaption>
<a href="{{ picture.address }}"><img loading="lazy" decoding="async" src="{{ picture.address }}"
 alt="{{ picture.name }}: {{ picture.said }}"></a>
</figure>
{%- endfor %}
{%- endif %}
</body>
</html>
"""


class _Row(NamedTuple):
    cells: tuple[str, ...]
    anchor: str = ""


class _Picture(NamedTuple):
    anchor: str
    name: str
    said: str
    address: str
    notes: tuple[str, ...]


def write_page(path: Path, source: str, summary: Summary) -> None:
    """Write the page. Unavailable when it cannot be written."""
    head, rows = table(summary)
    anchors = [f"series-{n}" if each.picture else "" for n, each in enumerate(summary.found, 1)]
    total = () if summary.quality is None else ("",)
    pictures = [
        _Picture(anchor, each.name, said(each), address(each.picture), each.notes)
        for anchor, each in zip(anchors, summary.found, strict=True)
        if each.picture
    ]
    left = len(summary.found) - len(pictures)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(TEMPLATE).render(
        source=source,
        summary=summary,
        figures=figures(summary),
        head=head,
        body=[_Row(row, anchor) for row, anchor in zip(rows, (*total, *anchors), strict=True)],
        definitions=DEFINITIONS if summary.quality else (),
        pictures=pictures,
        left=left,
        shape=f"{WIDTH * DPI:.0f} / {HEIGHT * DPI:.0f}",
    )
    with whole(path) as unfinished, text(unfinished, "w") as out:
        out.write(page)


def said(series: Found) -> str:
    """A series in one line.

    >>> said(Found("", "", None, 1000, 0, 1, 2.5, {"spike": 1}, None, None, None, (), ()))
    '1,000 samples, 1 alarm (spike), highest score 2.50'
    """
    kinds = f" ({', '.join(series.kinds)})" if series.kinds else ""
    line = (
        f"{count(series.samples, 'sample')}, {count(series.alarms, 'alarm')}{kinds},"
        f" highest score {series.highest:.2f}"
    )
    if series.quality is None:
        return line
    found = f"{series.quality.found} of {count(series.quality.events, 'event')} found"
    return f"{line}; {found}, {count(series.quality.false_alarms, 'false alarm')}"


def address(path: str) -> str:
    """A relative address of a file beside the page.

    >>> address("pictures/50% #1.png")
    'pictures/50%25%20%231.png'
    """
    return quote(path)
