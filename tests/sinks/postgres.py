"""A real PostgreSQL for tests: pgserver's binaries, a scratch folder, a Unix socket, no TCP.

pgserver's own start opens the permissions of every folder above the data and makes a system
user; here the binaries are copied to the scratch folder instead when the tests run as root,
which PostgreSQL refuses, and it runs as nobody.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

UNPRIVILEGED = "nobody"


class PostgresMissing(RuntimeError):  # noqa: N818 - a state of the machine
    """No server could be started; the message says why and what to do."""


class Postgres:
    """One server; `stop` and `start` as often as a test likes, `close` in the end."""

    def __init__(self) -> None:
        found = importlib.util.find_spec("pgserver")  # not imported: it makes folders
        if found is None or found.origin is None:
            raise PostgresMissing("no PostgreSQL: run `make setup`, which installs pgserver")
        self.folder = Path(tempfile.mkdtemp(prefix="sentinel-pg-"))
        self.data, self.log = self.folder / "data", self.folder / "log"
        self.user = UNPRIVILEGED if os.geteuid() == 0 else None
        self.running = False
        try:
            self.programs = self._programs(Path(found.origin).parent)
            self._call("initdb", "--auth=trust", "--encoding=utf8", "--username=postgres", "-N")
            self.start()
        except (OSError, subprocess.SubprocessError) as error:
            shown = self.log.read_text()[-2000:] if self.log.exists() else ""
            said = getattr(error, "stderr", "") or ""
            self.close()
            raise PostgresMissing(f"PostgreSQL did not start: {error} {said} {shown}") from error

    def _programs(self, package: Path) -> Path:
        """The programs; they look for their libraries in the folder beside the package."""
        if self.user is None:
            return package / "pginstall" / "bin"
        copied = self.folder / package.name
        shutil.copytree(package / "pginstall", copied / "pginstall", symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        shutil.copytree(libraries, self.folder / libraries.name)
        owner = pwd.getpwnam(self.user)
        os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        return copied / "pginstall" / "bin"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-h '' -k {self.folder} -c fsync=off -c max_connections=40"
        self._call("pg_ctl", "-w", "-t", "120", "-o", options, "start")
        self.running = True

    def stop(self, mode: str = "fast") -> None:
        """Stop it; `immediate` is as a crash."""
        self._call("pg_ctl", "-w", "-t", "120", "-m", mode, "stop")
        self.running = False

    def url(self, database: str = "postgres") -> str:
        """Where to connect."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def close(self) -> None:
        """Stop it and leave nothing."""
        if self.running:
            self.stop("immediate")
        shutil.rmtree(self.folder)

    def _call(self, program: str, *arguments: str) -> None:
        with self.log.open("a") as log:  # a pipe would stay open in the server and never end
            subprocess.run(
                [self.programs / program, "-D", self.data, *arguments],
                check=True,
                stdout=log,
                stderr=log,
                timeout=180,
                user=self.user,
                cwd=self.folder,
                env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
            )
