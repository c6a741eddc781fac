"""The formats that raw topics may hold, by the names that settings give them.

A format is a function from a batch of records to columns (streams/formats/columns.py). A
new one is a file here and a line in `FORMATS`. Its file is loaded with its first batch, so
that reading settings does not load what no topic of theirs needs.

What a record does not say of itself stands behind an @ in the name: the unit of its times,
or what is inside of it.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from streams.formats.epoch import UNITS

if TYPE_CHECKING:
    from streams.formats.columns import Batch, Parsed, Parser, Reading


def _in(file: str, function: str = "parse", **told: Any) -> "Parser":
    """The parser in a file of this folder, and what it is to be told."""

    def parse(batch: "Batch", reading: "Reading") -> "Parsed":
        module = import_module(f"streams.formats.{file}")
        parsed: Parsed = getattr(module, function)(batch, reading, **told)
        return parsed

    return parse


FORMATS: "dict[str, Parser]" = {
    "json": _in("json"),
    "remote-write": _in("remote_write"),
    "remote-write-2": _in("remote_write", version=2),
    "otlp-json": _in("otlp_json"),
    "otlp-proto": _in("otlp_proto"),
    "influx": _in("influx"),
    "telegraf-json": _in("telegraf_json"),
    "collectd-json": _in("collectd_json"),
    "collectd-command": _in("collectd_command"),
    "graphite": _in("graphite"),
    "prometheus-json": _in("prometheus_json"),
    "prometheus-avro": _in("prometheus_avro"),
    "openmetrics": _in("openmetrics"),
    "vector": _in("vector"),
    "fluentbit": _in("fluentbit"),
    "beats": _in("beats"),
    "logstash": _in("logstash"),
    "syslog": _in("syslog"),
    "rsyslog": _in("rsyslog"),
    "rsyslog-json": _in("rsyslog_json"),
    "syslog-ng": _in("rsyslog"),
    "syslog-ng-json": _in("syslog_ng_json"),
    "cri": _in("cri"),
    "text": _in("text"),
    "alertmanager": _in("alertmanager"),
    "robusta": _in("robusta"),
}

# What is wrapped: our own JSON, or behind an @ any other format
JSON = (
    "prometheus-json", "telegraf-json", "collectd-json", "otlp-json", "vector", "fluentbit",
    "beats", "logstash", "rsyslog-json", "syslog-ng-json",
)  # fmt: skip
INNER = {name: parser for name, parser in FORMATS.items() if name != "json"}
FORMATS |= {
    "avro": _in("avro", inner=FORMATS["json"]),
    "cloudevents": _in("cloudevents", inner=FORMATS["json"], ours=True),
    "debezium": _in("debezium", inner=FORMATS["json"]),
}
FORMATS |= {f"avro@{name}": _in("avro", inner=INNER[name]) for name in JSON}
FORMATS |= {f"cloudevents@{name}": _in("cloudevents", inner=INNER[name]) for name in INNER}

# What a topic's producer was told, where its records do not say it themselves
FORMATS |= {"collectd-json@totals": _in("collectd_json", totals=True)}
FORMATS |= {f"influx@{unit}": _in("influx", unit=unit) for unit in UNITS}
FORMATS |= {f"telegraf-json@{unit}": _in("telegraf_json", unit=unit) for unit in UNITS}

MESSAGES = {  # as remote write's content types name them
    "proto=io.prometheus.write.v2.Request": "remote-write-2",
    "proto=prometheus.WriteRequest": "remote-write",
}
MEDIA = {  # types of content that only one format has
    "application/openmetrics-text": "openmetrics",
    "application/cloudevents+json": "cloudevents",
    "application/cloudevents-batch+json": "cloudevents",
}


def format_of(headers: Mapping[str, str], otherwise: str) -> str:
    """The format that a record's headers name, by lower-case header; else that of its topic.

    `sentinel-format` is taken at its word, known or not. Content types that many formats
    share, as application/json, say nothing.

    >>> format_of({"x-prometheus-remote-write-version": "2.0.0"}, "json")
    'remote-write-2'
    """
    if named := headers.get("sentinel-format"):
        return named
    outer, _, inner = otherwise.partition("@")
    if outer == "cloudevents" and "ce_specversion" in headers:
        return inner or "json"  # binary mode: nothing is around the record
    content_type = headers.get("content-type", "").replace(" ", "")
    for message, name in MESSAGES.items():
        if message in content_type:
            return name
    media = MEDIA.get(content_type.partition(";")[0].lower(), outer)
    if media != outer:
        return media
    version = headers.get("x-prometheus-remote-write-version", "")
    if version:
        return "remote-write-2" if version.startswith("2.") else "remote-write"
    return otherwise
