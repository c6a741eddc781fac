"""Merge: when templates that are nearly alike are one, and what that one is.

At first sight: a value stands in one where the other has a mask. Learned: enough different
words have been seen in one place. Words that name a state are no values, and what is left
constant has to say something.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from agents.logs.align import CONTEXT, HOW, KIND, ONE, PREFIX, SLOT, TWO, WORD, near
from agents.logs.match import Table, Template, Tokens
from agents.logs.tokens import ANY, STATE, blend, code, is_word, words

SCAN = 256  # newest templates of a bucket that a new one is compared with
MANY = 5  # different words that make a place variable
MANY_UNSURE = (
    8  # where less speaks for it: one constant word, capitals alone, two places, the first
)
NAMED = frozenset({"user", "username", "account"})  # after these a name is due: two are enough
MANY_NAMED = 2
RARE = 4  # a template seen less often may be one of a flood
FLOOD = 64  # rare templates alike that are one
EVERY = 16  # new templates between two looks for a flood


class Join(NamedTuple):
    """Templates that become one with these tokens."""

    members: list[Template]
    tokens: Tokens


def join_of(table: Table, template: Template) -> Join | None:
    """What a template just filed, or just changed, becomes one with; None if with nothing."""
    rules: tuple[Callable[[], Join | None], ...] = (
        lambda: _beside(table, template),
        lambda: _first_place(table, template),
        lambda: _flood(table, template),
    )
    return next((join for rule in rules if (join := rule())), None)


def _beside(table: Table, template: Template) -> Join | None:
    slots = table.bucket(template.tokens[0], SCAN)
    if len(slots) < 2:  # noqa: PLR2004 - itself
        return None
    pairs, at_once = near(table.codes, table.lengths, slots, template.slot)
    if at_once:
        return _at_first_sight(table, template, *pairs[-1].tolist())
    if not len(pairs):
        return None
    how = pairs[:, HOW]
    return _learned(table, template, pairs[how == ONE]) or _two_places(
        table, template, pairs[how == TWO]
    )


# ---- at first sight


def _at_first_sight(
    table: Table, template: Template, slot: int, how: int, prefix: int, suffix: int
) -> Join:
    """The mask stands for the value from now on, or ANY for both; the kernel has judged."""
    (other,) = table.at([slot])
    mine, theirs = template.tokens, other.tokens
    end, their_end = len(mine) - suffix, len(theirs) - suffix
    before, after = blend(mine[:prefix], theirs[:prefix]), blend(mine[end:], theirs[their_end:])
    core: Tokens = min(mine[prefix:end], theirs[prefix:their_end], key=len)
    return Join([other, template], before + ((ANY,) if how == ONE else core) + after)


# ---- learned


def _learned(table: Table, template: Template, pairs: Any) -> Join | None:
    """One place in which enough different words have been seen.

    There may be hundreds of pairs, so words are counted by their codes.
    """
    if not len(pairs):
        return None
    row, mine = table.codes[template.slot], template.tokens
    around = words(mine) - 1  # a word stands in the place itself
    places: dict[int, list[int]] = {}
    for i, place in enumerate(pairs[:, PREFIX].tolist()):
        places.setdefault(place, []).append(i)
    for place, those in places.items():
        slots = pairs[those, SLOT]
        found = {int(row[place]), *table.codes[slots, place].tolist()}
        least = _least(mine, place, found, around)
        if len(found) < least:
            continue
        others = list(table.at(slots.tolist()))
        if least == MANY + _states(found) and _capitals(place, template, *others):
            least = MANY_UNSURE + _states(found)
        if len(found) < least:
            continue
        varying = (*mine[:place], ANY, *mine[place + 1 :])
        return Join([*others, template], blend(varying, *(other.tokens for other in others)))
    return None


def _least(tokens: Tokens, place: int, found: set[int], around: int) -> float:
    """How many words it takes to make a place variable, states among them included."""
    least = MANY_UNSURE
    if around >= CONTEXT:
        least = MANY_NAMED if tokens[place - 1].lower() in NAMED else MANY
    if len(found) < least or not around or any(word & KIND != WORD for word in found):
        return float("inf")
    states = _states(found)
    return least + states if 3 * states <= len(found) else float("inf")


def _capitals(place: int, *templates: Template) -> bool:
    return all(template.tokens[place].isupper() for template in templates)


def _states(found: Iterable[int]) -> int:
    return sum(word & STATE > 0 for word in found)


def _varies(found: int, states: int) -> bool:
    """Whether so many different words were seen where less speaks for a variable place."""
    return found >= MANY_UNSURE and 3 * states <= found and states < found


def _two_places(table: Table, template: Template, pairs: Any) -> Join | None:
    mine = template.tokens
    if len(pairs) < MANY_UNSURE - 1 or words(mine) - 2 < CONTEXT:
        return None
    places: dict[tuple[int, int], list[int]] = {}
    for slot, _, prefix, suffix in pairs.tolist():
        places.setdefault((prefix, len(mine) - 1 - suffix), []).append(slot)
    for (i, k), slots in places.items():
        if len(slots) < MANY_UNSURE:
            continue
        first, last = (set(table.codes[slots, place].tolist()) for place in (i, k))
        if _varies(len(first), _states(first)) and _varies(len(last), _states(last)):
            others = list(table.at(slots))
            varying = (*mine[:i], ANY, *mine[i + 1 : k], ANY, *mine[k + 1 :])
            return Join([*others, template], blend(varying, *(o.tokens for o in others)))
    return None


def _first_place(table: Table, template: Template) -> Join | None:
    """Different words before the same long rest."""
    rest, alike = template.tokens[1:], table.tail(template)
    if alike is None or not _varies(alike.words, alike.states) or words(rest) <= CONTEXT:
        return None
    return Join(list(alike.templates.values()), (ANY, *rest))


# ---- floods


def _flood(table: Table, template: Template) -> Join | None:
    """Many rare templates of one length: keep the words that half of them share."""
    if len(table) % EVERY:
        return None
    mine, size = template.tokens, len(template.tokens)
    near_by = table.at(table.bucket(mine[0], SCAN).tolist())
    alike = [o for o in near_by if o.count < RARE and len(o.tokens) == size and o is not template]
    if len(alike) < FLOOD:
        return None
    codes = table.codes[[other.slot for other in alike], :size]
    kept = 2 * (codes == table.codes[template.slot, :size]).sum(axis=0) >= len(alike)
    kept |= [not is_word(token) for token in mine]
    shared = tuple(token if keep else ANY for token, keep in zip(mine, kept, strict=True))
    takes = (codes == [code(token) for token in shared]) | (~kept & (codes & KIND != 0))
    members = [alike[row] for row in np.flatnonzero(takes.all(axis=1))]
    if ANY in shared and words(shared) >= CONTEXT and 2 * len(members) >= FLOOD:
        return Join([*members, template], shared)
    return None
