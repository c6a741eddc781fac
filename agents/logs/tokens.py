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

# A word that names a state or an operation is not a value: "link up" and "link down" are two
# statements, however many such words are seen in one place.
_STATE = re.compile(
    r"[a-z](?:ed|ing|ion|able)"
    r"|true|false|yes|no|on|off|none|null|nil|up|down|in|out|ok|success|fail|failure|error"
    r"|warn|warning|info|debug|fatal|start|stop|begin|end|enter|exit|open|close|read|write|add"
    r"|remove|enable|disable|active|inactive|online|offline|local|remote|get|put|post|delete"
    r"|patch|head|options|connect|trace"
)
_ENDING = re.compile(r"[a-z](?:ed|ing|ion|able)$")


_letter = re.compile(r"[^\W\d_]").search


@lru_cache(maxsize=16_384)
def kind(token: str) -> int:
    """REST, WORD, MASKED or LEARNED.

    >>> kind("user"), kind("="), kind("--"), kind(MASK), kind(ANY)
    (1, 0, 0, 2, 3)
    """
    if token == MASK:
        return MASKED
    if token == ANY:
        return LEARNED
    return WORD if _letter(token) else REST


@lru_cache(maxsize=16_384)
def code(token: str) -> int:
    """A token as 63 bits: equal for equal tokens, its kind in the two lowest.

    The hash is this process's own, so a code is never stored.
    """
    return (hash(token) & 0x1FFF_FFFF_FFFF_FFFF) << 2 | kind.__wrapped__(token)


@lru_cache(maxsize=16_384)
def is_state(token: str) -> bool:
    """Whether a word names a state or an operation.

    >>> is_state("Connected"), is_state("DOWN"), is_state("checkout")
    (True, True, False)
    """
    lower = token.lower()
    return _ENDING.search(lower) is not None or _STATE.fullmatch(lower) is not None


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
