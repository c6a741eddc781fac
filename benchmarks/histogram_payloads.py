"""The load of the wire formats, histograms: requests as an OpenTelemetry SDK exports them.

Cumulative, as most SDKs keep them by default, 500 data points a request: the durations of HTTP
requests by method, route and status, of five services. An element is a data point here; each
becomes some twenty samples (its buckets, sum, count, and from the second one on quantiles), which
`Payload.samples` counts. Decoder: `ExportMetricsServiceRequest.FromString`, and `read` makes
attributes, times, counts, bounds, sums Python objects.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE

from benchmarks.payloads import (
    LAST,
    REQUEST,
    SERVICES,
    STEP_MS,
    Payload,
    attributes,
    pairs,
    resource,
)

POINTS = 50  # histograms of a service
BOUNDS = (5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10000.0)  # ms; of the SDKs' default, but 0  # fmt: skip
OBSERVED = 40  # requests between two exports
SLOW_MS = 6000.0  # of all requests of one route a service in the last samples
SCALE = 3  # of exponential histograms: eight buckets for each doubling
FIRST = -20  # of their buckets
WIDTH = 140  # so that the last one is of SLOW_MS too


def otlp_histograms(laps: int, start_ms: int) -> Payload:
    """Explicit buckets: `laps` points a histogram, from `start_ms` on."""
    samples = len(BOUNDS) + 1 + 2
    return _payload(
        "otlp_histograms", f"OTLP histograms, {len(BOUNDS)} bounds", samples, laps, start_ms, _classic
    )  # fmt: skip


def otlp_exponential(laps: int, start_ms: int) -> Payload:
    """Exponential buckets, the same durations."""
    merged = (FIRST + WIDTH - 1 >> SCALE) - (FIRST >> SCALE) + 1
    return _payload(
        "otlp_exponential", f"OTLP exponential histograms, {WIDTH} buckets", merged + 2 + 2, laps,
        start_ms, _exponential,
    )  # fmt: skip


def _payload(
    name: str, said: str, samples: int, laps: int, start_ms: int, fill: Callable[..., None]
) -> Payload:
    draw = np.random.default_rng(1)
    size = len(BOUNDS) + 1 if fill is _classic else WIDTH
    counts = np.zeros((SERVICES, POINTS, size), np.int64)
    total = np.zeros((SERVICES, POINTS))
    typical = draw.uniform(20.0, 400.0, (SERVICES, POINTS, 1))
    records: list[bytes] = []
    requests = SERVICES * POINTS // REQUEST
    for lap in range(laps):
        spent = typical * draw.lognormal(0.0, 0.5, (SERVICES, POINTS, OBSERVED))
        if lap >= laps - LAST:
            spent[:, 0] = SLOW_MS
        np.add.at(counts, (*np.ogrid[:SERVICES, :POINTS, :1][:2], _places(spent, size)), 1)
        total += spent.sum(axis=2)
        for number in range(requests):
            request = ExportMetricsServiceRequest()
            each = SERVICES // requests
            for service in range(each * number, each * (number + 1)):
                _service(
                    request.resource_metrics.add(), service, start_ms + lap * STEP_MS,
                    counts[service], total[service], fill,
                )  # fmt: skip
            records.append(request.SerializeToString())
    points = laps * SERVICES * POINTS
    return Payload(
        name, f"{said}, {REQUEST} points a batch", "otlp-proto", records, points,
        ExportMetricsServiceRequest.FromString, _read,
        "FromString, attributes, times, counts, bounds and sums read", requests,
        samples=points * samples + 3 * (points - SERVICES * POINTS),
    )  # fmt: skip


def _places(spent: Any, size: int) -> Any:
    """Which bucket each is in."""
    if size == len(BOUNDS) + 1:
        return np.searchsorted(BOUNDS, spent)
    return np.clip(np.ceil(np.log2(spent) * 2**SCALE).astype(int) - 1 - FIRST, 0, WIDTH - 1)


def _service(holder: Any, service: int, at: int, counts: Any, total: Any, fill: Any) -> None:
    scoped = resource(holder, service).scope_metrics.add()
    scoped.scope.name = "io.opentelemetry.http"
    metric = scoped.metrics.add(
        name="http.server.duration", unit="ms", description="The duration of an inbound request."
    )
    kind = metric.histogram if fill is _classic else metric.exponential_histogram
    kind.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    for one in range(POINTS):
        point = kind.data_points.add(
            start_time_unix_nano=1_767_323_000_000_000_000,
            time_unix_nano=at * 1_000_000,
            count=int(counts[one].sum()),
            sum=float(total[one]),
            attributes=pairs(
                {
                    "http.request.method": "GET",
                    "http.route": f"/api/v1/resource/{one:04d}",
                    "server.address": f"shop-{service:03d}.internal",
                },
                {"http.response.status_code": 200},
            ),
        )
        fill(point, counts[one].tolist())


def _classic(point: Any, counts: list[int]) -> None:
    point.explicit_bounds.extend(BOUNDS)
    point.bucket_counts.extend(counts)


def _exponential(point: Any, counts: list[int]) -> None:
    point.scale = SCALE
    point.positive.offset = FIRST
    point.positive.bucket_counts.extend(counts)


def _read(raw: bytes) -> Any:
    labels, at, value = [], [], []
    metric: Any
    said: Any
    for holder in ExportMetricsServiceRequest.FromString(raw).resource_metrics:
        shared = attributes(holder.resource.attributes)
        for scoped in holder.scope_metrics:
            for metric in scoped.metrics:
                name, kind = metric.name, metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points:
                    labels.append((shared, name, attributes(point.attributes)))
                    at.append(point.time_unix_nano)
                    if kind == "histogram":
                        said = (list(point.explicit_bounds), list(point.bucket_counts))
                    else:
                        side = point.positive
                        said = (point.scale, side.offset, list(side.bucket_counts))
                    value.append((point.count, point.sum, said))
    return labels, at, value


HISTOGRAMS: tuple[Callable[[int, int], Payload], ...] = (otlp_histograms, otlp_exponential)
