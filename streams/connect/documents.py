"""What a JSON object says of who wrote it, by the fields that only this producer writes.

Source: the producers named in the formats' own files (streams/formats/).
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from streams.connect.clues import FITS, MARKED, PARSES, Clue
from streams.formats.alertmanager import OWN as ALERTMANAGER
from streams.formats.json import TIMES
from streams.formats.syslog_ng_json import DATES, UNIX
from streams.formats.vector import KINDS, READERS

Document = dict[str, Any]
TRACES = "OTLP traces"
RECORDER = {"@timestamp", "instance", "data"}
PEER = "clusterPosition"  # of all but the first of several Alertmanagers
RECORDED = re.compile(r"(alert|alertmanager|silence|notification|inhibition)[A-Za-z]*")
MACROS = (
    "PROGRAM", "HOST", "FACILITY", "PRIORITY", "PID", "SOURCEIP", "HOST_FROM", "LEGACY_MSGHDR",
    "TAGS", "SEQNUM", *DATES, *UNIX,
)  # fmt: skip
LEAST_MACROS = 3
TAGS = ("syslog-tag", "syslogtag", "tag", "programname", "app-name")
JOURNAL = ("__REALTIME_TIMESTAMP", "__CURSOR", "_SYSTEMD_UNIT", "_BOOT_ID")
SOURCES = {  # what Vector's sources call themselves
    "amqp", "aws_kinesis_firehose", "aws_s3", "aws_sqs", "datadog_agent", "demo_logs",
    "dnstap", "docker_logs", "exec", "file", "file_descriptor", "fluent", "gcp_pubsub",
    "heroku_logs", "http", "http_client", "http_server", "internal_logs", "journald", "kafka",
    "kubernetes_logs", "logstash", "mqtt", "nats", "okta", "opentelemetry", "pulsar", "redis",
    "socket", "splunk_hec", "stdin", "syslog", "vector", "websocket",
}  # fmt: skip
PODS = ("pod_name", "container_name", "namespace_name", "docker_id", "pod_id")
LEVELS = ("level", "severity", "log.level", "loglevel")


class Mark(NamedTuple):
    """A rule: which objects it is true of, and what it speaks for."""

    format: str
    strength: int
    why: str
    holds: Callable[[Document], bool]


def clues_of(document: Any, services: tuple[str, ...]) -> Iterator[Clue]:
    """What speaks for each format in one JSON value; `services` are names of services' fields."""
    if not isinstance(document, dict):
        return
    found = [Clue(mark.format, mark.strength, mark.why) for mark in MARKS if mark.holds(document)]
    yield from found
    if not any(clue.strength == MARKED for clue in found):
        yield from _ours(document, services)


def _ours(document: Document, services: tuple[str, ...]) -> Iterator[Clue]:
    """Our own JSON is what applications write as well, so it counts after all others."""
    if "@timestamp" in document or not isinstance(document.get("labels", {}), dict):
        return
    time = next((name for name in TIMES if document.get(name) is not None), "")
    text = next((name for name in ("message", "msg") if _is_text(document, name)), "")
    labels = document.get("labels", {})
    named = next((each for each in services if document.get(each) or labels.get(each)), "")
    metric = _is_text(document, "metric") and "value" in document
    if not time or not (metric or text):
        return
    if metric:
        if isinstance(document.get("tags"), dict):  # OpenTSDB's: we would not see what differs
            yield Clue("json", PARSES, "have metric, value and a time, but tags in place of labels")
            return
        strength = MARKED if named else FITS
        said = f"{named}, " if named else ""
        yield Clue("json", strength, f"have {said}metric, value and {time}: Sentinel's own JSON")
        return
    level = next((each for each in LEVELS if document.get(each) is not None), "")
    fields = ", ".join(each for each in (named, level, text) if each)
    why = f"have {fields} and {time}: log lines as Sentinel's own JSON has them"
    own = bool(named) and time == "at"
    yield Clue("json", MARKED if own else FITS if named and level else PARSES, why)


def _is_text(document: Document, *names: str) -> bool:
    return all(isinstance(document.get(name), str) for name in names)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _has(document: Document, *names: str) -> bool:
    return all(name in document for name in names)


def _inner(document: Document, *path: str) -> Any:
    value: Any = document
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _collectd(document: Document) -> bool:
    lists = (document.get(name) for name in ("values", "dsnames", "dstypes"))
    return _is_text(document, "plugin", "host", "type") and all(isinstance(x, list) for x in lists)


def _telegraf(document: Document) -> bool:
    metrics = document.get("metrics")
    if isinstance(metrics, list):
        return bool(metrics) and all(isinstance(one, dict) and _telegraf(one) for one in metrics)
    own = isinstance(document.get("fields"), dict) and isinstance(document.get("tags"), dict)
    return own and _is_text(document, "name") and _is_number(document.get("timestamp"))


def _vector_metric(document: Document) -> bool:
    if len(document) == 1 and isinstance(document.get("metric"), dict):
        document = document["metric"]
    kinds = [name for name in READERS if isinstance(document.get(name), dict)]
    return _is_text(document, "name") and document.get("kind") in KINDS and len(kinds) == 1


def _vector_line(document: Document) -> bool:
    return _is_text(document, "source_type", "timestamp") and _has(document, "message")


def _adapter(document: Document) -> bool:
    name = _inner(document, "labels", "__name__")
    return _has(document, "timestamp", "value") and name == document.get("name") is not None


