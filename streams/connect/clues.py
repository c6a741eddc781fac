"""What one record says of its format: clues, each with its strength and in words.

That a parser takes the bytes is no clue of worth: OTLP's metrics parse as remote write, and
every line is plain text. A clue is what only one kind of producer writes.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

PARSES, FITS, MARKED = 1, 2, 3  # could be; has the shape; has what no other format has


class Sampled(NamedTuple):
    """A record as it stood in a topic."""

    value: bytes
    at: int  # epoch ms, as Kafka has it
    headers: Mapping[str, str]  # by lower-case name


class Clue(NamedTuple):
    """What speaks for a format: a name of `FORMATS`, or what Sentinel knows but does not read."""

    format: str
    strength: int
    why: str  # what follows "49 of 50 records"


Clues = Mapping[str, Clue]  # by format


def by_format(clues: Iterable[Clue]) -> dict[str, Clue]:
    """The strongest clue of each format."""
    found: dict[str, Clue] = {}
    for clue in clues:
        if clue.format not in found or found[clue.format].strength < clue.strength:
            found[clue.format] = clue
    return found


def shared(parts: Iterable[Clues]) -> dict[str, Clue]:
    """What all parts of a record have in common, as strong as in the weakest of them.

    >>> one, other = Clue("vector", MARKED, "a"), Clue("vector", FITS, "b")
    >>> shared([{"vector": one}, {"vector": other, "json": one}])["vector"].strength
    2
    """
    found: dict[str, Clue] | None = None
    for part in parts:
        if found is None:
            found = dict(part)
            continue
        found = {
            name: min(clue, part[name], key=lambda each: each.strength)
            for name, clue in found.items()
            if name in part
        }
    return found or {}
