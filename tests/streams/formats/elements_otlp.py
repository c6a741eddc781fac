"""Elements of OTLP's export requests: by the published classes, and by the standard library's JSON."""

from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from tests.streams.formats.elements import Unit, Units, UntoldError
from tests.streams.formats.elements_documents import loads
from tests.streams.formats.elements_histograms import FINITE, alone, exponential, histogram

GAUGES = {"gauge", "sum"}
KINDS = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")
DELTA: tuple[object, ...] = (1, "AGGREGATION_TEMPORALITY_DELTA")


def document(raw: bytes) -> Units:
    """An export request: its log records, or its metrics' data points."""
    if not raw.strip():
        return []
    request = loads(raw.decode())
    if not isinstance(request, dict):
        return [Unit()]
    metrics, logs = request.get("resourceMetrics"), request.get("resourceLogs")
    if metrics is not None and logs is not None:
        raise UntoldError
    if logs is not None:
        return [Unit() for scope in _inner(logs, "scopeLogs") for _ in _list(scope, "logRecords")]
    found = [m for scope in _inner(metrics, "scopeMetrics") for m in _list(scope, "metrics")]
    return alone([pair for metric in found for pair in _points(metric)])


def _list(given: Any, field: str) -> list[Any]:
    found = given.get(field, []) if isinstance(given, dict) else None
    if not isinstance(found, list):
        raise UntoldError
    return found


def _inner(resources: Any, field: str) -> list[Any]:
    if not isinstance(resources, list | None):
        raise UntoldError
    return [scope for resource in resources or () for scope in _list(resource, field)]


def _points(metric: Any) -> list[tuple[Unit, bool]]:
    """The units of a metric, and which of them are cumulative histograms."""
    if not isinstance(metric, dict):
        raise UntoldError
    kinds = [kind for kind in KINDS if metric.get(kind) is not None]
    if len(kinds) > 1:
        raise UntoldError
    data = metric[kinds[0]] if kinds else {}
    points = _list(data, "dataPoints")
    if not points:
        return [(Unit(1, 1), False)]
    return [_point(kinds[0], point, data.get("aggregationTemporality")) for point in points]


def _point(kind: str, point: Any, temporality: Any) -> tuple[Unit, bool]:
    if kind == "summary":
        stale = bool(_whole(point, "flags") & 1)
        return Unit(1 if stale else len(_list(point, "quantileValues")) + 2), False
    extra = len(_list(point, "exemplars"))
    if kind in GAUGES or _whole(point, "flags") & 1:
        return Unit(1 + extra, extra), False
    if not isinstance(temporality, int | str):
        raise UntoldError
    delta, total = temporality in DELTA, point.get("sum") is not None
    if any(not abs(float(point.get(edge) or 0)) < FINITE for edge in ("min", "max")):
        raise UntoldError
    if kind == "histogram":
        counts = [float(count) for count in _list(point, "bucketCounts")]
        bounds = [float(bound) for bound in _list(point, "explicitBounds")]
        if any(not abs(bound) < FINITE for bound in bounds):
            raise UntoldError
        unit = histogram(bounds, counts, delta=delta, total=total)
    else:
        threshold = float(point.get("zeroThreshold") or 0)
        sides = [_side(point.get(side)) for side in ("positive", "negative")]
        zero = _whole(point, "zeroCount"), threshold
        unit = exponential(_whole(point, "scale"), zero, sides, delta=delta, total=total)
    return Unit(unit.elements + extra, extra), not delta


def _side(given: Any) -> tuple[int, list[float]]:
    given = given or {}
    counts = [float(count) for count in _list(given, "bucketCounts")]
    return _whole(given, "offset"), counts


def _whole(given: Any, field: str) -> int:
    found = given.get(field, 0) if isinstance(given, dict) else None
    if not isinstance(found, int | str):
        raise UntoldError
    return int(found)


def messages(raw: bytes) -> Units:
    """An export request: its metrics' data points or its log records.

    Either parses as the other; not told where the names of metrics do not decide it.
    """
    metrics = [
        metric
        for resource in getattr(_parsed(ExportMetricsServiceRequest, raw), "resource_metrics", ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]
    if metrics and all(metric.name for metric in metrics):
        return alone([pair for metric in metrics for pair in _told_points(metric)])
    if any(metric.name for metric in metrics):
        raise UntoldError
    found = [
        line
        for resource in getattr(_parsed(ExportLogsServiceRequest, raw), "resource_logs", ())
        for scope in resource.scope_logs
        for line in scope.log_records
    ]
    if any(not line.time_unix_nano for line in found) or not (found or metrics or not raw):
        raise UntoldError
    return [Unit() for _ in found]


def _parsed(kind: Any, raw: bytes) -> Any:
    """The message, None of what is none."""
    try:
        return kind.FromString(raw)
    except DecodeError:
        return None


def _told_points(metric: Any) -> list[tuple[Unit, bool]]:
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind) if kind else None
    if data is None or not data.data_points:
        return [(Unit(1, 1), False)]
    return [_told_point(kind, point, data) for point in data.data_points]


def _told_point(kind: str, point: Any, data: Any) -> tuple[Unit, bool]:
    if kind == "summary":
        return Unit(1 if point.flags & 1 else len(point.quantile_values) + 2), False
    extra = len(point.exemplars)
    if kind in GAUGES or point.flags & 1:
        return Unit(1 + extra, extra), False
    delta, total = data.aggregation_temporality in DELTA, point.HasField("sum")
    if not (abs(point.min) < FINITE and abs(point.max) < FINITE):
        raise UntoldError
    if kind == "histogram":
        bounds = list(point.explicit_bounds)
        if any(not abs(bound) < FINITE for bound in bounds):
            raise UntoldError
        unit = histogram(bounds, list(point.bucket_counts), delta=delta, total=total)
    else:
        sides = [(s.offset, list(s.bucket_counts)) for s in (point.positive, point.negative)]
        zero = point.zero_count, point.zero_threshold
        unit = exponential(point.scale, zero, sides, delta=delta, total=total)
    return Unit(unit.elements + extra, extra), not delta
