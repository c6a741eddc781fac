"""The log miner by itself: known lines, new ones, streams made to be slow, and what it keeps.

Beside it, over the same lines in the same run: Drain3 where it is installed, and the least that
grouping can cost, one regular expression that masks numbers and a dict. Times are CPU time of
one thread, since others may be at work on the machine.
"""

import gc
import importlib
import random
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

from agents.logs.miner import Limits, Miner, warm_up
from streams.running import rarely_collect

LINES = 100_000
DRAIN_LINES = 20_000
SLOW_LINES = 1_000
FLOOD_LINES = 40_000  # more templates than are remembered, several times over
BATCH = 500

_masked = re.compile(r"\b[^\W\d]*+\d\w*+").sub


def run(say: Callable[[str], None]) -> dict[str, Any]:
    """Lines a second, templates, and bytes of memory."""
    warm_up()
    usual = list(lines_of_statements(random.Random(1), LINES))
    rarely_collect()  # as every worker does
    miner = Miner()
    results: dict[str, Any] = {"logs_cold_per_s": _rate(miner, usual[: LINES // 10])}
    _rate(miner, usual)
    results["logs_warm_per_s"] = _rate(miner, usual)
    draw = random.Random(3)
    unseen = [
        line.replace("/var/", f"/var/{_word(draw)}/") + f" {_word(draw)}.{_word(draw)}.x"
        for line in usual[: LINES // 4]
    ]
    results["logs_unseen_signatures_per_s"] = _rate(miner, unseen)
    results["logs_templates"] = len(miner)
    results["logs_state_bytes"] = len(miner.dump())
    say(_said(results))
    results |= _peers(say, usual)
    slow = {name: _rate(Miner(), list(_slow(random.Random(2), name))) for name in SLOW}
    results["logs_adversarial_per_s"] = slow
    results["logs_adversarial_worst_per_s"] = min(slow.values())
    say(f"slowest: {min(slow, key=lambda name: slow[name])}, {min(slow.values()):,.0f} lines/s")
    results |= _flooded(say)
    return results


def _rate(miner: Miner, lines: list[str]) -> float:
    began = time.process_time()
    for first in range(0, len(lines), BATCH):
        miner.feed(lines[first : first + BATCH])
    return len(lines) / (time.process_time() - began)


def _peers(say: Callable[[str], None], lines: list[str]) -> dict[str, float]:
    groups: dict[str, int] = {}
    began = time.process_time()
    for line in lines:
        text = _masked("0", line)
        groups[text] = groups.get(text, 0) + 1
    results = {"logs_mask_and_count_per_s": len(lines) / (time.process_time() - began)}
    try:
        drain3 = importlib.import_module("drain3")
    except ImportError:
        say("Drain3 is not installed: it is no dependency, `uv pip install drain3` has it measured")
    else:
        drain = drain3.TemplateMiner()
        began = time.process_time()
        for line in lines[:DRAIN_LINES]:
            drain.add_log_message(line)
        results["logs_drain3_per_s"] = DRAIN_LINES / (time.process_time() - began)
    say(_said(results))
    return results


def _flooded(say: Callable[[str], None]) -> dict[str, float]:
    """Lines a second and the most memory while templates come that never come again."""
    draw = random.Random(4)
    lines = [" ".join(_word(draw) for _ in range(10)) for _ in range(FLOOD_LINES)]
    results = {"logs_flood_per_s": _rate(Miner(), lines)}
    gc.collect()
    tracemalloc.start()
    _rate(Miner(), lines)
    results["logs_flood_memory_mib"] = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    results["logs_templates_remembered"] = Limits().templates
    say(_said(results))
    return results


def _said(results: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:,.0f}" for name, value in results.items())


def lines_of_statements(draw: random.Random, number: int) -> Iterator[str]:
    """Lines of 400 statements of 4 to 14 words, with numbers, addresses, paths and ids."""
    words = [_word(draw) for _ in range(600)]
    values = ("{n}", "{n}ms", "10.0.{n}.{n}", "/var/{n}/x.log", "id={n}", "[{n}]", "{n}:{n}")
    said = [
        " ".join(draw.choice(words if draw.random() < 0.7 else values) for _ in range(size))
        for size in draw.choices(range(4, 15), k=400)
    ]
    for text in draw.choices(said, weights=[1 / (i + 1) for i in range(400)], k=number):
        yield text.replace("{n}", str(draw.randrange(100_000)))


JUNK = "".join(map(chr, (*range(0xA0, 0x250), *range(0x4E00, 0x4F00), *range(0x1F300, 0x1F400))))

SLOW: dict[str, Callable[[random.Random], str]] = {
    "new words": lambda draw: _words(draw, 10),
    "new words after one": lambda draw: "go " + _words(draw, 10),
    "140 new words": lambda draw: "go " + _words(draw, 140),
    "any length": lambda draw: "go " + _words(draw, draw.randrange(3, 13)),
    "ever deeper": lambda draw: "go " + "same " * draw.randrange(64) + _word(draw),
    "100,000 characters": lambda draw: _word(draw) + "a" * 100_000,
    "states in one place": lambda draw: f"start {_word(draw)}ing the engine of it",
    "a state at the end": lambda draw: f"go {_word(draw)}ed",
    "the first word": lambda draw: f"{_word(draw)} took the lock of the shared table",
    "a state first": lambda draw: f"{_word(draw)}ing the lock of the shared table",
    "one place of sixty": lambda draw: _one_of(draw, 60),
    "labels": lambda draw: f"job runs with {_word(draw)}(7) now",
    "lists": lambda draw: "[" + _words(draw, 80).replace(" ", ", ") + "]",
    "pairs": lambda draw: "".join(f"{_word(draw)}=0," for _ in range(60)),
    "words of hex": lambda draw: " ".join(_letters(draw, "abcdef", 8) for _ in range(100)) + "x",
    "punctuation": lambda draw: _letters(draw, "()[]{}<>=:,;|\"'ab ", 300),
    "1000 characters": lambda draw: _letters(draw, "()[]{}<>=:,;|\"'abcdefgh/.  ", 1000),
    "colons and hex": lambda draw: _letters(draw, "abcdef::: ", 1000),
    "slashes": lambda draw: _letters(draw, "/\\.~-%+@:ab ", 1000),
    "unicode": lambda draw: _letters(draw, JUNK, 200),
    "secrets": lambda draw: "token-" * 120 + _word(draw),
}


def _slow(draw: random.Random, name: str) -> Iterator[str]:
    return (SLOW[name](draw) for _ in range(SLOW_LINES))


def _words(draw: random.Random, number: int) -> str:
    return " ".join(_word(draw) for _ in range(number))


def _word(draw: random.Random) -> str:
    return _letters(draw, "abcdefghijklmnopqrstuvwxyz", 6)


def _one_of(draw: random.Random, places: int) -> str:
    said = ["same"] * places
    said[draw.randrange(1, places)] = _word(draw) + "ed"
    return " ".join(said)


def _letters(draw: random.Random, alphabet: str, number: int) -> str:
    return "".join(draw.choices(alphabet, k=number))
