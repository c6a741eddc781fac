"""The language of prechecks: what holds, what does not, and what is no check at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.checks import LONGEST, Verdict, evaluate, fields, parse
from schemas.errors import Rejected

ANSWER = {
    "replicas": 2,
    "max_replicas": 8,
    "rate": 1.5,
    "paused": False,
    "mode": "normal",
    "owner": None,
    "depth": {"batch": 40, "checkout": 0, "a.b": {"c": 1}},
    "pids": [11, 12],
    "__class__": 3,
    "nan": float("nan"),
}


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("replicas < max_replicas", True),
        ("replicas >= 3", False),
        ("0 < replicas <= 2", True),
        ("0 < replicas < 2", False),
        ("rate == 1.5", True),
        ("rate > -1", True),
        ("replicas == 2.0", True),
        ('depth["batch"] > 0', True),
        ("depth.batch > 0", True),
        ('depth["a.b"].c == 1', True),
        ("pids[1] == 12", True),
        ("not paused", True),
        ("paused", False),
        ("paused == false", True),
        ('mode == "normal" and not paused', True),
        ('mode != "normal" or replicas < 2', False),
        ('mode < "z"', True),
        ("owner == null", True),
        ("replicas != null", True),
        ("(replicas < 3) == true", True),
        ("__class__ == 3", True),
    ],
)
def test_a_check_reads_as_it_is_written(expression: str, holds: bool) -> None:  # noqa: FBT001 - a table's column
    assert evaluate(expression, ANSWER).holds is holds


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("gone > 1", "the answer has no gone"),
        ("not gone", "the answer has no gone"),
        ("replicas > 1 or gone", "the answer has no gone"),
        ("depth.other > 0", "the answer has no depth.other"),
        ("replicas.real > 0", "the answer has no replicas.real"),
        ("mode.upper == 1", "the answer has no mode.upper"),
        ("mode[0] == 'n'", "the answer has no mode[0]"),
        ("pids[2] == 1", "the answer has no pids[2]"),
        ("mode < 3", "'normal' and 3 have no order"),
        ("mode == 3", "'normal' and 3 are different kinds of values"),
        ("not mode == 3", "'normal' and 3 are different kinds of values"),
        ("paused == 0", "false and 0 are different kinds of values"),
        ("paused < 1", "false and 1 have no order"),
        ("owner < 1", "null and 1 have no order"),
        ("not nan < 3", "nan is nan"),
        ("not replicas", "replicas is 2, neither true nor false"),
    ],
)
def test_what_cannot_be_worked_out_does_not_hold(expression: str, reason: str) -> None:
    """Fail closed: a lacking answer never lets a step run, however the check is written."""
    assert evaluate(expression, ANSWER) == Verdict(holds=False, reason=f"{expression}: {reason}")


@pytest.mark.parametrize("answer", [None, [], "replicas", 3])
def test_an_answer_that_is_no_object_lets_nothing_run(answer: object) -> None:
    assert not evaluate("replicas < 3", answer).holds


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("__import__('os').system('id')", "knows no calls"),
        ("(lambda: 1) == 1", "knows no Lambda"),
        ("replicas + 1 < 3", "knows no arithmetic"),
        ("9**9**9 > 1", "knows no arithmetic"),
        ("replicas in [1]", "knows no In"),
        ("[1] == [1]", "knows no List"),
        ("f'{replicas}' == 'a'", "knows no JoinedStr"),
        ("(1).real == 1", "looks into fields of the answer only"),
        ("'a'.upper == 1", "looks into fields of the answer only"),
        ("true.real == 1", "looks into fields of the answer only"),
        ("depth[replicas] == 1", "knows no Subscript"),
        ("depth[0:1] == 1", "knows no Subscript"),
        ("paused == True", "write true"),
        ("owner == None", "write null"),
        ("b'a' == mode", "knows no such values"),
        ("(x := 3) == 3", "knows no NamedExpr"),
        ("replicas <", "is no check"),
        ("", "is no check"),
        ("replicas = 3", "is no check"),
        ("1\x00 < 2", "is no check"),
        ("3", "compares nothing"),
        ("replicas < 3 #" + "#" * LONGEST, "characters long"),
        ("(" * 240 + "a" + ")" * 240, "is no check"),
    ],
)
def test_what_is_outside_the_language_is_refused(expression: str, problem: str) -> None:
    with pytest.raises(Rejected, match=problem):
        parse(expression)


@given(st.text(max_size=80))
def test_any_text_is_a_check_or_is_refused(text: str) -> None:
    """Nothing but Rejected leaves the parser, and what it admits can be evaluated."""
    try:
        parse(text)
    except Rejected:
        return
    assert isinstance(evaluate(text, ANSWER), Verdict)


def test_the_reason_shows_the_values_that_decided() -> None:
    assert evaluate("replicas > 2", ANSWER).reason == "replicas > 2 is false (replicas is 2)"


def test_the_fields_that_a_check_reads_are_known() -> None:
    assert fields("a.b < c and not d['e'] == true") == {"a", "c", "d"}
