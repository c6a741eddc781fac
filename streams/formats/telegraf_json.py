"""Telegraf's JSON: `{"name","tags","fields","timestamp"}`, one or `{"metrics":[...]}` of them.

The unit of `timestamp` is the producer's setting (seconds unless it says otherwise) and is
told by magnitude unless the topic's format names it. Fields become samples as in line
protocol: `name_field`, true is 1; text, and JSON that Telegraf took out of one, is counted and
left out. A metric whose every field is infinite has none here.

Source: Telegraf, plugins/serializers/json.
"""

from typing import Any

import msgspec

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.document import Documents, text_of
from streams.formats.influx import series_name
from streams.formats.limits import Refused
from streams.formats.record import Record, read_each
from streams.formats.times import CLOCKS
from streams.formats.verdict import too_many

NO_TAGS = msgspec.Raw(b"{}")
Field = float | str | bool | dict[str, Any] | list[Any] | None


class _Metric(msgspec.Struct, gc=False):
    name: str | None = None
    fields: dict[str, Field] | None = None
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
    if not metric.name or metric.fields is None:
        raise Refused("not-an-event", "a metric has a name and fields")
    if not metric.fields:
        record.skip("metric-without-points")
    name, tags = metric.name, bytes(metric.tags)
    for field, value in metric.fields.items():
        if isinstance(value, str | dict | list):
            record.skip("text-field")
        elif value is None:
            record.skip("nan")
        else:
            full = series_name(name, field)
            record.sample((tags, full), full, lambda: _tags(tags), metric.timestamp, float(value))


def _tags(tags: bytes) -> dict[str, str]:
    return {name: text_of(value) for name, value in TAGS.decode(tags).items()}
