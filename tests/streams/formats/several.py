"""Records with several elements of each format, for whoever changes a part of one.

A golden record is mostly as small as its producer's own example. That a reader loses the third
of five samples shows only where there are five.
"""

from typing import Any

import cramjam
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from streams.formats.proto import remote_write_v1_pb2 as v1
from streams.formats.proto import remote_write_v2_pb2 as v2
from tests.streams.formats.edits import LIKE_JSON
from tests.streams.formats.goldens import GOLDENS

DELTA, CUMULATED = 1, 2
NOW = 1_767_323_045_678
WHOLE = {"otlp-json", "debezium"}  # a record of these is one document
BY_LINE = (
    "graphite", "collectd-command", "text", "syslog", "rsyslog", "syslog-ng", "cri", "influx",
    "influx@s", "openmetrics",
)  # fmt: skip
LABELS = ({"__name__": "a", "job": "j"}, {"__name__": "b", "job": "j", "le": "1"})
SPANS = [v1.BucketSpan(offset=1, length=2), v1.BucketSpan(offset=3, length=1)]
SHAPE: dict[str, Any] = {
    "count_int": 9,
    "sum": 4.5,
    "schema": 1,
    "timestamp": NOW,
    "zero_count_int": 2,
}
OWN: dict[str, Any] = {
    "count_int": 3,
    "sum": 1.5,
    "schema": -53,
    "timestamp": NOW,
    "custom_values": [0.5, 1.0],
}


def _packed(message: v1.WriteRequest | v2.Request) -> bytes:
    return bytes(cramjam.snappy.compress_raw(message.SerializeToString()))


def _version_1(*series: v1.TimeSeries) -> bytes:
    return _packed(v1.WriteRequest(timeseries=series, metadata=[b"\x08\x01", b"\x08\x02"]))


def _series_1(labels: dict[str, str], count: int, exemplars: int = 0) -> v1.TimeSeries:
    return v1.TimeSeries(
        labels=[v1.Label(name=k, value=v).SerializeToString() for k, v in labels.items()],
        samples=[v1.Sample(value=i + 0.5, timestamp=NOW + i) for i in range(count)],
        exemplars=[b"\x11" + bytes(8)] * exemplars,
    )


def _native_1(**given: Any) -> v1.TimeSeries:
    series = _series_1({"__name__": "rt", "job": "j"}, 0)
    series.histograms.append(v1.Histogram(**given))
    return series


def _version_2(*series: v2.TimeSeries) -> bytes:
    symbols = ["", "__name__", "a", "job", "j", "b"]
    return _packed(v2.Request(symbols=symbols, timeseries=series))


def _series_2(*refs: int, count: int, exemplars: int = 0) -> v2.TimeSeries:
    return v2.TimeSeries(
        labels_refs=refs,
        samples=[v2.Sample(value=i + 0.5, timestamp=NOW + i) for i in range(count)],
        exemplars=[b"\x11" + bytes(8)] * exemplars,
        metadata=v2.Metadata(type=1),
    )


def _native_2(**given: Any) -> v2.TimeSeries:
    series = _series_2(1, 2, 3, 4, count=0)
    series.histograms.append(v2.Histogram(**given))
    return series


def _points(temporality: int) -> bytes:
    """Many points of metrics, with exemplars, and one of a histogram."""
    at = str(NOW * 1_000_000)
    told = [{"timeUnixNano": at, "asDouble": 1.5}]
    points = [{"timeUnixNano": at, "asDouble": i + 0.5, "exemplars": told * i} for i in range(4)]
    histogram = {
        "timeUnixNano": at, "count": "3", "sum": 2.5, "bucketCounts": ["1", "2", "0"],
        "explicitBounds": [0.5, 1.5], "exemplars": told,
    }  # fmt: skip
    metrics = [
        {"name": "a", "gauge": {"dataPoints": points}},
        {
            "name": "b",
            "histogram": {"aggregationTemporality": temporality, "dataPoints": [histogram]},
        },
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    given = {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]}
    return ParseDict(given, ExportMetricsServiceRequest()).SerializeToString()


def _together(name: str) -> list[bytes]:
    """The golden records of a format, as one."""
    given = [golden.raw.strip() for golden in GOLDENS if golden.format == name] * 2
    if name in BY_LINE:
        return [b"\n".join(given)]
    if name not in LIKE_JSON or name in WHOLE:
        return []
    flat = [b"".join(raw.splitlines()) for raw in given if b"\n" not in raw]
    listed = [raw[1:-1] if raw.startswith(b"[") else raw for raw in flat]
    lines = [b"\n\n".join(flat)] if listed == flat else []
    return [*lines, b"[" + b",".join(listed) + b"]"]


SEVERAL: dict[str, list[bytes]] = {name: _together(name) for name in (*BY_LINE, *LIKE_JSON)} | {
    "otlp-proto": [_points(DELTA)],
    "remote-write": [
        _version_1(_series_1(LABELS[0], 3), _series_1(LABELS[1], 2, 2), _series_1(LABELS[0], 0)),
    ],
    "remote-write-2": [
        _version_2(
            _series_2(1, 2, 3, 4, count=3),
            _series_2(1, 5, 3, 4, count=2, exemplars=2),
            _series_2(1, 5, 3, 4, count=0),
        ),
    ],
}
# With histograms that have quantiles only where the record before told of the same series, so that
# records alone make less than together
CUMULATIVE = {
    "otlp-proto": [_points(CUMULATED)],
    "remote-write": [
        _version_1(
            _native_1(**SHAPE, positive_spans=SPANS, positive_deltas=[1, 1, 2]),
            _native_1(reset_hint=3, **SHAPE, negative_spans=SPANS, negative_deltas=[1, 1, 2]),
            _series_1(LABELS[1], 4, 1),
        ),
        _version_1(_native_1(**OWN, positive_spans=SPANS[:1], positive_deltas=[2, -1])),
    ],
    "remote-write-2": [
        _version_2(
            _native_2(
                **SHAPE,
                positive_spans=[v2.BucketSpan(offset=1, length=3)],
                positive_deltas=[1, 1, 2],
            ),
            _series_2(1, 5, 3, 4, count=4, exemplars=1),
        ),
    ],
}
