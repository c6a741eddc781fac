"""Runs: their order, their ends, their limits; who may start them and who may take them back."""

import asyncio
from datetime import timedelta

import pytest

from executors.execute import Execute, ExecuteSettings
from executors.executor import Answer, Arguments, Uncertain
from executors.ledger import Ledger
from schemas.errors import Denied, Rejected, Unavailable
from schemas.event import Event
from schemas.identity import Signer, ring
from schemas.operations import Tick
from schemas.outcomes import Outcome
from schemas.plans import Action, Approved, Check, Refusal
from schemas.results import Rollback, StepResult
from tests.executors.fake_target import Dials, failing
from tests.executors.plans import GROUP, INCIDENT, approved, at, plan, step
from tests.executors.shell import Shell

ALICE = Signer.generate()
RING = ring({"alice": ALICE})
OF_NO_RUN = "rb-0"
FIVE = [step(number) for number in range(5)]


def carried_out(dials: Dials, *events: Event, settings: ExecuteSettings | None = None) -> Shell:
    """A shell in which these events were handled to the end."""
    shell = Shell({"fake": dials}, keyring=RING, settings=settings)
    asyncio.run(shell.finish(*events))
    return shell


def more(shell: Shell, *events: Event) -> None:
    asyncio.run(shell.finish(*events))


def demand(
    shell: Shell, seconds: float, by: str = "alice", signer: Signer = ALICE, token: str = ""
) -> Rollback:
    """A signed demand to take the run back."""
    shell.now = at(seconds)
    token = token or next(r.rollback_token for r in shell.results if r.rollback_token)
    return signer.rollback(
        group=GROUP, incident=INCIDENT, token=token, by=by, at=at(seconds), reason="no use"
    )


def outcome(run: str, result: str, *, final: bool) -> Outcome:
    return Outcome.model_validate(
        {
            "id": f"outcome-{run}-{result}", "at": at(60), "group": GROUP, "incident": INCIDENT,
            "result": result, "final": final, "run": run, "by": "verify", "reason": "still high",
        }
    )  # fmt: skip


def refusals(shell: Shell) -> list[str]:
    return [event.reason for event in shell.said if isinstance(event, Refusal)]


# ---- forwards


def test_every_step_looks_then_does_and_each_phase_streams() -> None:
    """Row 46: what happens is said while it happens, in order."""
    dials = Dials()
    shell = carried_out(dials, approved(plan(step(0), step(1))))
    one = [
        ("precheck", "started"),
        ("precheck", "succeeded"),
        ("do", "started"),
        ("do", "succeeded"),
    ]
    assert shell.trail() == [
        (-1, "run", "started"),
        *((0, *phase) for phase in one),
        *((1, *phase) for phase in one),
        (-1, "run", "succeeded"),
    ]
    assert dials.effects == [("dial0", 10), ("dial1", 10)]


def test_the_state_before_is_in_the_ledger_before_the_change_is_sent() -> None:
    dials = Dials()
    shell = Shell({"fake": dials})
    seen: list[str] = []

    def on_call(kind: str, dial: str) -> None:
        ledger = shell.ledger
        if kind == "before" and ledger is not None and ledger.intent is not None:
            seen.append(ledger.entries[ledger.intent.step].before)
            assert ledger.intent.arguments == '{"target":"dial3","value":10}'
            assert ledger.intent.key

    dials.on_call = on_call
    asyncio.run(shell.finish(approved(plan(step(3)))))
    assert seen == ['{"value":3}']


def test_a_step_without_checks_says_so_and_goes_on() -> None:
    bare = step(0, precheck=None, observe=None, undo=None, irreversible="a restart")
    shell = carried_out(Dials(), approved(plan(bare)))
    assert (0, "precheck", "skipped") in shell.trail()
    assert shell.last().status == "succeeded"


def test_a_grant_that_is_read_twice_runs_once() -> None:
    dials = Dials()
    grant = approved(plan())
    shell = carried_out(dials, grant, grant.model_copy(update={"id": grant.id}))
    more(shell, grant)
    shell.seen.clear()  # as if the ids had been forgotten
    more(shell, grant)
    assert dials.effects == [("dial0", 10)]
    assert [s for s in shell.trail() if s[1] == "run"] == [
        (-1, "run", "started"), (-1, "run", "succeeded"),
    ]  # fmt: skip


