"""History: files of text, packed or plain, and outputs that appear only once they are whole."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, cast

from schemas.errors import Unavailable

# What reading raises: no such file, packed wrongly, cut off, another encoding
UNREADABLE = (OSError, zlib.error, EOFError, UnicodeDecodeError)
ENCODING = {"r": "utf-8-sig", "w": "utf-8"}


def text(path: Path, mode: Literal["r", "w"]) -> IO[str]:
    """Open text, packed if the name says so; a byte order mark is skipped."""
    if path.name.endswith(".gz"):
        return cast("IO[str]", gzip.open(path, f"{mode}t", encoding=ENCODING[mode], newline=""))
    return path.open(mode, encoding=ENCODING[mode], newline="")


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A path to write to that becomes `target` at the end, and nothing if it fails.

    Unavailable when it cannot be written.
    """
    unfinished = target.with_name(f".unfinished.{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield unfinished
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise Unavailable(f"{target} cannot be written: {error}") from error
