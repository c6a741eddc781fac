"""Shapes: values that are known for what they are by how they are written.

All look at a signature, where each word with a digit is `0` already, and are linear in its
length: runs are bounded, or begin where no run can have begun before. They are compiled, since
anybody can write lines that nearly hold a value at every place.

A text is code points with a zero before and zeros after it, and the class of each. A shape says
where a value ends that begins at a place; NONE where none does.
"""

import re
from typing import Any

from agents.logs.letters import (
    ASCII,
    HEX,
    HOST,
    LETTER,
    NO_URL,
    PATH_MARK,
    WORD,
    packed,
    packing,
)
from agents.scorer.jit import lean

NONE = -1
PADDING = 16  # zeros after a text, which no shape looks beyond
URL, COLON_HEX, HOST_PORT, PATH, SIZE = range(5)  # in this order they are taken out
SCHEME, LABEL, QUERY, MARKS, GROUP, GROUPS = 32, 63, 256, 16, 4, 3  # characters; least groups

_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6}"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = rf"(?:{'|'.join(_MONTHS)})[a-z]{{0,6}}"
_DATE = re.compile(
    rf"\b(?:{_DAY},? {{1,3}})?(?:{_MONTH} {{1,3}}0|0[ /-]{_MONTH}[ /-]0)\b(?:,? {{1,3}}0)?"
    r"(?:[ :] {0,2}0:0(?::0)?(?:[.,]0)?)?(?: {1,3}[A-Z]{2,4}\b)?(?: {1,3}[+-]?0\b)?"
)


def dateless(text: str) -> str:
    """The text with dates that name their month as 0 each.

    >>> dateless("since Mon Jan 0 0:0:0 UTC 0, [0/Oct/0:0:0:0 +0]")
    'since 0, [0]'
    """
    if any(month in text for month in _MONTHS):
        return _DATE.sub("0", text)
    return text


_ZERO, _BLANK, _COLON, _SLASH, _BACKSLASH, _DOT, _DASH, _PLUS, _COMMA, _AT = map(ord, "0 :/\\.-+,@")
_TILDE, _LESS, _OPEN, _CLOSE, _QUESTION, _PERCENT, _STAR, _UNDERSCORE, _DOLLAR, _PIPE = map(
    ord, "~<()?%*_$|"
)
_I, _B, _SMALL_B, _S = map(ord, "iBbs")
_PREFIXES = tuple(map(ord, "KMGTkmgt"))
_BEFORE_PATH = tuple(map(ord, "/.\\>)]}"))
_OPENS_VALUE = tuple(map(ord, "=,[]{}"))  # within a path where a value or a name comes next
_YTE = packing("yte")
_TIMES = tuple(
    map(packing, "s ms us ns msec sec secs second seconds min minute minutes".split())  # noqa: SIM905 - reads better
)


@lean
def _url(text: Any, kinds: Any, at: Any) -> Any:
    r"""`\b[a-zA-Z][\w+.-]{0,31}://[^\s"'<>()|]*[\w/]`."""
    if kinds[at - 1] & WORD or not kinds[at] & LETTER or text[at] >= ASCII:
        return NONE
    i = at + 1
    while i - at < SCHEME and (kinds[i] & WORD or text[i] in (_PLUS, _DOT, _DASH)):
        i += 1
    if text[i] != _COLON or text[i + 1] != _SLASH or text[i + 2] != _SLASH:
        return NONE
    i, end = i + 3, NONE
    while text[i] and not kinds[i] & NO_URL:
        i += 1
        if kinds[i - 1] & WORD or text[i - 1] == _SLASH:
            end = i
    return end


