"""Verdicts: which count, what bar they make, and what is refused aloud."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.verdict_settings import VerdictSettings
from agents.verdicts import KEPT, Counted, Judge, Standing, counting, factor
from schemas.identity import Signer, ring
from schemas.operations import Tick
from schemas.plans import Refusal
from schemas.verdicts import Bar, Verdict, Word

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
SRE, LEAD = Signer.generate(), Signer.generate()
SETTINGS = VerdictSettings()
JUDGE = Judge(SETTINGS, ring({"sre": SRE, "lead": LEAD}), {"checkout": "shop"})


def counted(number: int, says: Word, incident: str = "", **more: Any) -> Counted:
    return Counted(
        id=f"v{number:02}",
        at=NOW + timedelta(minutes=number),
        incident=incident or f"inc-{number}",
        says=says,
        by="sre",
        **more,
    )


def verdict(says: Word, incident: str = "inc-1", signer: Signer = SRE, **more: Any) -> Verdict:
    fields: dict[str, Any] = {"group": "shop", "service": "checkout", "by": "sre", "at": NOW}
    return signer.verdict(says=says, incident=incident, **(fields | more))


def judged(
    *verdicts: Verdict, state: Standing | None = None, now: datetime = NOW
) -> tuple[list[Any], Any]:
    """All that was said of them, and the state after."""
    out: list[Any] = []
    for each in verdicts:
        turn = JUDGE.run(each, state, now)
        state = turn.state
        out += turn.events
    return out, state


@pytest.mark.parametrize(
    ("words", "bar"),
    [
        ("", 1.0),
        ("false", 1.15),
        ("late", 0.8696),
        ("good good", 1.0),
        ("false false good", 1.3225),
        ("false late", 1.0),
        ("false " * 30, 2.0),
        ("late " * 30, 0.6667),
        ("false " * 30 + "late", 1.7391),
    ],
)
def test_the_bar_of_verdicts_on_different_incidents(words: str, bar: float) -> None:
    said: Any = [counted(n, word) for n, word in enumerate(words.split())]  # type: ignore[arg-type] # words
    assert factor(said, SETTINGS) == bar
    assert factor(list(reversed(said)), SETTINGS) == bar


def test_of_one_incident_the_newest_counts() -> None:
    said = [counted(1, "false", "a"), counted(2, "late", "a"), counted(3, "false", "b")]
    assert [each.id for each in counting(said)] == ["v02", "v03"]


def test_what_was_taken_back_does_not_count_and_what_it_replaced_does_again() -> None:
    said = [counted(1, "false", "a"), counted(2, "late", "a", undone=True)]
    assert [each.id for each in counting(said)] == ["v01"]


def test_a_verdict_moves_the_bar_from_a_little_later_on() -> None:
    out, state = judged(verdict("false"))
    bar = out[0]
    assert isinstance(bar, Bar)
    assert (bar.group, bar.service, bar.incident) == ("checkout", "checkout", "inc-1")
    assert (bar.factor, bar.reason) == (1.15, "1 false: alarms from a score of 1.15")
    assert [(s.at, s.factor) for s in bar.steps] == [(NOW + timedelta(seconds=10), 1.15)]
    assert bar.counted == (state.said[0].id,)


def test_taking_it_back_is_a_step_too_so_that_what_was_before_stays_as_it_was() -> None:
    first = verdict("false")
    later = NOW + timedelta(minutes=5)
    _, state = judged(first)
    undo = verdict("undo", undoes=first.id, by="lead", signer=LEAD, at=later)
    out, _ = judged(undo, state=state, now=later)
    assert (out[0].factor, out[0].counted) == (1.0, ())
    assert [s.factor for s in out[0].steps] == [1.15, 1.0]
    assert out[0].steps[1].at == later + timedelta(seconds=10)


def test_good_is_counted_and_moves_nothing() -> None:
    out, _ = judged(verdict("good"))
    assert (out[0].factor, out[0].steps, len(out[0].counted)) == (1.0, (), 1)


def test_steps_never_go_back_in_time() -> None:
    _, state = judged(verdict("false"))
    out, _ = judged(verdict("false", "inc-2"), state=state, now=NOW - timedelta(seconds=20))
    assert out[0].steps[0].at == out[0].steps[1].at


def forged(**changes: Any) -> Verdict:
    return verdict("false").model_copy(update=changes)


UNKNOWN = verdict("undo", undoes="0" * 32)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (forged(says="late"), "the signature is not sre's over this text"),
        (forged(service="queue"), "the signature is not sre's over this text"),
        (forged(reason="another"), "the signature is not sre's over this text"),
        (forged(by="lead"), "the signature is not lead's over this text"),
        (forged(by="nobody"), "nobody called 'nobody' is known"),
        (forged(signature="zz"), "the signature is not sre's over this text"),
        (forged(id="another"), "its id is not of its signature"),
        (forged(group="else"), "checkout belongs to the group shop, not to else"),
        (verdict("false", at=NOW - timedelta(seconds=601)), "signed 601 s ago, at most 600 s"),
        (verdict("false", at=NOW + timedelta(seconds=31)), "signed 31 s in the future"),
        (verdict("false", undoes="x"), "it takes a verdict back, and says another word"),
        (UNKNOWN, "no verdict '000000000000' on checkout counts"),
    ],
)
def test_what_does_not_count_is_refused_aloud(bad: Verdict, reason: str) -> None:
    out, state = judged(bad)
    assert isinstance(out[0], Refusal)
    assert (out[0].of, out[0].cause, out[0].group) == ("verdict", bad.id, bad.group)
    assert out[0].reason.startswith(reason)
    assert state is None


def test_twice_the_same_counts_once_and_cannot_be_taken_back_twice() -> None:
    first = verdict("false")
    undo, again = (verdict("undo", undoes=first.id, reason=r) for r in ("", "again"))
    out, _ = judged(first, first, undo, again)
    assert [type(each) for each in out] == [Bar, Refusal, Bar, Refusal]
    assert out[1].reason == "the same verdict was counted before"
    assert out[3].reason == "it was taken back before"


def test_what_is_remembered_is_bounded() -> None:
    _, state = judged(*(verdict("false", f"inc-{n}") for n in range(KEPT + 20)))
    assert len(state.said) == KEPT
    assert len(state.steps) == 5  # 1.15, 1.3225, ... then 2, which stays


def test_only_verdicts_concern_it() -> None:
    tick = Tick(at=NOW, group="shop", number=0)
    assert JUDGE.key(tick) == ""
    assert JUDGE.key(verdict("good")) == "checkout"
    assert JUDGE.run(tick, None, NOW).events == ()
