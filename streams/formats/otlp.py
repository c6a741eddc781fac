"""What OTLP's metrics and logs become, whichever of its two encodings they came in.

A monotonic sum is a counter and is called `..._total`, as in the published translation to
Prometheus; deltas are summed up to the same. Gauges and other sums are themselves; histograms
and summaries become their series (streams/formats/histogram.py). Labels are the resource's
attributes and the point's own, which win. A point that is flagged as "no value recorded" ends
a series and is counted as stale.

Source: OpenTelemetry protocol 1.x; "Prometheus and OpenMetrics Compatibility".
"""

import base64
import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import islice
from typing import Any

from streams.formats.document import text_of
from streams.formats.histogram import Side, Told, classic, exponential, note
from streams.formats.limits import Limits, Refused
from streams.formats.record import Record
from streams.formats.severity import severity
from streams.formats.times import in_unit
from streams.formats.verdict import number, too_many, whole

TIMES = in_unit("ns")
DELTA, CUMULATIVE = 1, 2
TEMPORALITIES: dict[object, int] = {
    DELTA: DELTA,
    CUMULATIVE: CUMULATIVE,
    "AGGREGATION_TEMPORALITY_DELTA": DELTA,  # as protobuf's usual JSON has it
    "AGGREGATION_TEMPORALITY_CUMULATIVE": CUMULATIVE,
}
NO_VALUE = 1  # a point's flag
LEVELS = ("trace", "debug", "info", "warning", "error", "critical")  # of four numbers each
SCOPE = "otel_scope_name"

Attributes = tuple[tuple[str, str], ...]
Texts = Callable[[Any], Attributes]


class Walk:
    """Through one export request; `texts` makes names and values of a list of attributes."""

    def __init__(self, record: Record, texts: Texts) -> None:
        self.record, self.texts = record, texts

    def metrics(self, resources: Sequence[Any]) -> None:
        """Note every metric of a request. Raises Refused."""
        found = [
            (shared, metric, point)
            for resource in resources
            for scoped in resource.scope_metrics
            for shared in (self._of(resource, scoped),)
            for metric in scoped.metrics
            for point in points(metric) or (None,)
        ]
        too_many(len(found), self.record.limits.elements)
        if not found:
            raise Refused("empty", "a request without metrics")
        self.record.each(found, self._point)

    def logs(self, resources: Sequence[Any]) -> None:
        """Note every log record of a request. Raises Refused."""
        found = [
            (self._of(resource, scoped), line)
            for resource in resources
            for scoped in resource.scope_logs
            for line in scoped.log_records
        ]
        too_many(len(found), self.record.limits.elements)
        if not found:
            raise Refused("empty", "a request without log records")
        self.record.each(found, self._line)

    def _of(self, resource: Any, scoped: Any) -> Attributes:
        given = self.texts(resource.resource.attributes) if resource.resource else ()
        name = scoped.scope.name if scoped.scope else ""
        return (*given, (SCOPE, name)) if name else given

    def _point(self, record: Record, found: tuple[Attributes, Any, Any]) -> None:
        shared, metric, point = found
        if not metric.name:
            raise Refused("bad-metric", "a metric without a name")
        kind = metric.WhichOneof("data")
        if kind is None:
            raise Refused("bad-metric", f"{metric.name:.80} has no data, or of an unknown kind")
        if point is None:
            record.skip("metric-without-points")
            return
        if kind != "summary" and point.exemplars:
            record.skip("exemplar", len(point.exemplars))
        if point.flags & NO_VALUE:
            record.skip("stale")
            return
        name, delta = _spoken(metric, kind)
        labels = (*shared, *self.texts(point.attributes))
        READERS[kind](record, name, labels, point, delta)

    def _line(self, record: Record, found: tuple[Attributes, Any]) -> None:
        shared, line = found
        labels = (*shared, *_short(self.texts(line.attributes), len(shared), record.limits))
        at = whole(line.time_unix_nano) or whole(line.observed_time_unix_nano)
        level = severity(line.severity_text) or _level(line.severity_number)
        text = said(line.body) or getattr(line, "event_name", "")
        at = at or record.arrived * 1_000_000
        record.line(("line", labels), lambda: dict(labels), at, level, text)


def _short(own: Attributes, shared: int, limits: Limits) -> Attributes:
    """What of a line's own attributes becomes labels, beside `shared` ones of its origin.

    A stack trace among them, or a hundred fields, say what happened and not where: they must not
    cost the line, which would be among the worst ones.
    """
    longest = limits.label_value_bytes
    if len(own) + shared <= limits.labels and all(len(text) * 4 <= longest for _, text in own):
        return own
    kept = (pair for pair in own if len(pair[1].encode()) <= longest)
    return tuple(islice(kept, max(limits.labels - shared, 0)))


def points(metric: Any) -> Sequence[Any]:
    """The data points of a metric, of none for one without data."""
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind else ()


def _spoken(metric: Any, kind: str) -> tuple[str, bool]:
    """The name that a metric's series get, and whether its points are deltas. Raises Refused."""
    name: str = metric.name
    if kind in {"gauge", "summary"}:
        return name, False
    data = getattr(metric, kind)
    temporality = TEMPORALITIES.get(data.aggregation_temporality)
    if temporality is None:
        raise Refused("bad-metric", f"{name:.80} says neither delta nor cumulative")
    if kind == "sum" and data.is_monotonic and not name.endswith("_total"):
        name += "_total"
    return name, temporality == DELTA


