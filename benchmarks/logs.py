"""The log miner by itself: known lines, lines never seen of known templates, slow streams.

Drain3 would be the peer to have beside; it is not among the locked dependencies.
"""

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

from agents.logs.align import warm_up
from agents.logs.miner import Miner

LINES = 100_000
SLOW_LINES = 5_000
BATCH = 500


def run(say: Callable[[str], None]) -> dict[str, Any]:
    """Lines a second of CPU time: others may be at work on the machine."""
    warm_up()
    usual = list(_usual(random.Random(1), LINES))
    miner = Miner()
    _rate(miner, usual)
    results: dict[str, Any] = {"logs_warm_per_s": _rate(miner, usual)}
    draw = random.Random(3)
    unseen = [
        line.replace("/var/", f"/var/{_word(draw)}/") + f" {_word(draw)}.{_word(draw)}.x"
        for line in usual
    ]
    results["logs_unseen_signatures_per_s"] = _rate(miner, unseen)
    results["logs_templates"] = len(miner)
    results["logs_state_bytes"] = len(miner.dump())
    results["logs_adversarial_per_s"] = {
        name: _rate(Miner(), list(_slow(random.Random(2), name))) for name in SLOW
    }
    say(", ".join(f"{name} {value}" for name, value in results.items()))
    return results


def _rate(miner: Miner, lines: list[str]) -> float:
    began = time.process_time()
    for first in range(0, len(lines), BATCH):
        miner.feed(lines[first : first + BATCH])
    return len(lines) / (time.process_time() - began)


def _usual(draw: random.Random, number: int) -> Iterator[str]:
    """Lines of 400 statements of 4 to 14 words, with numbers, addresses, paths and ids."""
    words = [_word(draw) for _ in range(600)]
    values = ("{n}", "{n}ms", "10.0.{n}.{n}", "/var/{n}/x.log", "id={n}", "[{n}]", "{n}:{n}")
    said = [
        " ".join(draw.choice(words if draw.random() < 0.7 else values) for _ in range(size))
        for size in draw.choices(range(4, 15), k=400)
    ]
    for text in draw.choices(said, weights=[1 / (i + 1) for i in range(400)], k=number):
        yield text.replace("{n}", str(draw.randrange(100_000)))


SLOW: dict[str, Callable[[random.Random], str]] = {
    "new words": lambda draw: " ".join(_word(draw) for _ in range(10)),
    "new words after one": lambda draw: "go " + " ".join(_word(draw) for _ in range(10)),
    "any length": lambda draw: "go " + " ".join(_word(draw) for _ in range(draw.randrange(3, 13))),
    "states in one place": lambda draw: f"start {_word(draw)}ing the engine of it",
    "labels": lambda draw: f"job runs with {_word(draw)}(7) now",
    "punctuation": lambda draw: "".join(draw.choices("()[]{}<>=:,;|\"'ab ", k=300)),
    "140 new words": lambda draw: "go " + " ".join(_word(draw) for _ in range(140)),
    "1000 characters": lambda draw: "".join(draw.choices("()[]{}<>=:,;|\"'abcdefgh/.  ", k=1000)),
}


def _slow(draw: random.Random, name: str) -> Iterator[str]:
    return (SLOW[name](draw) for _ in range(SLOW_LINES))


def _word(draw: random.Random) -> str:
    return "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=6))
