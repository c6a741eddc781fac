"""Verdicts at the command line: what is asked, what is refused before anything is sent, the list."""

from datetime import timedelta
from pathlib import Path

import pytest

from agents.verdict_settings import VerdictSettings
from agents.verdicts import Judge
from schemas.errors import Rejected
from schemas.event import Event
from schemas.identity import Signer, ring
from schemas.incidents import Incident
from schemas.plans import Refusal
from schemas.topics import BY_EVENT
from schemas.verdicts import Bar, Verdict, Word
from sinks.history import History
from sinks.store import Store
from streams.answering import Person, judged, settles, undone
from tests.story import START, Stood
from tests.streams.commands.conftest import Kept, Sentinel, one_line

LATER = START + timedelta(hours=1)
URL = "sqlite:///sentinel.db"


def oncall(kept: Kept) -> Person:
    return Person("oncall", Signer.load(kept.key))


def incident(kept: Kept) -> Incident:
    return next(e for e in reversed(kept.fixed.said) if isinstance(e, Incident))


def store(*events: Event) -> None:
    """Keep events as the sink does."""
    with Store(URL) as opened:
        opened.keep([(e, Stood(BY_EVENT[type(e)].name, 0, 500 + n)) for n, e in enumerate(events)])


def counted(kept: Kept, *words: Word) -> list[Event]:
    """Verdicts on the fixed incident and what came of each, as the stage says it."""
    person, about = oncall(kept), incident(kept)
    judge = Judge(VerdictSettings(), ring({"oncall": person.signer}), {about.service: about.group})
    state, events = None, list[Event]()
    for n, word in enumerate(words):
        at = LATER + timedelta(seconds=n)
        said = judged(person, about, word, at, reason="import")
        turn = judge.run(said, state, at)
        state = turn.state
        came = [
            e.stamped(stage="verdicts", cause=said.id, position="0", trace="") for e in turn.events
        ]
        events += [said, *came]
    return events


def test_a_verdict_is_signed_and_tied_to_incident_and_service(kept: Kept) -> None:
    person, about = oncall(kept), incident(kept)
    said = judged(person, about, "late", LATER, reason="slow")
    assert (said.incident, said.service, said.group) == (about.incident, about.service, about.group)
    proof = ring({"oncall": person.signer}).check(
        by="oncall", text=said.signed_text(), signature=said.signature
    )
    assert proof.holds
    back = undone(person, said, LATER)
    assert (back.says, back.undoes, back.cause, back.service) == (
        "undo", said.id, said.id, said.service,
    )  # fmt: skip
    with pytest.raises(Rejected, match=r"is not about mars: it names checkout"):
        judged(person, about, "late", LATER, service="mars")


def test_what_settles_a_verdict_is_its_own_bar_or_refusal(kept: Kept) -> None:
    said, bar, other, _ = counted(kept, "false", "late")
    assert isinstance(said, Verdict)
    assert isinstance(other, Verdict)
    refused = Refusal(
        at=LATER, cause=said.id, group="g", incident="i", of="verdict", by="x", reason=""
    )
    assert [settles(said, event) for event in (bar, refused)] == [True, True]
    assert [settles(other, event) for event in (bar, refused)] == [False, False]


def test_the_list_tells_who_when_why_and_what_came_of_it(kept: Kept, sentinel: Sentinel) -> None:
    assert "no verdict yet" in sentinel("verdicts").err
    events = counted(kept, "false", "good")
    first = events[0]
    assert isinstance(first, Verdict)
    back = undone(oncall(kept), first, LATER + timedelta(minutes=1))
    bar = events[3]
    assert isinstance(bar, Bar)
    cleared = bar.model_copy(update={"id": "bar-3", "cause": back.id, "factor": 1.0})
    store(*events, back, cleared, judged(oncall(kept), incident(kept), "late", LATER, reason="new"))
    out = sentinel("verdicts").out
    rows = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert len(rows) == 4
    assert "bar 1.15, taken back by oncall" in rows[first.id[:12]]
    assert "import" in rows[first.id[:12]]
    assert "undo" in rows[back.id[:12]]
    assert sum("not counted yet" in line for line in rows.values()) == 1
    assert "no verdict on mars yet" in sentinel("verdicts", "--service", "mars").err
    assert '"effect":"bar 1.15, taken back by oncall"' in sentinel("verdicts", "--json").out
    shown = sentinel("incidents", "show", kept.fixed.ident).out
    assert "Verdicts" in shown
    assert "false, by oncall for checkout: import" in shown
    assert "bar of checkout: 1 false: alarms from a score of 1.15" in shown
    with History(URL) as history:
        assert history.verdict(first.id[:6]).id == first.id
        with pytest.raises(Rejected, match="no verdict 'zz'"):
            history.verdict("zz")


def test_it_is_shown_before_it_is_said(kept: Kept, sentinel: Sentinel) -> None:
    """No terminal, no --yes: nothing is sent."""
    as_oncall = ("--as", "oncall", "--key", str(kept.key))
    said = sentinel("verdict", kept.fixed.ident, "false", *as_oncall)
    assert said.status == 2
    assert "false for checkout: it was none: alarms need more from now on" in said.out
    assert "add --yes" in said.err


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        ((), 2, "name an incident and good, late or false; or --undo ID alone"),
        (("INC",), 2, "name an incident and good, late or false"),
        (("INC", "false", "--undo", "1"), 2, "name an incident and good, late or false"),
        (("--undo", "1", "--service", "checkout"), 2, "or --undo ID alone"),
        (("INC", "bad"), 2, "'bad' is not one of 'good', 'late', 'false'"),
        (("INC", "false", "--service", "mars"), 1, "is not about mars"),
        (("nothing", "false"), 1, "no incident 'nothing'"),
        (("--undo", "1"), 1, "no verdict is known yet"),
    ],
)
def test_what_cannot_be_meant_is_told_in_one_line(
    kept: Kept, sentinel: Sentinel, arguments: tuple[str, ...], status: int, line: str
) -> None:
    meant = [kept.fixed.ident if each == "INC" else each for each in arguments]
    said = sentinel("verdict", *meant, "--as", "oncall", "--key", str(kept.key), "--yes")
    assert said.status == status
    assert line in one_line(said)


def test_without_a_broker_it_is_not_sent(
    kept: Kept, sentinel: Sentinel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTINEL_KAFKA__BROKERS", "127.0.0.1:1")
    as_oncall = ("--as", "oncall", "--key", str(kept.key), "--yes")
    said = sentinel("verdict", kept.fixed.ident, "good", *as_oncall)
    assert said.status == 1
    assert said.err.startswith("sentinel: no Kafka at")
    assert Path("sentinel.db").is_file()
