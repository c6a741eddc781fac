"""Plain text: a line is a line, its time its own if it has one."""

import pytest

from streams.formats.columns import Parsed
from tests.streams.formats.reading import AT, NOW, parsed, reading, rules


def read(*values: bytes, service: str = "shop", **limits: object) -> Parsed:
    return parsed("text", *values, using=reading(**limits), service=service, arrived=NOW + 5)


def test_a_record_may_hold_several_lines() -> None:
    lines = read(b"one\ntwo\r\n\nthree\n", b"four").lines
    assert lines.text == ["one", "two", "three", "four"]
    assert set(lines.service) == {"shop"}


@pytest.mark.parametrize(
    ("line", "at", "severity"),
    [
        (f"{AT} ERROR payment refused", NOW, "error"),
        ("[2026-01-02 03:04:05,678+00:00] level=warn slow", NOW, "warning"),
        ("WARNING no time", NOW + 5, "warning"),
        ("2026-01-02T03:04:05 no zone", NOW + 5, ""),
        ("2026-13-45T03:04:05Z no such day", NOW + 5, ""),
        ("nginx: [crit] disk full", NOW + 5, "critical"),
        ("found no errors", NOW + 5, ""),
    ],
)
def test_a_line_says_when_and_how_bad(line: str, at: int, severity: str) -> None:
    lines = read(line.encode()).lines
    assert (lines.at.tolist(), lines.severity, lines.text) == ([at], [severity], [line])


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (rb'"two\nlines, \"more\" \u003cb\u003e"', 'two\nlines, "more" <b>'),
        (b'"plain"\n', "plain"),
        (b'"GET" and "PUT"', '"GET" and "PUT"'),
        (rb'"\ud800"', r'"\ud800"'),
        (b'"', '"'),
        (b'{"msg":"no money"}', '{"msg":"no money"}'),
    ],
)
def test_a_text_in_json_is_the_line_that_it_holds(raw: bytes, text: str) -> None:
    """As the OpenTelemetry Collector writes bodies with `encoding: raw`."""
    result = read(raw, b"two")
    assert (result.lines.text, rules(result)) == ([text, "two"], [])


def test_a_text_in_json_that_is_blank_is_left_out() -> None:
    result = read(b'""', b"two")
    assert (result.lines.text, dict(result.skips)) == (["two"], {"blank": 1})


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"caf\xe9", "bad-utf8"),
        (b"x" * 70_000, "line-too-long"),
        (b"x" * 2_000_000, "too-large"),
        (b"x\n" * 50_001, "too-many-elements"),
        (b"2026-01-01T00:00:00Z long ago", "too-late"),
    ],
)
def test_a_fault_costs_its_record_only(raw: bytes, rule: str) -> None:
    result = read(b"one", raw, b"two")
    assert rules(result) == [(1, rule)]
    assert result.lines.text == ["one", "two"]


def test_a_bad_line_costs_itself_only() -> None:
    result = read(b"one\ncaf\xe9\ntwo")
    assert result.lines.text == ["one", "two"]
    assert result.rejects[0].reason.startswith("element 1: ")
    assert result.elements == 3


def test_a_topic_without_a_service_is_refused() -> None:
    assert rules(read(b"one", service="")) == [(0, "no-service")]
