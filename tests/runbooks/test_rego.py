"""Rego in process: what is asked arrives as it is, and what is broken is said by line."""

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runbooks.rego import EXAMPLE, SHIPPED, Rego, lint_policies
from schemas.errors import Rejected

ECHO = "package sentinel.policy\n\nanswer := input.value\n"
SILENT = "package sentinel.policy\n\nimport rego.v1\n\nanswer := true if input.value == 1\n"


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Rego:
    folder = tmp_path_factory.mktemp("echo")
    (folder / "echo.rego").write_text("package sentinel.policy\n\nanswer := input\n")
    return Rego(folder)


def shipped(folder: Path, **config: Any) -> Path:
    """The shipped policies with other data."""
    shutil.copy(SHIPPED / "sentinel.rego", folder)
    data = yaml.safe_load((SHIPPED / "data.yaml").read_text())
    data["sentinel"]["config"].update(config)
    (folder / "data.yaml").write_text(yaml.safe_dump(data))
    return folder


def ids(rego: Rego, **changes: object) -> list[str]:
    asked = copy.deepcopy(EXAMPLE) | changes
    answer = rego.evaluate(asked)
    assert isinstance(answer, dict)
    return sorted(rule["id"] for rule in answer["rules"])


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.booleans() | st.none()))
def test_every_text_arrives_whole(echo: Rego, document: dict[str, Any]) -> None:
    """Neither quotes, backslashes, NUL nor placeholders of any kind change what a rule sees."""
    try:
        document = {k.encode().decode(): v for k, v in document.items()}
    except UnicodeEncodeError:  # half a character is no JSON
        return
    assert echo.evaluate(document) == document


def test_the_shipped_policies_are_sound() -> None:
    assert lint_policies(SHIPPED) == []
    assert Rego(SHIPPED).engine.startswith("regopy ")


def test_the_engine_names_the_policies_that_answered(tmp_path: Path) -> None:
    """Other policies or other data, another name: a decision can be traced to its rules."""
    assert Rego(shipped(tmp_path)).engine != Rego(shipped(tmp_path, approvers=["ana"])).engine


@pytest.mark.parametrize(
    ("now", "environment", "closed"),
    [
        ("2026-12-19T23:59:59Z", "production", False),
        ("2026-12-20T00:00:00Z", "production", True),
        ("2027-01-04T23:59:59Z", "production", True),
        ("2027-01-05T00:00:00Z", "production", False),
        ("2026-12-24T12:00:00Z", "staging", False),
    ],
)
def test_a_freeze_closes_its_places_for_its_time(
    tmp_path: Path, now: str, environment: str, *, closed: bool
) -> None:
    window = {
        "name": "sales", "environments": ["production"],
        "from": "2026-12-20T00:00:00Z", "until": "2027-01-05T00:00:00Z",
    }  # fmt: skip
    rego = Rego(shipped(tmp_path, freezes=[window]))
    assert ("change-freeze" in ids(rego, now=now, environment=environment)) is closed


@pytest.mark.parametrize(
    ("weekday", "hour", "closed"),
    [("fri", 15, False), ("fri", 16, True), ("fri", 23, True), ("thu", 18, False)],
)
def test_a_weekly_freeze_closes_its_hours(
    tmp_path: Path, weekday: str, hour: int, *, closed: bool
) -> None:
    window = {
        "name": "Friday evening", "environments": ["staging"], "weekdays": ["fri"],
        "from_hour": 16, "until_hour": 24,
    }  # fmt: skip
    rego = Rego(shipped(tmp_path, weekly_freezes=[window]))
    assert ("change-freeze" in ids(rego, weekday=weekday, hour=hour)) is closed


WINDOW = {
    "name": "sales", "environments": ["production"],
    "from": "2026-12-20T00:00:00Z", "until": "2027-01-05T00:00:00Z",
}  # fmt: skip
WEEKLY = {
    "name": "evening", "environments": ["staging"], "weekdays": ["fri"],
    "from_hour": 16, "until_hour": 24,
}  # fmt: skip


