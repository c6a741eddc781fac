"""Plain: a signature as characters and their classes, 0 for each value that its shape betrays.

What a shape looks at is what the shapes before it have left.
"""

from typing import Any

from agents.logs.letters import DIGIT, HEX, HOST, PLANE, WORD
from agents.logs.shapes import COLON_HEX, GROUPS, HOST_PORT, NONE, PATH, SIZE, URL, shape_end
from agents.scorer.jit import lean

LEADER = 4  # dots, of which a row leads from a label to its value, as in a table of contents
_ZERO, _DOT, _BLANK, _COLON, _SLASH, _BACKSLASH = map(ord, "0. :/\\")
_OF_ZERO = WORD | DIGIT | HEX | HOST  # the class of 0


@lean
def plain(given: Any, classes: Any, text: Any, kinds: Any) -> Any:
    """Write a text without its values; where it ends, it begins at 1.

    `given` uint32 [n]; `classes` as in letters.py; `text` uint32 and `kinds` uint16, both zero
    and of 2 n + PADDING: a leader of four dots becomes five characters.
    """
    end = _taken(given, classes, text, kinds)
    colons = slashes = 0
    for i in range(1, end):
        colons += text[i] == _COLON
        slashes += text[i] == _SLASH or text[i] == _BACKSLASH
    if colons and slashes:
        end = _without(URL, text, kinds, end)
    if colons >= GROUPS:
        end = _without(COLON_HEX, text, kinds, end)
    if colons:
        end = _without(HOST_PORT, text, kinds, end)
    if slashes:
        end = _without(PATH, text, kinds, end)
    return _without(SIZE, text, kinds, end)


@lean
def _taken(given: Any, classes: Any, text: Any, kinds: Any) -> Any:
    """Copy the text behind a zero, each leader as one of three dots; where it ends."""
    end, dots = 1, 0
    for i in range(given.size + 1):
        point = given[i] if i < given.size else 0
        if point == _DOT:
            dots += 1
            continue
        leads = dots >= LEADER
        for k in range(5 if leads else dots):
            text[end] = _BLANK if leads and k in (0, 4) else _DOT
            end += 1
        dots = 0
        if i < given.size:
            text[end] = point
            end += 1
    for i in range(1, end):
        kinds[i] = classes[min(text[i], PLANE)]
    return end


@lean
def _without(which: Any, text: Any, kinds: Any, end: Any) -> Any:
    """Put 0 for each value of a shape, in place; where the text ends then."""
    i = put = 1
    while i < end:
        after = shape_end(which, text, kinds, i)
        if after != NONE:
            text[put], kinds[put] = _ZERO, _OF_ZERO
            i = after
        else:
            text[put], kinds[put] = text[i], kinds[i]
            i += 1
        put += 1
    text[put:end], kinds[put:end] = 0, 0
    return put
