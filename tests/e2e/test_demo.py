"""`sentinel demo` as a person runs it: real processes, a real fault, and nothing left behind.

Scratch folders are made below TMPDIR, which every process of a demo inherits: so what is left
in the folder, or runs with it in its environment, was left by the demo.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.broker, pytest.mark.alone, pytest.mark.timeout(900)]
ENDING_S = 600.0  # of a demo; takes about 90 s
LEAVING_S = 60.0  # for the last process of a demo that was killed


class Demo:
    """A demo in a process of its own; its lines as they come."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.scratch, self.out = folder / "scratch", folder / "out"
        self.scratch.mkdir()
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "streams.cli", "demo", *options, "--out", str(self.out)],
            cwd=folder,
            env={**os.environ, "TMPDIR": str(self.scratch), "SENTINEL_KAFKA__BROKERS": "nobody:1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))

    def until(self, words: str) -> str:
        """The first line with these words, as soon as it is there."""

        def found() -> str:
            return next((line for line in list(self.lines) if words in line), "")

        eventually(lambda: bool(found()) or self._process.poll() is not None, words, ENDING_S)
        assert found(), self.told()
        return found()

    def send(self, signum: signal.Signals) -> None:
        """A signal to the demo alone, as from a terminal's Ctrl-C or a supervisor."""
        self._process.send_signal(signum)

    def end(self) -> int:
        """Its exit status, once it has ended."""
        status = self._process.wait(ENDING_S)
        self._reader.join()
        return status

    def kill(self) -> None:
        """End it whatever it does."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def summary(self) -> dict[str, Any]:
        """summary.json."""
        told: dict[str, Any] = json.loads((self.out / "summary.json").read_text())
        return told

    def told(self) -> str:
        """All that it said, for a test that fails."""
        return "\n".join(self.lines)

    def processes(self) -> list[str]:
        """Command lines of what still runs with its scratch folder in the environment."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environment = (process / "environ").read_bytes()
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue  # it has ended, or is somebody else's
            if str(self.scratch).encode() in environment and command:
                found.append(command.replace(b"\0", b" ").decode())
        return found

    def left_nothing(self) -> None:
        """No process, no scratch folder."""
        eventually(lambda: not self.processes(), f"ended: {self.processes()}", LEAVING_S)
        assert [path.name for path in self.scratch.iterdir()] == []


@contextmanager
def demo(folder: Path, *options: str) -> Iterator[Demo]:
    playing = Demo(folder, *options)
    try:
        yield playing
    finally:
        playing.kill()


def eventually(check: Callable[[], bool], what: str, patience: float) -> None:
    """Poll the world until it is so."""
    deadline = time.monotonic() + patience
    while not check():
        assert time.monotonic() < deadline, f"not after {patience:g} s: {what}"
        time.sleep(0.1)


def test_a_real_fault_is_found_fixed_verified_and_explained(tmp_path: Path) -> None:
    """A cluster named in the environment is not touched: the demo has its own."""
    with demo(tmp_path) as playing:
        assert playing.end() == 0, playing.told()
        told = playing.summary()
        assert (told["outcome"], told["incidents"], told["missing"]) == ("resolved", 1, [])
        moments = ["fault_at", "detected_at", "planned_at", "executed_at", "recovered_at"]
        times = [told[name] for name in moments]
        assert times == sorted(times)
        assert [step["status"] for step in told["steps"]] == ["succeeded"] * 3
        assert [verdict["effect"] for verdict in told["policy"]] == ["allow", "approve"]
        assert told["cost_avoided"] > 0
        names = {path.name for path in playing.out.iterdir()}
        assert names == {"summary.json", "report.md", "report.html", "bundle.json"}
        playing.left_nothing()


@pytest.mark.parametrize(
    "signum", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.faults)]
)
def test_whoever_interrupts_it_finds_nothing_left(tmp_path: Path, signum: signal.Signals) -> None:
    with demo(tmp_path) as playing:
        playing.until("Normal load")
        assert playing.processes()
        playing.send(signum)
        assert playing.end() == 1
        assert playing.lines[-1] == "sentinel: interrupted"
        playing.left_nothing()


@pytest.mark.faults
def test_a_fix_that_fails_is_taken_back_in_reverse_and_escalated(tmp_path: Path) -> None:
    with demo(tmp_path, "--break-fix") as playing:
        assert playing.end() == 0, playing.told()
        told = playing.summary()
        assert (told["outcome"], told["rolled_back"]) == ("escalated", True)
        assert [step["status"] for step in told["steps"]] == ["undone", "undone", "failed"]
        assert told["recovered_at"] is None
        playing.left_nothing()


@pytest.mark.faults
def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    with demo(tmp_path, "--dry-run", "--json") as playing:
        assert playing.end() == 0, playing.told()
        told = playing.summary()
        assert (told["outcome"], told["executed_at"]) == ("dry_run", None)
        playing.left_nothing()


@pytest.mark.faults
def test_normal_load_is_no_incident(tmp_path: Path) -> None:
    with demo(tmp_path, "--no-fault") as playing:
        assert playing.end() == 0, playing.told()
        assert playing.summary()["outcome"] == "quiet"
        playing.left_nothing()


@pytest.mark.faults
def test_in_production_nothing_happens_before_you_approve(tmp_path: Path) -> None:
    """The command that it prints is the one that works."""
    with demo(tmp_path, "--manual") as playing:
        command = shlex.split(playing.until("SENTINEL_IDENTITY="))
        assert not any(re.search(r" step .* do ", line) for line in playing.lines)
        settings = dict(part.split("=", 1) for part in command[:3])
        done = subprocess.run(
            [*command[3:], "--yes"], env=os.environ | settings, check=False, cwd=tmp_path
        )
        assert done.returncode == 0
        assert playing.end() == 0, playing.told()
        assert playing.summary()["outcome"] == "resolved"
        playing.left_nothing()


@pytest.mark.faults
def test_a_demo_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    with demo(tmp_path) as playing:
        playing.until("Normal load")
        playing.send(signal.SIGKILL)
        playing.end()
        eventually(lambda: not playing.processes(), "every process is gone", LEAVING_S)


def test_two_stories_at_once_are_wrong_use(tmp_path: Path) -> None:
    with demo(tmp_path, "--dry-run", "--no-fault") as playing:
        assert playing.end() == 2
        assert "are different stories: choose one" in playing.lines[-1]
