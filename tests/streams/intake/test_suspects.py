"""Suspects: one pass finds every text that masking would change."""

import random
import string

import pytest

from schemas.masking import STEPS
from streams.intake.suspects import suspects
from tests.schemas.test_masking import HARMLESS, PERSONAL, SECRETS
from tests.streams.intake.seeds import kinds

EVERY = (1 << len(STEPS)) - 1
NOISE = [
    *string.punctuation, *string.digits, *string.ascii_letters, " ", "\n", "\t", "é", "日本", "\xa0",
    "=", ": ", " - ", "user", "%40", "://", "1767323045678", "2026-01-02T03:04:05+02:00",
]  # fmt: skip
ORDINARY = [
    "GET /api/v1/orders/48213 HTTP/1.1 200 312 0.412 trace_id=4bf92f3577b34da6a3ce929d0e0e4736",
    "2026-01-02T03:04:05.678Z INFO order 39481726 paid in 312 ms by worker-3",
    "[kafka-producer-1] WARN org.apache.kafka.clients.NetworkClient - Connection to node 3 failed",
    'level=info ts=1767323045678 caller=main.go:412 msg="Head GC completed" duration=4.0112ms',
    "cache miss for key user:48213 ttl=3600 size=1024, tests passed in 12 s, no token was needed",
    "deployed shop v2.14.3-rc1 (sha 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b) at 12:34:56",
    "task-runner in Asia/Tokyo: disk-usage-report 4821 of 9999 blocks, +0200, peak at 03:04:05",
]


def changing(text: str) -> int:
    """The bits of the steps that change the text as it is."""
    return sum(1 << n for n, step in enumerate(STEPS) if step.mask(text) != text)


def missed(texts: list[str]) -> list[str]:
    bits = suspects(texts, EVERY).tolist()
    return [text for text, told in zip(texts, bits, strict=True) if changing(text) & ~told]


def test_all_that_masking_knows_is_suspect() -> None:
    known = [line for line, _ in (*SECRETS, *PERSONAL)] + HARMLESS
    known += [kind.text for seed in range(40) for kind in kinds(random.Random(seed)).values()]
    assert missed(known) == []


def test_nothing_around_it_hides_it() -> None:
    """What masking finds among any characters is suspect, too."""
    draw = random.Random(5)
    texts = []
    for _ in range(60):
        for kind in kinds(draw).values():
            around = ("".join(draw.choices(NOISE, k=draw.randrange(4))) for _ in range(2))
            texts.append(kind.text.join(around))
            texts.append(kind.secret.join("".join(draw.choices(NOISE, k=3)) for _ in range(2)))
    assert missed(texts) == []


@pytest.mark.parametrize("line", ORDINARY)
def test_an_ordinary_line_is_not_looked_at_twice(line: str) -> None:
    tokens = sum(1 << n for n, step in enumerate(STEPS) if step.kind != "ip")
    assert suspects([line], tokens).tolist() == [0]


def test_texts_of_any_size_and_none() -> None:
    assert suspects([], EVERY).tolist() == []
    assert suspects(["", "a@b.co", ""], EVERY).tolist()[::2] == [0, 0]
    assert suspects(["x" * 100_000 + " ann@example.com"], EVERY)[0]
