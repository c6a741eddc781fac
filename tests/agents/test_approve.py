"""Approvals: who may, how often, until when, and for exactly which plan."""

import random
from typing import Any, Literal

import pytest

from agents.approve import Approve, ApproveSettings, Waiting
from schemas.avro import decode, encode
from schemas.event import Event
from schemas.identity import Signer, ring
from schemas.operations import Tick
from schemas.outcomes import Outcome
from schemas.plans import Approval, Approved, Decision, Plan, Refusal
from tests.executors.plans import GROUP, INCIDENT, at, decision, plan, step

NAMES = ["alice", "bob", "carol", "dave"]
SIGNERS = {name: Signer.generate() for name in NAMES}
SETTINGS = ApproveSettings()
PLAN = plan(requested_by="dave")


class Story:
    """One incident's messages, and what came of them."""

    def __init__(self, signers: dict[str, Signer] = SIGNERS) -> None:
        self.approve = Approve(SETTINGS, ring(signers))
        self.state: Waiting | None = None
        self.said: list[Event] = []

    def tell(self, event: Event, seconds: float) -> list[Event]:
        """Handle one message; what was said because of it."""
        value, headers = encode(event)
        event = decode(value, headers["schema"])
        turn = self.approve.run(event, self.state, at(seconds))
        raw = turn.state.model_dump(mode="json") if turn.state is not None else None
        self.state = None if raw is None else Waiting.model_validate(raw)
        said = [
            event.stamped(stage="approve", cause=event.id, position=str(n), trace="")
            for n, event in enumerate(turn.events)
        ]
        self.said += said
        return said

    def tick(self, seconds: float) -> list[Event]:
        """Time passes."""
        return self.tell(Tick(id=f"t{seconds}", at=at(seconds), group="0", number=0), seconds)

    @property
    def grants(self) -> list[Approved]:
        """What may run."""
        return [event for event in self.said if isinstance(event, Approved)]

    @property
    def outcomes(self) -> list[Outcome]:
        """What was ended."""
        return [event for event in self.said if isinstance(event, Outcome)]

    @property
    def reasons(self) -> list[str]:
        """Why answers did not count."""
        return [event.reason for event in self.said if isinstance(event, Refusal)]


def says(
    by: str,
    seconds: float,
    proposed: Plan = PLAN,
    word: Literal["approve", "reject"] = "approve",
    **more: Any,
) -> Approval:
    """A signed answer."""
    signer = more.pop("signer", None) or SIGNERS[by]
    values: dict[str, Any] = {"group": GROUP, "incident": INCIDENT, **more}
    said: Approval = signer.approval(
        plan_hash=proposed.hash, answer=word, by=by, at=at(seconds), **values
    )
    return said


def asked(needed: int = 1, **changes: Any) -> Decision:
    return decision(
        PLAN, approvals_needed=needed, expires_at=changes.pop("expires_at", at(300)), **changes
    )


def waiting(needed: int = 1, **changes: Any) -> Story:
    """A story in which a decision waits for answers."""
    story = Story()
    assert story.tell(asked(needed, **changes), 1) == []
    return story


# ---- grants


@pytest.mark.parametrize("effect", ["allow", "constrain"])
def test_what_policy_allows_passes_at_once(effect: str) -> None:
    """Row 36: low risk runs alone."""
    story = Story()
    constraints = ({"name": "step_timeout_s", "value": "20"},)
    story.tell(decision(PLAN, effect, constraints=constraints), 1)
    (grant,) = story.grants
    assert grant.approved_by == ("policy",)
    assert grant.plan == PLAN
    assert [constraint.name for constraint in grant.constraints] == ["step_timeout_s"]
    assert grant.decision


def test_a_denied_plan_is_not_approved_by_anybody() -> None:
    story = Story()
    assert story.tell(decision(PLAN, "deny"), 1) == []
    story.tell(says("alice", 2), 2)
    assert story.grants == []
    assert story.reasons == ["policy refused the plan: because"]


def test_one_answer_is_enough_where_one_is_needed() -> None:
    story = waiting(1)
    answer = says("alice", 5)
    story.tell(answer, 5)
    (grant,) = story.grants
    assert grant.approved_by == ("alice",)
    assert grant.approvals == (answer.id,)


