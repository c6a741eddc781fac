"""How many elements a record holds, told by other means than the product's own readers.

`Parsed.elements` is the sum of what came out, so a parser that loses one of a record's three
samples agrees with itself. Here each format has a small reader of its own, written against the
format's definition: the standard library's JSON, the published protobuf classes, a walk along
bytes. It says what a record's units are, or that it cannot tell, because the bytes are none that
it reads by its own means; it never looks at what the product said.

A unit is what is taken or refused as one: an event, a data point, a series, a line. Its elements
are what comes of it when it is taken: samples, the line, and what is left out under a name.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from streams.formats.columns import Parsed


class Unit(NamedTuple):
    """One thing of a record that is taken or refused as one."""

    elements: int = 1  # of it, when it is taken
    left: int = 0  # of these, what may be left out by name before the rest of it is refused


class UntoldError(Exception):
    """The reader cannot tell: by its own means the record is not readable."""


Units = list[Unit]
Reader = Callable[[bytes], Units]
ONE = [Unit()]


def settles(units: Sequence[Unit], result: Parsed) -> str:
    """What is wrong with the accounts of one record that was read alone; empty for nothing.

    Three ways are right, and no other. All elements are there, each a sample, a line, left out
    under a name or refused. Or the record was refused whole: one letter, and nothing of it among
    samples and lines. Or some of its units were refused: each of these is one letter (beside what
    was refused or left out of it before), and all the others gave every element of theirs.
    """
    taken = len(result.samples.code) + len(result.lines.service)
    rejected, skipped = sum(r.elements for r in result.rejects), result.skips.total()
    given, out = sum(unit.elements for unit in units), taken + rejected + skipped
    if out == given:
        return ""
    said = f"{given} elements in, {out} out: {taken} taken, {rejected} refused, {skipped} left out"
    if not rejected:
        return said
    by = Counter(fault.element for fault in result.faults)
    if -1 in by or not by:  # what is wrapped tells its own refusals as letters only
        whole = not taken and rejected == (len(result.faults) or 1)
        return "" if whole and skipped <= sum(unit.left for unit in units) else f"{said}, as one"
    if max(by) >= len(units):
        return said
    possible, cut = {0}, rejected > len(result.faults)  # of a hundred at most it is told which
    for place, unit in enumerate(units):
        ways = {unit.elements}
        if place in by or cut:
            ways |= {by.get(place, 1) + left for left in range(unit.left + 1)}
        possible = {before + way for before in possible for way in ways}
    return "" if out in possible else f"{said} of units {sorted(by)}"
