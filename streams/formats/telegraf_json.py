"""Telegraf's JSON: `{"name","tags","fields","timestamp"}`, one or `{"metrics":[...]}` of them.

The unit of `timestamp` is the producer's setting (seconds unless it says otherwise) and is
told by magnitude unless the topic's format names it. Fields become samples as in line
protocol: `name_field`, true is 1, text is counted and left out.

Source: Telegraf, plugins/serializers/json.
"""

from typing import Any

import msgspec

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.document import Documents, text_of
from streams.formats.limits import Refused
from streams.formats.record import Record, read_each
from streams.formats.times import CLOCKS
from streams.formats.verdict import too_many

NO_TAGS = msgspec.Raw(b"{}")


class _Metric(msgspec.Struct, gc=False):
    name: str | None = None
    fields: dict[str, float | str | bool | None] | None = None
    tags: msgspec.Raw = NO_TAGS
    timestamp: int | float | str | None = None
    metrics: list[msgspec.Raw] | None = None


DOCUMENTS = Documents(_Metric)
TAGS = msgspec.json.Decoder(dict[str, str | float | bool | None])


def parse(batch: Batch, reading: Reading, unit: str = "") -> Parsed:
    """Read a batch of records; `unit` of their times, empty: told by magnitude."""
    return read_each(batch, reading, _record, space="telegraf-json", times=CLOCKS[unit].read)


def _record(record: Record, raw: bytes) -> None:
    found: list[Any] = []
    for metric in DOCUMENTS.each(raw, record.limits):
        if isinstance(metric, _Metric) and metric.metrics is not None:
            found += map(DOCUMENTS.decoded, metric.metrics)
        else:
            found.append(metric)
    too_many(len(found), record.limits.elements)
    if not found:
        raise Refused("empty", "no metrics in it")
    record.each(found, _metric)


def _metric(record: Record, metric: _Metric) -> None:
    if not metric.name or not metric.fields:
        raise Refused("not-an-event", "a metric has a name and fields")
    name, tags = metric.name, bytes(metric.tags)
    for field, value in metric.fields.items():
        if isinstance(value, str):
            record.skip("text-field")
        elif value is None:
            record.skip("nan")
        else:
            full = name if field == "value" else f"{name}_{field}"
            record.sample((tags, full), full, lambda: _tags(tags), metric.timestamp, float(value))


def _tags(tags: bytes) -> dict[str, str]:
    return {name: text_of(value) for name, value in TAGS.decode(tags).items()}
