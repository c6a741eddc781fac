"""Everything on one machine: groups of stages as child processes, kept alive.

A child that ends is started again, later each time, and one line says which and why. Children
end with us whatever happens (streams/child.py), and in order when we are told to stop: first
what takes records in, last what keeps them, so that little is left half way.
"""

import math
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from pathlib import Path
from typing import Self

from schemas.errors import Rejected, Unavailable
from streams.child import Child

PREFIX = "SENTINEL_"
READY = "ready: "  # what a worker writes once all its stages have joined
METRICS_AT = re.compile(rf"^{READY}.*\(metrics at (http://[^ )]+)\)", re.MULTILINE)
METRICS_PORT = "SENTINEL_METRICS__PORT"
READY_S = 300.0  # compiling, joining groups and reading changelogs back, on a busy machine
STOP_S = 20.0  # a worker gives each of its stages 10 s
FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 30.0
STEADY_S = 60.0  # after so long an end is a new one, not the last one again
HOPELESS = 3  # ends in a row: `ready` does not wait for more
WRONG_USE = 2  # a worker's exit status: it would end so again
LOOK_S = 0.1

Group = Sequence[str]


def groups(without: Collection[str] = (), *, bridge: bool = False) -> tuple[Group, ...]:
    """The stages as processes, in the order of the flow: intake, data plane, control plane.

    Raises Rejected, with the names there are, for one in `without` that is none.
    """
    from streams.intake.intake import STAGE as INTAKE  # noqa: PLC0415 - loads every stage's settings
    from streams.pipeline import STAGES  # noqa: PLC0415 - as above
    from streams.running import CLOCK, names  # noqa: PLC0415 - as above

    if unknown := sorted(set(without) - set(names())):
        raise Rejected(f"no stage {', '.join(unknown)}; there are {', '.join(names())}")
    data = [s.name for s in STAGES if any(topic.event is None for topic in s.source)]
    control = [s.name for s in STAGES if s.name not in data]
    planned = ((INTAKE,), tuple(data), (*control, CLOCK))
    kept = (tuple(name for name in group if name not in without) for group in planned)
    return ((("bridge",),) if bridge else ()) + tuple(group for group in kept if group)


class Up:
    """Starts groups of stages and keeps them running.

    `environment` are the settings of the children (SENTINEL_CONFIG may name a file), in place
    of all SENTINEL_ variables of ours; without it they have ours. What a child says goes to
    `log_folder`, a file a group. `say` is given one line for each thing worth telling. The
    groups tell their metrics at `metrics_port` and those that follow; 0: each at a free one.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None,
        groups: Sequence[Group],
        log_folder: Path,
        *,
        folder: Path | None = None,
        say: Callable[[str], None] = lambda _: None,
        metrics_port: int = 0,
    ) -> None:
        own = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
        self._environment = dict(os.environ) if environment is None else own | dict(environment)
        self._members = [
            Member(group, log_folder, {METRICS_PORT: str(metrics_port + n)} if metrics_port else {})
            for n, group in enumerate(groups)
        ]
        self._folder = folder or Path.cwd()
        self._say = say
        self._stopping = threading.Event()
        self._supervisor: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the groups that run, by name (`detect`, the group's first stage)."""
        return {m.name: m.child.pid for m in self._members if m.child and m.child.running}

    def log(self, name: str) -> Path:
        """Where a group's output is."""
        return next(member.log for member in self._members if member.name == name)

    def metrics(self, name: str) -> str:
        """Where a group's metrics are now; empty when it tells none."""
        return next(member.metrics() for member in self._members if member.name == name)

    def start(self) -> None:
        """Start every group; returns before they are ready."""
        if self._supervisor is not None:
            raise Rejected("this pipeline was started already")
        for member in self._members:
            member.start(self._environment, self._folder)
        self._supervisor = threading.Thread(target=self._supervise, name="up", daemon=True)
        self._supervisor.start()

    def ready(self, for_s: float = READY_S) -> None:
        """Return once every group has joined.

        Raises Unavailable, with what it said last, for one that is not there in time or that
        ended again and again.
        """
        deadline = time.monotonic() + for_s
        for member in self._members:
            while not member.ready:
                late = time.monotonic() > deadline or self._stopping.is_set()
                if late or member.hopeless:
                    why = "is not ready" if late else f"ended ({member.failures} times in a row)"
                    raise Unavailable(
                        f"{member.name} {why}: {member.last_words()} (all of it: {member.log})"
                    )
                self._stopping.wait(LOOK_S)
            pid, url = self.pids.get(member.name, "-"), member.metrics()
            where = f", metrics at {url}" if url else ""
            self._say(f"ready: {' '.join(member.group)} (pid {pid}{where})")

    def stop(self, patience: float = STOP_S) -> None:
        """Stop every group in the order of the flow; done when all are gone.

        A group that has not ended after `patience` seconds is killed: it starts again from
        what it had acknowledged, if it ever does.
        """
        self._stopping.set()
        if self._supervisor is not None:
            self._supervisor.join()
        for member in self._members:
            if member.child is not None and member.child.running:
                member.child.stop(patience)

    def _supervise(self) -> None:
        while not self._stopping.is_set():
            ends = [m.child.ended for m in self._members if m.child and m.child.running]
            if ends:
                wait(ends, timeout=LOOK_S, return_when=FIRST_COMPLETED)
            else:
                self._stopping.wait(LOOK_S)
            now = time.monotonic()
            for member in self._members:
                if line := member.noticed(now):
                    self._say(line)
                if member.due <= now and not member.running and not self._stopping.is_set():
                    member.start(self._environment, self._folder)
                elif member.recovered():
                    self._say(f"{member.name} is back")


