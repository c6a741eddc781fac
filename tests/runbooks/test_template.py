"""Values in calls: typed, filled once, and never anything but values."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.checks import evaluate
from runbooks.template import Placeholder, Values, expression, filled, placeholders
from schemas.errors import Rejected

PAYLOADS = [
    "$(id)", "`id`", "; rm -rf /", "| cat /etc/passwd", "&& reboot", "|| true", "> /tmp/x", "\nid",
    "\r\nX-Evil: 1", "a\x00b", "../../etc/passwd", "..", ".", "a/../b", "a//b", "/absolute", "%2e%2e",
    "%0d%0a", "a?b=c", "a#b", "a\\b", "a b", "'", '"', "' or '1'='1", '" or ""=="', "<script>", "${HOME}",
    "$HOME", "${jndi:ldap://x}", "{{params.replicas}}", "{{before.secret}}", "{{ 7*7 }}", "}}{{", "{% if %}",
    "#{7*7}", "--help", "-rf", "~root", "*", "?", "[a]", "!!python/object:os.system", "&a *a", "=cmd()",
    "@evil", "a@b/../c", "\u202ereversed", "\ufeffx", "a\tb", "\x1b[31m", "é/é", "http://evil", "//evil",
    "file:///etc/passwd", "a;b", "a,b", "a=b", "a&b", "a|b", "(a)", "x" * 5000, "", " ", "\u2028",
]  # fmt: skip


def values(service: str) -> Values:
    return {
        "params": {"replicas": 4, "rate": 1.5, "on": True, "mode": "a-b"},
        "incident": {"service": service},
    }


def test_a_whole_placeholder_keeps_its_type_and_one_inside_a_text_is_spelled() -> None:
    call: Any = {
        "path": "/scale/{{params.replicas}}",
        "json": {"n": "{{params.replicas}}", "r": ["{{ params.rate }}"], "on": "{{params.on}}"},
        "expect_status": [200],
    }
    assert filled(call, values("shop")) == {
        "path": "/scale/4",
        "json": {"n": 4, "r": [1.5], "on": True},
        "expect_status": [200],
    }


def test_the_state_before_stays_for_the_executor() -> None:
    call: Any = {"path": "/x/{{before.a.b}}", "json": {"n": "{{before.replicas}}"}}
    assert filled(call, values("shop")) == call


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_payload_in_a_label_enters_a_target_or_a_path(payload: str) -> None:
    for template in ("{{incident.service}}", "/control/{{incident.service}}/restart"):
        for key in ("target", "path", "anything"):
            with pytest.raises(Rejected, match=r"incident\.service is"):
                filled({key: template}, values(payload))


@given(st.text() | st.sampled_from(PAYLOADS))
def test_a_text_in_json_is_data_or_is_refused(service: str) -> None:
    """It never adds a field, never turns into a placeholder, and arrives as it was."""
    try:
        call = filled({"json": {"reason": "{{incident.service}}", "a": 1}}, values(service))
    except Rejected:
        return
    assert json.loads(json.dumps(call)) == {"json": {"reason": service, "a": 1}}
    assert list(placeholders(call)) == []


@given(st.text() | st.sampled_from(PAYLOADS))
def test_a_text_in_a_check_stays_one_text(service: str) -> None:
    try:
        check = expression("name == {{incident.service}}", values(service))
    except Rejected:
        return
    assert evaluate(check, {"name": service}).holds
    assert not evaluate(check, {"name": service + "x"}).holds


@given(st.text(min_size=1) | st.sampled_from(PAYLOADS))
def test_whatever_enters_a_path_is_one_plain_segment(service: str) -> None:
    try:
        path = filled({"path": "/a/{{incident.service}}/b"}, values(service))["path"]
    except Rejected:
        return
    assert str(path).split("/") == ["", "a", service, "b"]
    assert service.isascii()
    assert service not in {".", ".."}


def test_a_parameter_may_carry_the_characters_that_it_declares() -> None:
    held: Values = {"params": {"image": "team/app", "other": "team/app"}}
    assert filled({"path": "/{{params.image}}"}, held, {"image": "/"}) == {"path": "/team/app"}
    with pytest.raises(Rejected, match="not safe"):
        filled({"path": "/{{params.other}}"}, held, {"image": "/"})
    with pytest.raises(Rejected, match="not safe"):
        filled({"path": "/{{params.image}}"}, {"params": {"image": "a/../b"}}, {"image": "/."})
    with pytest.raises(Rejected, match="not safe"):
        filled({"path": "/{{params.image}}"}, {"params": {"image": "a%2fb"}}, {"image": "%"})


def test_an_unknown_placeholder_says_which_there_are() -> None:
    with pytest.raises(
        Rejected, match=r"unknown placeholder params\.x; there are params\.replicas"
    ):
        filled({"json": "{{params.x}}"}, values("shop"))


@pytest.mark.parametrize("text", ["{{params}}", "{{ }}", "{{params.a", "a}}", "{{params.a + 1}}"])
def test_braces_that_are_no_placeholder_are_refused(text: str) -> None:
    with pytest.raises(Rejected, match="a placeholder is"):
        list(placeholders({"json": [text]}))


def test_placeholders_are_found_wherever_they_are() -> None:
    found = list(
        placeholders({"a": ["{{params.x}}", {"b": "{{before.y.z}}{{incident.id}}"}], "c": 1})
    )
    assert found == [
        Placeholder("params", "x"),
        Placeholder("before", "y.z"),
        Placeholder("incident", "id"),
    ]
    with pytest.raises(Rejected, match="only values"):
        list(placeholders({"{{params.x}}": 1}))
