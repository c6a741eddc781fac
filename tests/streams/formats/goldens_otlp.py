"""OTLP export requests, in both encodings, with every kind of metric."""

import json

from google.protobuf.json_format import MessageToDict, ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from tests.streams.formats.contract import DEEP, Golden

AT = 1_700_000_000_000
NS = AT * 1_000_000
TIME = str(NS).encode()

# One gauge, as the collector's kafka exporter writes it in either encoding.
GAUGE_PROTO = bytes.fromhex(
    "0a400a1c0a1a0a0c736572766963652e6e616d65120a0a08636865636b6f75741220121e0a036370751a01312a140a"
    "121900002a36fe9c971721000000000000e03f"
)
GAUGE_JSON = (
    b'{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":'
    b'"checkout"}}]},"scopeMetrics":[{"metrics":[{"name":"cpu","unit":"1","gauge":{"dataPoints":'
    b'[{"timeUnixNano":"1700000000000000000","asDouble":0.5}]}}]}]}]}'
)
# The published example of log records, ids as hexadecimal text.
LOGS_JSON = (
    b'{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":'
    b'"my.service"}}]},"scopeLogs":[{"scope":{"name":"my.library","version":"1.0.0","attributes":[{'
    b'"key":"my.scope.attribute","value":{"stringValue":"some scope attribute"}}]},"logRecords":[{'
    b'"timeUnixNano":"1544712660300000000","observedTimeUnixNano":"1544712660300000000",'
    b'"severityNumber":10,"severityText":"Information","traceId":"5B8EFFF798038103D269B633813FC60C",'
    b'"spanId":"EEE19B7EC3C1B174","body":{"stringValue":"Example log record"},"attributes":[{"key":'
    b'"boolean.attribute","value":{"boolValue":true}},{"key":"int.attribute","value":{"intValue":'
    b'"10"}},{"key":"array.attribute","value":{"arrayValue":{"values":[{"stringValue":"many"},'
    b'{"stringValue":"values"}]}}}]}]}]}]}'
)
LOGGED = (
    "my.service",
    1_544_712_660_300,
    "info",
    "Example log record",
    (
        r'{array.attribute="[\"many\",\"values\"]",boolean.attribute="true",int.attribute="10",'
        'otel_scope_name="my.library",service.name="my.service"}'
    ),
)


def _pair(key: str, value: str) -> dict[str, object]:
    return {"key": key, "value": {"stringValue": value}}


def _request(*metrics: dict[str, object]) -> ExportMetricsServiceRequest:
    resource = {"attributes": [_pair("service.name", "shop"), _pair("host.name", "h1")]}
    scopes = [{"scope": {"name": "lib"}, "metrics": list(metrics)}]
    given = {"resourceMetrics": [{"resource": resource, "scopeMetrics": scopes}]}
    return ParseDict(given, ExportMetricsServiceRequest())


def _json(request: ExportMetricsServiceRequest) -> bytes:
    """As the collector writes it: enumerations as numbers, 64-bit integers as text."""
    return json.dumps(MessageToDict(request, use_integers_for_enums=True)).encode()


POINT = {"timeUnixNano": str(NS), "attributes": [_pair("route", "/pay")]}
GIVEN = 'host.name="h1",{}otel_scope_name="lib",route="/pay",service="shop",service.name="shop"'
OF = GIVEN.format("")
HALF = OF.replace("route", 'quantile="0.5",route')


def _le(bound: str) -> str:
    return GIVEN.format(f'le="{bound}",')