class Member:
    """A group, its process as it is now, and when it is to be started again."""

    def __init__(
        self, group: Group, log_folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.group = tuple(group)
        self.own = dict(environment or {})  # beside what all groups are given
        self.name = self.group[0]
        log_folder.mkdir(parents=True, exist_ok=True)
        self.log = log_folder / f"{self.name}.log"
        self.child: Child | None = None
        self.due = 0.0  # monotonic
        self.failures = 0  # ends, none of them after a steady time
        self._started = 0.0
        self._pause = FIRST_PAUSE_S
        self._told = True
        self._missed = False  # whether it has ended and its return was not told

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self.child is not None and self.child.running

    @property
    def ready(self) -> bool:
        """Whether its stages have joined."""
        return self.child is not None and self.child.running and self.child.wrote(READY)

    @property
    def hopeless(self) -> bool:
        """Whether nobody should wait for it."""
        return self.due == math.inf or self.failures >= HOPELESS

    def start(self, environment: Mapping[str, str], folder: Path) -> None:
        """Start its process."""
        arguments = ["bridge"] if self.group == ("bridge",) else ["worker", *self.group]
        self.child = Child(
            # -P: a folder `streams` where we happen to be is not our code
            [sys.executable, "-P", "-m", "streams.cli", *arguments],
            folder=folder,
            log=self.log,
            environment={**environment, **self.own},
        )
        self._started, self._told = time.monotonic(), False

    def noticed(self, now: float) -> str:
        """Plan the next start of one that has ended; one line on it, once."""
        if self.running or self._told or self.child is None:
            return ""
        self._told = self._missed = True
        if now - self._started > STEADY_S:
            self._pause, self.failures = FIRST_PAUSE_S, 0
        self.failures += 1
        status = self.child.ended.result()
        line = f"{self.name} ended ({ending(status)}): {self.last_words()}"
        if status == WRONG_USE:
            self.due = math.inf
            return f"{line}; it will not be tried again"
        pause, self._pause = self._pause, min(self._pause * 2, LAST_PAUSE_S)
        self.due = now + pause
        return f"{line}; again in {pause:g} s"

    def recovered(self) -> bool:
        """Whether one that had ended is ready again; true once."""
        back = self._missed and self.ready
        self._missed = self._missed and not back
        return back

    def metrics(self) -> str:
        """The URL at which it says that its metrics are; empty when it says none."""
        found = METRICS_AT.search(self.child.log_tail()) if self.child else None
        return found[1] if found else ""

    def last_words(self) -> str:
        """The last line that it wrote."""
        said = self.child.log_tail(1).strip() if self.child else ""
        return said or "it said nothing"


def ending(status: int) -> str:
    """How a process ended, for a person.

    >>> ending(-9), ending(1)
    ('signal 9', 'exit status 1')
    """
    return f"signal {-status}" if status < 0 else f"exit status {status}"
