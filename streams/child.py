"""A child process that ends with us, however we end.

What was left behind would hold its ports, its memory and its data, and nobody would remember
what started it. So the kernel is asked to end the child when this process ends, kill -9
included.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

# Runs between us and the child, in a Python of its own, because code between fork and exec may
# deadlock in a process with threads. prctl(1) is PR_SET_PDEATHSIG; systems without it rely on
# atexit alone. A parent that died before the call would never be noticed: hence getppid.
TIE_TO_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("its parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


class Child:
    """A process that ends with this one, its output appended to a file.

    A thread of its own starts it and waits for it: Linux sends the parent-death signal when
    the starting *thread* ends, so a caller's short-lived thread must not be the one.
    It gets its own session: Ctrl-C reaches us alone, and we stop it when its users are done.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        folder: Path,
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        self._environment = None if environment is None else dict(environment)
        self._log_start = log.stat().st_size if log.exists() else 0
        started: Future[subprocess.Popen[bytes]] = Future()
        self.ended: Future[int] = Future()  # its exit status, negative for a signal
        arguments = [sys.executable, "-I", "-S", "-c", TIE_TO_PARENT, str(os.getpid()), *command]
        threading.Thread(
            target=self._run, args=(arguments, folder, started), name=log.stem, daemon=True
        ).start()
        self._process = started.result()

    def _run(
        self,
        arguments: Sequence[str | Path],
        folder: Path,
        started: "Future[subprocess.Popen[bytes]]",
    ) -> None:
        try:
            with self._log.open("ab") as log:
                process = subprocess.Popen(  # noqa: S603 - an argument list, no shell
                    arguments,
                    cwd=folder,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            started.set_exception(error)
            return
        started.set_result(process)
        self.ended.set_result(process.wait())

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended; one that is paused runs."""
        return not self.ended.done()

    def send(self, signum: signal.Signals) -> None:
        """Send a signal; none if it has ended, so that no later process is hit."""
        self._process.send_signal(signum)

    def stop(self, patience: float) -> None:
        """Ask it to end, wait up to `patience` seconds, then kill it; done when it is gone."""
        self.send(signal.SIGCONT)  # one that is paused could not obey
        self.send(signal.SIGTERM)
        try:
            self.ended.result(timeout=patience)
        except TimeoutError:
            self.kill()

    def kill(self) -> None:
        """SIGKILL; done when it is gone."""
        self.send(signal.SIGKILL)
        self.ended.result()

    def log_tail(self, lines: int = 12) -> str:
        """The last lines that it wrote since this start."""
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def wrote(self, text: str) -> bool:
        """Whether `text` occurs in what it wrote since this start."""
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            return text.encode() in log.read()
