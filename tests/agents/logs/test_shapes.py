"""The compiled shapes find what these regular expressions do, which say plainly what a shape is."""

import random
import re
import string

import numpy as np
import pytest

from agents.logs.letters import CLASSES, points, text_of
from agents.logs.plain import plain
from agents.logs.shapes import PADDING, dateless
from agents.logs.signature import LENGTH, WIDTH, keys_of, signature

UNIT = r"(?:[KMGTkmgt]i?)?(?:[Bb]ytes?|[Bb])"
BYTES = rf"(?:[.,]0)? ?{UNIT}\b(?: \(0(?:[.,]0)? ?{UNIT}\))?"
PATH = (
    r"(?<![\w/.\\>)\]}])(?:[A-Za-z]:|[~.]{1,2})?[/\\]"
    r"(?:(?:[.\-~%+@$/\\!#&]|:(?=[\w./])|[=,\[\]{}](?=[0./])){0,16}+[\w*]++)++"
    r"(?:\?[^\s\"'<>()]{0,256}[\w%]|[/\\])?"
)
SHAPES = (
    r"\b[a-zA-Z][\w+.-]{0,31}://[^\s\"'<>()|]*[\w/]",
    r"(?<![\w:])(?:[0-9A-Fa-f]{1,4})?(?::{1,2}[0-9A-Fa-f]{1,4}){3,}(?!\w)",
    r"(?<![\w.-])[a-z0][a-z0-]{0,62}(?:\.[a-z0-]{1,63})+:0\b",
    PATH,
    rf"<0(?:{BYTES}| ?(?:[mun]?s|msec|secs?|seconds?|min|minutes?)\b)|0(?<!\w0){BYTES}",
)
FRAGMENTS = (
    "http://", "a.b", "x:/y", "C:\\w", "~/a", "../b", "./c", ":0", "0", "KB", "bytes", "Bytes",
    "MiB", "<0 sec", "< 0 min", "<0ms", " (", "0 B)", ".0", ",0 ", " ", "  ", ":", "::", "ab:cd",
    "dead", "beef", "ab:cd:ef:", "0:0:0:0", "fe0::a:b:", "abcde:", "[", "]", "(", ")", ",", "a.b.c.d", "user@host", "-", "...", "....", ".....",
    "?q=1", "%", "*", "/", "\\", "|", "=", "{", "}", "'", '"', "é", "end.", "foo/bar/baz", "$x",
    "_y", "a-b", "www.example.com:0", "K", "iB", "Gi", "G", "s", "seconds", "日本", "\u3000", "😀",
    "x" * 33, "a" * 64 + ".b:0", "!" * 17, "?" + "q" * 300,
)  # fmt: skip


def drawn(seed: int, number: int) -> list[str]:
    draw = random.Random(seed)
    alphabet = string.punctuation + string.ascii_letters + "000 \té²ß"
    junk = ["".join(draw.choices(alphabet, k=draw.randrange(120))) for _ in range(number)]
    return junk + ["".join(draw.choices(FRAGMENTS, k=draw.randrange(20))) for _ in range(number)]


def shaped(text: str) -> str:
    given = points(text)
    room = 2 * len(given) + PADDING
    out, kinds = np.zeros(room, np.uint32), np.zeros(room, np.uint16)
    end = plain(given, CLASSES, out, kinds)
    assert not out[end:].any()
    assert (kinds[1:end] == CLASSES[np.minimum(out[1:end], len(CLASSES) - 1)]).all()
    return text_of(out[1:end])


def plainly(text: str) -> str:
    text = re.sub(r"\.{4,}", " ... ", text)
    for pattern in SHAPES:
        text = re.sub(pattern, "0", text)
    return text


def test_the_kernel_takes_out_what_the_patterns_say() -> None:
    texts = drawn(1, 6000)
    assert {text: shaped(text) for text in texts} == {text: plainly(text) for text in texts}


@pytest.mark.parametrize("pattern", SHAPES)
def test_every_shape_is_in_the_texts_of_the_test_above(pattern: str) -> None:
    found = [text for text in drawn(1, 6000) if re.search(pattern, text)]
    assert len(found) > 20


def test_signatures_are_what_the_pattern_says() -> None:
    numbered = re.compile(r"\b(?![iI][pP][vV][46]\b)[^\W\d]*+\d\w*+")
    texts = [text.replace("0", "17") for text in drawn(2, 3000)]
    texts += ["IPv4 ipv6 IPV4x IPv5 ipv41 xipv4", "٣ x٣y", "a_1 _1 1_ é1"]
    short = [text for text in texts if len(text) <= LENGTH]
    assert [signature(text) for text in short] == [numbered.sub("0", text) for text in short]


def test_a_long_line_is_cut_before_the_word_that_does_not_fit() -> None:
    assert signature("ab " * 400) == ("ab " * 400)[:LENGTH].rstrip()
    assert signature("x" * 2000) == "x" * LENGTH
    assert signature("12345 " * 200) == ("0 " * (WIDTH // 6)).rstrip()


def test_keys_are_equal_where_signatures_are_and_however_lines_are_cut_into_batches() -> None:
    texts = drawn(3, 2000)
    keys = keys_of(texts).tolist()
    by_key = {key: signature(text) for key, text in zip(keys, texts, strict=True)}
    assert [by_key[key] for key in keys] == [signature(text) for text in texts]
    assert len(by_key) == len({signature(text) for text in texts})
    assert keys == [key for text in texts for key in keys_of([text]).tolist()]
    assert keys_of([]).tolist() == []


def test_dates_that_name_their_month_are_one_value() -> None:
    assert dateless("on Tue Feb 0 0:0:0 UTC 0 said May") == "on 0 said May"