EVERY_KIND = _request(
    {
        "name": "http.requests",
        "sum": {
            "isMonotonic": True,
            "aggregationTemporality": 2,
            "dataPoints": [{**POINT, "asInt": "41"}],
        },
    },
    {
        "name": "queue.size",
        "sum": {"aggregationTemporality": 2, "dataPoints": [{**POINT, "asInt": "-3"}]},
    },
    {
        "name": "jobs",
        "sum": {
            "isMonotonic": True,
            "aggregationTemporality": 1,
            "dataPoints": [{**POINT, "asDouble": 2.5}, {**POINT, "asDouble": 4}],
        },
    },
    {
        "name": "latency",
        "histogram": {
            "aggregationTemporality": 1,
            "dataPoints": [
                {
                    **POINT,
                    "count": "10",
                    "sum": 7.5,
                    "bucketCounts": ["4", "4", "2"],
                    "explicitBounds": [0.5, 1],
                    "min": 0.1,
                    "max": 1.5,
                }
            ],
        },
    },
    {
        "name": "size",
        "exponentialHistogram": {
            "aggregationTemporality": 1,
            "dataPoints": [
                {
                    **POINT,
                    "count": "8",
                    "sum": 30,
                    "scale": 1,
                    "zeroCount": "2",
                    "positive": {"offset": 0, "bucketCounts": ["1", "2", "3"]},
                }
            ],
        },
    },
    {
        "name": "gc",
        "summary": {
            "dataPoints": [
                {
                    **POINT,
                    "count": "5",
                    "sum": 1.5,
                    "quantileValues": [{"quantile": 0.5, "value": 0.25}],
                }
            ]
        },
    },
    {"name": "gone", "gauge": {"dataPoints": [{**POINT, "flags": 1}]}},
    {"name": "never", "gauge": {"dataPoints": [{**POINT, "asDouble": "NaN"}]}},
    {"name": "none", "gauge": {}},
)
MADE = (
    (f"http.requests_total{{{OF}}}", AT, 41.0),
    (f"queue.size{{{OF}}}", AT, -3.0),
    (f"jobs_total{{{OF}}}", AT, 2.5),
    (f"jobs_total{{{OF}}}", AT, 6.5),
    (f"latency_bucket{{{_le('0.5')}}}", AT, 4.0),
    (f"latency_bucket{{{_le('1')}}}", AT, 8.0),
    (f"latency_bucket{{{_le('+Inf')}}}", AT, 10.0),
    (f"latency_sum{{{OF}}}", AT, 7.5),
    (f"latency_count{{{OF}}}", AT, 10.0),
    (f"latency_p50{{{OF}}}", AT, 0.625),
    (f"latency_p95{{{OF}}}", AT, 1.0),
    (f"latency_p99{{{OF}}}", AT, 1.0),
    (f"size_bucket{{{_le('0')}}}", AT, 2.0),
    (f"size_bucket{{{_le('2')}}}", AT, 5.0),
    (f"size_bucket{{{_le('4')}}}", AT, 8.0),
    (f"size_bucket{{{_le('+Inf')}}}", AT, 8.0),
    (f"size_sum{{{OF}}}", AT, 30.0),
    (f"size_count{{{OF}}}", AT, 8.0),
    (f"size_p50{{{OF}}}", AT, 2**0.5 + (2 - 2**0.5) * 0.5),
    (f"size_p95{{{OF}}}", AT, 2 + (2**1.5 - 2) * (7.6 - 5) / 3),
    (f"size_p99{{{OF}}}", AT, 2 + (2**1.5 - 2) * (7.92 - 5) / 3),
    (f"gc{{{HALF}}}", AT, 0.25),
    (f"gc_count{{{OF}}}", AT, 5.0),
    (f"gc_sum{{{OF}}}", AT, 1.5),
)
LEFT_OUT = {"stale": 1, "nan": 1, "metric-without-points": 1}


def _at(time: int) -> bytes:
    """The gauge's request with another time, ns."""
    request = ExportMetricsServiceRequest.FromString(GAUGE_PROTO)
    (point,) = request.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points
    point.time_unix_nano = time
    return request.SerializeToString()


def _nested() -> bytes:
    """The gauge's request, and beside it a resource whose one attribute holds lists in lists."""
    value = b""
    for _ in range(DEEP):
        value = _field(5, _field(1, value))  # AnyValue.array_value, ArrayValue.values
    attribute = _field(1, b"k") + _field(2, value)  # KeyValue
    return GAUGE_PROTO + _field(1, _field(1, _field(1, attribute)))


def _field(number: int, value: bytes) -> bytes:
    """A protobuf field that holds bytes."""
    size, rest = b"", len(value)
    while rest > 0x7F:
        size, rest = size + bytes([rest & 0x7F | 0x80]), rest >> 7
    return bytes([number << 3 | 2]) + size + bytes([rest]) + value


CPU = (('cpu{service="checkout",service.name="checkout"}', AT, 0.5),)
NEST = b'{"arrayValue":{"values":[' * DEEP + b"]}}" * DEEP