def test_a_late_result_of_a_phase_that_is_over_moves_nothing() -> None:
    shell = carried_out(Dials(), approved(plan(step(0), step(1))))
    before = shell.kept
    late = [r.model_copy(update={"id": r.id + "x", "status": "failed"}) for r in shell.results]
    more(shell, *late)
    assert shell.kept == before
    assert shell.last().status == "succeeded"


def test_a_result_of_another_run_moves_nothing() -> None:
    execute = Execute(ExecuteSettings(), {"fake": Dials()}, RING, clock=lambda: at(10))
    state = execute.run(approved(plan()), None, at(10)).state
    assert state is not None
    foreign = state.step_event(0, "precheck", "failed", "", at(11)).model_copy(
        update={"run": "run-x"}
    )
    assert execute.run(foreign, state, at(11)) == (state, ())


def test_a_second_grant_is_refused_while_a_run_is_not_over() -> None:
    """One run at a time, also while verify still looks at the first."""
    dials = Dials()
    shell = carried_out(dials, approved(plan()), approved(plan(step(1)), ident="grant-2"))
    assert dials.effects == [("dial0", 10)]
    refused = next(result for result in shell.results if result.status == "failed")
    assert "one run at a time" in refused.detail
    assert refused.run != shell.results[0].run
    first = shell.results[0].run
    more(shell, outcome(first, "resolved", final=True), approved(plan(step(1)), ident="grant-3"))
    assert dials.effects == [("dial0", 10), ("dial1", 10)]


# ---- limits

REFUSED: list[tuple[str, Approved, str]] = [
    ("late", approved(plan(), ("not_after", at(5).isoformat())), "had to start by"),
    ("unknown", approved(plan(), ("max_pods", "3")), "unknown constraint 'max_pods'"),
    ("odd time", approved(plan(), ("not_after", "soon")), "is no ISO time"),
    ("odd flag", approved(plan(), ("dry_run", "maybe")), "neither true nor false"),
    ("odd number", approved(plan(), ("step_timeout_s", "nan")), "is no time"),
    ("negative", approved(plan(), ("step_timeout_s", "-1")), "is no time"),
    ("edited", approved(plan().model_copy(update={"dry_run": True})), "its hash differs"),
    ("empty", approved(plan(steps=())), "has no steps"),
    ("executor", approved(plan(step(0, do=Action.of("shell", {})))), "no executor 'shell'"),
    ("target", approved(plan(step(0, do=Action.of("fake", {"target": "x", "value": 1})))), "step 1, turn dial0: no dial 'x'"),
    ("undo target", approved(plan(step(0, undo=Action.of("fake", {"target": "x", "value": 1})))), "no dial 'x'"),
    ("blind undo", approved(plan(step(0, observe=None))), "does not observe it"),
    ("no undo", approved(plan(step(0, undo=None))), "no undo, and does not say why"),
    ("second", approved(plan(step(0), step(1, do=Action.of("fake", {"target": "x"})))), "step 2"),
    ("reading change", approved(plan(step(0, observe=Action.of("fake", {"target": "dial0", "value": 1})))), "a look has none"),
    ("code", approved(plan(step(0, precheck=Check(action=Action.of("fake", {"target": "dial0"}), expect="__import__('os')")))), "a check knows no"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "grant", "reason"), REFUSED, ids=[case[0] for case in REFUSED])
def test_a_run_that_may_not_be_is_refused_before_anything_is_asked(
    name: str, grant: Approved, reason: str
) -> None:
    dials = Dials()
    shell = carried_out(dials, grant)
    assert [(s, p) for _, s, p in shell.trail()] == [("run", "failed")]
    assert reason in shell.last().detail
    assert (dials.effects, dials.reads) == ([], [])
    assert not shell.last().rollback_token


