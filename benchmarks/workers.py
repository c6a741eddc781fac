"""Sentinel's own workers, started as a user would start them, each a process."""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from streams.child import Child
from streams.connection import KafkaSettings

READY_S = 180.0  # a kernel may have to be compiled first


class Workers:
    """Named groups of stages, each `sentinel worker STAGE...` in a process of its own."""

    def __init__(self, kafka: KafkaSettings, groups: dict[str, list[str]], **settings: str) -> None:
        """Of these groups; `settings` are of the environment, `INTAKE__START="latest"`."""
        self._folder = Path(tempfile.mkdtemp(prefix="sentinel-bench-"))
        self._groups = groups
        self._environment = {
            **os.environ,
            "SENTINEL_KAFKA__BROKERS": kafka.brokers,
            "SENTINEL_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
            "SENTINEL_KAFKA__PREFIX": kafka.prefix,
            "SENTINEL_DATABASE__URL": f"sqlite:///{self._folder}/bench.db",
            **{f"SENTINEL_{name}": value for name, value in settings.items()},
        }
        self._children: dict[str, Child] = {}

    def __enter__(self) -> Self:
        """Start them; `wait_ready` waits."""
        sentinel = Path(sys.executable).with_name("sentinel")
        for name, stages in self._groups.items():
            self._children[name] = Child(
                [sentinel, "worker", *stages],
                folder=self._folder,
                log=self._folder / f"{name}.log",
                environment=self._environment,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop them, and say what they wrote if something went wrong."""
        for name, child in self._children.items():
            if kind is not None:
                sys.stderr.write(f"{name}:\n{child.log_tail()}\n")
            if child.running:
                child.stop(10.0)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {name: child.pid for name, child in self._children.items()}

    def check(self) -> None:
        """Raise RuntimeError when one has ended."""
        for name, child in self._children.items():
            if not child.running:
                raise RuntimeError(f"{name} ended: {child.log_tail(3)}")

    def wait_ready(self) -> None:
        """Until all have joined their groups."""
        end = time.monotonic() + READY_S
        for name, child in self._children.items():
            while not child.wrote("ready"):
                if not child.running or time.monotonic() > end:
                    raise RuntimeError(f"{name} did not come up: {child.log_tail(3)}")
                time.sleep(0.02)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Resident memory of a process, MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
