"""Our own JSON: every spelling is read, every fault is named, nothing vanishes."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.frames import parsed as labels_of
from streams.formats.columns import Parsed
from streams.formats.json import Parse
from tests.streams.formats import contract
from tests.streams.formats.reading import AT, NOW, parsed, reading, rules, samples

GOOD = {
    "service": "checkout",
    "metric": "latency_p95_ms",
    "at": AT,
    "value": 212.4,
    "labels": {"region": "eu"},
}
LINE = {"service": "checkout", "at": AT, "severity": "error", "message": "payment refused"}


def event(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def without(*fields: str) -> bytes:
    return json.dumps({k: v for k, v in GOOD.items() if k not in fields}).encode()


def read(*values: bytes, **limits: object) -> Parsed:
    return parsed("json", *values, using=reading(**limits))


def test_an_event_becomes_a_sample() -> None:
    using = reading()
    result = parsed("json", event(), using=using)
    assert samples(result, using) == [
        ('latency_p95_ms{region="eu",service="checkout"}', NOW, 212.4)
    ]
    assert result.elements == 1


def test_a_message_becomes_a_log_line() -> None:
    lines = read(json.dumps(LINE | {"labels": {"host": "h1", "service": "x"}}).encode()).lines
    assert lines.service == ["checkout"]
    assert lines.at.tolist() == [NOW]
    assert (lines.severity, lines.text) == (["error"], ["payment refused"])
    assert lines.labels == ['{host="h1"}']


@pytest.mark.parametrize("name", ["at", "timestamp", "ts", "time"])
@pytest.mark.parametrize(
    "moment",
    [
        AT,
        "2026-01-02T05:04:05.678+02:00",
        NOW,
        NOW / 1000,
        NOW * 1000,
        NOW * 1_000_000 + 999_999,
        float(NOW),
    ],
)
def test_a_time_may_have_any_unit_and_any_of_four_names(name: str, moment: float | str) -> None:
    raw = json.loads(without("at")) | {name: moment}
    assert read(json.dumps(raw).encode()).samples.at.tolist() == [NOW]


@pytest.mark.parametrize(
    ("given", "written"),
    [({"severity": "WARN"}, "warning"), ({"level": "Fatal"}, "critical"), ({"level": 30}, "")],
)
def test_a_severity_has_one_vocabulary(given: dict[str, Any], written: str) -> None:
    raw = {k: v for k, v in LINE.items() if k != "severity"} | given
    assert read(json.dumps(raw).encode()).lines.severity == [written]


@pytest.mark.parametrize(
    ("fields", "labels", "service"),
    [
        ({"service": "a", "job": "b"}, {"app": "c"}, "a"),
        ({"job": "b"}, {"app": "c"}, "b"),
        ({}, {"host": "h", "app": "c"}, "c"),
        ({}, {"service.name": "d", "app": "c"}, "d"),
        ({"app": {"not": "a name"}}, {"host": "h"}, "h"),
    ],
)
def test_the_first_label_found_names_the_service(
    fields: dict[str, Any], labels: dict[str, str], service: str
) -> None:
    using = reading()
    raw = json.loads(without("service")) | {"labels": labels} | fields
    ((series, _, _),) = samples(parsed("json", json.dumps(raw).encode(), using=using), using)
    assert labels_of(series)[1]["service"] == service


def test_two_topics_may_lend_different_services_to_the_same_labels() -> None:
    using = reading()
    raw = without("service")
    found = [
        samples(parsed("json", raw, using=using, service=name), using)[0][0] for name in ("a", "b")
    ]
    assert [labels_of(series)[1]["service"] for series in found] == ["a", "b"]


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        (event(value="high"), "bad-value"),
        (without("value"), "bad-value"),
        (event(at="yesterday"), "bad-time"),
        (without("at"), "bad-time"),
        (json.dumps(LINE | {"at": "yesterday"}).encode(), "bad-time"),
    ],
)
def test_whose_a_refused_element_is_is_told(raw: bytes, rule: str) -> None:
    """The report of intake is asked by service."""
    using = reading()
    for _ in range(2):  # also when its series is known
        (reject,) = parsed("json", raw, using=using).rejects
        assert (reject.rule, reject.services) == (rule, (("checkout", 1),))


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        (b"", "empty"),
        (b" \n ", "empty"),
        (b"[]", "empty"),
        (b"\x00\x01\x02", "bad-json"),
        (b'{"service":"a"', "bad-json"),
        (b'{"service":"a"}{"service":"b"}', "bad-json"),
        (b'{"service":"\xff"}', "bad-utf8"),
        (b'{"service":"\\ud800"}', "bad-json"),
        (b'{"value":NaN}', "bad-json"),
        (b'{"labels":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "too-deep"),
        (b'{"x":' + b'{"x":' * 10_000, "too-deep"),
        (b"[" * 10_000 + b"]" * 10_000, "too-deep"),
        (b"7", "bad-field"),
        (b"null", "bad-field"),
        (b"{}", "not-an-event"),
        (event(service=7), "bad-field"),
        (event(value=True), "bad-field"),
        (event(value="high"), "bad-value"),
        (without("value"), "bad-value"),
        (without("at"), "bad-time"),
        (event(at="yesterday"), "bad-time"),
        (event(at="2026-01-02T03:04:05"), "bad-time"),
        (event(at=-5), "bad-time"),
        (event(at=10**40), "bad-time"),
        (event(at=1e300), "bad-time"),
        (event(at="2026-01-02T01:00:00Z"), "too-late"),
        (event(at="2026-01-02T03:30:00Z"), "in-the-future"),
        (without("service", "labels"), "no-service"),
        (event(metric=""), "bad-metric"),
        (event(metric="m" * 300), "bad-metric"),
        (event(labels={"a": {"b": "c"}}), "bad-field"),
        (event(labels={"a-b": "1", "a_b": "2"}), "bad-label"),
        (event(labels={"n" * 300: "1"}), "bad-label"),
        (event(labels={"a": "x" * 5000}), "label-too-long"),
        (event(labels={f"l{i}": "x" for i in range(65)}), "too-many-labels"),
        (json.dumps(LINE | {"message": "x" * 70_000}).encode(), "line-too-long"),
        (json.dumps(LINE | {"message": "\u20ac" * 30_000}).encode(), "line-too-long"),
        (b" " * (2 * 1024 * 1024), "too-large"),
        (b"[" + b"{}," * 50_000 + b"{}]", "too-many-elements"),
    ],
)
def test_a_fault_is_refused_by_name_and_harms_no_other(raw: bytes, rule: str) -> None:
    result = read(event(value=1), raw, event(value=2))
    assert rules(result) == [(1, rule)]
    assert result.samples.value.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("value", "reason"), [(None, "nan"), ("NaN", "nan"), ("+Inf", "inf"), ("-inf", "inf")]
)
def test_what_is_no_number_is_counted_and_left_out(value: Any, reason: str) -> None:
    result = read(event(value=value), event(value="17.5"))
    assert result.skips == {reason: 1}
    assert result.samples.value.tolist() == [17.5]
    assert not result.rejects


BROKEN = b'{"service":"a","metric":"m","at":"never","value":3}'


@pytest.mark.parametrize(
    "raw",
    [
        b"[" + event(value=1) + b"," + BROKEN + b"," + event(value=2) + b"]",
        b"[" + event(value=1) + b",7," + event(value=2) + b"]",
        event(value=1) + b"\n" + BROKEN + b"\r\n\n" + event(value=2) + b"\n",
        event(value=1) + b"\n{\n" + event(value=2),
    ],
)
def test_one_bad_element_costs_one_letter_that_names_it(raw: bytes) -> None:
    result = read(raw)
    assert result.samples.value.tolist() == [1, 2]
    (reject,) = result.rejects
    assert (reject.record, reject.elements) == (0, 1)
    assert reject.reason.startswith("element 1: ")


def test_many_bad_elements_of_one_kind_share_a_letter() -> None:
    """A record of 64 KiB with 500 faults must not become 32 MiB of dead letters."""
    result = read(b"[" + b",".join([BROKEN] * 500) + b"]")
    (reject,) = result.rejects
    assert reject.elements == 500
    assert reject.reason.endswith("(and 499 more like it)")


@pytest.mark.parametrize("lines", [[event(service=5), event()], [event(), event(service=5)]])
def test_a_line_of_a_wrong_type_costs_itself_wherever_it_stands(lines: list[bytes]) -> None:
    result = read(b"\n".join(lines))
    assert rules(result) == [(0, "bad-field")]
    assert len(result.samples.code) == 1


def test_a_pretty_printed_event_of_a_wrong_type_is_one_letter() -> None:
    result = read(json.dumps({**GOOD, "service": 5}, indent=2).encode())
    assert rules(result) == [(0, "bad-field")]
    assert not len(result.samples.code)


def test_a_pretty_printed_event_is_one_event() -> None:
    assert read(json.dumps(GOOD, indent=2).encode()).elements == 1


def test_halves_of_events_never_meet() -> None:
    """Two records that would be an event together are two faults, and shift nobody's fate."""
    whole = event(value=5)
    result = read(whole[:40], whole[40:], event(value=1))
    assert rules(result) == [(0, "bad-json"), (1, "bad-json")]
    assert result.samples.value.tolist() == [1]


