"""Merge: when templates that are nearly alike are one, and what that one is.

At first sight: a value stands in one where the other has a mask. Learned: enough different
words have been seen in one place. Words that name a state are no values, and what is left
constant has to say something.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from agents.logs.align import CORES, EQUAL, KIND, ONE, TWO, Near, near
from agents.logs.match import Table, Template, Tokens
from agents.logs.tokens import (
    ANY,
    MASK,
    blend,
    code,
    is_state,
    is_value,
    is_word,
    words,
)

SCAN = 256  # newest templates of a bucket that a new one is compared with
MANY = 5  # different words that make a place variable
MANY_UNSURE = (
    8  # where less speaks for it: one constant word, capitals alone, two places, the first
)
CONTEXT = 2  # constant words that what is left needs
NAMED = frozenset({"user", "username", "account"})  # after these a name is due: two are enough
MANY_NAMED = 2
RARE = 4  # a template seen less often may be one of a flood
FLOOD = 64  # rare templates alike that are one
EVERY = 16  # new templates between two looks for a flood


class Join(NamedTuple):
    """Templates that become one with these tokens."""

    members: list[Template]
    tokens: Tokens


class Pair(NamedTuple):
    """A template beside another: the other, and how they lie."""

    other: Template
    near: Near


def join_of(table: Table, template: Template) -> Join | None:
    """What a template just filed, or just changed, becomes one with; None if with nothing."""
    slots = table.bucket(template.tokens[0], SCAN)
    close = near(table.codes, table.lengths, slots, template.slot) if len(slots) > 1 else []
    pairs = [Pair(next(table.at([found.slot])), found) for found in close]
    rules: tuple[Callable[[], Join | None], ...] = (
        lambda: _at_first_sight(template, pairs),
        lambda: _learned(template, [pair for pair in pairs if pair.near.how == ONE]),
        lambda: _two_places(template, [pair for pair in pairs if pair.near.how == TWO]),
        lambda: _first_place(table, template),
        lambda: _flood(table, template),
    )
    return next((join for rule in rules if (join := rule())), None)


# ---- at first sight


def _at_first_sight(template: Template, pairs: Iterable[Pair]) -> Join | None:
    mine = template.tokens
    for other, (_, how, prefix, suffix) in pairs:
        theirs = other.tokens
        if how == EQUAL:
            return Join([other, template], blend(mine, theirs))
        if how not in (ONE, CORES):
            continue
        end, their_end = len(mine) - suffix, len(theirs) - suffix
        x, y = mine[prefix:end], theirs[prefix:their_end]
        before, after = blend(mine[:prefix], theirs[:prefix]), blend(mine[end:], theirs[their_end:])
        if not _one_is_a_mask(x, y, after):
            continue
        rest = before + after
        if words(rest) >= CONTEXT + rest.count(ANY):
            core = (ANY,) if how == ONE else min(x, y, key=len)
            return Join([other, template], before + core + after)
    return None


def _one_is_a_mask(x: Tokens, y: Tokens, after: Tokens) -> bool:
    """Whether of two cores one is a mask and the other its value, with or without a label."""
    if len(x) > len(y):
        x, y = y, x
    if len(x) == len(y) == 1:
        return MASK in (x[0], y[0]) and is_value(y[0] if x[0] == MASK else x[0])
    if x == (MASK,):
        return _is_labelled(y)
    return not x and after[:1] == (MASK,) and _is_labelled((*y, MASK))


def _is_labelled(core: Tokens) -> bool:
    """A word, a separator, a mask, perhaps a closing bracket: `LOCAL(7)`, `popup:9`."""
    return 3 <= len(core) <= 4 and is_word(core[0]) and core[1] in ":-([{@#" and core[2] == MASK  # noqa: PLR2004


# ---- learned


def _learned(template: Template, pairs: list[Pair]) -> Join | None:
    places: dict[int, list[Template]] = {}
    for other, lies in pairs:
        places.setdefault(lies.prefix, []).append(other)
    for place, others in places.items():
        mine = template.tokens
        found = {mine[place], *(other.tokens[place] for other in others)}
        if len(found) >= _needed(mine, place, found) and all(map(is_word, found)):
            varying = (*mine[:place], ANY, *mine[place + 1 :])
            return Join([*others, template], blend(varying, *(other.tokens for other in others)))
    return None


def _needed(tokens: Tokens, place: int, found: set[str]) -> float:
    """How many words it takes to make a place variable, states among them included."""
    around = words(tokens[:place]) + words(tokens[place + 1 :])
    states = _states(found)
    if not around or 3 * states > len(found):
        return float("inf")
    if around >= CONTEXT and tokens[place - 1].lower() in NAMED:
        return MANY_NAMED + states
    unsure = around < CONTEXT or all(map(str.isupper, found))
    return (MANY_UNSURE if unsure else MANY) + states


def _states(found: Iterable[str]) -> int:
    return sum(map(is_state, found))


def _varies(found: set[str]) -> bool:
    """Whether so many different words were seen where less speaks for a variable place."""
    states = _states(found)
    return len(found) >= MANY_UNSURE and 3 * states <= len(found) and states < len(found)


def _two_places(template: Template, pairs: list[Pair]) -> Join | None:
    mine = template.tokens
    if len(pairs) < MANY_UNSURE - 1 or words(mine) - 2 < CONTEXT:
        return None
    places: dict[tuple[int, int], list[Template]] = {}
    for other, lies in pairs:
        places.setdefault((lies.prefix, len(mine) - 1 - lies.suffix), []).append(other)
    for (i, k), others in places.items():
        if _varies({o.tokens[i] for o in others}) and _varies({o.tokens[k] for o in others}):
            varying = (*mine[:i], ANY, *mine[i + 1 : k], ANY, *mine[k + 1 :])
            return Join([*others, template], blend(varying, *(o.tokens for o in others)))
    return None


def _first_place(table: Table, template: Template) -> Join | None:
    """Different words before the same long rest."""
    rest = template.tokens[1:]
    alike = table.tails(template)
    if len(alike) < MANY_UNSURE or words(rest) <= CONTEXT:
        return None
    if _varies({other.tokens[0] for other in alike if is_word(other.tokens[0])}):
        return Join(alike, (ANY, *rest))
    return None


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
