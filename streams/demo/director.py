"""The director: sets the stage, makes the fault, watches, and clears everything away.

It starts what a user would have anyway (Kafka, services, Sentinel with a configuration) and
makes one fault, as the world does. From then on it only reads topics: what Sentinel finds,
plans, asks and does is not arranged by anybody. Whatever happens, Ctrl-C included, nothing is
left but the files in `out`.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from agents.policy import evaluate_plan
from runbooks.rego import SHIPPED as POLICIES
from runbooks.rego import Rego
from schemas.errors import Unavailable
from schemas.event import Event
from schemas.forecasts import Forecast
from schemas.plans import Approved, Decision, Plan
from schemas.topics import RAW_LOGS
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.demo import summary as files
from streams.demo.closing import close
from streams.demo.expected import Seen, over
from streams.demo.mode import Mode, Options
from streams.demo.screen import Screen
from streams.demo.shop.launch import Logs, Shop
from streams.demo.site import VERIFICATION, Controls, Site, approve_command, build
from streams.demo.stages import Stages
from streams.demo.story import Story
from streams.demo.summary import Summary, summarise
from streams.demo.telling import Line, ruled, told
from streams.demo.watch import Watch
from streams.demo.world import World
from streams.topics import create
from streams.up import groups

LEARNED = 170  # samples a series: with fewer no deviation can be told from youth (norms.py)
LEARN_S = 300.0  # for them, on a busy machine; they take 43 s at four a second
FOLLOW_S = 180.0  # from the fault to the last report, likewise; takes about 30 s
GENERATED = (
    "generated for this run: an objective (95 % of checkouts answered well within 0.4 s, over an "
    "hour that begins now), addresses, keys. As shipped: policies and runbooks, but for "
    f"relieve-queue, which has seconds instead of minutes here ({VERIFICATION})"
)
LISTEN_S = 0.2  # between two looks at the processes


class Director:
    """One demo from nothing to nothing."""

    def __init__(self, options: Options, screen: Screen, *, clock: Callable[[], datetime]) -> None:
        self.options, self.screen, self.clock = options, screen, clock
        self._elsewhere: Decision | None = None
        self._foreseen: tuple[str, int | None] | None = None
        self._site: Site
        self._story: Story

    def run(self) -> Summary:
        """Tell the whole story. Raises SentinelError when something does not start or breaks."""
        files.clear(self.options.out)
        with ExitStack() as stack:
            folder = self._scratch(stack)
            with ThreadPoolExecutor(1) as beside:
                planned = beside.submit(groups)  # loads much, while Java starts
                kafka = self._kafka(stack)
            self.screen.phase("The shop starts: gateway, queue, workers, batch job, customers")
            shop = stack.enter_context(
                Shop(
                    break_fix=self.options.mode is Mode.break_fix,
                    logs=Logs(kafka.brokers, kafka.topic(RAW_LOGS)),
                    directory=_made(folder / "shop"),
                )
            )
            self._story = Story(shop.metrics_urls)
            world = self._configured(folder, kafka, shop)
            self.screen.phase("Sentinel starts: every stage a consumer group of its own")
            stages = stack.enter_context(
                Stages(self._site, shop.metrics_urls, planned.result(), say=self._note)
            )
            watch = stack.enter_context(Watch(kafka, hear=self._hear, sample=self._story.sample))
            self.screen.follow(self._story)
            self._learn(watch, stages)
            self._play(watch, stages, world)
            seen = Seen(self._story, self._elsewhere, world.changes())
            if self.options.mode is Mode.break_fix:
                world.fault(on=False)
                self.screen.say(Line("world", "the batch job was repaired by its owner"))
            self.screen.phase("Clearing away")
        told_of = summarise(self.options.mode, seen)
        written = files.write(self.options.out, told_of, self._story)
        self.screen.settle()
        close(self.screen.console, seen, told_of, written)
        return told_of

    # ---- setting up

    def _scratch(self, stack: ExitStack) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="sentinel-demo-"))
        if self.options.keep:
            self.screen.say(Line("demo", f"configuration and logs stay in {folder}"))
        else:
            stack.callback(shutil.rmtree, folder)
        return folder

    def _kafka(self, stack: ExitStack) -> KafkaSettings:
        self.screen.phase("Apache Kafka starts")
        broker = stack.enter_context(EmbeddedBroker(port=self.options.port))
        kafka = KafkaSettings(brokers=broker.bootstrap)
        create(kafka)
        for command in (
            f"kcat -b {kafka.brokers} -C -t incidents.v1 -f '%s\\n'",
            f"kafka-console-consumer.sh --bootstrap-server {kafka.brokers} --topic incidents.v1",
            f"SENTINEL_KAFKA__BROKERS={kafka.brokers} sentinel tail incidents.v1",
        ):
            self.screen.say(Line("look in", command, "cyan"))
        return kafka

    def _configured(self, folder: Path, kafka: KafkaSettings, shop: Shop) -> World:
        urls = {"shop-workers": shop.workers, "shop-batch": shop.batch, "shop-queue": shop.queue}
        self._site = build(
            folder,
            brokers=kafka.brokers,
            controls=Controls(urls, shop.token),
            mode=self.options.mode,
            now=self.clock(),
        )
        self.screen.say(Line("demo", GENERATED))
        self._evaluator = Rego(POLICIES)
        return World(urls, batch=shop.batch, token=shop.token)

    def _note(self, line: str) -> None:
        self.screen.say(Line("process", line, "dim"))

    # ---- the play

    def _learn(self, watch: Watch, stages: Stages) -> None:
        self.screen.phase("Normal load: the detector learns what is usual")
        deadline = time.monotonic() + LEARN_S
        while self._story.learned < LEARNED:
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"only {self._story.learned} of {LEARNED} samples came in {LEARN_S:g} s: "
                    "this machine is too busy for the demo"
                )
            self._listen(watch, stages)
            self.screen.progress(self._story.learned / LEARNED)
        if self._story.incidents:
            load, processors = os.getloadavg()[0], os.cpu_count()
            text = f"the shop is ill before its fault: load {load:.1f} on {processors} processors"
            self.screen.say(Line("demo", f"{text}, is this machine busy?", "bold yellow"))

    def _play(self, watch: Watch, stages: Stages, world: World) -> None:
        started = time.monotonic()
        if self.options.mode is Mode.no_fault:
            quiet_s = self.options.minutes * 60
            self.screen.phase(f"No fault: nothing may be found in {quiet_s:g} s")
            while (passed := time.monotonic() - started) < quiet_s:
                self._listen(watch, stages)
                self.screen.progress(passed / quiet_s)
            return
        self.screen.phase("The fault: the batch job floods the queue that checkout waits for")
        self._story.fault_at = self.clock()
        world.fault(on=True)
        while not over(self.options.mode, self._story) and not self._late(started):
            self._listen(watch, stages)

    def _late(self, started: float) -> bool:
        """Whether the story has had its time; a person who is to approve may take theirs."""
        asked, answered = self._story.decision, self._story.first(Approved)
        if self.options.mode is Mode.manual and asked is not None:
            if answered is None:
                return asked.expires_at is not None and self.clock() > asked.expires_at
            return (self.clock() - answered.at).total_seconds() > FOLLOW_S
        return time.monotonic() - started > FOLLOW_S

    def _listen(self, watch: Watch, stages: Stages) -> None:
        stages.check()
        watch.listen(LISTEN_S)
        self.screen.draw()

    # ---- what the topics say

    def _hear(self, event: Event) -> None:
        self._story.hear(event)
        line = told(event)
        if line is not None and self._is_news(event):
            self.screen.say(line)
        if isinstance(event, Plan) and event.runbook and self._elsewhere is None:
            self._judge_elsewhere(event)
        if isinstance(event, Decision) and event.effect == "approve":
            command = approve_command(self._site, incident=event.plan.incident.incident)
            self.screen.say(Line("you", f"approve in another terminal:\n{command}", "bold yellow"))

    def _is_news(self, event: Event) -> bool:
        """Forecasts come with every change of the incident: only another answer is news."""
        if not isinstance(event, Forecast):
            return True
        eta = event.budget.minutes
        answer = (event.budget.verdict, round(eta.p50) if eta else None)
        before, self._foreseen = self._foreseen, answer
        return answer != before

    def _judge_elsewhere(self, plan: Plan) -> None:
        """The same plan by the same policies for the other environment; said here only."""
        place = self.options.mode.other_environment
        self._elsewhere = evaluate_plan(plan, place, self._evaluator, self.clock())
        text = f"were it for {ruled(self._elsewhere)}"
        self.screen.say(Line("policy", text, "cyan"))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