def test_names_that_frames_cannot_carry_are_rewritten() -> None:
    using = reading()
    raw = event(
        metric="p95 {ms}", labels={"app.kubernetes.io/name": 'a"b\\c\nd', "n": 1, "t": True}
    )
    ((series, _, _),) = samples(parsed("json", raw, using=using), using)
    metric, labels = labels_of(series)
    assert metric == "p95__ms_"
    assert labels == {
        "app.kubernetes.io_name": 'a"b\\c\nd',
        "n": "1",
        "t": "true",
        "service": "checkout",
    }


def test_lateness_is_counted_from_the_arrival_in_kafka() -> None:
    """What waited in Kafka while we were away for a day is not late."""
    result = parsed("json", event(), arrived=NOW + 1000, now=NOW + 86_400_000)
    assert len(result.samples.code) == 1


def test_limits_of_time_can_be_switched_off() -> None:
    result = read(event(at=0), event(at="9999-01-01T00:00:00Z"), late_s=0, future_s=0)
    assert not result.rejects


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
fields = st.sampled_from([*GOOD, *LINE, "timestamp", "level", "msg", "host"])
events = st.dictionaries(fields, json_values, max_size=6).map(lambda changes: {**GOOD, **changes})
records = (
    st.binary(max_size=60)
    | json_values.map(lambda v: json.dumps(v).encode())
    | events.map(lambda v: json.dumps(v).encode())
)


