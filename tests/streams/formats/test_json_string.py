"""Strings of JSON end where they end, wherever in a word of eight bytes that is."""

import json
from itertools import product

import numpy as np
import pytest

from streams.formats.json_string import span, string

TEXTS = ("", "a", "\\n", '\\"', "\\\\", "\x1f", "\\u0041", "é", "\xff", "!", "#", "[", "]", "\x7f")


def behind(text: str, *, escapes: bool) -> int:
    """Where the first string of a text ends, read byte by byte; -1 where it is not plain."""
    i = 1
    while i < len(text):
        if text[i] == '"':
            return i + 1
        if text[i] < " " or (text[i] == "\\" and not escapes):
            return -1
        if text[i] == "\\":
            if text[i + 1 : i + 2] not in set('"\\\\/bfnrt'):
                return -1
            i += 1
        i += 1
    return -1


@pytest.mark.parametrize("escapes", [False, True])
def test_a_string_ends_where_a_reader_of_single_bytes_ends_it(escapes: bool) -> None:  # noqa: FBT001 - a case
    for before, what, after, tail in product(
        range(18), TEXTS, range(10), ('"', '",', '"' + "x" * 9, "")
    ):
        text = '"' + "x" * before + what + "y" * after + tail
        raw = np.frombuffer(text.encode("latin-1"), np.uint8)
        assert string(raw, 0, len(raw), escapes) == behind(text, escapes=escapes), text


def test_nothing_behind_the_end_of_a_record_is_looked_at() -> None:
    raw = np.frombuffer(b'"abcdefghijklmnop"' * 2, np.uint8)
    for stop in range(1, 18):
        assert string(raw, 0, stop, True) == -1  # noqa: FBT003 - compiled
        assert span(raw, 0, stop) == -1
    assert string(raw, 0, 18, True) == span(raw, 0, 18) == 18  # noqa: FBT003 - compiled


def test_a_value_ends_where_a_decoder_ends_it() -> None:
    decoder = json.JSONDecoder()
    for size, key in product(range(20), ("k", 'a"b', "a\\b", "{", "]")):
        for value in (
            {key: "x" * size},
            {"a": {key: ["y" * size, {"b": 1}]}},
            key * size,
            [1, [key]],
        ):
            text = json.dumps(value) + ',"next":"z"}'
            _, end = decoder.raw_decode(text)
            raw = np.frombuffer(text.encode(), np.uint8)
            assert span(raw, 0, len(raw)) == end, text
