"""Checkpoints of the audit: how far the chain had come, in a file outside the database.

One line a checkpoint, newest last: number, hash, seal. A seal is taken over the one before it,
so lines cannot be dropped or changed in the middle, and with a key not at all. Several are
kept, not only the last, so that a rewritten chain can be told to within a few records.
"""

import fcntl
import hashlib
import hmac
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from schemas.errors import Unavailable

KEPT = 256  # lines; at a batch a second, the last four minutes to the second
NOTHING = "0" * 64


class Checkpoint(NamedTuple):
    """The chain's head: number of its last record, from 1, and that record's hash."""

    number: int
    hash: str


GENESIS = Checkpoint(0, NOTHING)


class Kept(NamedTuple):
    """What the file holds, oldest first, and what is wrong with it; empty when nothing is."""

    points: list[Checkpoint]
    problem: str


class Line(NamedTuple):
    """A line of the file; `before` is the seal of the one before it, which may be gone."""

    point: Checkpoint
    before: str
    seal: str

    def __str__(self) -> str:
        return f"{self.point.number} {self.point.hash} {self.before} {self.seal}\n"


class Checkpoints:
    """The file; written whole and moved into place, so a crash leaves the old or the new one.

    `key` seals with HMAC-SHA-256; empty: plain SHA-256, which anyone can make.
    """

    def __init__(self, path: Path, key: bytes = b"") -> None:
        self.path = path
        self._key = key

    def read(self) -> Kept:
        """The checkpoints; none, without a problem, when there is no file. Raises Unavailable."""
        lines, problem = self._lines()
        return Kept([line.point for line in lines], problem)

    def add(self, point: Checkpoint) -> None:
        """Add a checkpoint and have it on disk; one that is not ahead changes nothing.

        Raises Unavailable when it cannot be written: the chain is ahead then, which is no harm.
        """
        try:
            with self._locked():
                lines, _ = self._lines()
                before = lines[-1].seal if lines else NOTHING
                if lines and lines[-1].point.number >= point.number:
                    return  # another worker was faster
                line = Line(point, before, self._seal(point, before))
                self._save("".join(map(str, [*lines[-KEPT + 1 :], line])))
        except OSError as error:
            raise Unavailable(f"cannot write the checkpoint {self.path}: {error}") from error

    def _lines(self) -> tuple[list[Line], str]:
        try:
            written = self.path.read_text().splitlines()
        except FileNotFoundError:
            return [], ""
        except OSError as error:
            raise Unavailable(f"cannot read the checkpoint {self.path}: {error}") from error
        except UnicodeDecodeError:
            return [], f"the checkpoint {self.path} is no text"
        lines: list[Line] = []
        for place, text in enumerate(written, 1):
            line = _parsed(text)
            if line is None or (problem := self._problem(line, lines)):
                what = "is damaged" if line is None else problem
                return lines, f"the checkpoint {self.path} {what} in line {place}"
            lines.append(line)
        return lines, "" if lines else f"the checkpoint {self.path} is empty"

    def _problem(self, line: Line, before: list[Line]) -> str:
        if not hmac.compare_digest(line.seal, self._seal(line.point, line.before)):
            return "was changed, or sealed with another key,"
        if before and (line.before != before[-1].seal or line.point <= before[-1].point):
            return "misses lines: the one before does not fit"
        return ""

    def _seal(self, point: Checkpoint, before: str) -> str:
        text = f"{point.number} {point.hash} {before}".encode()
        if self._key:
            return hmac.new(self._key, text, hashlib.sha256).hexdigest()
        return hashlib.sha256(text).hexdigest()

    def _save(self, text: str) -> None:
        draft = self.path.with_name(f"{self.path.name}.new")
        with draft.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name, too, must survive a power cut
        finally:
            os.close(folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time; several workers of a host share the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f"{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _parsed(text: str) -> Line | None:
    match text.split(" "):
        case [number, digest, before, seal] if number.isdecimal():
            return Line(Checkpoint(int(number), digest), before, seal)
    return None
