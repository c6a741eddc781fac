"""A zombie: execute's worker freezes in the middle of a step, another takes over, then it wakes.

What it had sent may have been done or not; the other one finds out. The zombie itself may not
write a word of it: it finds that it was out of touch for too long, and comes back as new, or ends.
"""

import secrets
import signal
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from schemas.results import StepResult
from streams.broker.embedded import EmbeddedBroker
from tests.e2e import proofs
from tests.e2e.events import Shop
from tests.e2e.workers import CLOCK, EVERY, INTAKE
from tests.e2e.world import World, running

OTHERS = tuple(name for name in EVERY if name not in {INTAKE, "execute", CLOCK})
LAYOUT = {
    "intake": (INTAKE,),
    "others": (*OTHERS, CLOCK),
    "first": ("execute",),
    "second": ("execute",),
}
TAKEN_OVER_S = 60.0  # its session ends after 6 s, then the other one reads the ledger
DONE, UNDONE = "done", "undone"  # what the target had made of the request when the worker froze

pytestmark = pytest.mark.broker


def run_is_over(world: World, shop: Shop) -> bool:
    """Whether the shop's run has ended."""
    results = world.witness.said(StepResult, shop.group)
    return any((r.phase, r.status) == ("run", "succeeded") for r in results)


def settled(world: World) -> bool:
    """Whether the zombie has ended, or both workers are in the group."""
    group = f"{world.kafka.prefix}execute"
    admin = AdminClient(world.kafka.confluent())  # a name of its own: its requests end with it
    members = admin.describe_consumer_groups([group])[group].result(60).members
    return not world.workers["first"].running or len(members) == 2


def test_a_worker_that_wakes_up_after_another_took_over_executes_nothing_twice(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """Frozen with two requests under way: one was carried out but not answered, one was not."""
    prefix = f"zombie-{secrets.token_hex(4)}-"
    with running(
        tmp_path,
        brokers=broker.bootstrap,
        prefix=prefix,
        shops=[DONE, UNDONE],
        layout=LAYOUT,
        later=["second"],
    ) as world:
        target, first = world.target, world.workers["first"]
        held = [
            target.hold(f"{DONE}-shop", "purge", "after"),
            target.hold(f"{UNDONE}-shop", "purge", "before"),
        ]
        shops = [world.feeder.open(name) for name in (DONE, UNDONE)]
        for hold, shop in zip(held, shops, strict=True):
            world.wait(hold.reached.is_set, shop, "the step to freeze at", 60)
        first.send(signal.SIGSTOP)
        world.workers["second"].start()
        world.workers["second"].wait_until_ready()
        for shop in shops:
            world.wait(partial(run_is_over, world, shop), shop, "the end", TAKEN_OVER_S)
        for hold in held:
            hold.released.set()
        first.may_end = True  # as good as coming back: its supervisor starts it again
        first.send(signal.SIGCONT)
        for shop in shops:
            world.resolve(shop)
        world.feed_no_more()
        world.wait(lambda: settled(world), shops[0], "the zombie back in its group, or gone", 120)
        for shop in shops:
            world.require_proofs(shop)
        world.kept.require_whole_audit()
        proofs.require_no_letters(world.witness)
    keys = [asked.key for asked in target.asked if asked.step == "purge"]
    assert len(set(keys)) == 2
    assert len(keys) <= 3  # what was not done was asked for again, under the same key