def test_two_of_three_are_two_different_people() -> None:
    """Row 35: m of n."""
    story = waiting(2, approvers=("alice", "bob", "carol"))
    story.tell(says("carol", 5), 5)
    story.tell(says("carol", 6), 6)
    assert story.grants == []
    story.tell(says("alice", 7), 7)
    assert [grant.approved_by for grant in story.grants] == [("carol", "alice")]
    assert story.reasons == ["carol has approved already: one counts once"]


def test_policy_that_asks_for_approval_by_nobody_still_needs_one() -> None:
    story = waiting(0)
    assert story.grants == []
    story.tell(says("alice", 5), 5)
    assert len(story.grants) == 1


def test_an_answer_that_overtakes_its_decision_counts_when_that_comes() -> None:
    story = Story()
    assert story.tell(says("alice", 1), 1) == []
    story.tell(asked(1), 2)
    assert [grant.approved_by for grant in story.grants] == [("alice",)]


def test_an_answer_survives_a_restart_between_it_and_the_second_one() -> None:
    """Row 27: `tell` writes the state and reads it again at every message."""
    story = waiting(2)
    story.tell(says("alice", 5), 5)
    story.approve = Approve(SETTINGS, ring(SIGNERS))
    story.tell(says("bob", 200), 200)
    assert len(story.grants) == 1


def test_a_message_that_is_handled_again_after_a_crash_makes_the_same_grant() -> None:
    """Whoever tips the scale: one decision, one grant, one id."""
    story = waiting(1)
    before = story.state
    story.tell(says("alice", 5), 5)
    story.state = before
    story.tell(says("bob", 6), 6)
    assert len({grant.id for grant in story.grants}) == 1


# ---- refusals

LATE = [
    ("unknown person", says("mallory", 5, signer=Signer.generate()), 5, "nobody called 'mallory'"),
    ("wrong key", says("alice", 5, signer=SIGNERS["bob"]), 5, "the signature is not alice's"),
    ("requester", says("dave", 5), 5, "dave asked for the plan and cannot approve it"),
    ("signed long ago", says("alice", -700), 5, "signed 705 s ago"),
    ("signed in the future", says("alice", 100), 5, "signed 95 s in the future"),
    ("not listed", says("carol", 5), 5, "carol is not among the approvers: alice, bob, dave"),
]


@pytest.mark.parametrize(("name", "answer", "now", "reason"), LATE, ids=[case[0] for case in LATE])
def test_an_answer_that_does_not_count_is_refused_aloud(
    name: str, answer: Approval, now: float, reason: str
) -> None:
    story = waiting(1, approvers=("alice", "bob", "dave"))
    said = story.tell(answer, now)
    assert story.grants == []
    (refused,) = said
    assert isinstance(refused, Refusal)
    assert refused.reason.startswith(reason)
    assert (refused.cause, refused.of, refused.by) == (answer.id, "approval", answer.by)


EDITS: list[dict[str, Any]] = [
    {"plan_hash": plan(step(5)).hash}, {"by": "bob"}, {"answer": "reject"}, {"at": at(6)},
    {"incident": INCIDENT + "0"}, {"signature": ""}, {"signature": "00" * 64},
]  # fmt: skip


@pytest.mark.parametrize("edit", EDITS, ids=str)
def test_an_answer_that_was_edited_on_its_way_does_not_count(edit: dict[str, Any]) -> None:
    story = waiting(1)
    story.tell(says("alice", 5).model_copy(update=edit), 7)
    assert story.grants == []
    assert "the signature is not" in story.reasons[0]


def test_an_answer_to_an_earlier_version_of_the_plan_does_not_count() -> None:
    """An edited plan needs a new answer; the old one is refused once no decision came for it."""
    old = plan(step(5))
    story = waiting(1)
    assert story.tell(says("alice", 5, old), 5) == []
    story.tick(64)
    assert story.reasons == []
    story.tick(65)
    assert story.grants == []
    assert story.reasons == [
        "the answer is for another version of the plan: this one needs its own"
    ]
    story.tell(says("alice", 66), 66)
    assert len(story.grants) == 1


def test_a_plan_that_is_not_what_its_hash_says_is_refused_whatever_policy_said() -> None:
    forged = PLAN.model_copy(update={"steps": plan(step(7)).steps})
    for effect in ("allow", "approve"):
        story = Story()
        story.tell(decision(forged, effect, approvals_needed=1), 1)
        assert story.grants == []
        assert "not the one that its hash was made of" in story.outcomes[0].reason