@lean
def _colon_hex(text: Any, kinds: Any, at: Any) -> Any:
    r"""MAC and IPv6 addresses and world wide names, of which letters are left.

    `(?<![\w:])(?:[0-9A-Fa-f]{1,4})?(?::{1,2}[0-9A-Fa-f]{1,4}){3,}(?!\w)`.
    """
    if kinds[at - 1] & WORD or text[at - 1] == _COLON:
        return NONE
    i, groups, end = at, 0, NONE
    while i - at <= GROUP and kinds[i] & HEX:
        i += 1
    if i - at > GROUP:
        return NONE
    while text[i] == _COLON:
        i += 2 if text[i + 1] == _COLON else 1
        first = i
        while i - first <= GROUP and kinds[i] & HEX:
            i += 1
        if i == first or i - first > GROUP:
            break
        groups += 1
        if groups >= GROUPS and not kinds[i] & WORD:
            end = i
    return end


@lean
def _host_port(text: Any, kinds: Any, at: Any) -> Any:
    r"""`(?<![\w.-])[a-z0][a-z0-]{0,62}(?:\.[a-z0-]{1,63})+:0\b`."""
    before = text[at - 1]
    if kinds[at - 1] & WORD or before in (_DOT, _DASH) or not kinds[at] & HOST:
        return NONE
    i, labels = at, 0
    while True:
        first = i
        while i - first < LABEL and (kinds[i] & HOST or text[i] == _DASH):
            i += 1
        if i == first:
            return NONE
        labels += 1
        if text[i] != _DOT:
            break
        i += 1
    port = labels > 1 and text[i] == _COLON and text[i + 1] == _ZERO
    return i + 2 if port and not kinds[i + 2] & WORD else NONE


@lean
def _path_begin(text: Any, kinds: Any, at: Any) -> Any:
    """Where the first slash is: after a drive, `~`, `.`, `..` or nothing."""
    if kinds[at - 1] & WORD or text[at - 1] in _BEFORE_PATH:
        return NONE
    i = at
    if text[at] in (_TILDE, _DOT):
        i += 2 if text[at + 1] in (_TILDE, _DOT) else 1
    elif kinds[at] & LETTER and text[at] < ASCII and text[at + 1] == _COLON:
        i += 2
    return i if text[i] in (_SLASH, _BACKSLASH) else NONE


@lean
def _path(text: Any, kinds: Any, at: Any) -> Any:
    """A path, and the query or slash that ends it; a run of punctuation within is bounded."""
    i = _path_begin(text, kinds, at)
    if i == NONE:
        return NONE
    i, end = i + 1, NONE
    while True:
        first = i
        while i - first < MARKS:
            then, mark = text[i + 1], text[i]
            if not (
                kinds[i] & PATH_MARK
                or (mark == _COLON and (kinds[i + 1] & WORD or then in (_DOT, _SLASH)))
                or (mark in _OPENS_VALUE and then in (_ZERO, _DOT, _SLASH))
            ):
                break
            i += 1
        if not (kinds[i] & WORD or text[i] == _STAR):
            break
        while kinds[i] & WORD or text[i] == _STAR:
            i += 1
        end = i
    if end == NONE or text[end] in (_SLASH, _BACKSLASH):
        return end if end == NONE else end + 1
    return _query(text, kinds, end) if text[end] == _QUESTION else end


@lean
def _query(text: Any, kinds: Any, at: Any) -> Any:
    r"""`\?[^\s"'<>()]{0,256}[\w%]`, else nothing of it."""
    i, end = at + 1, at
    while i - at <= QUERY + 1 and text[i] and (not kinds[i] & NO_URL or text[i] == _PIPE):
        i += 1
        if kinds[i - 1] & WORD or text[i - 1] == _PERCENT:
            end = i
    return end


@lean
def _unit(text: Any, at: Any) -> Any:
    """`(?:[KMGTkmgt]i?)?(?:[Bb]ytes?|[Bb])`, as much of it as there is."""
    i = at
    if text[i] in _PREFIXES:
        i += 2 if text[i + 1] == _I else 1
    if text[i] not in (_B, _SMALL_B):
        return NONE
    i += 1
    if packed(text, i, 3) == _YTE:
        i += 4 if text[i + 3] == _S else 3
    return i


