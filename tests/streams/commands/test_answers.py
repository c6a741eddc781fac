"""Answers: whose they are, what they are to, and what is refused before anything is sent."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from schemas.errors import Denied, Rejected
from schemas.identity import Keyring, Signer, ring
from schemas.plans import Refusal
from sinks.history import History
from streams.answering import Person, Run, answered, demanded, run_of, settles, waiting
from tests.story import START, Script, fixed
from tests.streams.commands.conftest import Kept, Sentinel, one_line

if TYPE_CHECKING:
    from schemas.event import Event

NOW = START + timedelta(minutes=1)


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    made = Signer.generate()
    made.save(tmp_path / "key.pem")
    return made


@pytest.mark.parametrize(
    ("known", "error", "line"),
    [
        ({"other": None}, Denied, "nobody called oncall is in identity.people; known: other"),
        ({"oncall": Signer.generate()}, Denied, "is not the one that identity.people has for"),
    ],
)
def test_a_person_the_settings_do_not_know_so_is_refused(
    tmp_path: Path, signer: Signer, known: dict[str, Any], error: type[Exception], line: str
) -> None:
    people = ring({name: key or Signer.generate() for name, key in known.items()})
    with pytest.raises(error, match=line):
        Person.load("oncall", tmp_path / "key.pem", people)


def test_without_people_in_the_settings_the_pipeline_decides(
    tmp_path: Path, signer: Signer
) -> None:
    """A terminal elsewhere need not have the pipeline's settings."""
    person = Person.load("oncall", tmp_path / "key.pem", Keyring())
    assert person.signer.public == signer.public


def test_an_answer_is_signed_and_tied_to_the_plan(signer: Signer) -> None:
    script = Script()
    decision = script.decision(4, script.proposed(), "approve")
    said = answered(Person("oncall", signer), decision, "approve", NOW, comment="seen")
    proof = ring({"oncall": signer}).check(
        by="oncall", text=said.signed_text(), signature=said.signature
    )
    assert proof.holds
    assert (said.plan_hash, said.group, said.cause) == (
        decision.plan.hash, decision.group, decision.id,
    )  # fmt: skip
    assert said.trace.split("-")[1] == decision.trace.split("-")[1]


def test_a_demand_is_signed_and_tied_to_the_run(signer: Signer) -> None:
    script = fixed()
    granted = next(e for e in reversed(script.said) if e.SUBJECT == "result")
    incident: Any = next(e for e in script.said if e.SUBJECT == "incident")
    said = demanded(Person("oncall", signer), Run(incident, granted), NOW, reason="worse")  # type: ignore[arg-type] # a result by its subject
    keyring = ring({"oncall": signer})
    assert keyring.check(by="oncall", text=said.signed_text(), signature=said.signature).holds
    assert (said.token, said.incident, said.group) == ("rb-token", script.ident, script.group)


def test_a_waiting_plan_is_found_by_incident_or_hash(kept: Kept) -> None:
    with History("sqlite:///sentinel.db") as history:
        now = datetime.now(UTC)
        plan = kept.decision.plan
        for named in (kept.open.ident, kept.open.ident[4:9], plan.hash, plan.hash[:8], plan.id):
            assert waiting(history, named, now) == kept.decision
        with pytest.raises(Rejected, match=rf"nothing of {kept.fixed.ident} \(resolved\) waits"):
            waiting(history, kept.fixed.ident, now)
        with pytest.raises(Rejected, match="no incident 'zzz'"):
            waiting(history, "zzz", now)


