"""What every format promises, whatever bytes come: written once, run over all of them."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from streams.formats import FORMATS
from streams.formats.columns import Parsed, Reading
from streams.formats.limits import MIB
from tests.streams.formats.edits import Editor
from tests.streams.formats.elements import settles
from tests.streams.formats.elements_of import READERS, told
from tests.streams.formats.reading import parsed, reading, samples

Sample = tuple[str, int, float]  # series, epoch ms, value
Line = tuple[str, int, str, str, str]  # service, epoch ms, severity, text, labels
DEEP = 10_000
NEST = b"[" * DEEP + b"]" * DEEP
ABSURD = (b"-1", b"1e300", b'"99999-01-01T00:00:00Z"', b"9" * 30, b"[1]", b"true")


@dataclass(frozen=True)
class Golden:
    """A record as its producer writes it, and what must come of it."""

    format: str
    raw: bytes
    samples: tuple[Sample, ...] = ()
    lines: tuple[Line, ...] = ()
    skips: Mapping[str, int] = field(default_factory=dict)
    service: str = ""  # that settings name for the topic
    arrived: int = 1_767_323_045_678
    cuts: int = -1  # how many of its proper prefixes are refused; -1: each
    absurd: tuple[bytes, ...] = ()  # the record with a time that cannot be
    deep: bytes = b""  # the record with something nested DEEP levels
    stranger: bytes = b""  # a line that is none of the format's, where a record may hold several

    @property
    def elements(self) -> int:
        """How many elements are in it."""
        return len(self.samples) + len(self.lines) + sum(self.skips.values())

    def read(self, *values: bytes, using: Reading | None = None) -> Parsed:
        """Records, read as this one's topic would be."""
        return parsed(
            self.format,
            *values,
            using=using or reading(late_s=0, future_s=0),
            service=self.service,
            arrived=self.arrived,
            now=self.arrived,
        )


def absurd(raw: bytes, time: bytes, others: tuple[bytes, ...] = ABSURD) -> tuple[bytes, ...]:
    """The record, `time` replaced by what is none."""
    assert time in raw
    return tuple(raw.replace(time, other) for other in others)


def lines(result: Parsed) -> list[Line]:
    """The log lines of a batch."""
    c = result.lines
    return list(zip(c.service, c.at.tolist(), c.severity, c.text, c.labels, strict=True))


def comes_out_whole(golden: Golden) -> None:
    """The golden record becomes exactly what it should."""
    using = reading(late_s=0, future_s=0)
    result = golden.read(golden.raw, using=using)
    assert not result.rejects
    assert samples(result, using) == list(golden.samples)
    assert lines(result) == list(golden.lines)
    assert dict(result.skips) == dict(golden.skips)
    units = told(golden.format, golden.raw)
    assert (units is None) == (golden.format.partition("@")[0] not in READERS)
    assert units is None or sum(unit.elements for unit in units) == golden.elements


def accounts_for(golden: Golden, values: list[bytes]) -> Parsed:
    """Each record alone has a fate, and together they have the same fates."""
    together = golden.read(*values)
    alone = accounts_for_each(golden, values)
    assert together.elements == sum(one.elements for one in alone)
    assert [(r.record, r.rule, r.elements) for r in together.rejects] == [
        (i, r.rule, r.elements) for i, one in enumerate(alone) for r in one.rejects
    ]
    assert together.skips == sum((one.skips for one in alone), type(together.skips)())
    return together


def accounts_for_each(golden: Golden, values: list[bytes]) -> list[Parsed]:
    """Each record, read alone, has a fate.

    Where a reader of the tests' own tells how many elements are in a record, so many have one:
    all of them, or one letter for the whole record, or one for each of its units that is refused
    (elements.py).
    """
    alone = [golden.read(value) for value in values]
    for value, one in zip(values, alone, strict=True):
        assert one.elements >= 1, f"vanished: {value[:200]!r}"
        assert len({reject.rule for reject in one.rejects}) == len(one.rejects)
        units = told(golden.format, value)
        wrong = "" if units is None else settles(units, one)
        assert not wrong, f"{wrong}: {value[:2000]!r}"
    return alone


