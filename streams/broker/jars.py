"""Kafka's jars: fetched once, checked every time.

The broker that demos and tests start is Apache Kafka itself, run from the jars of its
release. `kafka.lock.toml` names each of them with its SHA-256, so two machines run the
same bytes, and what a repository or a disk changed is refused by name.

jgo does the transport and decides where from. Behind a mirror, its own settings file
says which one ($JGO_CONFIG_FILE, $XDG_CONFIG_HOME/jgo.conf or ~/.config/jgo.conf):

    [repositories]
    central = https://<your mirror>/

Jars already in the local Maven repository (~/.m2/repository, or $M2_REPO) are copied
from there when their SHA-256 is right, so a machine without a network can be filled by hand.
"""

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from schemas.errors import Rejected, Unavailable

LOCK_FILE = Path(__file__).with_name("kafka.lock.toml")
ATTEMPTS = 3  # a jar; one lost connection among 46 downloads should not fail a set-up
PARALLEL = 8  # downloads; a repository's latency, not the line, is what takes the time

Progress = Callable[[str], None]


def silent(line: str) -> None:
    """Report progress to nobody."""


class Jar(NamedTuple):
    """One file of the release."""

    coordinates: str  # group:artifact:version
    sha256: str  # hexadecimal

    @property
    def file(self) -> str:
        """The jar's file name.

        >>> Jar("org.slf4j:slf4j-api:1.7.36", "").file
        'slf4j-api-1.7.36.jar'
        """
        _, artifact, version = self.coordinates.split(":")
        return f"{artifact}-{version}.jar"


@dataclass(frozen=True)
class JarLock:
    """The exact jars of one Kafka release, and the coordinates that they were resolved from."""

    roots: tuple[str, ...]
    jars: tuple[Jar, ...]

    @property
    def key(self) -> str:
        """Changes with any jar; names what was made from exactly these."""
        return hashlib.sha256(repr(self.jars).encode()).hexdigest()[:12]

    @property
    def version(self) -> str:
        """Kafka's version, for people."""
        return self.roots[0].rpartition(":")[2]


def read_lock(path: Path = LOCK_FILE) -> JarLock:
    """The committed list of jars."""
    content = tomllib.loads(path.read_text())
    jars = tuple(Jar(name, digest) for name, digest in content["jars"].items())
    return JarLock(roots=tuple(content["roots"]), jars=jars)


