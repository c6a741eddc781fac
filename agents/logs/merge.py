"""Merge: when templates that are nearly alike are one, and what that one is.

At first sight: a value stands in one where the other has a mask. Learned: enough different
words have been seen in one place. Words that name a state are no values, and what is left
constant has to say something.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from agents.logs.align import CONTEXT, HOW, KIND, ONE, PREFIX, SLOT, SUFFIX, TWO, WORD, near
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
    one, two = pairs[how == ONE], pairs[how == TWO]
    return _learned(table, template, one) or _two_places(table, template, two)


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
    """One place in which enough different words have been seen."""
    mine, row = template.tokens, table.row(template)
    around = _words(row) - 1  # a word stands in the place itself
    if around < 1:
        return None
    named = [place for place, token in enumerate(mine, 1) if token.lower() in NAMED]
    fewest = (MANY_NAMED if named else MANY) if around >= CONTEXT else MANY_UNSURE
    for place, rows in _alike(pairs[:, PREFIX], fewest - 1):
        least = MANY if around >= CONTEXT and place not in named else fewest
        slots = pairs[rows, SLOT]
        found = np.unique(np.append(table.codes[slots, place], row[place]))
        states = _states(found)
        if (found & KIND != WORD).any() or len(found) < least + states or 3 * states > len(found):
            continue
        others = list(table.at(slots.tolist()))
        if least == MANY and _capitals(place, template, *others):
            least = MANY_UNSURE
        if len(found) < least + states:
            continue
        varying = (*mine[:place], ANY, *mine[place + 1 :])
        return Join([*others, template], blend(varying, *(other.tokens for other in others)))
    return None


def _alike(keys: Any, least: int) -> Iterator[tuple[int, Any]]:
    """Each key that `least` rows have, in the order in which they came, and these rows."""
    counts = np.bincount(keys)
    if counts.size and counts.max() >= least:
        for key in dict.fromkeys(keys[counts[keys] >= least].tolist()):
            yield key, np.flatnonzero(keys == key)


def _capitals(place: int, *templates: Template) -> bool:
    return all(template.tokens[place].isupper() for template in templates)


def _words(found: Any) -> int:
    """How many of some codes are of words."""
    return int(np.count_nonzero(found & KIND == WORD))


def _states(found: Any) -> int:
    """How many of some codes are of words that name a state."""
    return int(np.count_nonzero(found & STATE))


def _varied(found: Any) -> bool:
    return _varies(len(found), _states(found))


def _varies(found: int, states: int) -> bool:
    """Whether so many different words were seen where less speaks for a variable place."""
    return found >= MANY_UNSURE and 3 * states <= found and states < found


def _two_places(table: Table, template: Template, pairs: Any) -> Join | None:
    mine = template.tokens
    if len(pairs) < MANY_UNSURE - 1 or _words(table.row(template)) - 2 < CONTEXT:
        return None
    firsts, lasts = pairs[:, PREFIX], len(mine) - 1 - pairs[:, SUFFIX]
    places = firsts * len(mine) + lasts
    for both, rows in _alike(places, MANY_UNSURE):
        i, k = divmod(both, len(mine))
        slots = pairs[rows, SLOT]
        if all(_varied(np.unique(table.codes[slots, place])) for place in (i, k)):
            others = list(table.at(slots.tolist()))
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
