"""Which reader counts the elements of which format."""

from streams.formats.proto.remote_write_v1_pb2 import Histogram as Histogram1
from streams.formats.proto.remote_write_v2_pb2 import Histogram as Histogram2
from tests.streams.formats import elements_documents as documents
from tests.streams.formats import elements_lines as lines
from tests.streams.formats import elements_otlp as otlp
from tests.streams.formats.elements import ONE, Reader, Units, UntoldError
from tests.streams.formats.elements_remote_write import remote_write

OWN = documents.each(documents.one)
MESSAGES = lines.messages(lines.stamped)
READERS: dict[str, Reader] = {
    "json": OWN,
    "prometheus-json": OWN,
    "fluentbit": OWN,
    "logstash": OWN,
    "rsyslog-json": OWN,
    "syslog-ng-json": OWN,
    "robusta": OWN,
    "alertmanager": documents.each(documents.alertmanager),
    "beats": documents.each(documents.beats),
    "telegraf-json": documents.each(documents.telegraf),
    "collectd-json": documents.each(documents.collectd),
    "vector": documents.vector,
    "otlp-json": otlp.document,
    "otlp-proto": otlp.messages,
    "remote-write": remote_write(Histogram1, series=1, exemplars=3, histograms=4, metadata=3),
    "remote-write-2": remote_write(Histogram2, series=5, exemplars=4, histograms=3, metadata=0),
    "influx": lines.influx,
    "openmetrics": lines.exposition,
    "graphite": lines.each(lines.one),
    "collectd-command": lines.each(lines.putval),
    "text": lines.text,
    "cri": lines.container,
    "syslog": lines.messages(lines.priority),
    "rsyslog": MESSAGES,
    "syslog-ng": MESSAGES,
    "cloudevents": documents.enveloped(OWN),
    "cloudevents@syslog": documents.enveloped(lines.messages(lines.priority)),
    "avro": lines.single,
    "prometheus-avro": lines.single,
    "debezium": lines.single,
}


def told(name: str, raw: bytes) -> Units | None:
    """The units of a record, at least one; None when the format's reader cannot tell, or is none."""
    reader = READERS.get(name) or READERS.get(name.partition("@")[0])
    try:
        return None if reader is None else reader(raw) or ONE
    except (UntoldError, ValueError, TypeError, OverflowError, RecursionError):
        return None
