"""The table of formats: what names one, what a header may change, what is loaded when."""

import subprocess
import sys

import msgspec
import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from pydantic import ValidationError

from streams.formats import FORMATS, format_of
from streams.formats.limits import Limits
from streams.formats.times import one
from streams.intake.settings import IntakeSettings
from tests.streams.formats.contract import DEEP
from tests.streams.formats.goldens import GOLDENS, OWN
from tests.streams.formats.reading import NOW, parsed, reading, rules, samples

PROMISED = (
    "json", "prometheus-json", "prometheus-avro", "remote-write", "otlp-json", "otlp-proto",
    "influx", "telegraf-json", "collectd-json", "collectd-command", "graphite", "vector",
    "fluentbit", "beats", "rsyslog", "rsyslog-json", "syslog-ng", "syslog-ng-json", "syslog",
    "text", "alertmanager", "cloudevents", "avro",
)  # fmt: skip


@pytest.mark.parametrize("name", PROMISED)
def test_what_is_promised_is_there(name: str) -> None:
    assert name in FORMATS


@pytest.mark.parametrize("name", FORMATS)
def test_every_name_reads_something(name: str) -> None:
    """Also those behind an @: a strange record is one element of each."""
    assert parsed(name, b"\x00", service="shop").elements == 1


@pytest.mark.parametrize(
    ("headers", "topic", "name"),
    [
        ({"content-type": "application/cloudevents+json; charset=UTF-8"}, "json", "cloudevents"),
        (
            {"content-type": "application/cloudevents+json"},
            "cloudevents@vector",
            "cloudevents@vector",
        ),
        ({"ce_specversion": "1.0", "content-type": "text/plain"}, "cloudevents@syslog", "syslog"),
        ({"ce_specversion": "1.0"}, "cloudevents", "json"),
        ({"ce_specversion": "1.0"}, "vector", "vector"),
        ({"content-type": "application/openmetrics-text; version=1.0.0"}, "json", "openmetrics"),
        ({"content-type": "application/json"}, "otlp-json", "otlp-json"),
        ({"sentinel-format": "influx@ms"}, "json", "influx@ms"),
    ],
)
def test_a_header_may_name_another_format(headers: dict[str, str], topic: str, name: str) -> None:
    assert format_of(headers, topic) == name


