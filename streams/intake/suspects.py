"""Which texts may hold something to mask, told by one compiled pass over all of a batch.

Masking (schemas/masking.py) looks at a text ten times over; of ordinary log lines hardly one
in a hundred has anything for it. Here every byte is looked at once: an automaton finds the
words that announce a secret (Aho and Corasick, 1975), groups of digits are measured where they
begin, runs of base64 where they end. What is found is which steps of masking are worth their
while for which text: no step that would change it is missing, some are there in vain.
"""

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from agents.scorer.jit import compiled, kept
from schemas.issued import ISSUERS
from schemas.labelled import CERTAINLY, CODES, LABELS, OPTIONS, SHORT
from schemas.masking import AT

# Bits, by the places of masking's steps
WORDS, ISSUED, EMAIL, PERSON, PHONE, IBAN, KEY, IPV4, IPV6, CARD = (1 << n for n in range(10))
# What a word that was found asks of what is around it
LABEL, CERTAIN, TOKEN, URL, SIGN, CODE = 1, 2, 4, 8, 16, 32
UPPER, LOWER, DIGIT, BASE, NAME = (np.uint8(1 << n) for n in range(5))  # classes of bytes
LETTERS = UPPER | LOWER | DIGIT
KEYS = np.uint8(15)  # what keys in base64 are of
SHIFT = np.uint64(6)  # columns of the automaton, as a power of two
TELLS = np.uint16(1 << 15)  # in the table: something ends in this state
SPACE, QUOTE, APOSTROPHE, OPEN, BACKSLASH = 32, 34, 39, 40, 92
SMALL_I, SMALL_S, SMALL_V = 105, 115, 118
PLUS, COMMA, DASH, DOT, SLASH, ZERO, NINE, COLON, EQUALS, GREATER, AT_SIGN = (
    43, 44, 45, 46, 47, 48, 57, 58, 61, 62, 64,
)  # fmt: skip
ENDS_OF_NAME = COMMA, 41, 93, 125  # ), ] and }
CODE_BETWEEN = DASH, QUOTE, APOSTROPHE, BACKSLASH
LONGEST_LABEL, LONGEST_HOST, LONGEST_KEY = 40, 600, 40  # bytes; the last is the shortest of keys
CODE_DIGITS = 3  # at least
TOKEN_BYTES = 8  # at least, behind the beginning of an issued token


def _automaton() -> tuple[Any, Any, Any, Any]:
    """Folded bytes to columns, the table of states, what a state has found, and of what length."""
    words = {word.lower(): TOKEN for word in ISSUERS} | dict.fromkeys(AT, SIGN) | {"://": URL}
    words |= dict.fromkeys(CODES, CODE) | dict.fromkeys(LABELS, LABEL)
    words |= dict.fromkeys(CERTAINLY + OPTIONS + SHORT, CERTAIN)
    letters = sorted({ord(char) for word in words for char in word})
    column = np.zeros(256, np.uint8)
    for place, letter in enumerate(letters, 1):
        column[letter] = column[ord(chr(letter).upper())] = place
    next_of: list[dict[int, int]] = [{}]
    found, size = [0], [0]
    for word, kind in words.items():
        state = 0
        for char in word:
            place = int(column[ord(char)])
            if place not in next_of[state]:
                next_of[state][place] = len(next_of)
                next_of.append({})
                found.append(0)
                size.append(0)
            state = next_of[state][place]
        found[state] |= kind
        size[state] = len(word)
    table = np.zeros((len(next_of), len(letters) + 1), np.uint16)
    waiting, back = deque(next_of[0].values()), [0] * len(next_of)
    table[0, list(next_of[0])] = list(next_of[0].values())
    while waiting:
        state = waiting.popleft()
        found[state] |= found[back[state]]
        size[state] = size[state] or size[back[state]]
        table[state] = table[back[state]]
        for place, after in next_of[state].items():
            back[after] = int(table[state, place])
            table[state, place] = after
            waiting.append(after)
    told = np.array(found, np.uint8)
    wide = np.zeros((len(next_of), 1 << int(SHIFT)), np.uint16)
    wide[:, : table.shape[1]] = np.where(told[table] > 0, table | TELLS, table)
    return column, wide.ravel(), told, np.array(size, np.int64)


