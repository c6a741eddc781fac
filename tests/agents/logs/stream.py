"""Streams of log lines with everything a miner has to deal with, from a seed."""

import random
from collections.abc import Iterator

NAMES = [f"{a}{b}" for a in ("ann", "bob", "cleo", "dirk", "eva", "finn") for b in ("", "a", "na", "ko", "ri", "lu")]  # fmt: skip
SAID = (
    "Accepted password for {name} from {ip} port {n}",
    "user {name} logged in after {n} ms",
    "session opened for user {name} by (uid={n})",
    "popup shown at LOCAL({n}) with {name}",
    "popup shown at {n} with {name}",
    "link {state} on eth{n}",
    "{name} took the lock of the shared table",
    "moved {name} to {name} in the ring now",
    "GET {path} took {n}ms [{name}, {name}, {name}]",
    "cache {word} {word} {word} {word}",
    "saved {path} as {name} password={name}",
    "",
    "()",
)


def lines(seed: int, number: int) -> list[str]:
    """Lines of a few statements, some with places that have to be learned, and some noise."""
    return list(_lines(random.Random(seed), number))


def _lines(draw: random.Random, number: int) -> Iterator[str]:
    for _ in range(number):
        said = draw.choice(SAID)
        while "{" in said:
            said = _filled(said, draw)
        yield said


def _filled(said: str, draw: random.Random) -> str:
    said = said.replace("{name}", draw.choice(NAMES), 1)
    said = said.replace("{n}", str(draw.randrange(10_000)), 1)
    said = said.replace("{ip}", f"10.0.{draw.randrange(255)}.{draw.randrange(255)}", 1)
    said = said.replace("{state}", draw.choice(("up", "down", "failing")), 1)
    said = said.replace("{path}", "/".join(("", *draw.sample(NAMES, 3))), 1)
    return said.replace("{word}", "".join(draw.choices("abcdefgh", k=3)), 1)
