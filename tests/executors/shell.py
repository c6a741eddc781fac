"""A shell in memory around Execute: as streams/kafka.py, with a crash wherever it is wanted.

The topic, the changelog and the target survive a crash; the process does not. Messages are
acknowledged after the state is kept, and the state is kept after outputs are sent, so a crash
in between repeats a message, and its outputs come again under the same ids.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from executors.execute import Execute, ExecuteSettings
from executors.executor import Executor
from executors.ledger import Ledger
from schemas.avro import decode, encode
from schemas.event import Event
from schemas.identity import Keyring
from schemas.results import StepResult
from schemas.turn import Job
from tests.executors.plans import START

MOST = 500  # messages; a run of five steps has less than a hundred


class Crash(Exception):  # noqa: N818 - an event, not an error
    """The process is gone."""


class Checkpoints:
    """Counts the points that are passed, and crashes at one of them, once."""

    def __init__(self, crash_at: int | None = None) -> None:
        self.passed = 0
        self.crash_at = crash_at

    def reach(self) -> None:
        """Pass a point."""
        self.passed += 1
        if self.passed == self.crash_at:
            raise Crash


class Shell:
    """Runs one incident's messages to the end."""

    def __init__(
        self,
        executors: Mapping[str, Executor],
        *,
        settings: ExecuteSettings | None = None,
        keyring: Keyring | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self.executors = executors
        self.settings = settings or ExecuteSettings(retry_for_s=0.02, backoff_s=0.001)
        self.keyring = keyring or Keyring()
        self.checkpoints = checkpoints or Checkpoints()
        self.now = START + timedelta(seconds=10)
        self.topic: list[Event] = []  # everything that the stage reads, in order of sending
        self.said: list[Event] = []  # everything that it sent, repeats left out
        self.offset = 0
        self.kept = ""  # the changelog: JSON of the state, empty for none
        self.seen: set[str] = set()
        self.processes = 0
        self.on_said: Callable[[Event], None] = lambda *_: None
        self._start()

    def _start(self) -> None:
        self.processes += 1
        self.execute = Execute(
            self.settings,
            self.executors,
            self.keyring,
            clock=lambda: self.now,
            worker=f"process-{self.processes}",
        )
        self.running: set[str] = set()

    @property
    def ledger(self) -> Ledger | None:
        """The state as kept."""
        return Ledger.model_validate_json(self.kept) if self.kept else None

    @property
    def results(self) -> list[StepResult]:
        """What was said of steps and runs."""
        return [event for event in self.said if isinstance(event, StepResult)]

    def trail(self) -> list[tuple[int, str, str]]:
        """Step, phase and status of each result."""
        return [(result.step, result.phase, result.status) for result in self.results]

    def last(self) -> StepResult:
        """The latest event of the run itself."""
        return [result for result in self.results if result.phase == "run"][-1]

    async def finish(self, *events: Event) -> None:
        """Put the events on the topic and go on until nothing more happens."""
        self.topic += events
        while True:
            try:
                await self._go_on()
            except Crash:
                self._start()
            else:
                return

    async def _go_on(self) -> None:
        for _ in range(MOST):
            if self.offset < len(self.topic):
                self._handle(self.topic[self.offset])
                continue
            jobs = [job for job in self._pending() if job.id not in self.running]
            if not jobs:
                return
            for job in jobs:
                self.running.add(job.id)
                await self._work(job)
        raise AssertionError(f"no end after {MOST} turns: {self.trail()}")

    def _handle(self, event: Event) -> None:
        self.checkpoints.reach()
        if event.id and event.id in self.seen:
            self.offset += 1
            return
        turn = self.execute.run(event, self.ledger, self.now)
        for number, said in enumerate(turn.events):
            self._send(
                said.stamped(stage="execute", cause=event.id, position=str(number), trace="")
            )
            self.checkpoints.reach()
        self.kept = turn.state.model_dump_json() if turn.state is not None else ""
        self.seen.add(event.id)
        self.offset += 1
        self.checkpoints.reach()

    def _pending(self) -> list[Job]:
        return list(self.execute.pending(self.ledger)) if self.ledger else []

    async def _work(self, job: Job) -> None:
        self.checkpoints.reach()
        async for said in self.execute.act(job):
            self.checkpoints.reach()
            self._send(said.stamped(stage="execute", cause=job.cause, position="0", trace=""))
            self.checkpoints.reach()

    def _send(self, event: Event) -> None:
        value, headers = encode(event)
        event = decode(value, headers["schema"])  # as it comes back from the wire
        if all(event.id != earlier.id for earlier in self.said):
            self.said.append(event)
            self.on_said(event)
        if isinstance(event, StepResult):
            self.topic.append(event)

    def tick(self, now: datetime) -> None:
        """Time passes."""
        self.now = now
