"""Vector's kafka sink in JSON: log events and metrics, also wrapped as native_json has them.

    {"name":"foos","namespace":"vector","tags":{"k":"v"},"kind":"incremental","counter":{"value":1}}

Incremental counters and gauges are summed up, absolute ones are as they are; counters are
called `..._total`. A set is how many values it has. A distribution becomes its count, sum and
quantiles, a histogram its buckets too. What has no time has its record's time of arrival.

Source: Vector, lib/codecs/src/encoding/format/json.rs, lib/vector-core/src/event/metric.
"""

import math
from collections.abc import Callable
from typing import Any

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.document import OBJECTS, read_documents, text_of
from streams.formats.histogram import QUANTILES, Told, classic, note
from streams.formats.limits import Refused
from streams.formats.log_document import Shape, encode, line
from streams.formats.record import Record
from streams.formats.verdict import number, too_many

SHAPE = Shape(
    name="vector",
    text=("message", "msg", "log"),
    time=("timestamp", "@timestamp"),
    labels=("host", "source_type", "file", "container_name", "stream"),
    called=(("appname", "app"), ("facility", "facility")),
    timeless=True,
)
KINDS = ("incremental", "absolute")
Event = dict[str, Any]


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return read_documents(batch, reading, OBJECTS, _event, space=SHAPE.name)


def _event(record: Record, event: Event) -> None:
    if isinstance(event.get("metric"), dict) and len(event) == 1:
        _metric(record, event["metric"])
    elif isinstance(event.get("log"), dict) and len(event) == 1:
        line(record, event["log"], SHAPE)
    elif "trace" in event and len(event) == 1:
        raise Refused("not-an-event", "traces are not read")
    elif event.get("kind") in KINDS and "name" in event:
        _metric(record, event)
    else:
        line(record, event, SHAPE)


class Metric:
    """A metric on its way to samples."""

    def __init__(self, record: Record, event: Event) -> None:
        if event.get("kind") not in KINDS or not isinstance(event.get("name"), str):
            raise Refused("bad-metric", "a metric has a name, and is incremental or absolute")
        self.record = record
        self.at = event.get("timestamp")
        if self.at is None:
            self.at = record.arrived
        namespace = text_of(event.get("namespace"))
        self.name = f"{namespace}_{event['name']}" if namespace else event["name"]
        self.delta = event["kind"] == "incremental"
        tags = event.get("tags") or {}
        if not isinstance(tags, dict):
            raise Refused("bad-field", "tags are no object")
        self.tags = tags
        self.key = encode(tags)

    def labels(self) -> dict[str, str]:
        """The tags; one with several values has the last of them."""
        return {name: _tag(value) for name, value in self.tags.items()}

    def sample(self, name: str, value: float, *, delta: bool) -> None:
        """Note one of the metric's samples."""
        self.record.sample((self.key, name), name, self.labels, self.at, value, increment=delta)


def _metric(record: Record, event: Event) -> None:
    metric = Metric(record, event)
    found = [kind for kind in READERS if kind in event]
    if len(found) != 1 or not isinstance(event[found[0]], dict):
        raise Refused("bad-metric", f"{metric.name:.60} has not exactly one value")
    READERS[found[0]](metric, event[found[0]])


def _tag(value: Any) -> str:
    if isinstance(value, list):
        value = next((one for one in reversed(value) if one is not None), None)
    return text_of(value)


def _counter(metric: Metric, given: Event) -> None:
    name = metric.name if metric.name.endswith("_total") else f"{metric.name}_total"
    metric.sample(name, number(given.get("value")), delta=metric.delta)


def _gauge(metric: Metric, given: Event) -> None:
    metric.sample(metric.name, number(given.get("value")), delta=metric.delta)


def _set(metric: Metric, given: Event) -> None:
    values = given.get("values")
    if not isinstance(values, list):
        raise Refused("bad-value", "a set without values")
    metric.sample(metric.name, float(len(values)), delta=False)


def _distribution(metric: Metric, given: Event) -> None:
    samples = given.get("samples")
    if not isinstance(samples, list) or not samples:
        raise Refused("bad-value", "a distribution without samples")
    too_many(len(samples), metric.record.limits.elements)
    try:
        pairs = sorted((number(one["value"]), number(one["rate"])) for one in samples)
    except (KeyError, TypeError) as error:
        raise Refused("bad-value", "a sample has a value and a rate") from error
    if any(not math.isfinite(value) or not 0 <= rate < math.inf for value, rate in pairs):
        raise Refused("bad-value", "a sample's value is finite, its rate 0 or more")
    count = sum(rate for _, rate in pairs)
    metric.sample(f"{metric.name}_sum", sum(v * rate for v, rate in pairs), delta=metric.delta)
    metric.sample(f"{metric.name}_count", count, delta=metric.delta)
    for suffix, share in QUANTILES if count else ():
        metric.sample(metric.name + suffix, _at(pairs, share * count), delta=False)


def _at(pairs: list[tuple[float, float]], rank: float) -> float:
    """The value at a rank: the smallest that as many observations are at or below."""
    seen = 0.0
    for value, rate in pairs:
        seen += rate
        if seen >= rank * (1 - 1e-12):  # sums of shares are not exact
            return value
    return pairs[-1][0]


def _histogram(metric: Metric, given: Event) -> None:
    buckets = given.get("buckets")
    if not isinstance(buckets, list):
        raise Refused("bad-histogram", "a histogram without buckets")
    too_many(len(buckets), metric.record.limits.elements)
    try:
        bounds = [_bound(one["upper_limit"]) for one in buckets]
        counts = [number(one["count"]) for one in buckets]
    except (KeyError, TypeError) as error:
        raise Refused("bad-histogram", "a bucket has an upper_limit and a count") from error
    found = classic(bounds, counts)
    told = Told(
        at=metric.at,
        buckets=found,
        fine=found,
        observed=number(given.get("count")),
        total=number(given.get("sum")),
        delta=metric.delta,
    )
    note(metric.record, (metric.key, metric.name), metric.name, metric.labels, told)


def _bound(given: Any) -> float:
    return math.inf if given is None else number(given)  # JSON has no infinity


def _summary(metric: Metric, given: Event) -> None:
    quantiles = given.get("quantiles")
    if not isinstance(quantiles, list):
        raise Refused("bad-value", "a summary without quantiles")
    too_many(len(quantiles), metric.record.limits.elements)
    for one in quantiles:
        if not isinstance(one, dict):
            raise Refused("bad-value", "a quantile has a quantile and a value")
        share = repr(number(one.get("quantile"))).removesuffix(".0")
        metric.record.sample(
            (metric.key, metric.name, share),
            metric.name,
            lambda share=share: {**metric.labels(), "quantile": share},  # type: ignore[misc] # its own of each round
            metric.at,
            number(one.get("value")),
        )
    metric.sample(f"{metric.name}_count", number(given.get("count")), delta=metric.delta)
    metric.sample(f"{metric.name}_sum", number(given.get("sum")), delta=metric.delta)


def _sketch(metric: Metric, _: Event) -> None:
    metric.record.skip("sketch")


READERS: dict[str, Callable[[Metric, Event], None]] = {
    "counter": _counter,
    "gauge": _gauge,
    "set": _set,
    "distribution": _distribution,
    "aggregated_histogram": _histogram,
    "aggregated_summary": _summary,
    "sketch": _sketch,
}