# As the collector's Kafka exporter wrote them (0.155.0): in protobuf it begins with the last field
SENT_AT = 1_767_323_045_678
SENT_PROTO = bytes.fromhex(
    "0ada011a2768747470733a2f2f6f70656e74656c656d657472792e696f2f736368656d61732f312e32362e3012"
    "94011a2768747470733a2f2f6f70656e74656c656d657472792e696f2f736368656d61732f312e32362e301262"
    "524e10010a4a6900000000000008406100000000000000004a0042071203010002080139010000000000000029"
    "00000000000008402104000000000000001980a7ff44f2ca86181180dd6409f2ca86181a01730a0d687474702e"
    "6475726174696f6e0a050a036c69620a180a1612060a0473686f700a0c736572766963652e6e616d65"
)
SENT_JSON = (
    b'{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringVal'
    b'ue":"shop"}}]},"scopeMetrics":[{"scope":{"name":"lib"},"metrics":[{"name":"http.duration'
    b'","unit":"s","exponentialHistogram":{"dataPoints":[{"startTimeUnixNano":"176732304467800'
    b'0000","timeUnixNano":"1767323045678000000","count":"4","sum":3,"zeroCount":"1","positive'
    b'":{"offset":-1,"bucketCounts":["1","0","2"]},"negative":{},"min":0,"max":3}],"aggregatio'
    b'nTemporality":1}}],"schemaUrl":"https://opentelemetry.io/schemas/1.26.0"}],"schemaUrl":"'
    b'https://opentelemetry.io/schemas/1.26.0"}]}'
)
SENT_OF = 'otel_scope_name="lib",service="shop",service.name="shop"'
SENT = (
    (f'http.duration_bucket{{le="0",{SENT_OF}}}', SENT_AT, 1.0),
    (f'http.duration_bucket{{le="1",{SENT_OF}}}', SENT_AT, 2.0),
    (f'http.duration_bucket{{le="2",{SENT_OF}}}', SENT_AT, 2.0),
    (f'http.duration_bucket{{le="4",{SENT_OF}}}', SENT_AT, 4.0),
    (f'http.duration_bucket{{le="+Inf",{SENT_OF}}}', SENT_AT, 4.0),
    (f"http.duration_sum{{{SENT_OF}}}", SENT_AT, 3.0),
    (f"http.duration_count{{{SENT_OF}}}", SENT_AT, 4.0),
    (f"http.duration_p50{{{SENT_OF}}}", SENT_AT, 1.0),
    (f"http.duration_p95{{{SENT_OF}}}", SENT_AT, 3.0),  # no more than the largest observed
    (f"http.duration_p99{{{SENT_OF}}}", SENT_AT, 3.0),
)
SAID_PROTO = bytes.fromhex(
    "0acc0112af01126a520800010203040506074a10000102030405060708090a0b0c0d0e0f4501000000320c1205"
    "3a03fffefd0a036b65792a2232200a11120a0a086e6f206d6f6e65790a036d73670a0b120218070a0574726965"
    "731a014510115985a7ff44f2ca86180980a7ff44f2ca8618122152004a002a073a0568656c6c6f10095985a7ff"
    "44f2ca86180980a7ff44f2ca8618121c52004a002a020a0010095985a7ff44f2ca86180980a7ff44f2ca86180a"
    "000a180a1612060a0473686f700a0c736572766963652e6e616d65"
)
SAID_JSON = (
    b'{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue"'
    b':"shop"}}]},"scopeLogs":[{"scope":{},"logRecords":[{"timeUnixNano":"1767323045678000000"'
    b',"observedTimeUnixNano":"1767323045678000005","severityNumber":17,"severityText":"E","bo'
    b'dy":{"kvlistValue":{"values":[{"key":"msg","value":{"stringValue":"no money"}},{"key":"t'
    b'ries","value":{"intValue":"7"}}]}},"attributes":[{"key":"key","value":{"bytesValue":"//7'
    b'9"}}],"flags":1,"traceId":"000102030405060708090a0b0c0d0e0f","spanId":"0001020304050607"'
    b'},{"timeUnixNano":"1767323045678000000","observedTimeUnixNano":"1767323045678000005","se'
    b'verityNumber":9,"body":{"bytesValue":"aGVsbG8="}},{"timeUnixNano":"1767323045678000000",'
    b'"observedTimeUnixNano":"1767323045678000005","severityNumber":9,"body":{"stringValue":""'
    b"}}]}]}]}"
)
SAID_MAP = '{"msg":"no money","tries":7}'
SAID = (
    ("shop", SENT_AT, "error", SAID_MAP, '{key="//79",service.name="shop"}'),
    ("shop", SENT_AT, "info", "hello", '{service.name="shop"}'),
)

OTLP = [
    Golden("otlp-proto", SENT_PROTO, samples=SENT),
    Golden("otlp-json", SENT_JSON, samples=SENT),
    Golden("otlp-proto", SAID_PROTO, lines=SAID, skips={"blank": 1}),
    Golden("otlp-json", SAID_JSON, lines=SAID, skips={"blank": 1}),
    Golden(
        "otlp-proto",
        GAUGE_PROTO,
        samples=CPU,
        absurd=tuple(_at(time) for time in (0, 1, 3 * 10**18, 2**63, 2**64 - 1)),
        deep=_nested(),
    ),
    Golden(
        "otlp-json",
        GAUGE_JSON,
        samples=CPU,
        absurd=tuple(
            GAUGE_JSON.replace(b'"' + TIME + b'"', other)
            for other in (b"0", b"-1", b'"9999999999999999999999999"', b'"soon"', b'"-5"')
        ),
        deep=GAUGE_JSON.replace(b'{"stringValue":"checkout"}', NEST),
    ),
    Golden("otlp-proto", EVERY_KIND.SerializeToString(), samples=MADE, skips=LEFT_OUT),
    Golden("otlp-json", _json(EVERY_KIND), samples=MADE, skips=LEFT_OUT),
    Golden("otlp-json", LOGS_JSON, lines=(LOGGED,)),
    Golden(
        "otlp-proto",
        ParseDict(
            json.loads(LOGS_JSON.replace(b"5B8EFFF798038103D269B633813FC60C", b"W47/95gDgQPSabYzgT/GDA==")
                       .replace(b"EEE19B7EC3C1B174", b"7uGbfsPBsXQ=")),
            ExportLogsServiceRequest(),
        ).SerializeToString(),
        lines=(LOGGED,),
    ),
]  # fmt: skip