def test_constraints_that_hold_let_the_run_start() -> None:
    grant = approved(plan(), ("not_after", at(11).isoformat()), ("step_timeout_s", "3"))
    shell = carried_out(Dials(), grant)
    assert shell.last().status == "succeeded"
    assert shell.ledger is not None
    assert shell.ledger.step_timeout_s == 3


DRY = [
    ("the plan", approved(plan(*FIVE, dry_run=True)), ExecuteSettings()),
    ("a constraint", approved(plan(*FIVE), ("dry_run", "true")), ExecuteSettings()),
    ("the settings", approved(plan(*FIVE)), ExecuteSettings(dry_run=True)),
]


@pytest.mark.parametrize(("name", "grant", "settings"), DRY, ids=[case[0] for case in DRY])
def test_a_dry_run_looks_and_sends_no_change(
    name: str, grant: Approved, settings: ExecuteSettings
) -> None:
    """Row 49: whoever asks for it."""
    dials = Dials()
    shell = carried_out(dials, grant, settings=settings)
    assert dials.effects == []
    assert len(dials.reads) == 10
    assert shell.last().status == "succeeded"
    assert all(result.dry_run for result in shell.results)
    said = [result.detail for result in shell.results if result.phase == "do"]
    assert said[0] == 'dry run, would send by fake: {"target":"dial0","value":10}'
    assert not any(result.rollback_token for result in shell.results)


def test_a_dry_run_stops_at_a_precheck_that_does_not_hold() -> None:
    dials = Dials()
    dials.values["dial1"] = 500
    shell = carried_out(dials, approved(plan(*FIVE, dry_run=True)))
    assert shell.last().status == "failed"
    assert "value < 100 is false" in shell.last().detail


# ---- backwards


@pytest.mark.parametrize("bad", range(5))
def test_a_failed_precheck_stops_before_its_step_and_undoes_the_earlier(bad: int) -> None:
    """Row 48 and T10."""
    dials = Dials()
    dials.values[f"dial{bad}"] = 500
    shell = carried_out(dials, approved(plan(*FIVE)))
    done = [(f"dial{n}", 10) for n in range(bad)]
    undone = [(f"dial{n}", n) for n in reversed(range(bad))]
    assert dials.effects == done + undone
    assert shell.last().status == ("rolled_back" if bad else "failed")
    assert ("nothing was changed" in shell.last().detail) == (not bad)


@pytest.mark.parametrize("bad", range(5))
def test_a_step_that_the_target_refuses_undoes_the_completed_ones_in_reverse(bad: int) -> None:
    """T10: completed steps only, so not the refused one."""
    dials = Dials()
    dials.on_call = failing("before", f"dial{bad}", Rejected("409"))
    shell = carried_out(dials, approved(plan(*FIVE)))
    done = [(f"dial{n}", 10) for n in range(bad)]
    undone = [(f"dial{n}", n) for n in reversed(range(bad))]
    assert dials.effects == done + undone
    assert shell.last().status == ("rolled_back" if bad else "failed")
    assert "409" in shell.last().detail


@pytest.mark.parametrize("stuck", range(4))
def test_a_failed_undo_is_named_and_the_others_are_still_undone(stuck: int) -> None:
    """T10: step 4 fails, and then so does the undo of one before it."""
    dials = Dials()
    undoing: list[str] = []

    def on_call(kind: str, dial: str) -> None:
        if kind != "before":
            return
        if dial == "dial4":
            undoing.append(dial)
            raise Rejected("409")
        if undoing and dial == f"dial{stuck}":
            raise Denied("403")

    dials.on_call = on_call
    shell = carried_out(dials, approved(plan(*FIVE)))
    assert shell.last().status == "rollback_failed"
    assert f"NOT undone: turn dial{stuck}" in shell.last().detail
    expected = {f"dial{n}": 10 if n == stuck else n for n in range(4)}
    assert {dial: dials.values[dial] for dial in expected} == expected
    assert (stuck, "undo", "failed") in shell.trail()


def test_a_target_that_is_away_for_too_long_fails_the_run() -> None:
    """Never running for ever."""
    dials = Dials()
    dials.on_call = failing("before", "dial1", Unavailable("no connection"))
    shell = carried_out(dials, approved(plan(step(0), step(1))))
    assert shell.last().status == "rolled_back"
    assert dials.effects == [("dial0", 10), ("dial0", 0)]


