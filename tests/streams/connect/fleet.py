"""Topics as a fleet of producers fills them: many records, no two alike, around one moment."""

import base64
import json
import random
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import cramjam
import msgspec
from fastavro import parse_schema
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from streams.formats.prometheus_avro import METRIC
from streams.formats.proto.remote_write_v1_pb2 import Label, WriteRequest
from streams.formats.proto.remote_write_v2_pb2 import Request
from tests.streams.formats.goldens_wrapped import binary
from tests.streams.formats.reading import EVENT

STEP_MS = 1500
WEB = ("web-01", "web-02", "db-1", "edge-7")
APPS = ("checkout", "cart", "search")
SENTENCES = (
    "Failed password for root from 10.0.0.5 port 22 ssh2",
    "Accepted publickey for deploy from 10.0.3.9 port 51514 ssh2",
    "connection reset by peer while reading the response header",
    "GET /cart/7 200 in 31 ms",
    "job 1234 finished after 3 attempts",
)


class Producer:
    """What one record is made of."""

    def __init__(self, number: int, ms: int, chance: random.Random) -> None:
        self.number, self.ms, self.chance = number, ms, chance
        self.host, self.app = chance.choice(WEB), chance.choice(APPS)
        self.text, self.pid = chance.choice(SENTENCES), chance.randint(100, 40_000)
        self.value = round(chance.lognormvariate(3, 1), 3)
        self.total = 1000 + 37 * number
        self.at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)

    def iso(self, digits: str = "milliseconds", zone: str = "Z") -> str:
        """The time as text."""
        return self.at.isoformat(timespec=digits).replace("+00:00", zone)


Make = Callable[[Producer], Any]


def topic(name: str, count: int, now: int, seed: int = 1) -> list[bytes]:
    """Records of a topic of the fleet, the newest at `now`, epoch ms."""
    return [value for value, _ in timed(name, count, now, seed)]


def timed(name: str, count: int, now: int, seed: int = 1) -> Iterator[tuple[bytes, int]]:
    """Records with their times, epoch ms."""
    chance = random.Random(f"{name}{seed}")
    for number in range(count):
        ms = now - (count - 1 - number) * STEP_MS
        made = FLEET[name](Producer(number, ms, chance))
        yield made if isinstance(made, bytes) else json.dumps(made).encode(), ms


def _own(p: Producer) -> Any:
    return {
        "service": p.app, "metric": "latency_p95_ms", "at": p.iso(), "value": p.value,
        "labels": {"region": p.chance.choice(("eu", "us"))},
    }  # fmt: skip


def _own_line(p: Producer) -> Any:
    return {"service": p.app, "at": p.ms, "severity": "error", "message": p.text}


def _written(p: Producer) -> bytes:
    request = WriteRequest()
    for name in ("up", "http_requests_total", "process_cpu_seconds_total"):
        series = request.timeseries.add()
        pairs = (("__name__", name), ("instance", f"{p.host}:9090"), ("job", p.app))
        series.labels.extend(Label(name=k, value=v).SerializeToString() for k, v in pairs)
        series.samples.add(value=p.value, timestamp=p.ms)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


def _written_2(p: Producer) -> bytes:
    request = Request(symbols=["", "__name__", "up", "job", p.app, "instance", f"{p.host}:9090"])
    series = request.timeseries.add(labels_refs=[1, 2, 5, 6, 3, 4])
    series.samples.add(value=p.value, timestamp=p.ms)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


def _resource(p: Producer) -> Any:
    pair = {"key": "service.name", "value": {"stringValue": p.app}}
    return {"attributes": [pair, {"key": "host.name", "value": {"stringValue": p.host}}]}


def _measured(p: Producer) -> Any:
    route = {"key": "route", "value": {"stringValue": p.chance.choice(("/pay", "/cart"))}}
    point = {"timeUnixNano": str(p.ms * 1_000_000), "attributes": [route]}
    gauge = {"name": "queue.size", "gauge": {"dataPoints": [point | {"asDouble": p.value}]}}
    counter = {
        "name": "http.requests",
        "sum": {
            "isMonotonic": True,
            "aggregationTemporality": 2,
            "dataPoints": [point | {"asInt": str(p.total)}],
        },
    }
    scope = {"scope": {"name": "lib"}, "metrics": [gauge, counter]}
    return {"resourceMetrics": [{"resource": _resource(p), "scopeMetrics": [scope]}]}


