"""Log lines that compiled code reads are the same as without it."""

import random
from collections.abc import Iterator

import numpy as np
import pytest

from streams.formats import text
from streams.formats.columns import Batch, Parsed
from streams.formats.limits import Limits
from streams.formats.severity import stated
from streams.formats.text_scan import read
from tests.streams.formats import contract
from tests.streams.formats.reading import NOW, parsed, reading

PIECES = (
    "2026-01-02T03:04:05.678Z", "[2026-01-02 03:04:05,678+00:00]", "2026-13-02T03:04:05Z", " ",
    "2026-01-02T03:04:05", "-05:30", "+0530", ".", "Z", "2", "level=", "level=warn", "level=WARN-x",
    "level=odd", "[", "]", "error", "ERROR", "WARNING", "Warning", "[crit]", "[critical]", "INFO:",
    "x.FATAL", "-ERR", "ERR-", "NOTICE_", "\t", "\n", "\r\n", "é", "٣", "日本", "x" * 40, "a b c",
)  # fmt: skip


def lines(seed: int, count: int) -> Iterator[bytes]:
    """Lines of pieces that mean something here, some of them damaged."""
    draw = random.Random(seed)
    for _ in range(count):
        line = "".join(draw.choices(PIECES, k=draw.randrange(1, 7))).encode()
        if draw.random() < 0.2:
            at = draw.randrange(len(line))
            line = line[:at] + bytes([draw.randrange(256)]) + line[at + 1 :]
        yield line


def slowly(values: list[bytes], monkeypatch: pytest.MonkeyPatch) -> Parsed:
    """The batch without compiled code."""

    def nothing(batch: Batch, limits: Limits) -> object:
        found, plain = read(batch._replace(values=[b""] * len(batch.values)), limits)
        assert not plain.any()
        return found, plain

    with monkeypatch.context() as patched:
        patched.setattr(text, "read", nothing)
        return parsed("text", *values, using=reading(late_s=0, future_s=0), service="shop")


def test_lines_of_text_are_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    values = list(lines(1, 3000))
    expected = slowly(values, monkeypatch)
    found = parsed("text", *values, using=reading(late_s=0, future_s=0), service="shop")
    assert contract.lines(found) == contract.lines(expected)
    assert found.rejects == expected.rejects
    assert found.elements == expected.elements


def test_most_lines_are_plain() -> None:
    values = [
        f"2026-01-02T03:04:05.{n:03d}Z INFO [exec-1] café paid {n}\n".encode() for n in range(100)
    ]
    clock = np.full(len(values), NOW, np.int64)
    found, plain = read(Batch(values, clock, clock, "shop"), Limits())
    assert plain.all()
    assert found.text == [value.decode().rstrip() for value in values]
    assert found.at == [NOW - 678 + n for n in range(100)]


def test_levels_are_those_that_are_stated() -> None:
    """Python's own word for each line of ASCII, beyond its first 120 characters too."""
    values = [b"x" * (k % 130) + b" " + line for k, line in enumerate(lines(2, 3000))]
    values = [value for value in values if value.isascii() and not set(value) & {0, 10, 13}]
    clock = np.full(len(values), NOW, np.int64)
    found, plain = read(Batch(values, clock, clock, "shop"), Limits())
    assert plain.sum() > 1000
    assert found.severity == [stated(line) for line in found.text]
    assert len(set(found.severity)) > 5