def test_a_target_that_comes_back_in_time_is_waited_for() -> None:
    dials = Dials()
    dials.on_call = failing("before", "dial0", Unavailable("no connection"), times=2)
    patient = ExecuteSettings(retry_for_s=60, backoff_s=0.001)
    shell = carried_out(dials, approved(plan(step(0, timeout_s=60))), settings=patient)
    assert shell.last().status == "succeeded"


def test_a_target_that_hangs_is_given_up_and_asked_what_it_did() -> None:
    class Slow(Dials):
        async def change(self, arguments: Arguments, *, key: str, timeout_s: float) -> Answer:
            answer = await super().change(arguments, key=key, timeout_s=timeout_s)
            await asyncio.Event().wait()
            return answer

    shell = carried_out(Slow(), approved(plan(step(0, timeout_s=0.01))))
    done = next(r for r in shell.results if (r.phase, r.status) == ("do", "succeeded"))
    assert done.reconciled
    assert shell.last().status == "succeeded"


def test_a_doubtful_step_of_a_target_that_cannot_be_asked_is_left_to_a_person() -> None:
    dials = Dials(asks=False)
    dials.on_call = failing("after", "dial1", Uncertain("broke off"))
    shell = carried_out(dials, approved(plan(step(0), step(1))))
    assert shell.last().status == "rollback_failed"
    assert "a person must look: turn dial1" in shell.last().detail
    assert dials.effects == [("dial0", 10), ("dial1", 10), ("dial0", 0)]
    doubt = next(r for r in shell.results if (r.step, r.phase, r.status) == (1, "do", "failed"))
    assert doubt.unknown


def test_a_doubtful_step_is_undone_as_well_where_that_does_no_harm() -> None:
    dials = Dials(asks=False, repeats=True)
    dials.on_call = failing("after", "dial1", Uncertain("broke off"), times=20)
    shell = Shell({"fake": dials}, settings=ExecuteSettings(retry_for_s=0, backoff_s=0.001))
    asyncio.run(shell.finish(approved(plan(step(0), step(1)))))
    assert dials.effects == [("dial0", 10), ("dial1", 10), ("dial1", 1), ("dial0", 0)]
    assert shell.last().status == "rollback_failed"  # that undo was doubtful, too, and says so
    dials = Dials(asks=False, repeats=True)
    dials.on_call = failing("after", "dial1", Uncertain("broke off"), times=1)
    shell = Shell({"fake": dials}, settings=ExecuteSettings(retry_for_s=0, backoff_s=0.001))
    asyncio.run(shell.finish(approved(plan(step(0), step(1)))))
    assert shell.last().status == "rolled_back"
    assert dials.values["dial1"] == 1


def test_a_step_that_cannot_be_undone_is_said_to_be_so() -> None:
    restart = step(0, undo=None, irreversible="a restart keeps nothing")
    dials = Dials()
    dials.on_call = failing("before", "dial1", Rejected("409"))
    shell = carried_out(dials, approved(plan(restart, step(1))))
    assert (0, "undo", "skipped") in shell.trail()
    assert shell.last().status == "rolled_back"


def test_a_state_before_that_cannot_undo_stops_the_step_before_it_is_done() -> None:
    lacking = step(0, undo=Action.of("fake", {"target": "dial0", "value": "{{before.speed}}"}))
    dials = Dials()
    shell = carried_out(dials, approved(plan(lacking)))
    assert dials.effects == []
    assert "no speed: the step could not be undone" in shell.last().detail


# ---- taken back by verify or a person


def test_a_run_that_is_not_verified_is_taken_back() -> None:
    dials = Dials()
    shell = carried_out(dials, approved(plan(step(1), step(2))))
    more(shell, outcome(shell.results[0].run, "unverified", final=False))
    assert shell.last().status == "rolled_back"
    assert "not verified: still high" in shell.last().detail
    assert (dials.values["dial1"], dials.values["dial2"]) == (1, 2)
    more(shell, outcome(shell.results[0].run, "unverified", final=False))
    assert len(dials.effects) == 4