@settings(deadline=None)  # the first call may import much
@given(st.lists(records, max_size=8))
def test_every_record_has_exactly_one_fate(values: list[bytes]) -> None:
    """Whatever comes: each record that is no list is one element, and none is lost."""
    result = read(*values)
    alone = [read(value) for value in values]
    assert result.elements == sum(one.elements for one in alone)
    assert all(one.elements >= 1 for one in alone)
    assert [(r.record, r.rule) for r in result.rejects] == [
        (i, r.rule) for i, one in enumerate(alone) for r in one.rejects
    ]


@settings(deadline=None)  # the first call may import much
@given(st.integers(0, len(event())), st.binary(max_size=3))
def test_damaged_bytes_never_raise(where: int, what: bytes) -> None:
    whole = event()
    result = read(whole[:where] + what + whole[where + len(what) :], whole)
    assert result.elements >= 2  # a newline makes two of one
    assert result.samples.value.tolist()[-1] == 212.4


def test_a_new_source_is_learned_from_the_first_lines_of_its_first_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lists, metrics and faults between the lines keep their places."""
    values = [
        (
            event(value=n)
            if n % 50 == 7
            else b"[" + json.dumps(LINE | {"message": f"list {n}"}).encode() + b"]"
            if n % 50 == 11
            else b'{"service":'
            if n % 50 == 13
            else json.dumps(LINE | {"service": f"s{n % 3}", "message": f"line {n}"}).encode()
        )
        for n in range(600)
    ]
    told: list[int] = []
    line = Parse.line

    def counted(parse: Parse, event: Any, origin: int) -> None:
        told.append(origin)
        line(parse, event, origin)

    monkeypatch.setattr(Parse, "line", counted)
    using = reading()
    found = parsed("json", *values, using=using)
    slowly = len(told)
    assert len(using.series) == 1
    other = reading()
    alone = [parsed("json", value, using=other) for value in values]
    assert contract.lines(found) == [line for one in alone for line in contract.lines(one)]
    assert [r.record for r in found.rejects] == [n for n in range(600) if n % 50 == 13]
    assert found.samples.value.tolist() == [n for n in range(600) if n % 50 == 7]
    assert slowly < 150
