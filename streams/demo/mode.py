"""The stories that a demo can tell, and which of them is which on the command line."""

from enum import StrEnum
from pathlib import Path
from typing import NamedTuple


class Mode(StrEnum):
    """What the demo does, and so what it expects to see."""

    fix = "fix"
    manual = "manual"
    break_fix = "break-fix"
    dry_run = "dry-run"
    no_fault = "no-fault"

    @property
    def environment(self) -> str:
        """What policy is told of the place: in production a person must approve."""
        return "production" if self is Mode.manual else "staging"

    @property
    def other_environment(self) -> str:
        """Where the same plan is judged as well, for comparison."""
        return "staging" if self is Mode.manual else "production"


QUIET_MINUTES = 2 / 3  # of normal load in which nothing may be found


class Options(NamedTuple):
    """How the demo is run; `minutes` is how long one without a fault watches."""

    mode: Mode = Mode.fix
    out: Path = Path("demo-out")
    keep: bool = False
    port: int | None = None
    minutes: float = QUIET_MINUTES
