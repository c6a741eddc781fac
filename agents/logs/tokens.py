"""Tokens: the pieces of a template, and what is known of a piece by itself.

A piece is a word, a delimiter, other punctuation, `MASK` (variable by its shape) or `ANY`
(learned to vary). Neither mark can come out of a line: `<` and `>` are pieces of their own.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

MASK = "<*>"
ANY = "<+>"
DELIMITERS = frozenset("=:,;()[]{}<>\"'|")

REST, WORD, MASKED, LEARNED = range(4)  # kinds, the two low bits of a code
STATE, SEPARATOR = 4, 8  # and the two above: what is known besides

# A word that names a state or an operation is not a value: "link up" and "link down" are two
# statements, however many such words are seen in one place.
_STATES = frozenset(
    "true false yes no on off none null nil up down in out ok success fail failure error"  # noqa: SIM905 - sixty quotes read worse
    " warn warning info debug fatal start stop begin end enter exit open close read write add"
    " remove enable disable active inactive online offline local remote get put post delete"
    " patch head options connect trace".split()
)
_ENDINGS = {"d": "ed", "g": "ing", "n": "ion", "e": "able"}  # by their last letter
SEPARATORS = ":-([{@#"  # between a label and its value

_letter = re.compile(r"[^\W\d_]").search


@lru_cache(maxsize=16_384)
def kind(token: str) -> int:
    """REST, WORD, MASKED or LEARNED.

    >>> kind("user"), kind("="), kind("--"), kind(MASK), kind(ANY)
    (1, 0, 0, 2, 3)
    """
    if token.isalpha():  # most are
        return WORD
    if token == MASK:
        return MASKED
    if token == ANY:
        return LEARNED
    return WORD if _letter(token) else REST


@lru_cache(maxsize=16_384)
def code(token: str) -> int:
    """A token as 63 bits: equal for equal tokens; in the lowest its kind, STATE and SEPARATOR.

    The hash is this process's own, so a code is never stored.
    """
    if token.isalpha():  # most are, and a stream of new words comes here for each
        facts = WORD | STATE if _names_a_state(token) else WORD
    else:
        facts = kind(token)
        if facts == WORD:
            facts |= STATE * _names_a_state(token)
        elif token in SEPARATORS:
            facts |= SEPARATOR
    return (hash(token) & 0x07FF_FFFF_FFFF_FFFF) << 4 | facts


def _names_a_state(token: str) -> bool:
    lower = token.lower()
    if lower in _STATES:
        return True
    ending = _ENDINGS.get(lower[-1:])
    if ending is None or not lower.endswith(ending):
        return False
    return "a" <= lower[: -len(ending)][-1:] <= "z"


@lru_cache(maxsize=16_384)
def is_state(token: str) -> bool:
    """Whether a word names a state or an operation.

    >>> is_state("Connected"), is_state("DOWN"), is_state("checkout"), is_state("ion")
    (True, True, False, False)
    """
    return _names_a_state(token)


def is_word(token: str) -> bool:
    """Whether a token holds a letter and is no mark."""
    return kind(token) == WORD


def is_value(token: str) -> bool:
    """Whether a token can stand for a value: a mask, or a word that names no state."""
    return token == MASK or (kind(token) == WORD and not is_state(token))


def words(tokens: Iterable[str]) -> int:
    """How many tokens are words: what a template says for certain."""
    return sum(kind(token) == WORD for token in tokens)


def blend(*rows: tuple[str, ...]) -> tuple[str, ...]:
    """Rows of one length that differ in ANY alone, as one: ANY wins.

    >>> blend(("a", "b"), ("a", ANY))
    ('a', '<+>')
    """
    return tuple(ANY if ANY in column else column[0] for column in zip(*rows, strict=True))
