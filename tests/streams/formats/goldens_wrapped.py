"""Records within records: Avro, CloudEvents, Debezium."""

import base64
import io
import json

from fastavro import parse_schema, schemaless_writer

from streams.formats.prometheus_avro import METRIC
from tests.streams.formats.contract import NEST, Golden, absurd
from tests.streams.formats.goldens_metrics import ADAPTER
from tests.streams.formats.reading import EVENT, NOW

SERIES = 'latency_p95_ms{region="eu",service="checkout"}'
OWN = {
    "service": "checkout",
    "metric": "latency_p95_ms",
    "at": NOW,
    "value": 212.4,
    "labels": {"region": "eu"},
    "tags": [1, 2, 3],
}


def binary(schema: object, record: object) -> bytes:
    """A record in Avro's binary encoding."""
    sink = io.BytesIO()
    schemaless_writer(sink, schema, record)
    return sink.getvalue()


AVRO = b"\x00\x00\x00\x00\x07" + binary(parse_schema(json.loads(EVENT)), OWN)
EMPTY = b"\x00\x00\x00\x00\x07" + binary(parse_schema(json.loads(EVENT)), {**OWN, "value": None})
CLOUD = (
    b'{"specversion":"1.0","id":"A234-1234-1234","source":"/shop/checkout","type":"com.shop.metric",'
    b'"datacontenttype":"application/json","time":"2026-01-02T03:04:05.678Z","data":{"service":'
    b'"checkout","metric":"latency_p95_ms","value":212.4,"labels":{"region":"eu"}}}'
)
CLOUD_BINARY = (
    b'{"specversion":"1.0","id":"1","source":"/shop","type":"t","data_base64":"'
    + base64.b64encode(b"<34>Oct 11 22:14:15 web1 su[7]: failed")
    + b'"}'
)
DEBEZIUM = (
    b'{"schema":{"type":"struct","fields":[]},"payload":{"before":null,"after":{"service":'
    b'"checkout","metric":"latency_p95_ms","value":212.4,"labels":{"region":"eu"}},"source":'
    b'{"version":"2.5.0.Final","connector":"postgresql","name":"shop","ts_ms":1767323045600,'
    b'"db":"shop","schema":"public","table":"events","lsn":24023128},"op":"c","ts_ms":1767323045678,'
    b'"transaction":null}}'
)
DELETED = b'{"before":{"service":"checkout"},"after":null,"op":"d","ts_ms":1767323045678}'
AVRO_ABSURD = tuple(
    b"\x00\x00\x00\x00\x07" + binary(parse_schema(json.loads(EVENT)), {**OWN, "at": at})
    for at in (-1, 0, NOW + 10**9, 10**16, -(10**16))
)
ADAPTER_ABSURD = tuple(
    binary(METRIC.parsed, {**json.loads(ADAPTER), "timestamp": at})
    for at in ("", "soon", "-1", "99999-01-01T00:00:00Z", "0001-01-01T00:00:00Z")
)
SAMPLE = ((SERIES, NOW, 212.4),)
FOO = (('foo{labelfoo="label-bar",service="shop"}', 0, 456.0),)

WRAPPED = [
    Golden("avro", AVRO, samples=SAMPLE, absurd=AVRO_ABSURD),
    Golden("avro", EMPTY, skips={"nan": 1}),
    Golden("prometheus-avro", ADAPTER, samples=FOO, service="shop"),
    Golden(
        "prometheus-avro",
        binary(METRIC.parsed, json.loads(ADAPTER)),
        samples=FOO,
        service="shop",
        absurd=ADAPTER_ABSURD,
    ),
    Golden(
        "cloudevents",
        CLOUD,
        samples=SAMPLE,
        absurd=absurd(CLOUD, b'"2026-01-02T03:04:05.678Z"', (b'"soon"', b'"0001-01-01T00:00:00Z"', b"7")),
        deep=CLOUD.replace(b'{"region":"eu"}', NEST),
    ),
    Golden(
        "cloudevents@syslog",
        CLOUD_BINARY,
        lines=(
            (
                "su",
                1_760_220_855_000,
                "critical",
                "failed",
                '{app="su",facility="auth",host="web1"}',
            ),
        ),
    ),
    Golden(
        "debezium",
        DEBEZIUM,
        cuts=369,
        samples=SAMPLE,
        absurd=absurd(DEBEZIUM, b"1767323045678", (b"-1", b"9" * 30, b'"soon"', b"true", b"[1]")),
        deep=DEBEZIUM.replace(b'{"region":"eu"}', NEST),
    ),
    Golden("debezium", DELETED, skips={"nothing-inside": 1}, cuts=76),
]  # fmt: skip