def _logged(p: Producer) -> Any:
    line = {
        "timeUnixNano": str(p.ms * 1_000_000),
        "severityNumber": p.chance.choice((9, 13, 17)),
        "body": {"stringValue": p.text},
    }
    scope = {"scope": {"name": "lib"}, "logRecords": [line]}
    return {"resourceLogs": [{"resource": _resource(p), "scopeLogs": [scope]}]}


def _traced(p: Producer) -> Any:
    trace, span = p.chance.randbytes(16), p.chance.randbytes(8)
    one = {
        "traceId": base64.b64encode(trace).decode(),
        "spanId": base64.b64encode(span).decode(),
        "name": "GET /pay",
        "startTimeUnixNano": str(p.ms * 1_000_000),
        "endTimeUnixNano": str(p.ms * 1_000_000 + 31_000_000),
    }
    return {"resourceSpans": [{"resource": _resource(p), "scopeSpans": [{"spans": [one]}]}]}


def _metrics_or_lines(p: Producer) -> bytes:
    if p.number % 3:
        return ParseDict(_measured(p), ExportMetricsServiceRequest()).SerializeToString()
    return ParseDict(_logged(p), ExportLogsServiceRequest()).SerializeToString()


def _influx(p: Producer) -> bytes:
    line = f"cpu,cpu=cpu{p.number % 4},host={p.host} usage_idle={p.value},n={p.total}i {p.ms}000000"
    return f"{line}\n".encode()


def _telegraf(p: Producer) -> Any:
    return {
        "fields": {"used_percent": p.value, "n_images": p.total},
        "name": "docker", "tags": {"host": p.host}, "timestamp": p.ms // 1000,
    }  # fmt: skip


def _collectd(p: Producer, values: list[float]) -> Any:
    return [{
        "values": values, "dstypes": ["derive", "derive"], "dsnames": ["rx", "tx"],
        "time": p.ms / 1000, "interval": 10.0, "host": "web-01", "plugin": "interface",
        "plugin_instance": "eth0", "type": "if_octets", "type_instance": "",
    }]  # fmt: skip


def _rates(p: Producer) -> Any:
    return _collectd(p, [p.value, p.value / 3])


def _totals(p: Producer) -> Any:
    return _collectd(p, [p.total, 2 * p.total])


def _putval(p: Producer) -> bytes:
    return f"PUTVAL {p.host}/load/load interval=10.000 {p.ms / 1000}:{p.value}:1.5:1.2".encode()


def _graphite(p: Producer) -> bytes:
    return f"servers.{p.host}.load.shortterm {p.value} {p.ms // 1000}\n".encode()


def _adapter(p: Producer) -> Any:
    labels = {"__name__": "node_load1", "instance": f"{p.host}:9100", "job": "node"}
    return {
        "labels": labels, "name": "node_load1",
        "timestamp": p.iso("seconds"), "value": str(p.value),
    }  # fmt: skip


def _adapter_avro(p: Producer) -> bytes:
    return binary(METRIC.parsed, _adapter(p))


def _exposed(p: Producer) -> bytes:
    return (
        f"# TYPE http_requests_total counter\n"
        f'http_requests_total{{job="{p.app}",code="200"}} {p.total} {p.ms}\n'
        f'up{{job="{p.app}"}} 1\n'
    ).encode()


def _vector(p: Producer) -> Any:
    if p.number % 2:
        return {
            "file": "/var/log/nginx/access.log", "host": p.host, "message": p.text,
            "source_type": "file", "timestamp": p.iso("microseconds"),
        }  # fmt: skip
    return {
        "name": "requests", "namespace": "shop", "tags": {"app": p.app},
        "timestamp": p.iso("microseconds"), "kind": "incremental", "counter": {"value": p.value},
    }  # fmt: skip


def _fluentbit(p: Producer) -> Any:
    return {
        "@timestamp": p.ms / 1000 + 0.000123, "log": p.text + "\n", "stream": "stdout",
        "kubernetes": {"pod_name": f"{p.app}-5d", "namespace_name": "shop",
                       "labels": {"app": p.app}},
    }  # fmt: skip


def _beats(p: Producer) -> Any:
    shared = {"@timestamp": p.iso(), "host": {"name": p.host}, "ecs": {"version": "8.0.0"}}
    if p.number % 2:
        return shared | {
            "@metadata": {"beat": "metricbeat", "type": "_doc", "version": "8.17.0"},
            "metricset": {"name": "cpu", "period": 10000},
            "event": {"dataset": "system.cpu", "module": "system"},
            "system": {"cpu": {"total": {"pct": p.value}}},
        }
    return shared | {
        "@metadata": {"beat": "filebeat", "type": "_doc", "version": "8.17.0"},
        "message": p.text, "log": {"file": {"path": "/var/log/syslog"}, "offset": p.total},
        "agent": {"type": "filebeat"},
    }  # fmt: skip


