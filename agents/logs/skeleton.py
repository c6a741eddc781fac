"""Skeleton: the tokens of a line with every value that its shape betrays as MASK.

Delimiters are kept, since they say where a value ends; runs of masks become one, since how
many values a list has is no part of what a statement says.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from agents.logs.shapes import is_name, shaped
from agents.logs.tokens import DELIMITERS, MASK, is_value
from schemas.masking import bare

TOKENS = 48  # that count; lines that differ later alone are one template
PIECES = 3 * TOKENS  # that are looked at, before runs are one
BEGINNING = 2 * PIECES  # characters that mostly hold so many, where there are many
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
    if not signature.isascii():  # half a surrogate pair can be neither hashed nor stored
        signature = signature.encode("utf-8", "replace").decode()
    tokens: list[str] = []
    gaps: list[bool] = []
    for piece in _first_pieces(shaped(bare(signature))):
        gap, token, tail = _read(piece)
        if token in DELIMITERS:
            _delimiter(tokens, gaps, token, gap)
        elif token != MASK or _stands_alone(tokens, gaps):
            tokens.append(token)
            gaps.append(gap)
        if tail:
            tokens.append(tail)
            gaps.append(False)
        if len(tokens) >= TOKENS:
            break
    return Skeleton(tuple(tokens[:TOKENS]) or ("",), tuple(gaps[:TOKENS]) or (False,))


def _first_pieces(text: str) -> list[str]:
    """At most PIECES; of a long text mostly without reading all of it."""
    pieces = _pieces(text[:BEGINNING])
    if len(text) > BEGINNING and len(pieces) <= PIECES:  # the last may be a part of one
        pieces = _pieces(text)
    return pieces[:PIECES]


@lru_cache(maxsize=16_384)
def _read(piece: str) -> tuple[bool, str, str]:
    """Whether blanks came before; the delimiter, word or MASK; final punctuation apart from it."""
    text = piece.strip()
    gap = len(text) < len(piece)
    if text.isalpha():  # most are
        return gap, MASK if is_name(text) else text, ""
    word = text.rstrip(".!?*") or text
    token = MASK if "0" in word or is_name(word) else word
    return gap, token, text[len(word) :]


def _stands_alone(tokens: list[str], gaps: list[bool]) -> bool:
    """Whether a mask that comes next is no part of a run; where it is, its joint goes."""
    if tokens and tokens[-1] == MASK:
        return False
    if len(tokens) > 1 and tokens[-2] == MASK and tokens[-1] in JOINTS:
        del tokens[-1], gaps[-1]
        return False
    return True


def _delimiter(tokens: list[str], gaps: list[bool], token: str, gap: bool) -> None:  # noqa: FBT001 - positions alone, this runs for each
    if tokens and CLOSING.get(tokens[-1]) == token and _stands_alone(tokens, gaps):
        tokens.append(MASK)  # an empty pair holds an empty value
        gaps.append(False)
    tokens.append(token)
    gaps.append(gap)
    if token not in BRACKETS or len(tokens) < 4:  # noqa: PLR2004 - mask, bracket, mask, bracket
        return
    if tokens[-2] == MASK == tokens[-4] and CLOSING.get(tokens[-3]) == token:
        del tokens[-3:], gaps[-3:]  # a bracketed mask after a mask restates it
    elif token == "]":  # noqa: S105 - a bracket
        _enumeration(tokens, gaps)


def _enumeration(tokens: list[str], gaps: list[bool]) -> None:
    """[a, b, c]: a list of one-word items is one value."""
    first = last = len(tokens) - 2
    while first > 1 and tokens[first - 1] == "," and is_value(tokens[first]):
        first -= 2
    if 0 < first < last and tokens[first - 1] == "[" and is_value(tokens[first]):
        tokens[first:-1] = [MASK]
        gaps[first:-1] = [False]