def said(value: Any) -> str:
    """An attribute's or body's value as text."""
    kind = value.WhichOneof("value") if value is not None else None
    if kind is None:
        return ""
    plain = _plain(value)
    return plain if isinstance(plain, str) else text_of(plain)


def _plain(value: Any) -> Any:
    """A value as JSON has them; bytes are the text that they hold, or else written in base64."""
    kind = value.WhichOneof("value") if value is not None else None
    if kind is None:
        return None
    given = getattr(value, kind)
    if kind == "array_value":
        return [_plain(one) for one in given.values]
    if kind == "kvlist_value":
        return {pair.key: _plain(pair.value) for pair in given.values}
    if kind == "bytes_value":
        return _bytes_as_text(given)
    return whole(given) if kind == "int_value" else given


def _bytes_as_text(given: bytes | str) -> str:
    """Bytes, or the base64 that JSON has of them, as text. Raises ValueError."""
    raw = base64.b64decode(given) if isinstance(given, str) else given
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = "\0"
    printable = "".join(text.split()).isprintable()
    return text if printable else base64.b64encode(raw).decode()


def texts_of(attributes: Iterable[Any]) -> Attributes:
    """Names and values of a list of attributes."""
    return tuple((pair.key, said(pair.value)) for pair in attributes)


def _level(given: int | str) -> str:
    """A severity's number, 1 to 24, as our word; empty for none."""
    if isinstance(given, str):  # SEVERITY_NUMBER_WARN2, as protobuf's usual JSON has it
        return severity(given.removeprefix("SEVERITY_NUMBER_").rstrip("234"))
    return LEVELS[(given - 1) // 4] if 1 <= given <= 24 else ""  # noqa: PLR2004 - the protocol's


def _labels(attributes: Attributes) -> Callable[[], dict[str, str]]:
    return lambda: dict(attributes)


def _number(record: Record, name: str, labels: Attributes, point: Any, delta: bool) -> None:  # noqa: FBT001 - a fact of the metric
    kind = point.WhichOneof("value")
    if kind is None:
        raise Refused("bad-value", f"{name:.80}: a point without a value")
    value = number(getattr(point, kind))
    at = whole(point.time_unix_nano)
    record.sample((name, labels), name, _labels(labels), at, value, increment=delta)


def _classic(record: Record, name: str, labels: Attributes, point: Any, delta: bool) -> None:  # noqa: FBT001 - as above
    too_many(len(point.bucket_counts), record.limits.elements)
    buckets = classic(
        [number(bound) for bound in point.explicit_bounds],
        [whole(count) for count in point.bucket_counts],
    )
    _histogram(record, name, labels, point, buckets, buckets, delta=delta)


def _exponential(record: Record, name: str, labels: Attributes, point: Any, delta: bool) -> None:  # noqa: FBT001 - as above
    given = [side for side in (point.positive, point.negative) if side]
    too_many(sum(len(side.bucket_counts) for side in given), record.limits.elements)
    buckets, fine = exponential(
        whole(point.scale),
        whole(point.zero_count),
        number(point.zero_threshold),
        _side(point.positive),
        _side(point.negative),
    )
    _histogram(record, name, labels, point, buckets, fine, delta=delta)


def _side(given: Any) -> Side:
    if not given:
        return Side((), ())
    counts, first = [whole(count) for count in given.bucket_counts], whole(given.offset)
    return Side(range(first, first + len(counts)), counts)


def _histogram(
    record: Record,
    name: str,
    labels: Attributes,
    point: Any,
    buckets: Any,
    fine: Any,
    *,
    delta: bool,
) -> None:
    known = {
        field: number(getattr(point, field)) for field in ("min", "max") if point.HasField(field)
    }
    told = Told(
        at=whole(point.time_unix_nano),
        buckets=buckets,
        fine=fine,
        observed=whole(point.count),
        total=number(point.sum) if point.HasField("sum") else None,
        delta=delta,
        low=known.get("min", -math.inf) if delta else -math.inf,
        high=known.get("max", math.inf) if delta else math.inf,
    )
    note(record, (name, labels), name, _labels(labels), told)


def _summary(record: Record, name: str, labels: Attributes, point: Any, delta: bool) -> None:  # noqa: ARG001, FBT001 - summaries are cumulative
    too_many(len(point.quantile_values), record.limits.elements)
    at = whole(point.time_unix_nano)
    key: Hashable = (name, labels)
    given = _labels(labels)
    for one in point.quantile_values:
        share = _share(number(one.quantile))
        record.sample(
            (key, share),
            name,
            lambda share=share: {**given(), "quantile": share},  # type: ignore[misc] # its own of each round
            at,
            number(one.value),
        )
    record.sample((key, "count"), f"{name}_count", given, at, whole(point.count))
    record.sample((key, "sum"), f"{name}_sum", given, at, number(point.sum))


def _share(quantile: float) -> str:
    return repr(quantile).removesuffix(".0")


READERS: dict[str, Callable[[Record, str, Attributes, Any, bool], None]] = {
    "gauge": _number,
    "sum": _number,
    "histogram": _classic,
    "exponential_histogram": _exponential,
    "summary": _summary,
}
