"""Match: the live templates, and which of them a skeleton belongs to.

Templates lie in slots of one table of token codes, so that the kernels of align.py compare a
skeleton with hundreds of them in microseconds. A bucket holds the templates of one first
token, oldest first; those with learned places are listed by first token and length besides.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from agents.logs.align import accepting
from agents.logs.skeleton import TOKENS, Skeleton
from agents.logs.tokens import ANY, MASK, codes, is_state, is_word

Codes = npt.NDArray[np.int64]
Tokens = tuple[str, ...]

PLAIN = 4  # tokens, from which on the rest after the first says enough to be compared alone


class Template:
    """A template and how often it was seen; `id` is the hash of the skeleton that founded it."""

    __slots__ = ("_text", "born", "count", "gaps", "id", "last", "slot", "tokens")

    def __init__(self, ident: str, tokens: Tokens, gaps: tuple[bool, ...], born: int) -> None:
        self.id = ident
        self.say(tokens, gaps)
        self.born = born  # the line it began with, counted over the miner's life
        self.last = born
        self.count = 0
        self.slot = -1

    def say(self, tokens: Tokens, gaps: tuple[bool, ...]) -> None:
        """From now on it stands for these tokens; `gaps` says which have a blank before them."""
        self.tokens = tokens
        self.gaps = gaps
        self._text = ""

    @property
    def text(self) -> str:
        """The template as a person writes it: `<*>` for what varies, blanks as in its lines."""
        if not self._text:
            pairs = zip(self.tokens, self.gaps, strict=True)
            spaced = [" " + token if gap else token for token, gap in pairs]
            self._text = "".join(spaced).strip().replace(ANY, MASK)
        return self._text


def identity(tokens: Tokens) -> str:
    """16 hex digits: BLAKE2b of the tokens, 64 bits.

    >>> identity(("a", MASK)) == identity(("a", MASK)) != identity(("a", ANY))
    True
    """
    text = "\0".join(tokens).encode("utf-8", "replace")
    return hashlib.blake2b(text, digest_size=8).hexdigest()


class _Slots:
    """Numbers of slots in the order in which they came."""

    __slots__ = ("_row", "count")

    def __init__(self) -> None:
        self._row = np.zeros(2, np.int32)
        self.count = 0

    def append(self, slot: int) -> None:
        if self.count == len(self._row):
            self._row = np.concatenate([self._row, np.zeros_like(self._row)])
        self._row[self.count] = slot
        self.count += 1

    def remove(self, slot: int) -> None:
        place = int(np.argmax(self._row[: self.count] == slot))
        self._row[place : self.count - 1] = self._row[place + 1 : self.count]
        self.count -= 1

    def newest(self, number: int) -> Any:
        return self._row[max(0, self.count - number) : self.count]


class Tail:
    """Templates that are equal but for the first token, and how many words stand first."""

    __slots__ = ("_firsts", "states", "templates")

    def __init__(self) -> None:
        self.templates: dict[str, Template] = {}
        self.states = 0  # of the words, those that name a state
        self._firsts: dict[str, int] = {}  # word -> templates that begin with it

    @property
    def words(self) -> int:
        """How many different words."""
        return len(self._firsts)

    def add(self, template: Template) -> None:
        """Take a template in."""
        self.templates[template.id] = template
        first = template.tokens[0]
        if is_word(first):
            self._firsts[first] = self._firsts.get(first, 0) + 1
            self.states += self._firsts[first] == 1 and is_state(first)

    def remove(self, template: Template) -> None:
        """Let a template go."""
        del self.templates[template.id]
        first = template.tokens[0]
        if is_word(first):
            self._firsts[first] -= 1
            if not self._firsts[first]:
                del self._firsts[first]
                self.states -= is_state(first)


class Table:
    """The live templates."""

    def __init__(self) -> None:
        self.codes = np.zeros((64, TOKENS + 2), np.int64)
        self.lengths = np.zeros(64, np.int32)
        self._slots: list[Template | None] = [None] * 64
        self._free = list(range(63, -1, -1))
        self._buckets: dict[str, _Slots] = {}
        self._learned: dict[tuple[str, int], _Slots] = {}
        self._tails: dict[Tokens, Tail] = {}
        self._by_id: dict[str, Template] = {}

    def __len__(self) -> int:
        """How many templates."""
        return len(self._by_id)

    def __iter__(self) -> Iterator[Template]:
        """Bucket by bucket, in each the order of filing: filed so anew, all is as it was."""
        for bucket in self._buckets.values():
            yield from self.at(bucket.newest(bucket.count).tolist())

    @classmethod
    def of(cls, templates: list[Template]) -> Self:
        """A table in which the templates are filed one after the other."""
        table = cls()
        for template in templates:
            table.file(template)
        return table

    def at(self, slots: list[int]) -> Iterator[Template]:
        """The templates in slots."""
        for slot in slots:
            template = self._slots[slot]
            assert template is not None, "an index names an empty slot"  # noqa: S101 - narrows the type
            yield template

    def get(self, ident: str) -> Template | None:
        """The live template of an id."""
        return self._by_id.get(ident)

    def accepting(self, tokens: Tokens) -> Template | None:
        """The template that takes these tokens: equal but for ANY, fewest ANY, then oldest."""
        keys = ((tokens[0], len(tokens)), (ANY, len(tokens)))
        slots = [self._learned[key] for key in keys if key in self._learned]
        if not slots:
            return None
        row = codes(tokens)
        found = [
            slot
            for near in slots
            if (slot := accepting(self.codes, near.newest(near.count), row)) >= 0
        ]
        takers = list(self.at(found))
        return min(takers, key=lambda t: t.tokens.count(ANY)) if takers else None

    def bucket(self, first: str, newest: int) -> Any:
        """Slots of the newest templates with a first token, oldest of them first, int32 [n]."""
        return self._buckets[first].newest(newest)

    def row(self, template: Template) -> Codes:
        """The codes of a template's tokens."""
        return self.codes[template.slot, : len(template.tokens)]

    def tail(self, template: Template) -> Tail | None:
        """Templates that are equal but for the first token, this one among them."""
        return self._tails.get(template.tokens[1:])

    def file(self, template: Template) -> None:
        """Take a template in."""
        if not self._free:
            self._grow()
        template.slot = slot = self._free.pop()
        tokens = template.tokens
        self._slots[slot] = template
        self.codes[slot, : len(tokens)] = codes(tokens)
        self.lengths[slot] = len(tokens)
        self._by_id[template.id] = template
        self._buckets.setdefault(tokens[0], _Slots()).append(slot)
        if ANY in tokens:
            self._learned.setdefault((tokens[0], len(tokens)), _Slots()).append(slot)
        if len(tokens) >= PLAIN:
            self._tails.setdefault(tokens[1:], Tail()).add(template)

    def unfile(self, template: Template) -> None:
        """Let a template go."""
        slot, tokens = template.slot, template.tokens
        self._slots[slot] = None
        self._free.append(slot)
        del self._by_id[template.id]
        _drop(self._buckets, tokens[0], slot)
        if ANY in tokens:
            _drop(self._learned, (tokens[0], len(tokens)), slot)
        if len(tokens) >= PLAIN:
            tail = self._tails[tokens[1:]]
            tail.remove(template)
            if not tail.templates:
                del self._tails[tokens[1:]]

    def _grow(self) -> None:
        size = len(self.lengths)
        self.codes = np.concatenate([self.codes, np.zeros_like(self.codes)])
        self.lengths = np.concatenate([self.lengths, np.zeros_like(self.lengths)])
        self._slots += [None] * size
        self._free = list(range(2 * size - 1, size - 1, -1))


def _drop(index: dict[Any, _Slots], key: Any, slot: int) -> None:
    slots = index[key]
    slots.remove(slot)
    if not slots.count:
        del index[key]


def founded(skeleton: Skeleton, ident: str, born: int) -> Template:
    """A new template of a skeleton."""
    return Template(ident, skeleton.tokens, skeleton.gaps, born)