@pytest.mark.parametrize(
    "config",
    [
        {"freezes": [{**WINDOW, "from": "2026-12-20"}]},
        {"freezes": [{**WINDOW, "until": "tomorrow"}]},
        {"freezes": [{**WINDOW, "until": "2026-12-19T00:00:00Z"}]},
        {"freezes": [{**WINDOW, "environments": "production"}]},
        {"freezes": [{"name": "sales"}]},
        {"freezes": None},
        {"freezes": "2026-12-20T00:00:00Z"},
        {"weekly_freezes": [{**WEEKLY, "weekdays": ["friday"]}]},
        {"weekly_freezes": [{**WEEKLY, "weekdays": []}]},
        {"weekly_freezes": [{**WEEKLY, "from_hour": "16"}]},
        {"weekly_freezes": [{**WEEKLY, "until_hour": 8}]},
        {"weekly_freezes": None},
    ],
)
def test_a_freeze_that_cannot_be_read_closes_everything(
    tmp_path: Path, config: dict[str, object]
) -> None:
    """A typing error in a window must not keep it open."""
    rego = Rego(shipped(tmp_path, **config))
    assert "freeze-unreadable" in ids(rego)
    assert "freeze-unreadable" in ids(rego, environment="production")


@pytest.mark.parametrize("gone", ["executors", "approvers", "approval_expires_s", "start_within_s"])
def test_missing_data_never_opens(tmp_path: Path, gone: str) -> None:
    folder = shipped(tmp_path)
    data = yaml.safe_load((folder / "data.yaml").read_text())
    del data["sentinel"]["config"][gone]
    (folder / "data.yaml").write_text(yaml.safe_dump(data))
    try:
        answer = Rego(folder).evaluate(EXAMPLE)
    except Rejected as error:
        assert "undefined" in str(error)  # noqa: PT017 - either is a refusal
        return
    assert isinstance(answer, dict)
    assert "deny" in {rule["effect"] for rule in answer["rules"]}


def test_a_team_adds_a_rule_with_a_file_of_its_own(tmp_path: Path) -> None:
    folder = shipped(tmp_path)
    (folder / "team.rego").write_text(
        "package sentinel.policy\n\nimport rego.v1\n\n"
        'rules contains {"id": "lunch", "effect": "deny", "reason": "people eat"} if {\n'
        "\tinput.hour == 12\n}\n"
    )
    assert lint_policies(folder) == []
    assert "lunch" in ids(Rego(folder), hour=12)
    assert "lunch" not in ids(Rego(folder), hour=13)


def test_an_undefined_answer_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text(ECHO)
    with pytest.raises(Rejected, match="undefined for this input"):
        Rego(tmp_path).evaluate({"other": 1})


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ":1: holds no policy"),
        ({"a.rego": "package sentinel.policy\n\nanswer := {\n"}, "/a.rego:3: "),
        ({"a.rego": "package sentinel.policy\n\nanswer := x if {\n  x := 1 +\n}\n"}, "/a.rego:4: "),
        ({"a.rego": "package other\n\nanswer := 1\n"}, "/a.rego:1: must be in `package sentinel"),
        ({"a.rego": ECHO + '\nx := http.send({"url": "http://a"})\n'}, "/a.rego:5: http.send is not"),
        ({"a.rego": ECHO + "\nx := time.now_ns()\n"}, "/a.rego:5: time.now_ns gives another"),
        ({"a.rego": ECHO + '\nx := time.parse_rfc3339_ns("")\n'}, "/a.rego:5: time.parse_rfc3339"),
        ({"a.rego": SILENT}, "/a.rego:1: data.sentinel.policy.answer is undefined"),
        ({"a.rego": "hello\n"}, "/a.rego:1: must be in"),
        ({"a.rego": ECHO, "data.yaml": "a: [\n"}, "/data.yaml:2: "),
        ({"a.rego": ECHO, "data.yaml": "a: 2026-01-01\n"}, "/data.yaml:1: Object of type date"),
        ({"a.rego": ECHO, "data.yaml": "[]\n"}, "/data.yaml:1: must be a mapping"),
        ({"a.rego": ECHO, "data.json": "{\n,}"}, "/data.json:2: "),
        ({"a.rego": ECHO, "data.json": "{}", "data.yaml": "a: 1"}, "/data.json:1: data.yaml is there"),
    ],
)  # fmt: skip
def test_a_policy_that_cannot_work_is_one_line(
    tmp_path: Path, files: dict[str, str], expected: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    said = [str(problem) for problem in lint_policies(tmp_path)]
    assert any(expected in line for line in said), said
    assert all("\n" not in line for line in said)
    with pytest.raises(Rejected, match=r":\d+: "):
        Rego(tmp_path)


def test_tests_are_not_policies(tmp_path: Path) -> None:
    shipped(tmp_path)
    (tmp_path / "broken_test.rego").write_text("package sentinel.policy_test\n\nx := {\n")
    assert lint_policies(tmp_path) == []
