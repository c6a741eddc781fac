"""kill -9 of each stage's worker in the middle of an incident: it still ends resolved.

Every stage has a process and an incident of its own. When that incident reaches the stage,
its process is killed and started again. The incidents are under way together, so each also
lives through the kills of the others; those of late stages begin first, so that no kill keeps
another one waiting.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

import pytest

from schemas.anomalies import Anomaly
from schemas.event import Event
from schemas.forecasts import Forecast
from schemas.incidents import Incident
from schemas.plans import Approved, Decision, Plan
from schemas.results import StepResult
from streams.broker.embedded import EmbeddedBroker
from tests.e2e import proofs
from tests.e2e.events import HISTORY_S, Shop
from tests.e2e.target import STEPS, Moment
from tests.e2e.workers import CLOCK, EVERY, INTAKE
from tests.e2e.world import RESOLVED_S, World, running

REACHED_S = 60.0  # without news; an incident comes to its last stage in ten seconds
APART_S = 8  # of fed data, a second: how far behind the next incident is

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]  # starts 16 processes, on two cores

Wait = Callable[[World, Shop], None]


def heard(kind: type[Event], matches: Callable[[Event], bool] = lambda _: True) -> Wait:
    """Wait for an event of the shop's incident."""

    def wait(world: World, shop: Shop) -> None:
        def came() -> bool:
            return any(matches(event) for event in world.witness.said(kind, shop.group))

        world.wait(came, shop, f"a {kind.__name__} to kill at", REACHED_S)

    return wait


def fed(world: World, shop: Shop, seconds: int = 4) -> None:
    """Wait until so many seconds of the fault are in the raw data."""
    world.wait(lambda: shop.length > HISTORY_S + seconds, shop, "the fault", REACHED_S)


def run_succeeded(event: Event) -> bool:
    """The end of a run."""
    return isinstance(event, StepResult) and (event.phase, event.status) == ("run", "succeeded")


def burns(event: Event) -> bool:
    """The budget's own anomaly."""
    return isinstance(event, Anomaly) and event.source == "slo"


# When each stage is in the middle of its work on the incident.
WHEN: dict[str, Wait] = {
    INTAKE: fed,
    "detect": heard(Anomaly),
    "logs": heard(Anomaly),  # nothing logs here: that it comes back is all
    "slo": heard(Anomaly, burns),
    "correlate": heard(Incident),
    "forecast": heard(Incident),
    "plan": heard(Forecast),
    "policy": heard(Plan),
    "approve": heard(Decision),
    "execute": heard(Approved),  # and then as `held` says
    "verify": heard(StepResult, run_succeeded),
    "explain": heard(Incident),
    "verdicts": heard(Incident),  # nobody judges here: that it comes back is all
    "store": heard(Incident),
    "audit": heard(Incident),
    CLOCK: heard(StepResult, run_succeeded),
}


class Story:
    """One incident whose stage is killed: told in a thread, read by a test."""

    def __init__(self, world: World, stage: str, kills: int) -> None:
        self.world, self.stage, self.kills = world, stage, kills
        self.times: dict[str, float] = {}
        self._began = time.monotonic()
        self._held = world.target.hold(f"{stage}-shop", "purge", "after")
        if stage != "execute":
            self._held.released.set()
        self.shop = world.feeder.open(stage)

    def tell(self) -> Shop:
        """From the fault to the report, with kills in between."""
        WHEN[self.stage](self.world, self.shop)
        if self.stage == "execute":
            self.world.wait(self._held.reached.is_set, self.shop, "the held step", REACHED_S)
        worker = self.world.workers[self.stage]
        for number in range(self.kills):
            self._note(f"kill {number}")
            worker.kill()
            self._held.released.set()
            worker.start()
            worker.wait_until_ready()
        self._note("up")
        self.world.resolve(self.shop, RESOLVED_S * self.kills)
        self._note("resolved")
        return self.shop

    def _note(self, what: str) -> None:
        self.times[what] = round(time.monotonic() - self._began, 1)


Stories = dict[str, tuple[Story, Future[Shop]]]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(1, id="once"),
        pytest.param(3, id="three times", marks=pytest.mark.faults),
    ],
)
def stories(
    request: pytest.FixtureRequest,
    broker: EmbeddedBroker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stories]:
    """All incidents, each behind the one of the next stage."""
    with ExitStack() as stack:
        world = stack.enter_context(
            running(
                tmp_path_factory.mktemp("kill"),
                brokers=broker.bootstrap,
                prefix=f"kill-{secrets.token_hex(4)}-",
                shops=EVERY,
                layout={name: (name,) for name in EVERY},
            )
        )
        pool = stack.enter_context(ThreadPoolExecutor(len(EVERY)))
        told: Stories = {}
        for stage in reversed(EVERY):
            story = Story(world, stage, request.param)
            told[stage] = story, pool.submit(story.tell)
            fed(world, story.shop, APART_S)
        wait([telling for _, telling in told.values()])
        world.feed_no_more()
        yield told


@pytest.mark.parametrize("stage", EVERY)
def test_an_incident_ends_resolved_though_this_stage_was_killed_in_its_middle(
    stage: str, stories: Stories, record_property: Callable[[str, object], None]
) -> None:
    """Resolved once, each step once, every request counted, every event kept."""
    story, told = stories[stage]
    shop = told.result()
    record_property("seconds", story.times)
    story.world.require_proofs(shop)


def test_nothing_was_altered_or_refused_in_all_these_kills(stories: Stories) -> None:
    """The audit is whole, the dead letters are empty, the models are as if nobody had died."""
    assert [told.exception() for _, told in stories.values()] == [None] * len(EVERY)
    world = stories["audit"][0].world
    world.kept.require_whole_audit()
    proofs.require_no_letters(world.witness)
    proofs.require_as_never_killed(world.witness, world.kafka, world.settings)


@pytest.mark.faults
def test_the_executor_killed_at_every_step_before_and_after_its_effect(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """An incident for each point; each lives through the kills at the others' too."""
    points: list[tuple[str, Moment]] = [(step, m) for step in STEPS for m in ("before", "after")]
    names = [f"{step}-{moment}" for step, moment in points]
    others = tuple(name for name in EVERY if name not in {INTAKE, "execute"})
    with running(
        tmp_path,
        brokers=broker.bootstrap,
        prefix=f"steps-{secrets.token_hex(4)}-",
        shops=names,
        layout={"intake": (INTAKE,), "others": others, "execute": ("execute",)},
    ) as world:
        worker = world.workers["execute"]
        for name, (step, moment) in zip(names, points, strict=True):
            held = world.target.hold(f"{name}-shop", step, moment)
            shop = world.feeder.open(name)
            world.wait(held.reached.is_set, shop, f"the moment {moment} {step}", REACHED_S)
            worker.kill()
            held.released.set()
            worker.start()
            worker.wait_until_ready()
        shops = list(world.feeder.shops.values())
        for shop in shops:
            world.resolve(shop)
        world.feed_no_more()
        for shop in shops:
            world.require_proofs(shop)
        world.kept.require_whole_audit()
        proofs.require_no_letters(world.witness)