@lean
def _amount(text: Any, at: Any) -> Any:
    """What may follow a number of bytes: its decimals, a blank, the unit."""
    i = at
    if text[i] in (_DOT, _COMMA) and text[i + 1] == _ZERO:
        i += 2
    return _unit(text, i + 1 if text[i] == _BLANK else i)


@lean
def _bytes(text: Any, kinds: Any, at: Any) -> Any:
    """The rest of `0.0 KB`, and the same in another unit: `0.0 KB (0 bytes)`."""
    end = _amount(text, at)
    if end == NONE or kinds[end] & WORD:
        return NONE
    if text[end] == _BLANK and text[end + 1] == _OPEN and text[end + 2] == _ZERO:
        close = _amount(text, end + 3)
        if close != NONE and text[close] == _CLOSE:
            return close + 1
    return end


@lean
def _size(text: Any, kinds: Any, at: Any) -> Any:
    """`0 bytes`; `<0 KB` and `<0 sec`."""
    if text[at] == _ZERO:
        return NONE if kinds[at - 1] & WORD else _bytes(text, kinds, at + 1)
    if text[at] != _LESS or text[at + 1] != _ZERO:
        return NONE
    end = _bytes(text, kinds, at + 2)
    if end != NONE:
        return end
    first = at + 3 if text[at + 2] == _BLANK else at + 2
    i = first
    while i - first < 8 and kinds[i] & WORD:  # noqa: PLR2004 - one more than is read
        i += 1
    return i if i - first < 8 and packed(text, first, i - first) in _TIMES else NONE  # noqa: PLR2004


@lean
def shape_end(which: Any, text: Any, kinds: Any, at: Any) -> Any:
    """Where a value of a shape ends that begins at `at`; NONE where none does."""
    if which == URL:
        return _url(text, kinds, at)
    if which == COLON_HEX:
        return _colon_hex(text, kinds, at)
    if which == HOST_PORT:
        return _host_port(text, kinds, at)
    if which == PATH:
        return _path(text, kinds, at)
    return _size(text, kinds, at)


@lean
def is_name(text: Any, kinds: Any, first: Any, end: Any) -> Any:
    """Whether a word by itself is all-letter hex, or a name made of parts.

    Such as `deadbeef`, `com.example.shop`, `a/b/c`, `ann@shop`.
    """
    hexadecimal = end - first > 7  # noqa: PLR2004 - shorter ones may be words
    for i in range(first, end):
        hexadecimal = hexadecimal and kinds[i] & HEX != 0 and kinds[i] & LETTER != 0
    return hexadecimal or _is_parts(text, kinds, first, end) or _is_address(text, kinds, first, end)


@lean
def _is_parts(text: Any, kinds: Any, first: Any, end: Any) -> Any:
    r"""`[A-Za-z_$][\w$-]*(?:[./\\]{1,2}[A-Za-z_$][\w$-]*){2,}`."""
    i, parts = first, 0
    while i < end:
        letter = kinds[i] & LETTER and text[i] < ASCII
        if not (letter or text[i] in (_UNDERSCORE, _DOLLAR)):
            return False
        while i < end and (kinds[i] & WORD or text[i] in (_DOLLAR, _DASH)):
            i += 1
        parts += 1
        if i == end:
            return parts > 2  # noqa: PLR2004 - two may be two words
        joint = i
        while i < end and i - joint < 2 and text[i] in (_DOT, _SLASH, _BACKSLASH):  # noqa: PLR2004
            i += 1
        if i == joint:
            return False
    return False


@lean
def _is_address(text: Any, kinds: Any, first: Any, end: Any) -> Any:
    r"""`[\w.+-]+@[\w.-]+`."""
    at = NONE
    for i in range(first, end):
        if text[i] == _AT and at == NONE:
            at = i
        elif not (kinds[i] & WORD or text[i] in (_DOT, _DASH) or (text[i] == _PLUS and at == NONE)):
            return False
    return first < at < end - 1