def _logstash(p: Producer) -> Any:
    return {
        "@timestamp": p.iso(), "@version": "1", "message": p.text, "level": "WARN",
        "logger_name": "com.shop.Pay", "thread_name": "main", "app": p.app,
    }  # fmt: skip


def _syslog(p: Producer) -> bytes:
    if p.number % 2:
        return f"<34>{p.at:%b %e %H:%M:%S} {p.host} su[{p.pid}]: {p.text}\n".encode()
    return f"<165>1 {p.iso()} {p.host} payments {p.pid} ID47 - {p.text}".encode()


def _rsyslog(p: Producer) -> bytes:
    program = "kernel" if p.number % 9 == 0 else f"sshd[{p.pid}]"
    return f"{p.iso('microseconds', '+00:00')} {p.host} {program}: {p.text}\n".encode()


def _syslog_ng(p: Producer) -> bytes:
    return f"{p.iso('seconds', '+00:00')} {p.host} sshd[{p.pid}]: {p.text}\n".encode()


def _rsyslog_json(p: Producer) -> Any:
    at = p.iso("microseconds", "+00:00")
    return {
        "message": f" {p.text}", "fromhost": p.host, "facility": "auth", "priority": "info",
        "timereported": at, "timegenerated": at,
    }  # fmt: skip


def _syslog_ng_json(p: Producer) -> Any:
    return {
        "TAGS": ".source.s_src", "SOURCEIP": "127.0.0.1", "SEQNUM": str(p.number),
        "PROGRAM": "sshd", "PRIORITY": "info", "PID": str(p.pid), "MESSAGE": p.text,
        "HOST_FROM": p.host, "HOST": p.host, "FACILITY": "auth", "DATE": f"{p.at:%b %e %H:%M:%S}",
    }  # fmt: skip


def _cri(p: Producer) -> bytes:
    stream = p.chance.choice(("stdout", "stderr"))
    return f"{p.iso('microseconds', '123Z')} {stream} F {p.text}\n".encode()


def _text(p: Producer) -> bytes:
    level = p.chance.choice(("INFO", "WARN", "ERROR"))
    return f"{p.iso()} {level} {p.text}".encode()


def _webhook(p: Producer) -> Any:
    alert = {
        "status": "firing", "labels": {"alertname": "HighLatency", "job": p.app},
        "annotations": {"summary": p.text}, "startsAt": p.iso(),
        "endsAt": "0001-01-01T00:00:00Z", "fingerprint": f"{p.pid:x}",
    }  # fmt: skip
    return {
        "receiver": "kafka", "status": "firing", "alerts": [alert], "groupLabels": {},
        "commonLabels": {}, "commonAnnotations": {}, "version": "4", "groupKey": "{}:{}",
    }  # fmt: skip


def _recorded(p: Producer) -> Any:
    labels = [{"key": "alertname", "value": "HighLatency"}, {"key": "job", "value": p.app}]
    created = {"alertCreated": {"alert": {"name": "HighLatency", "labels": {"labels": labels}}}}
    return {"@timestamp": p.iso(), "instance": p.host, "data": created, "clusterPosition": 1}


def _robusta(p: Producer) -> Any:
    return {
        "cluster_name": "c", "resource_name": p.app, "resource_namespace": "shop",
        "resource_type": "Deployment", "message": "Deployment properties change",
        "changed_properties": [{"property": "spec.replicas", "old": 1, "new": p.number}],
    }  # fmt: skip


def _cloud(p: Producer) -> Any:
    data = {"service": p.app, "metric": "orders", "value": p.value}
    return {
        "specversion": "1.0", "id": str(p.number), "source": "/shop", "type": "com.shop.metric",
        "time": p.iso(), "data": data,
    }  # fmt: skip


def _cloud_syslog(p: Producer) -> Any:
    return _cloud(p) | {"data": None, "data_base64": base64.b64encode(_syslog(p)).decode()}


def _debezium(p: Producer) -> Any:
    row = {"service": p.app, "metric": "orders", "value": p.value}
    return {"payload": {"before": None, "after": row, "op": "c", "ts_ms": p.ms,
                        "source": {"connector": "postgresql", "table": "events"}}}  # fmt: skip


def _avro(p: Producer) -> bytes:
    record = {
        "service": p.app, "metric": "orders", "at": p.at, "value": p.value,
        "labels": {"region": "eu"}, "tags": [1],
    }  # fmt: skip
    return b"\0" + struct.pack(">i", 7) + binary(parse_schema(json.loads(EVENT)), record)


