"""T9, short form: the process dies at every point that a run passes, one after the other."""

import asyncio
from collections import Counter

import pytest

from schemas.errors import Rejected
from schemas.event import Event
from schemas.identity import Signer, ring
from schemas.outcomes import Outcome
from schemas.results import StepResult
from tests.executors.fake_target import Dials
from tests.executors.plans import GROUP, INCIDENT, approved, at, plan, step
from tests.executors.shell import Checkpoints, Shell

STEPS = [step(number) for number in range(1, 4)]
RING = ring({"alice": Signer.generate()})
ENDS = {"succeeded", "failed", "rolled_back", "rollback_failed"}


def scenario(
    dials: Dials, crash_at: int | None, *, refused: str = "", unverified: bool = False
) -> tuple[Shell, Checkpoints]:
    """A run of three steps with a crash at one point, until nothing more happens.

    Points are around every message, every event and every call to the target: before the
    effect, and after it but before its answer.
    """
    points = Checkpoints(crash_at)
    shell = Shell({"fake": dials}, keyring=RING, checkpoints=points)

    def on_call(kind: str, dial: str) -> None:
        points.reach()
        if (kind, dial) == ("before", refused):
            raise Rejected("409")

    def on_said(event: Event) -> None:
        succeeded = isinstance(event, StepResult) and (event.phase, event.status)
        if unverified and succeeded == ("run", "succeeded"):
            shell.topic.append(
                Outcome(
                    id="unverified", at=at(60), group=GROUP, incident=INCIDENT, by="verify",
                    result="unverified", final=False, run=shell.results[0].run, reason="still high",
                )
            )  # fmt: skip

    dials.on_call, shell.on_said = on_call, on_said
    asyncio.run(shell.finish(approved(plan(*STEPS))))
    return shell, points


SCENARIOS: dict[str, dict[str, object]] = {
    "all goes well": {},
    "the last step is refused": {"refused": "dial3"},
    "not verified": {"unverified": True},
}
FORWARDS = [("dial1", 10), ("dial2", 10), ("dial3", 10)]
EFFECTS = {
    "all goes well": FORWARDS,
    "the last step is refused": [*FORWARDS[:2], ("dial2", 2), ("dial1", 1)],
    "not verified": [*FORWARDS, ("dial3", 3), ("dial2", 2), ("dial1", 1)],
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_effect_is_made_exactly_once_wherever_the_process_dies(name: str) -> None:
    """A target that keeps keys: effects, results and the end are those of a run without a crash."""
    calm, points = scenario(Dials(), None, **SCENARIOS[name])  # type: ignore[arg-type]
    assert points.passed > 40
    reconciled = 0
    for crash_at in range(1, points.passed + 1):
        dials = Dials()
        shell, _ = scenario(dials, crash_at, **SCENARIOS[name])  # type: ignore[arg-type]
        assert dials.effects == EFFECTS[name], f"crash at {crash_at}"
        assert Counter(shell.trail()) == Counter(calm.trail()), f"crash at {crash_at}"
        assert shell.last().status == calm.last().status
        assert shell.processes == 2
        reconciled += any(result.reconciled for result in shell.results)
    assert reconciled >= len(EFFECTS[name])  # at least the crash between each effect and its answer


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_target_that_cannot_be_asked_gets_no_change_twice(name: str) -> None:
    """At most once, and where it is not known the run ends and says so."""
    _, points = scenario(Dials(asks=False), None, **SCENARIOS[name])  # type: ignore[arg-type]
    doubtful = 0
    for crash_at in range(1, points.passed + 1):
        dials = Dials(asks=False)
        shell, _ = scenario(dials, crash_at, **SCENARIOS[name])  # type: ignore[arg-type]
        assert max(Counter(dials.effects).values(), default=0) <= 1, f"crash at {crash_at}"
        assert shell.last().status in ENDS, f"crash at {crash_at}"
        unknown = [result for result in shell.results if result.unknown]
        if unknown:
            doubtful += 1
            assert shell.last().status == "rollback_failed"
            assert unknown[0].name in shell.last().detail
    assert doubtful >= len(EFFECTS[name])


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_idempotent_target_ends_as_if_nothing_had_happened(name: str) -> None:
    """Calls may come twice there; the dials stand as after a run without a crash."""
    calm = Dials(asks=False, repeats=True)
    _, points = scenario(calm, None, **SCENARIOS[name])  # type: ignore[arg-type]
    for crash_at in range(1, points.passed + 1):
        dials = Dials(asks=False, repeats=True)
        scenario(dials, crash_at, **SCENARIOS[name])  # type: ignore[arg-type]
        assert dials.values == calm.values, f"crash at {crash_at}"


def test_a_job_that_is_started_again_in_the_same_process_asks_first() -> None:
    """A rebalance cancels a job and gives the partition back: the process is the same."""
    dials = Dials()
    shell = Shell({"fake": dials})
    cancelled: list[str] = []

    def on_call(kind: str, dial: str) -> None:
        if kind == "after" and not cancelled:
            cancelled.append(dial)
            raise asyncio.CancelledError

    dials.on_call = on_call

    async def run() -> None:
        try:
            await shell.finish(approved(plan(step(1))))
        except asyncio.CancelledError:
            shell.running.clear()
            await shell.finish()

    asyncio.run(run())
    assert (cancelled, dials.effects) == (["dial1"], [("dial1", 10)])
    assert shell.last().status == "succeeded"
    assert any(result.reconciled for result in shell.results)


def test_a_job_that_has_ended_says_the_same_again() -> None:
    dials = Dials()
    shell = Shell({"fake": dials})
    asyncio.run(shell.finish(approved(plan(step(1)))))
    calls = len(dials.effects)
    ledger = shell.ledger
    assert ledger is not None
    again = ledger.intending(0, "do", '{"target":"dial1","value":10}').claimed("process-1")

    async def act() -> list[Event]:
        job = next(iter(shell.execute.pending(again)))
        return [event async for event in shell.execute.act(job)]

    said = asyncio.run(act())
    assert len(dials.effects) == calls
    assert said[0].id in {result.id for result in shell.results}