def test_a_copy_of_an_answer_does_not_count_for_the_next_decision_on_the_same_plan() -> None:
    """A replay under a new id, after the first run of the plan had failed."""
    story = waiting(1)
    answer = says("alice", 5)
    story.tell(answer, 5)
    story.tell(asked(1, id="second"), 100)
    story.tell(answer.model_copy(update={"id": "copy"}), 101)
    assert len(story.grants) == 1
    assert story.reasons == ["the same answer was judged before"]
    story.tell(says("alice", 102), 102)
    assert len(story.grants) == 2


def test_an_answer_after_the_grant_is_told_so() -> None:
    story = waiting(1)
    story.tell(says("alice", 5), 5)
    story.tell(says("bob", 6), 6)
    assert len(story.grants) == 1
    assert story.reasons == ["the plan was approved by alice"]


def test_too_many_answers_without_a_decision_are_refused() -> None:
    story = Story()
    for number in range(SETTINGS.early + 5):
        story.tell(says("alice", 1 + number / 1000), 2)
    assert len(story.reasons) == 5
    story.tick(63)
    assert len(story.reasons) == SETTINGS.early + 5
    assert story.state is None


# ---- ends


def test_one_no_ends_the_plan() -> None:
    """Row 37."""
    story = waiting(2)
    story.tell(says("alice", 5), 5)
    story.tell(says("bob", 6, word="reject", comment="not now"), 6)
    story.tell(says("carol", 7), 7)
    assert story.grants == []
    (outcome,) = story.outcomes
    assert (outcome.result, outcome.final, outcome.by) == ("refused", True, "bob")
    assert outcome.reason == "bob rejected the plan: not now"
    assert story.reasons == ["bob rejected the plan: not now"]


def test_who_approved_may_still_say_no() -> None:
    story = waiting(2)
    story.tell(says("alice", 5), 5)
    story.tell(says("alice", 6, word="reject"), 6)
    assert len(story.outcomes) == 1


def test_the_requester_may_withdraw() -> None:
    story = waiting(1, approvers=("alice",))
    story.tell(says("dave", 5, word="reject"), 5)
    assert story.outcomes[0].by == "dave"


def test_a_no_of_somebody_who_is_not_asked_does_not_count() -> None:
    story = waiting(1, approvers=("alice",))
    story.tell(says("bob", 5, word="reject"), 5)
    assert story.outcomes == []
    assert "not among the approvers" in story.reasons[0]


def test_time_ends_what_nobody_answered() -> None:
    story = waiting(2)
    story.tell(says("alice", 5), 5)
    assert story.tick(299.9) == []
    story.tick(300)
    story.tick(301)
    (outcome,) = story.outcomes
    assert (outcome.result, outcome.final) == ("refused", True)
    assert outcome.reason == "1 of 2 approvals had come when the time ended"


def test_an_answer_after_the_time_does_not_count_even_before_the_tick() -> None:
    story = waiting(1)
    story.tell(says("alice", 299), 300)
    assert story.grants == []
    assert [outcome.result for outcome in story.outcomes] == ["refused"]
    assert story.reasons == ["0 of 1 approvals had come when the time ended"]


def test_a_decision_that_comes_after_its_time_is_refused() -> None:
    story = Story()
    story.tell(asked(1, expires_at=at(0)), 1)
    assert "the time for approval ended" in story.outcomes[0].reason


def test_a_plan_without_a_time_waits_for_as_long_as_the_settings_say() -> None:
    story = waiting(1, expires_at=None)
    story.tick(3600)
    assert story.outcomes == []
    story.tick(3601)
    assert len(story.outcomes) == 1


@pytest.mark.parametrize(
    ("needed", "approvers", "reason"),
    [
        (2, ("alice",), "needs 2 to approve, and of the people known only alice may"),
        (2, ("alice", "dave"), "needs 2 to approve, and of the people known only alice may"),
        (1, ("zoe",), "needs 1 to approve, and of the people known only nobody may"),
        (4, (), "needs 4 to approve, and of the people known only alice, bob, carol may"),
    ],
)
def test_what_nobody_could_ever_approve_is_refused_at_once(
    needed: int, approvers: tuple[str, ...], reason: str
) -> None:
    story = Story()
    story.tell(asked(needed, approvers=approvers), 1)
    assert [outcome.reason for outcome in story.outcomes] == [reason]