def test_a_rollback_token_restores_the_former_state_once() -> None:
    """Row 47."""
    dials = Dials()
    shell = carried_out(dials, approved(plan(step(1))))
    more(shell, demand(shell, 60))
    assert shell.last().status == "rolled_back"
    assert "alice takes it back: no use" in shell.last().detail
    assert dials.values["dial1"] == 1
    more(shell, demand(shell, 61))
    assert dials.effects == [("dial1", 10), ("dial1", 1)]
    assert refusals(shell) == ["the token was used: alice takes it back: no use"]


def test_a_rollback_counts_also_after_the_incident_was_resolved() -> None:
    dials = Dials()
    shell = carried_out(dials, approved(plan()))
    more(shell, outcome(shell.results[0].run, "resolved", final=True), demand(shell, 600))
    assert shell.last().status == "rolled_back"


def test_a_rollback_during_the_run_waits_for_the_phase_and_then_undoes() -> None:
    dials = Dials()
    shell = Shell({"fake": dials}, keyring=RING)

    def on_said(event: Event) -> None:
        if isinstance(event, StepResult) and shell.trail()[-1] == (1, "do", "started"):
            shell.topic.append(demand(shell, 11))

    shell.on_said = on_said
    asyncio.run(shell.finish(approved(plan(*FIVE))))
    assert dials.effects == [("dial0", 10), ("dial1", 10), ("dial1", 1), ("dial0", 0)]
    assert shell.last().status == "rolled_back"


def test_demands_that_do_not_count_are_refused_with_the_reason() -> None:
    dials = Dials()
    shell = carried_out(dials, approved(plan()))
    forged = demand(shell, 20, signer=Signer.generate())
    unknown = demand(shell, 20, by="mallory")
    wrong = demand(shell, 20, token=OF_NO_RUN)
    stale = demand(shell, 20)
    shell.now = at(20)
    more(shell, forged, unknown, wrong)
    shell.now = at(700)
    more(shell, stale)
    day = 86_500
    late = demand(shell, day)
    more(shell, late)
    assert dials.effects == [("dial0", 10)]
    reasons = refusals(shell)
    assert [reason.split(" of ")[0][:40] for reason in reasons] == [
        "the signature is not alice's over this t",
        "nobody called 'mallory' is known",
        "the token is",
        "signed 680 s ago, at most 600 s are take",
        "the token expired at 2026-03-05 10:00:10",
    ]
    refused = next(event for event in shell.said if isinstance(event, Refusal))
    assert (refused.of, refused.cause) == ("rollback", forged.id)


def test_a_failed_run_cannot_be_taken_back() -> None:
    dials = Dials()
    dials.values["dial0"] = 500
    shell = carried_out(dials, approved(plan()))
    more(shell, demand(shell, 20))
    assert "there is nothing to take back" in refusals(shell)[0]


def test_a_demand_for_no_run_at_all_is_refused() -> None:
    shell = Shell({"fake": Dials()}, keyring=RING)
    more(shell, demand(shell, 20, token=OF_NO_RUN))
    assert "of no run" in refusals(shell)[0]


# ---- the end


def test_a_run_is_forgotten_only_when_nothing_can_come_any_more() -> None:
    shell = carried_out(Dials(), approved(plan()))
    ledger = shell.ledger
    assert ledger is not None
    execute, late = shell.execute, ledger.until + timedelta(seconds=1)
    tick = Tick(id="t", at=late, group="0", number=0)
    assert execute.run(tick, ledger, late).state == ledger  # verify has not spoken yet
    settled = execute.run(outcome(ledger.run, "resolved", final=True), ledger, at(90)).state
    assert execute.run(tick, settled, ledger.until).state == settled
    assert execute.run(tick, settled, late) == (None, ())


def test_the_ledger_survives_the_changelog() -> None:
    shell = carried_out(Dials(), approved(plan(step(0), step(1))))
    ledger = shell.ledger
    assert ledger is not None
    assert Ledger.model_validate(ledger.model_dump(mode="json")) == ledger
