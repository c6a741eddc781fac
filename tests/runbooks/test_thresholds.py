"""Static rules as they are written, and what is said of those that are written wrong."""

from pathlib import Path

import pytest

from runbooks.thresholds import Rule, load_rules, parse_when, seconds
from schemas.errors import Rejected

CPU = 'cpu{service="checkout",host=~"web-.*",zone!="b",tier!~"t.+"} > 90 for 3m'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rules.yaml"


def rule(**fields: str) -> Rule:
    return Rule.model_validate({"id": "cpu-high", "when": "cpu > 90 for 3m", **fields})


@pytest.mark.parametrize(
    ("metric", "labels", "selected"),
    [
        ("cpu", {"service": "checkout", "host": "web-1"}, True),
        ("cpu", {"service": "checkout", "host": "web-1", "zone": "a", "tier": ""}, True),
        ("cpu", {"service": "checkout2", "host": "web-1"}, False),
        ("cpu", {"service": "checkout", "host": "my-web-1"}, False),
        ("cpu", {"service": "checkout"}, False),
        ("cpu", {"service": "checkout", "host": "web-1", "zone": "b"}, False),
        ("cpu", {"service": "checkout", "host": "web-1", "tier": "t1"}, False),
        ("cpu_seconds", {"service": "checkout", "host": "web-1"}, False),
    ],
)
def test_a_selector_means_what_it_means_in_prometheus(
    metric: str, labels: dict[str, str], *, selected: bool
) -> None:
    assert parse_when(CPU).selects(metric, labels) is selected


def test_a_metric_may_be_chosen_by_a_pattern() -> None:
    when = parse_when('{__name__=~"cpu.*"} <= 1e3')
    assert when.selects("cpu_seconds", {})
    assert not when.selects("memory", {})
    assert (when.limit, when.for_s) == (1000.0, 0.0)


@pytest.mark.parametrize(
    ("compare", "below", "at", "above"),
    [(">", 0, 0, 1), (">=", 0, 1, 1), ("<", 1, 0, 0), ("<=", 1, 1, 0), ("==", 0, 1, 0), ("!=", 1, 0, 1)],
)  # fmt: skip
def test_every_comparison(compare: str, below: int, at: int, above: int) -> None:
    when = parse_when(f"cpu {compare} 90")
    assert [when.holds(v) for v in (89, 90, 91)] == [bool(below), bool(at), bool(above)]


def test_a_limit_to_clear_at_keeps_it_from_flapping() -> None:
    held = rule(clear="80 for 1m")
    assert [held.over(v) for v in (91, 85, 81, 80, 79)] == [False, False, False, True, True]
    assert held.clear.for_s == 60
    assert [rule().over(v) for v in (91, 90)] == [False, True]


@pytest.mark.parametrize(("text", "length"), [("90s", 90), ("1h 30m", 5400), ("1.5d", 129_600)])
def test_times(text: str, length: float) -> None:
    assert seconds(text) == length


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("- {id: a, when: cpu}", "rule a, when: 'cpu' is no condition, such as cpu{"),
        ("- {id: a, when: '> 90'}", "names neither a metric nor a label"),
        ("- {id: a, when: 'cpu > 90 for ever'}", "'ever' is no time, such as 90s"),
        ("- {id: a, when: 'cpu{host=web} > 1'}", "'host=web' is no matcher"),
        ("- {id: a, when: 'cpu{host=~\"(\"} > 1'}", "'(' is no pattern"),
        ("- {id: a, when: cpu > 90, clear: 95}", "clear: 95 is on the wrong side of > 90"),
        ("- {id: a, when: cpu < 5, clear: 3}", "clear: 3 is on the wrong side of < 5"),
        ("- {id: a, when: cpu == 0, clear: 1}", "clear: == has one limit"),
        ("- {id: a, when: cpu > 90, clear: soon}", "'soon' is no end of an alarm"),
        ("- {id: a, when: cpu > 90, severity: bad}", "rule a, severity"),
        ("- {id: a, when: cpu > 90, limit: 3}", "unknown key; known here: id, when, clear"),
        ("- {id: A b, when: cpu > 90}", "rule A b, id"),
        ("- {when: cpu > 90}", "rule 1, id"),
        ("- {id: a, when: cpu > 90}\n- {id: a, when: cpu > 9}", "rule a is there twice"),
    ],
)
def test_every_mistake_is_said_with_rule_and_field(file: Path, rules: str, said: str) -> None:
    file.write_text(f"rules:\n{rules}\n")
    with pytest.raises(Rejected) as caught:
        load_rules(file)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("text", ["[1]", "rules: {", "rule: []"])
def test_what_is_no_file_of_rules_is_said_so(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(Rejected):
        load_rules(file)


def test_a_file_that_is_not_there_is_said_so(file: Path) -> None:
    with pytest.raises(Rejected, match="No such file"):
        load_rules(file)


def test_an_empty_file_has_no_rules(file: Path) -> None:
    file.write_text("")
    assert load_rules(file) == ()
