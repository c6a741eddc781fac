"""The formats that raw topics may hold, by the names that settings give them.

A format is a function from a batch of records to columns (streams/formats/columns.py). A
new one is a file here and a line in `FORMATS`.
"""

from collections.abc import Mapping
from functools import partial

from streams.formats import (
    alertmanager,
    avro,
    beats,
    cloudevents,
    collectd_command,
    collectd_json,
    cri,
    debezium,
    fluentbit,
    graphite,
    influx,
    json,
    logstash,
    openmetrics,
    otlp_json,
    otlp_proto,
    prometheus_avro,
    prometheus_json,
    remote_write,
    robusta,
    rsyslog,
    rsyslog_json,
    syslog,
    syslog_ng_json,
    telegraf_json,
    text,
    vector,
)
from streams.formats.columns import Parser
from streams.formats.times import UNITS

FORMATS: dict[str, Parser] = {
    "json": json.parse,
    "remote-write": remote_write.parse,
    "remote-write-2": remote_write.parse_v2,
    "otlp-json": otlp_json.parse,
    "otlp-proto": otlp_proto.parse,
    "influx": influx.parse,
    "telegraf-json": telegraf_json.parse,
    "collectd-json": collectd_json.parse,
    "collectd-command": collectd_command.parse,
    "graphite": graphite.parse,
    "prometheus-json": prometheus_json.parse,
    "prometheus-avro": prometheus_avro.parse,
    "openmetrics": openmetrics.parse,
    "vector": vector.parse,
    "fluentbit": fluentbit.parse,
    "beats": beats.parse,
    "logstash": logstash.parse,
    "syslog": syslog.parse,
    "rsyslog": rsyslog.parse,
    "rsyslog-json": rsyslog_json.parse,
    "syslog-ng": rsyslog.parse,
    "syslog-ng-json": syslog_ng_json.parse,
    "cri": cri.parse,
    "text": text.parse,
    "alertmanager": alertmanager.parse,
    "robusta": robusta.parse,
}

# What is wrapped: our own JSON, or behind an @ any other format
JSON = (
    "prometheus-json", "telegraf-json", "collectd-json", "otlp-json", "vector", "fluentbit", "beats",
    "logstash", "rsyslog-json", "syslog-ng-json",
)  # fmt: skip
INNER = {name: parser for name, parser in FORMATS.items() if name != "json"}
FORMATS |= {
    "avro": partial(avro.parse, inner=json.parse),
    "cloudevents": partial(cloudevents.parse, inner=json.parse, ours=True),
    "debezium": partial(debezium.parse, inner=json.parse),
}
FORMATS |= {f"avro@{name}": partial(avro.parse, inner=INNER[name]) for name in JSON}
FORMATS |= {f"cloudevents@{name}": partial(cloudevents.parse, inner=INNER[name]) for name in INNER}

# Behind an @ what a topic's producer was told, where its records do not say it themselves
FORMATS |= {"collectd-json@totals": partial(collectd_json.parse, totals=True)}
FORMATS |= {f"influx@{unit}": partial(influx.parse, unit=unit) for unit in UNITS}
FORMATS |= {f"telegraf-json@{unit}": partial(telegraf_json.parse, unit=unit) for unit in UNITS}

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