FLEET: dict[str, Make] = {
    "json": _own,
    "json lines": _own_line,
    "remote-write": _written,
    "remote-write-2": _written_2,
    "otlp-proto": _metrics_or_lines,
    "otlp-json": _measured,
    "otlp-json lines": _logged,
    "influx": _influx,
    "telegraf-json": _telegraf,
    "collectd-json": _rates,
    "collectd-json@totals": _totals,
    "collectd-command": _putval,
    "graphite": _graphite,
    "prometheus-json": _adapter,
    "prometheus-avro": _adapter_avro,
    "openmetrics": _exposed,
    "vector": _vector,
    "fluentbit": _fluentbit,
    "beats": _beats,
    "logstash": _logstash,
    "syslog": _syslog,
    "rsyslog": _rsyslog,
    "syslog-ng": _syslog_ng,
    "rsyslog-json": _rsyslog_json,
    "syslog-ng-json": _syslog_ng_json,
    "cri": _cri,
    "text": _text,
    "alertmanager": _webhook,
    "alertmanager events": _recorded,
    "robusta": _robusta,
    "cloudevents": _cloud,
    "cloudevents@syslog": _cloud_syslog,
    "debezium": _debezium,
    "avro": _avro,
}
ORDER = parse_schema({
    "type": "record", "name": "Order",
    "fields": [{"name": name, "type": "string"} for name in ("at", "app", "text")],
})  # fmt: skip
# What no format of ours reads, or what several explain
STRANGERS: dict[str, Make] = {
    "traces": _traced,
    "traces, protobuf": lambda p: ParseDict(
        _traced(p), ExportTraceServiceRequest()
    ).SerializeToString(),
    "random bytes": lambda p: p.chance.randbytes(p.chance.randint(8, 300)),
    "magic and random bytes": lambda p: b"\0\0\0\0\x07" + p.chance.randbytes(40),
    "protobuf of others": lambda p: ParseDict(
        {"order": p.number, "host": p.host, "value": p.value, "text": p.text}, Struct()
    ).SerializeToString(),
    "avro of others": lambda p: binary(ORDER, {"at": p.iso(), "app": p.app, "text": p.text}),
    "msgpack": lambda p: msgspec.msgpack.encode(_own(p)),
    "remote write, not compressed": lambda p: bytes(cramjam.snappy.decompress_raw(_written(p))),
    "compressed": lambda p: bytes(cramjam.gzip.compress(p.text.encode() * 9)),
    "snappy around text": lambda p: bytes(cramjam.snappy.compress_raw(p.text.encode())),
    "orders": lambda p: {"order_id": p.number, "customer": "c-7", "total": p.value},
    "text and time": lambda p: {"message": p.text, "timestamp": p.iso()},
    "shipped by somebody": lambda p: {"message": p.text, "@timestamp": p.iso()},
    "opentsdb": lambda p: {
        "metric": "sys.cpu", "timestamp": p.ms // 1000, "value": p.value, "tags": {"host": p.host}
    },
    "journal": lambda p: {
        "MESSAGE": p.text, "PRIORITY": "6", "_SYSTEMD_UNIT": "ssh.service", "_PID": str(p.pid),
        "__REALTIME_TIMESTAMP": str(p.ms * 1000), "_HOSTNAME": p.host,
    },
    "gelf": lambda p: {
        "version": "1.1", "host": p.host, "short_message": p.text, "timestamp": p.ms / 1000
    },
    "rows of a table": lambda p: {
        "before": None, "after": {"id": p.number, "email": "x"}, "op": "c", "ts_ms": p.ms
    },
    "unknown cloud events": lambda p: _cloud(p) | {"data": {"order": p.number}},
    "table": lambda p: f"{p.iso()},{p.host},{p.value},{p.total}".encode(),
    "markup": lambda p: f"<Event><Level>4</Level><Data>{p.text}</Data></Event>".encode(),
    "cut json": lambda p: json.dumps(_own(p)).encode()[:-3],
    "statsd": lambda p: f"page.views.{p.app}:{p.number}|c".encode(),
    "numbers": lambda p: str(p.value).encode(),
    "name, value, time": lambda p: f"load {p.value} {p.ms // 1000}".encode(),
    "word and field": lambda p: f"refused count={p.number}".encode(),
    "latin-1": lambda p: f"{p.text} für München".encode("latin-1"),
    "keys": lambda p: p.chance.randbytes(16).hex().encode(),
    "json text": lambda p: json.dumps(p.text).encode(),
    "lists": lambda p: [p.number, p.value],
}  # fmt: skip
FLEET |= STRANGERS