def _classes() -> Any:
    classes = np.zeros(256, np.uint8)
    for byte in range(128):
        char = chr(byte)
        if char.isalnum():
            classes[byte] = (UPPER if char.isupper() else LOWER if char.islower() else DIGIT) | NAME
    classes[[ord("/"), ord("+")]] = BASE
    classes[ord("_")] = NAME
    classes[128:] = NAME  # of letters that are not English
    return classes


COLUMN, TABLE, FOUND, SIZE = _automaton()
CLASSES = _classes()


def suspects(texts: list[str], wanted: int) -> npt.NDArray[np.uint16]:
    """For each text the bits of those of the wanted steps that may change it."""
    column = pa.array(texts, pa.large_string())
    if not len(column):
        return np.zeros(0, np.uint16)
    _, ends, data = column.buffers()
    end = np.frombuffer(ends, np.int64, len(texts) + 1)
    inside = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    bits = np.zeros(len(texts), np.uint16)
    _scan(inside, end, wanted, COLUMN, TABLE, FOUND, SIZE, CLASSES, bits)
    return bits


@kept
def _scan(  # noqa: C901 - one pass, in which all that is looked for keeps its place
    data: Any, end: Any, wanted: Any, column: Any, table: Any, found: Any, size: Any, classes: Any,
    bits: Any,
) -> None:  # fmt: skip
    for i in range(bits.size):
        first, last = end[i], end[i + 1]
        seen, url, colons = 0, False, 0
        state, before = np.uint16(0), np.uint8(0)
        start = group = np.uint64(first)
        for each in range(np.uint64(first), np.uint64(last)):
            place = np.uint64(each)
            byte = data[place]
            kind = classes[byte]
            entry = table[np.uint64(state) << SHIFT | np.uint64(column[byte])]
            state = entry & ~TELLS
            if entry != state:
                what = found[state]
                url = url or bool(what & URL)
                seen |= _announced(
                    data, np.int64(place), first, last, what, size[state], url, classes
                )
            if (kind ^ before) & DIGIT:
                if kind & DIGIT:
                    group = place
                else:
                    seen |= _group(data, np.int64(group), np.int64(place), first, last, classes)
            if not kind & KEYS:
                if place - start >= LONGEST_KEY:
                    seen |= _key(data, np.int64(start), np.int64(place), classes)
                start = place + np.uint64(1)
                colons += byte == COLON
            before = kind
        if before & DIGIT:
            seen |= _group(data, np.int64(group), last, first, last, classes)
        if np.uint64(last) - start >= LONGEST_KEY:
            seen |= _key(data, np.int64(start), last, classes)
        if colons > 1:
            seen |= IPV6
        bits[i] = seen & wanted


@compiled
def _announced(
    data: Any, place: Any, first: Any, last: Any, found: Any, size: Any, url: Any, classes: Any
) -> Any:
    """What a word that ends at `place` makes worth a look."""
    seen = 0
    if found & CERTAIN:
        seen |= WORDS
    if found & LABEL and _labels(data, place, last, classes):
        seen |= WORDS
    if found & CODE and _is_coded(data, place + 1, last, classes):
        seen |= WORDS
    if found & TOKEN and _goes_on(data, place + 1, last, classes):
        start = place + 1 - size
        inside = start > first and classes[data[start - 1]] & LETTERS  # of another word
        if not inside or not classes[data[start]] & NAME:
            seen |= ISSUED
    if found & SIGN:
        if url or (data[place] == AT_SIGN and place + 4 < last and data[place + 4] == OPEN):
            seen |= WORDS
        if place + 5 < last and data[place + 5] == OPEN:
            seen |= WORDS
        if _host(data, place + 1, last, classes):
            seen |= EMAIL
    return seen


