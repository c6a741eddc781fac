"""Workers in processes of their own, which may be killed, frozen and started again.

They are forked from a server that has loaded the program already: a start costs a fraction of
a second, so every stage can have a process to itself. What runs in them is what `sentinel
worker` runs. They end with the tests, however those end.
"""

import ctypes
import faulthandler
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from streams.metrics_settings import MetricsSettings
from streams.pipeline import BY_NAME
from streams.running import run
from streams.settings import Settings

INTAKE, CLOCK = "intake", "clock"
EVERY = (INTAKE, *BY_NAME, CLOCK)
START_S = 150.0  # joining a group takes seconds, with two cores and many at once more
STOP_S = 60.0
PR_SET_PDEATHSIG = 1
TURN = threading.Lock()  # whoever starts a process asks after all others: an exit is told once only
PRELOADED = [
    "__main__", "streams.running", "streams.pipeline", "streams.intake.intake", "agents.detect",
    "agents.slo", "agents.correlate", "agents.forecast", "agents.plan", "agents.policy",
    "agents.approve", "agents.verify", "agents.explain", "runbooks.loader", "runbooks.rego",
    "runbooks.rates", "executors.execute", "executors.registry", "sinks.store", "sinks.audit",
]  # fmt: skip


class Part(NamedTuple):
    """What one process runs: names of stages, or intake, or the clock."""

    stages: tuple[str, ...]
    settings: Path
    log: Path


def work(part: Part, said: Connection) -> None:
    """The process: run the part until SIGTERM; says when it has joined its groups."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    with part.log.open("ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    faulthandler.register(signal.SIGUSR1)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", force=True)
    settings = Settings.load({}, part.settings)
    alone = settings.model_copy(update={"metrics": MetricsSettings(enabled=False)})
    run(part.stages, alone, ready=lambda _: said.send("ready"))


class Worker:
    """One process; a new one each time it is started."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.may_end = True  # before it was started, and when the test has ended it

    def start(self) -> None:
        """Start without waiting."""
        context = multiprocessing.get_context("forkserver")
        with TURN:
            context.set_forkserver_preload(PRELOADED)
            self._hears, said = context.Pipe(duplex=False)
            self._process = context.Process(target=work, args=(self.part, said), daemon=True)
            self._process.start()
            said.close()
            self.may_end = False

    def wait_until_ready(self) -> None:
        """Return when it has joined its groups. Raises AssertionError with its last words."""
        try:
            assert self._hears.poll(START_S), f"not up within {START_S:g} s\n{self.last_words()}"
            self._hears.recv()
        except EOFError:
            raise AssertionError(f"ended at its start\n{self.last_words()}") from None

    def kill(self) -> None:
        """SIGKILL: nothing is said to anybody."""
        with TURN:
            self.may_end = True
            self._process.kill()
            self._process.join()
        assert self._process.exitcode == -signal.SIGKILL, self.last_words()

    def send(self, signum: signal.Signals) -> None:
        """Send a signal to the running process."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signum)

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        with TURN:
            return self._process.is_alive()

    def ask_to_stop(self) -> None:
        """Let it end, also when it is frozen, or has ended just now."""
        if self.running:
            with suppress(ProcessLookupError):
                self.send(signal.SIGCONT)
                self.send(signal.SIGTERM)

    def stop(self) -> None:
        """End it in order, or by force when it takes long."""
        self._hears.close()
        self.ask_to_stop()
        self._process.join(STOP_S)
        if self._process.is_alive():
            self.send(signal.SIGUSR1)  # it writes where it stands
            self._process.join(1)
            self._process.kill()
            self._process.join()
            raise AssertionError(f"had to be killed\n{self.last_words()}")
        assert self.may_end or self._process.exitcode == 0, self.last_words()

    def last_words(self, lines: int = 25) -> str:
        """The end of its log."""
        text = self.part.log.read_text(errors="replace") if self.part.log.exists() else ""
        return "\n".join([f"{self.part.log.name}:", *text.splitlines()[-lines:]])


class Workers:
    """All processes of one pipeline; `layout` names them and says what each runs.

    Those named in `later` are started by the test.
    """

    def __init__(
        self,
        layout: Mapping[str, Sequence[str]],
        settings: Path,
        logs: Path,
        *,
        later: Collection[str] = (),
    ) -> None:
        logs.mkdir()
        self._later = later
        self._all = {
            name: Worker(Part(tuple(stages), settings, logs / f"{name}.log"))
            for name, stages in layout.items()
        }

    def __enter__(self) -> Self:
        try:
            now = [worker for name, worker in self._all.items() if name not in self._later]
            for worker in now:
                worker.start()
            for worker in now:
                worker.wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._stop()

    def __getitem__(self, name: str) -> Worker:
        return self._all[name]

    def require_alive(self) -> None:
        """Raises AssertionError with the last words of those that ended by themselves."""
        gone = [w.last_words() for w in self._all.values() if not (w.running or w.may_end)]
        assert not gone, "ended by themselves:\n" + "\n".join(gone)

    def _stop(self) -> None:
        for worker in self._all.values():
            if hasattr(worker, "_process"):
                worker.ask_to_stop()
        with ExitStack() as stack:
            for worker in self._all.values():
                if hasattr(worker, "_process"):
                    stack.callback(worker.stop)