def cache_folder() -> Path:
    """Where fetched and generated files are kept between runs.

    $SENTINEL_CACHE, else $XDG_CACHE_HOME/sentinel, else ~/.cache/sentinel.
    """
    if own := os.environ.get("SENTINEL_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sentinel"


def fetch_jars(
    cache: Path | None = None, progress: Progress = silent, *, lock: JarLock | None = None
) -> Path:
    """The folder with exactly the locked jars, downloaded when it is not there yet.

    Safe to call from several processes: one downloads, the others wait. The folder appears
    whole or not at all. Raises `Unavailable` when a jar cannot be had or the cache cannot be
    written, `Rejected` when a jar is missing, is not on the list, or is not what the list says.
    """
    lock = lock or read_lock()
    cache = cache or cache_folder()
    folder = cache / f"kafka-{lock.version}-{lock.key}"
    if not folder.exists():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with exclusive(cache / "fetch.lock"):
                if not folder.exists():  # another process may have brought it meanwhile
                    _download(lock, folder, progress)
        except OSError as error:
            raise Unavailable(
                f"cannot write Kafka's jars to {cache}: {error}; "
                "point SENTINEL_CACHE at a folder that can be written"
            ) from error
    verify(folder, lock)
    return folder


def verify(folder: Path, lock: JarLock) -> None:
    """Raise `Rejected`, naming the first file that is not as locked. Takes about 0.1 s."""
    expected = {jar.file: jar.sha256 for jar in lock.jars}
    present = {path.name for path in folder.iterdir()}
    for name in sorted(expected.keys() | present):
        if name not in present:
            fault = "is missing"
        elif name not in expected:
            fault = "does not belong to Kafka's jars"
        elif sha256(folder / name) != expected[name]:
            fault = f"is altered: its SHA-256 is not the one in {LOCK_FILE.name}"
        else:
            continue
        raise Rejected(f"{folder / name} {fault}; remove that folder and run `make setup`")


def sha256(path: Path) -> str:
    """The file's SHA-256, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold `path` as a lock between processes; the kernel lets go of it when one dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download(lock: JarLock, folder: Path, progress: Progress) -> None:
    """Fetch all jars beside `folder`, check them, then rename: `folder` is whole or absent."""
    partial = folder.with_name(f"{folder.name}.partial")
    repository = partial.with_suffix(".m2")
    for leftover in (partial, repository):  # of a killed download: the lock is ours alone
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir()
    progress(f"Kafka {lock.version}: fetching {len(lock.jars)} jars to {folder}")
    try:
        _fetch_into(partial, repository, lock, progress)
        verify(partial, lock)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(repository, ignore_errors=True)


def _fetch_into(partial: Path, repository: Path, lock: JarLock, progress: Progress) -> None:
    context, local = _maven(repository)
    with ThreadPoolExecutor(PARALLEL) as pool:
        waiting = [pool.submit(_fetch, jar, context, local, partial) for jar in lock.jars]
        try:
            for done, future in enumerate(as_completed(waiting), start=1):
                future.result()
                if done % 10 == 0 or done == len(waiting):
                    progress(f"Kafka {lock.version}: {done} of {len(waiting)} jars")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _maven(repository: Path) -> tuple[Any, Path]:
    """The repositories as jgo knows them, and the local Maven repository to look in first."""
    from jgo.config import GlobalSettings  # noqa: PLC0415 - only a first run pays for importing jgo
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415 - as above
    from jgo.maven import MavenContext  # noqa: PLC0415 - as above

    settings = GlobalSettings.load()
    remote = {"central": MAVEN_CENTRAL_URL} | settings.repositories  # as jgo's command does
    return MavenContext(repo_cache=repository, remote_repos=remote), Path(settings.repo_cache)


def _fetch(jar: Jar, context: Any, local: Path, folder: Path) -> None:
    group, artifact, version = jar.coordinates.split(":")
    target = folder / jar.file
    here = local / group.replace(".", "/") / artifact / version / jar.file
    if here.is_file() and sha256(here) == jar.sha256:
        shutil.copyfile(here, target)
        return
    wanted = context.project(group, artifact).at_version(version).artifact()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            wanted.resolve().rename(target)
        except (OSError, RuntimeError) as error:  # jgo's "not found" and all of requests' errors
            wanted.cached_path.unlink(missing_ok=True)  # or jgo would take the half for the whole
            if attempt == ATTEMPTS:
                raise Unavailable(
                    f"cannot fetch {jar.coordinates}: {error}; behind a mirror, name it as "
                    "`central` under [repositories] in ~/.config/jgo.conf"
                ) from error
        else:
            return


def resolve_lock(roots: Sequence[str], scratch: Path) -> str:
    """The text of a lock file: every jar that `roots` need, with the SHA-256 served now.

    For raising Kafka's version; compare the digests with another source before committing.
    """
    import jgo  # noqa: PLC0415 - only for whoever raises Kafka's version

    context, _ = _maven(scratch)
    lines = [
        "# Kafka's jars, as `python -m streams.broker.jars GROUP:ARTIFACT:VERSION ...` prints."
    ]
    lines += ["roots = [", *(f'  "{root}",' for root in roots), "]", "", "[jars]"]
    for found in sorted(jgo.resolve("+".join(roots), context.remote_repos), key=str):
        coordinates = f"{found.groupId}:{found.artifactId}:{found.version}"
        component = context.project(found.groupId, found.artifactId).at_version(found.version)
        lines.append(f'"{coordinates}" = "{sha256(component.artifact().resolve())}"')
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        sys.stdout.write(resolve_lock(sys.argv[1:] or read_lock().roots, Path(scratch)))
