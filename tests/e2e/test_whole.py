"""The whole way of an incident over the real broker, undisturbed, with good, bad and repeated input."""

import secrets
from pathlib import Path

import pytest

from streams.broker import EmbeddedBroker
from tests.e2e import proofs
from tests.e2e.workers import CLOCK, EVERY, INTAKE
from tests.e2e.world import running

STAGES = tuple(name for name in EVERY if name not in {INTAKE, CLOCK})
LAYOUT = {"intake": (INTAKE,), "stages": (*STAGES, CLOCK)}

pytestmark = pytest.mark.broker


def test_a_fault_in_the_data_ends_as_a_verified_and_reported_fix(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    prefix = f"whole-{secrets.token_hex(4)}-"
    with running(
        tmp_path, brokers=broker.bootstrap, prefix=prefix, shops=["a"], layout=LAYOUT
    ) as world:
        shop = world.feeder.open("a")
        world.resolve(shop)
        world.require_proofs(shop)
        world.kept.require_whole_audit()
        proofs.require_no_letters(world.witness)