def survives_between(golden: Golden, bad: bytes) -> Parsed:
    """A damaged record harms neither the one before it nor the one after."""
    result = golden.read(golden.raw, bad, golden.raw)
    assert result.elements - golden.read(bad).elements == 2 * golden.elements
    assert all(reject.record == 1 for reject in result.rejects)
    return result


def tells_lines_apart(golden: Golden) -> None:
    """A line that is wrong costs itself, whatever stands around it."""
    line = golden.raw.strip()
    result = golden.read(b"\n".join([line, golden.stranger, line, golden.stranger, line]))
    assert sum(reject.elements for reject in result.rejects) == 2
    assert result.elements == 3 * golden.elements + 2


def refuses_whole(golden: Golden, bad: bytes, rules: set[str], **limits: object) -> None:
    """One dead letter for all of it, by a rule of `rules`, and nothing else."""
    using = reading(**{"late_s": 0, "future_s": 0, **limits})
    result = golden.read(bad, using=using)
    (reject,) = result.rejects
    assert reject.rule in rules, reject
    assert (reject.record, reject.elements) == (0, result.elements), bad[:200]


def prefixes(raw: bytes) -> list[bytes]:
    """The record cut off at every byte."""
    return [raw[:end] for end in range(len(raw))]


def flips(raw: bytes) -> list[bytes]:
    """The record with each of its bits turned."""
    return [
        raw[:at] + bytes([raw[at] ^ (1 << bit)]) + raw[at + 1 :]
        for at in range(len(raw))
        for bit in range(8)
    ]


def mutations(
    seeds: list[bytes], others: list[bytes], seed: int, edit: Editor | None = None
) -> Iterator[bytes]:
    """Records that are almost good, without end; every third is edited, where that can be done."""
    chance = random.Random(seed)
    while True:
        chosen = chance.choice(seeds)
        if edit is not None and not chance.randrange(3):
            yield edit(chosen, chance)
            continue
        raw = bytearray(chosen)
        for _ in range(chance.choice((1, 1, 2, 4, 16))):
            chance.choice(MUTATORS)(raw, others, chance)
        yield bytes(raw[: 2 * MIB])


Mutator = Callable[[bytearray, list[bytes], random.Random], None]


def _flip(raw: bytearray, _: list[bytes], chance: random.Random) -> None:
    if raw:
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)


def _cut(raw: bytearray, _: list[bytes], chance: random.Random) -> None:
    start = chance.randint(0, len(raw))
    del raw[start : start + chance.choice((1, 2, 8, len(raw)))]


def _repeat(raw: bytearray, _: list[bytes], chance: random.Random) -> None:
    start = chance.randint(0, len(raw))
    piece = raw[start : start + chance.choice((1, 4, 32))]
    raw[start:start] = piece * chance.choice((1, 3, 50))


def _splice(raw: bytearray, others: list[bytes], chance: random.Random) -> None:
    other = chance.choice(others)
    at = chance.randint(0, len(other))
    start = chance.randint(0, len(raw))
    raw[start:start] = other[at : at + chance.choice((1, 8, 64))]


def _insert(raw: bytearray, _: list[bytes], chance: random.Random) -> None:
    start = chance.randint(0, len(raw))
    raw[start:start] = chance.choice(TOKENS)


MUTATORS: tuple[Mutator, ...] = (_flip, _cut, _repeat, _splice, _insert)
TOKENS = (
    b"\xff", b"\x00", b"\xc3\x28", b"\xed\xa0\x80", b"\\ud800", b"null", b"[]", b"{}", b'"', b"\\",
    b"-1", b"1e999", b"99999999999999999999999", b"NaN", b"\n", b"\r\n", b"[" * 200, b'{"a":' * 200,
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", b"\xff" * 12, b" ", b",", b"=", b":", b"\xe2\x80\xa8",
)  # fmt: skip


def undeclared() -> set[str]:
    """Formats that no golden record speaks for."""
    from tests.streams.formats.goldens import GOLDENS  # noqa: PLC0415 - it imports this file

    named = {name for name in FORMATS if "@" not in name}
    return named - {golden.format for golden in GOLDENS}
