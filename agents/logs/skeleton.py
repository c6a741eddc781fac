"""Skeleton: the tokens of a line with every value that its shape betrays as MASK.

Delimiters are kept, since they say where a value ends; runs of masks become one, since how
many values a list has is no part of what a statement says.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from agents.logs.masking import bare
from agents.logs.shapes import is_name, shaped
from agents.logs.tokens import DELIMITERS, MASK, is_value

TOKENS = 64  # that count; lines that differ later alone are one template
PIECES = 3 * TOKENS  # that are looked at, before runs are one
CLOSING = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'"}
JOINTS = frozenset(",:-.|")  # between two masks: a list or a compound
BRACKETS = frozenset(")]}")

_pieces = re.compile(r"\s?(?:[^\s=:,;()\[\]{}<>\"'|]+|[=:,;()\[\]{}<>\"'|])").findall


class Skeleton(NamedTuple):
    """Tokens, and for each whether blanks came before it; at least one."""

    tokens: tuple[str, ...]
    gaps: tuple[bool, ...]


def skeleton(signature: str) -> Skeleton:
    """The skeleton of a signature.

    >>> skeleton("Failed login for a@b.c from [0.0.0.0]:0, 0, 0.").tokens
    ('Failed', 'login', 'for', '<*>', 'from', '[', '<*>', ']', ':', '<*>', '.')
    """
    row = _Row()
    for piece in _pieces(shaped(bare(signature)))[:PIECES]:
        gap, token, tail = _read(piece)
        if token in DELIMITERS:
            row.delimiter(token, gap)
        elif token == MASK:
            row.mask(gap)
        else:
            row.tokens.append(token)
            row.gaps.append(gap)
        if tail:
            row.tokens.append(tail)
            row.gaps.append(False)
        if len(row.tokens) >= TOKENS:
            break
    return Skeleton(tuple(row.tokens[:TOKENS]) or ("",), tuple(row.gaps[:TOKENS]) or (False,))


@lru_cache(maxsize=16_384)
def _read(piece: str) -> tuple[bool, str, str]:
    """Whether blanks came before; the delimiter, word or MASK; final punctuation apart from it."""
    text = piece.strip()
    word = text.rstrip(".!?*") or text
    token = MASK if "0" in word or is_name(word) else word
    return len(text) < len(piece), token, text[len(word) :]


class _Row:
    """Tokens so far, collapsed from left to right."""

    __slots__ = ("gaps", "tokens")

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.gaps: list[bool] = []

    def mask(self, gap: bool) -> None:  # noqa: FBT001 - positions alone, this runs for each value
        tokens = self.tokens
        if tokens and tokens[-1] == MASK:
            return
        if len(tokens) > 1 and tokens[-2] == MASK and tokens[-1] in JOINTS:
            del tokens[-1], self.gaps[-1]
            return
        tokens.append(MASK)
        self.gaps.append(gap)

    def delimiter(self, token: str, gap: bool) -> None:  # noqa: FBT001 - as above
        tokens = self.tokens
        if tokens and CLOSING.get(tokens[-1]) == token:
            self.mask(gap=False)  # an empty pair holds an empty value
        tokens.append(token)
        self.gaps.append(gap)
        if token not in BRACKETS or len(tokens) < 4:  # noqa: PLR2004 - mask, bracket, mask, bracket
            return
        if tokens[-2] == MASK == tokens[-4] and CLOSING.get(tokens[-3]) == token:
            del tokens[-3:], self.gaps[-3:]  # a bracketed mask after a mask restates it
        elif token == "]":  # noqa: S105 - a bracket
            self.enumeration()

    def enumeration(self) -> None:
        """[a, b, c]: a list of one-word items is one value."""
        tokens = self.tokens
        first = last = len(tokens) - 2
        while first > 1 and tokens[first - 1] == "," and is_value(tokens[first]):
            first -= 2
        if 0 < first < last and tokens[first - 1] == "[" and is_value(tokens[first]):
            tokens[first:-1] = [MASK]
            self.gaps[first:-1] = [False]
