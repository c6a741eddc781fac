"""Producers of others, run from where they are unpacked, with a configuration of our own."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from streams.child import Child

TO_END_S = 90.0  # what is still to be sent goes out before it ends
TOKYO = "JST-9"  # a zone that is not UTC, and needs no table of zones on the machine


@dataclass(frozen=True)
class Producers:
    """What deploy/dev/producers.sh has unpacked."""

    folder: Path

    def place(self, pattern: str) -> Path:
        """The one file or folder of that name; folders are named by architecture or release."""
        (found,) = self.folder.glob(pattern)
        return found

    @property
    def environment(self) -> dict[str, str]:
        """What they run in: their own libraries, a zone that is not UTC."""
        own = {"LD_LIBRARY_PATH": str(self.folder / "libraries"), "TZ": TOKYO, "LC_ALL": "C.UTF-8"}
        return {"PATH": os.environ["PATH"], **own}

    def running(
        self, program: str, *arguments: str | Path, folder: Path
    ) -> AbstractContextManager[Child]:
        """A producer at work in `folder`, as `running` has it."""
        return running(self.place(program), *arguments, folder=folder, environment=self.environment)


@contextmanager
def running(
    program: str | Path, *arguments: str | Path, folder: Path, environment: dict[str, str]
) -> Iterator[Child]:
    """A process at work in `folder`, ended in order behind the block, whatever happens there.

    What it says is shown with a failure: it goes to stdout, which pytest keeps.
    """
    log = folder / f"{Path(program).name}.log"
    child = Child([program, *arguments], folder=folder, log=log, environment=environment)
    try:
        yield child
    finally:
        child.stop(TO_END_S)
        for line in child.log_tail(20).splitlines():
            print(line[:300])  # noqa: T201 - as said above