def resolved(seconds: float) -> Outcome:
    return Outcome(
        id="o", at=at(seconds), group=GROUP, incident=INCIDENT, result="resolved", final=True,
        by="verify", reason="quiet",
    )  # fmt: skip


def test_nothing_is_approved_for_an_incident_that_is_resolved() -> None:
    story = waiting(1)
    assert story.tell(resolved(5), 5) == []
    story.tell(says("alice", 6), 6)
    assert story.grants == []
    assert story.reasons == ["the incident is resolved: quiet"]


def test_a_decision_that_comes_after_the_resolution_is_granted_nothing() -> None:
    """Nor refused: a worker that died after the grant reads the decision again, after the end."""
    story = Story()
    story.tell(resolved(1), 1)
    story.tell(decision(PLAN, "allow"), 2)
    assert story.grants == []
    assert story.outcomes == []


def test_an_outcome_of_an_earlier_plan_leaves_the_new_one_waiting() -> None:
    story = waiting(1)
    story.tell(resolved(2).model_copy(update={"result": "rolled_back"}), 2)
    story.tell(says("alice", 5), 5)
    assert len(story.grants) == 1


def test_what_is_over_is_forgotten_once_no_old_signature_could_count() -> None:
    story = waiting(1)
    story.tell(says("alice", 5), 5)
    story.tick(5 + SETTINGS.window_s)
    assert story.state is not None
    story.tick(5 + SETTINGS.window_s + SETTINGS.skew_s)
    assert story.state is None


# ---- T11, short form


@pytest.mark.parametrize("seed", range(5))
def test_a_thousand_answers_of_twenty_people_make_exactly_one_grant(seed: int) -> None:
    """2 of 3, among requester, strangers, doubles, forgeries, late ones and an edited plan."""
    draw = random.Random(seed)
    people = {f"p{number}": Signer.generate() for number in range(20)}
    approvers = ("p1", "p2", "p3")
    proposed, edited = plan(requested_by="p0"), plan(step(8), requested_by="p0")
    story = Story(people)
    answers: list[tuple[float, Approval]] = []
    for _ in range(1_000):
        name = draw.choice(list(people))
        seconds = draw.uniform(2, 600)
        kind = draw.choice(["good", "good", "edited", "forged", "old", "double"])
        signer = people[draw.choice(list(people))] if kind == "forged" else people[name]
        text = edited if kind == "edited" else proposed
        signed = seconds - 601 if kind == "old" else seconds
        answer = says(name, signed, text, signer=signer)
        answers.append((seconds, answer))
        if kind == "double":
            answers.append((seconds + 1, answer.model_copy(update={"id": answer.id + "x"})))
    answers.sort(key=lambda pair: pair[0])
    story.tell(decision(proposed, approvals_needed=2, approvers=approvers, expires_at=at(300)), 1)
    second = 1.0
    for seconds, answer in answers:
        while second < seconds:
            story.tick(second)
            second += 1
        story.tell(answer, seconds)
    for rest in range(601, 2_000):
        story.tick(rest)
    (grant,) = story.grants
    assert len(set(grant.approved_by)) == 2
    assert set(grant.approved_by) <= set(approvers)
    given = {answer.id: answer for _, answer in answers}
    for ident in grant.approvals:
        assert given[ident].plan_hash == proposed.hash
        assert _signed(story, given[ident])
    # each answer is accounted for: it is part of the grant, or refused with a reason
    refused = [event.cause for event in story.said if isinstance(event, Refusal)]
    assert sorted([*refused, *grant.approvals]) == sorted(answer.id for _, answer in answers)
    assert story.outcomes == []
    assert story.state is None


def _signed(story: Story, answer: Approval) -> bool:
    proof = story.approve._keyring.check(
        by=answer.by, text=answer.signed_text(), signature=answer.signature
    )
    return proof.holds


def test_the_clock_of_the_stage_decides_and_not_the_one_that_signed() -> None:
    """A backdated answer does not reach over the deadline."""
    story = waiting(1)
    late = SIGNERS["alice"].approval(
        group=GROUP,
        incident=INCIDENT,
        plan_hash=PLAN.hash,
        answer="approve",
        by="alice",
        at=at(299),
    )
    story.tell(late, 310)
    assert story.grants == []