def test_an_ambiguous_name_is_not_guessed(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    with History("sqlite:///sentinel.db") as history:
        twice = (kept.decision, kept.decision)
        monkeypatch.setattr(history, "waiting", lambda _: twice)
        with pytest.raises(Rejected, match="may mean several"):
            waiting(history, kept.open.ident, datetime.now(UTC))


def test_a_run_is_found_by_its_token(kept: Kept) -> None:
    with History("sqlite:///sentinel.db") as history:
        assert run_of(history, "rb-token").incident.incident == kept.fixed.ident
        with pytest.raises(Rejected, match="no run has the token 'rb-other'"):
            run_of(history, "rb-other")


def test_what_settles_an_answer(signer: Signer) -> None:
    """The grant or the refusal of this very answer; not another's."""
    script = Script()
    decision = script.decision(4, script.proposed(), "approve")
    answer = answered(Person("oncall", signer), decision, "approve", NOW)
    other = Script("other")
    elsewhere = other.decision(4, other.proposed(), "approve")

    def refusal(cause: str) -> Refusal:
        return Refusal(
            at=NOW, cause=cause, group="g", incident="i", of="approval", by="x", reason=""
        )

    table: list[tuple[Event, bool]] = [
        (script.approved(20, decision), True),
        (other.approved(20, elsewhere), False),
        (refusal(answer.id), True),
        (refusal("another"), False),
        (script.outcome(9, "refused", None, plan_hash=decision.plan.hash), True),
        (script.outcome(9, "unverified", None, plan_hash=decision.plan.hash), False),
    ]
    assert [settles(answer, event) for event, _ in table] == [settled for _, settled in table]


def test_what_settles_a_rollback(signer: Signer) -> None:
    script = fixed()
    incident: Any = script.said[1]
    granted: Any = next(e for e in reversed(script.said) if e.SUBJECT == "result")
    demand = demanded(Person("oncall", signer), Run(incident, granted), NOW)
    approved: Any = next(e for e in script.said if e.SUBJECT == "approved")
    assert settles(demand, script.result(30, approved, "run", "rolled_back"))
    assert not settles(demand, script.result(30, approved, "undo", "succeeded"))


def as_oncall(kept: Kept, *more: str) -> tuple[str, ...]:
    """Options of `oncall`."""
    return ("--as", "oncall", "--key", str(kept.key), *more)


def test_nothing_is_sent_without_a_yes(kept: Kept, sentinel: Sentinel) -> None:
    """No terminal, no --yes: the plan is shown, and that is all."""
    said = sentinel("approve", kept.open.ident, *as_oncall(kept))
    assert said.status == 2
    assert kept.decision.plan.hash in said.out
    assert "1. scale: run 6 replicas in place of 4" in said.out
    assert "add --yes" in said.err


@pytest.mark.parametrize("command", ["approve", "reject"])
def test_no_broker_means_not_sent(
    kept: Kept, sentinel: Sentinel, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("SENTINEL_KAFKA__BROKERS", "127.0.0.1:1")
    said = sentinel(command, kept.open.ident, *as_oncall(kept, "--yes"))
    assert said.status == 1
    assert "sent" not in said.out
    assert said.err.startswith("sentinel: no Kafka at")


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (("--as", "oncall", "--key", "none.pem"), 1, "sentinel: cannot read the key none.pem"),
        (("--as", "oncall"), 2, "sentinel approve: Invalid value: name your key: --key FILE"),
        (("--as", "visitor", "--key", "oncall.pem"), 1, "sentinel: nobody called visitor is in"),
    ],
)
def test_who_cannot_answer_is_told_so(
    kept: Kept, sentinel: Sentinel, arguments: tuple[str, ...], status: int, line: str
) -> None:
    said = sentinel("approve", kept.open.ident, "--yes", *arguments)
    assert said.status == status
    assert one_line(said).startswith(line)


def test_who_is_not_among_the_approvers_is_told_so(kept: Kept, sentinel: Sentinel) -> None:
    signer = Signer.generate()
    signer.save(Path("other.pem"))
    with Path("sentinel.yaml").open("a") as file:
        file.truncate(0)
        file.write(f'identity: {{people: {{other: "{signer.public}"}}}}\n')
    said = sentinel("approve", kept.open.ident, "--as", "other", "--key", "other.pem", "--yes")
    assert said.status == 1
    assert one_line(said) == "sentinel: other is not among the approvers: oncall"