def test_a_unit_is_taken_at_its_word() -> None:
    """1,767,323,045 is a second of 2026, or a millisecond of January 1970."""
    for unit, at in (("", NOW // 1000 * 1000), ("@s", NOW // 1000 * 1000), ("@ms", NOW // 1000)):
        using = reading(late_s=0)
        found = parsed(f"influx{unit}", b"up,app=a value=1 %d" % (NOW // 1000), using=using)
        assert [moment for _, moment, _ in samples(found, using)] == [at]


def test_several_inner_records_share_a_letter_a_rule() -> None:
    broken = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"service":"a"}}'
    result = parsed("cloudevents", b"[" + b",".join([broken] * 3) + b"]", broken)
    assert [(r.record, r.rule, r.elements) for r in result.rejects] == [
        (0, "not-an-event", 3),
        (1, "not-an-event", 1),
    ]


def test_nothing_inside_is_nothing_also_where_much_is_known() -> None:
    """A tombstone that comes alone, to a reader that has met records of the inner format."""
    using = reading(late_s=0)
    for _ in range(3):
        parsed("json", OWN, using=using)
    result = parsed("debezium", b"", using=using)
    assert (result.rejects, dict(result.skips)) == ([], {"empty": 1})


@pytest.mark.parametrize("name", ["collectd-json", "collectd-json@totals"])
def test_the_empty_record_of_a_first_rate_is_left_out(name: str) -> None:
    """Collectd's write_kafka sends it before it knows a rate; an empty list is no such thing."""
    result = parsed(name, b"", b"[]")
    assert dict(result.skips) == {"empty": 1}
    assert rules(result) == [(1, "empty")]


@pytest.mark.parametrize("name", ["graphite", "openmetrics"])
def test_the_empty_record_of_a_metric_that_is_only_text_is_left_out(name: str) -> None:
    """Telegraf's outputs.kafka writes one, with null for a value."""
    result = parsed(name, b"", b"up 1\n" if name == "openmetrics" else b"up 1 -1\n", service="a")
    assert (dict(result.skips), rules(result)) == ({"empty": 1}, [])
    assert result.samples.value.tolist() == [1.0]


@pytest.mark.parametrize("name", ["otlp-proto", "otlp-json"])
def test_a_stack_trace_costs_no_line(name: str) -> None:
    """Its labels say where it is from; what is too long for one, or one too many, is none."""
    trace = _attribute("exception.stacktrace", "at com.shop.Pay.refuse(Pay.java:42)\n" * 300)
    many = [_attribute(f"k{i}", "v") for i in range(100)]
    lines = [
        {"timeUnixNano": NOW * 1_000_000, "body": {"stringValue": text}, "attributes": own}
        for text, own in (("thrown", [trace, _attribute("code", "7")]), ("wide", many))
    ]
    resource = {"attributes": [_attribute("service.name", "shop")]}
    given = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": lines}]}]}
    raw = msgspec.json.encode(given)
    if name == "otlp-proto":
        raw = ParseDict(given, ExportLogsServiceRequest()).SerializeToString()
    using = reading()
    for _ in range(2):  # the second time its origin is known
        result = parsed(name, raw, using=using)
        assert (result.lines.text, result.rejects) == (["thrown", "wide"], [])
        assert result.lines.labels[0] == '{code="7",service.name="shop"}'
        assert result.lines.labels[1].count("=") == Limits().labels


def _attribute(key: str, value: str) -> dict[str, object]:
    return {"key": key, "value": {"stringValue": value}}


@pytest.mark.parametrize("name", ["json", "vector"])
def test_a_first_line_that_is_nested_too_deeply_costs_itself(name: str) -> None:
    deep = b'{"a":' * DEEP + b"1" + b"}" * DEEP
    line = b'{"service":"a","message":"m","timestamp":%d}' % NOW
    result = parsed(name, b"\n".join([deep, line, line]))
    assert [(r.rule, r.elements) for r in result.rejects] == [("too-deep", 1)]
    assert result.lines.text == ["m", "m"]


def test_avro_without_a_registry_is_refused_when_settings_are_read() -> None:
    with pytest.raises(ValidationError, match=r"raw: avro needs intake\.registry\.url"):
        IntakeSettings(topics={"raw": "avro@vector"})
    settings = IntakeSettings.model_validate(
        {"topics": {"raw": "avro"}, "registry": {"url": "http://127.0.0.1:8081"}}
    )
    assert settings.topics == {"raw": "avro"}


def test_a_zone_that_is_none_is_refused_when_settings_are_read() -> None:
    with pytest.raises(ValidationError, match="no time zone 'Mars/Olympus'"):
        IntakeSettings.model_validate({"limits": {"zone": "Mars/Olympus"}})


@pytest.mark.parametrize(
    ("zone", "given", "arrived", "at"),
    [
        ("UTC", b"Dec 31 23:59:59", "2026-01-01T00:00:01", 1_767_225_599_000),
        ("UTC", b"Jan  1 00:00:01", "2025-12-31T23:59:59", 1_767_225_601_000),
        ("Europe/Berlin", b"Jul  1 12:00:00", "2026-07-01T10:00:00", 1_782_900_000_000),
        ("Europe/Berlin", b"Jan  2 12:00:00", "2026-01-02T11:00:00", 1_767_351_600_000),
        ("UTC", b"Feb 29 12:00:00", "2028-02-29T12:00:00", 1_835_438_400_000),
    ],
)
def test_a_time_without_a_year_is_in_the_nearest(
    zone: str, given: bytes, arrived: str, at: int
) -> None:
    """The turn of a year, either way; summer time; a leap day."""
    now = one(f"{arrived}Z")
    raw = b"<34>" + given + b" web1 su: failed"
    using = reading(zone=zone)
    assert parsed("syslog", raw, using=using, arrived=now, now=now).lines.at.tolist() == [at]


def test_formats_are_loaded_with_their_first_batch() -> None:
    """A reader of settings pays for none of them."""
    program = (
        "import sys, streams.intake.settings; "
        "print([n for n in ('opentelemetry', 'numba', 'google.protobuf') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_goldens_are_of_formats_that_are_there() -> None:
    assert {golden.format for golden in GOLDENS} <= set(FORMATS)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("vector", b'{"kind":[],"name":"a"}'),
        ("vector", b'{"metric":{"kind":{},"name":"a"}}'),
        ("alertmanager", b'{"alerts":[{"status":[]}]}'),
    ],
)
def test_a_list_where_a_word_is_expected_is_a_fault_of_the_record(name: str, raw: bytes) -> None:
    """Of the parser it would be one that is told with a stack trace."""
    assert len(parsed(name, raw).rejects) == 1
