"""A fault in a file that a person wrote, said as compilers say it: `file:line: what to do`."""

from pathlib import Path
from typing import NamedTuple


class Problem(NamedTuple):
    """One fault; lines count from 1, so that editors jump to it."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"