@compiled
def _labels(data: Any, place: Any, last: Any, classes: Any) -> Any:
    """Whether what was found names a value: a sign of equality follows, with little between."""
    if data[place] == EQUALS:
        return True
    place += 1
    stop = min(last, place + LONGEST_LABEL)
    while place < stop and (classes[data[place]] & NAME or data[place] == DASH):
        place += 1
    stop, quoted = min(last, place + LONGEST_LABEL), False
    while place < stop:
        byte = data[place]
        if byte in (COLON, EQUALS, GREATER):
            return True
        if byte | 32 == SMALL_V:  # perhaps a `value` of that name
            return True
        blank = byte <= SPACE or byte >= 128  # noqa: PLR2004 - or one that is not ASCII
        quoted = quoted or byte in (QUOTE, APOSTROPHE)
        if not (blank or quoted or byte in (BACKSLASH, COMMA)):
            return False
        if quoted and byte in ENDS_OF_NAME:  # whose value may stand before it, or in a list
            return True
        place += 1
    return quoted


@compiled
def _is_coded(data: Any, place: Any, last: Any, classes: Any) -> Any:
    """Whether digits follow, behind a sign of equality or `is`, with little between."""
    said = False
    for i in range(place, min(last, place + LONGEST_LABEL)):
        byte = data[i]
        if classes[byte] & DIGIT and said:
            return _digits(data, i, last) >= CODE_DIGITS
        if byte in (COLON, EQUALS, GREATER) or (
            byte | 32 == SMALL_S and i > place and data[i - 1] | 32 == SMALL_I
        ):
            said = True
        elif not (classes[byte] & NAME or byte <= SPACE or byte in CODE_BETWEEN):
            return False
    return False


@compiled
def _goes_on(data: Any, place: Any, last: Any, classes: Any) -> Any:
    """Whether so many characters follow as every issued token has."""
    if place + TOKEN_BYTES > last:
        return False
    for i in range(place, place + TOKEN_BYTES):
        byte = data[i]
        if not (classes[byte] & NAME or byte in (DASH, DOT, SLASH, PLUS)):
            return False
    return True


@compiled
def _host(data: Any, place: Any, last: Any, classes: Any) -> Any:
    """Whether a name with a point in it begins here."""
    for i in range(place, min(last, place + LONGEST_HOST)):
        byte = data[i]
        if byte == DOT:
            return i > place
        if not (classes[byte] & NAME or byte == DASH):
            return False
    return False


@compiled
def _digits(data: Any, place: Any, last: Any) -> Any:
    """How many digits stand here."""
    start = place
    while place < last and ZERO <= data[place] <= NINE:
        place += 1
    return place - start


@compiled
def _group(data: Any, place: Any, behind: Any, first: Any, last: Any, classes: Any) -> Any:
    """What a group of digits, from `place` to `behind`, may be the beginning of."""
    seen, size = 0, behind - place
    before = data[place - 1] if place > first else SPACE
    sign = data[behind] if behind < last else COLON
    if before == PLUS and data[place] != ZERO:
        seen |= PHONE
    if size >= 14:  # noqa: PLR2004 - a card's, at least
        seen |= CARD
    elif size == 4 and sign in (SPACE, DASH):  # noqa: PLR2004 - as printed on a card
        second = _digits(data, behind + 1, last)
        after = behind + 1 + second
        if second in (4, 6) and after < last and data[after] == sign:
            seen |= CARD
    elif size <= 3:  # noqa: PLR2004 - a byte
        if sign == DOT and _digits(data, behind + 1, last):
            seen |= IPV4
        elif size == 3 and sign == DASH and _digits(data, behind + 1, last) == 2:  # noqa: PLR2004 - a person's number
            seen |= PERSON
    if (
        size >= 2  # noqa: PLR2004 - check digits of an account, behind its country
        and place - 2 >= first
        and classes[before] & UPPER
        and classes[data[place - 2]] & UPPER
    ):
        seen |= IBAN
    return seen


@compiled
def _key(data: Any, start: Any, stop: Any, classes: Any) -> Any:
    """Whether a run has all kinds of characters, as what is drawn at random."""
    kinds = 0
    for i in range(start, stop):
        kinds |= classes[data[i]]
    return KEY if kinds & 7 == 7 else 0  # noqa: PLR2004 - capitals, small letters, digits