def _webhook(document: Document) -> bool:
    alerts = document.get("alerts")
    if not isinstance(alerts, list) or not ("groupKey" in document or "receiver" in document):
        return False
    return bool(alerts) and all(
        isinstance(one, dict) and _has(one, "status", "labels") for one in alerts
    )


def _recorded(document: Document) -> bool:
    data = document.get("data")
    alone = isinstance(data, dict) and len(data) == 1 and set(document) - {PEER} == RECORDER
    return alone and all(RECORDED.fullmatch(name) for name in data or ())


def _rsyslog(document: Document) -> bool:
    if not any(_is_text(document, name, "timereported") for name in ("message", "msg")):
        return False
    return any(name in document for name in ("fromhost", "timegenerated", "facility"))


def _rsyslog_list(document: Document) -> bool:
    """A list template as rsyslog's documents show it for Elasticsearch."""
    usual = ("@timestamp", "message", "host", "severity", "facility")
    return _is_text(document, *usual) and any(name in document for name in TAGS)


def _syslog_ng(document: Document) -> bool:
    known = sum(name in document for name in MACROS)
    dated = any(name in document for name in (*DATES, *UNIX))
    journal = any(name in document for name in JOURNAL)
    return _is_text(document, "MESSAGE") and known > LEAST_MACROS and dated and not journal


def _beat_agent(document: Document) -> bool:
    kind = _inner(document, "agent", "type")
    dated = _is_text(document, "@timestamp") and "ecs" in document
    return dated and "@version" not in document and str(kind).endswith("beat")


def _fluent_pod(document: Document) -> bool:
    pod = document.get("kubernetes")
    known = isinstance(pod, dict) and any(name in pod for name in PODS)
    return _is_text(document, "@timestamp", "log") and (known or "stream" in document)


def _shipped(document: Document) -> bool:
    """A line and a text as its time: what shippers have in common."""
    return _is_text(document, "@timestamp", "message")


def _timed_text(document: Document) -> bool:
    return _is_text(document, "message") and "timestamp" in document


MARKS = (
    Mark("collectd-json", MARKED, "have dsnames, dstypes and plugin: collectd's JSON", _collectd),
    Mark("telegraf-json", MARKED, "have name, tags, fields and timestamp: Telegraf's JSON",
         _telegraf),
    Mark("vector", MARKED, "have name, kind and one kind of value: Vector's metrics",
         _vector_metric),
    Mark("vector", MARKED, "have a source_type of Vector's, message and timestamp: its log events",
         lambda d: _vector_line(d) and d["source_type"] in SOURCES),
    Mark("vector", FITS, "have source_type, message and timestamp, as Vector's log events",
         _vector_line),
    Mark("vector", FITS, "have a log event alone in log, as Vector's native_json",
         lambda d: len(d) == 1 and _is_text(d.get("log") or {}, "message", "timestamp")
         if isinstance(d.get("log"), dict) else False),
    Mark("prometheus-json", MARKED, "have name, value, timestamp and labels with __name__: "
         "prometheus-kafka-adapter's JSON", _adapter),
    Mark("fluentbit", MARKED, "have a number as @timestamp: Fluent Bit's JSON",
         lambda d: _is_number(d.get("@timestamp"))),
    Mark("fluentbit", FITS, "have @timestamp, log and a pod or stream, as Fluent Bit's",
         _fluent_pod),
    Mark("fluentbit", PARSES, "have @timestamp and message", _shipped),
    Mark("fluentbit", PARSES, "have timestamp and message", _timed_text),
    Mark("vector", PARSES, "have timestamp and message", _timed_text),
    Mark("beats", MARKED, "have @metadata.beat: an Elastic Beat's",
         lambda d: isinstance(_inner(d, "@metadata", "beat"), str)),
    Mark("beats", FITS, "have ecs and a Beat as agent.type", _beat_agent),
    Mark("beats", PARSES, "have @timestamp and message", _shipped),
    Mark("logstash", MARKED, "have @version and @timestamp: Logstash's JSON",
         lambda d: str(d.get("@version")) == "1" and _is_text(d, "@timestamp")),
    Mark("logstash", PARSES, "have @timestamp and message", _shipped),
    Mark("rsyslog-json", MARKED, "have timereported and message: rsyslog's JSON", _rsyslog),
    Mark("rsyslog-json", FITS, "have host, severity, facility and a tag, as rsyslog's templates",
         _rsyslog_list),
    Mark("syslog-ng-json", MARKED, "have MESSAGE and other macros of syslog-ng", _syslog_ng),
    Mark(ALERTMANAGER, MARKED, "have alerts and their group: Alertmanager's webhook", _webhook),
    Mark(ALERTMANAGER, MARKED, "have an event of Alertmanager's recorder in data", _recorded),
    Mark("robusta", MARKED, "have resource_name, resource_type and changed_properties: Robusta's",
         lambda d: _has(d, "resource_name", "resource_type", "changed_properties")),
    Mark("otlp-json", MARKED, "have resourceMetrics or resourceLogs: OTLP in JSON",
         lambda d: any(isinstance(d.get(k), list) for k in ("resourceMetrics", "resourceLogs"))),
    Mark(TRACES, MARKED, "have resourceSpans: OTLP traces",
         lambda d: isinstance(d.get("resourceSpans"), list)),
    Mark("fluentbit", PARSES, "have short_message, version and host: GELF",
         lambda d: _is_text(d, "short_message", "version", "host")),
)  # fmt: skip
