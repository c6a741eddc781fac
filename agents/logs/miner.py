"""The miner: lines in, template ids out, in one pass with bounded memory.

Three looks, each taken only when the one before misses. Signature: its key in a dict, where
nearly all lines end. Skeleton: by the hash that is its id, or by a template with learned
places. Else it founds a template, which may turn out to be one with others: then a merge says
which id now stands for which. What a line gets depends on the lines before it and on nothing
else: not on how they were cut into batches, nor on a dump and load in between.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from agents.logs import align
from agents.logs.match import Table, Template, founded, identity
from agents.logs.merge import Join, join_of
from agents.logs.signature import keys_of, signature
from agents.logs.skeleton import Skeleton, skeleton
from agents.logs.states import Saved, dumped, loaded
from schemas.errors import Rejected


@dataclass(frozen=True)
class Limits:
    """What bounds memory."""

    templates: int = 16_384  # at this number the half not seen for longest is forgotten
    merged: int = 16_384  # ids that remember what they became
    signatures: int = 16_384  # in each of two generations
    characters: int = 4_000_000  # of the skeletons of a generation


class Founded(NamedTuple):
    """A template seen for the first time, by the line (index in the batch) that showed it."""

    line: int
    id: str
    text: str


class Merge(NamedTuple):
    """From now on `new` stands for `old`, in all that was said before, too."""

    old: str
    new: str


class Mined(NamedTuple):
    """What a batch of lines gave: a template id for each, and what changed."""

    ids: list[str]
    founded: list[Founded]
    merges: list[Merge]


class _Seen:
    """What a signature led to; to be looked up anew when `epoch` is not the miner's."""

    __slots__ = ("epoch", "id", "skeleton", "template")

    def __init__(self, found: Skeleton) -> None:
        self.skeleton = found
        self.id = identity(found.tokens)
        self.epoch = -1
        self.template: Template


class Miner:
    """Mines the templates of a stream of lines."""

    def __init__(self, limits: Limits = Limits()) -> None:
        self._limits = limits
        self._table = Table()
        self._merged: dict[str, str] = {}  # id -> the id it became, perhaps a merged one, too
        self._lines = 0
        self._epoch = 0
        self._young: dict[int, _Seen] = {}
        self._old: dict[int, _Seen] = {}
        self._room = limits.characters
        self._merges: list[Merge] = []

    def __len__(self) -> int:
        """How many templates are live."""
        return len(self._table)

    def __contains__(self, ident: object) -> bool:
        """Whether the text of an id is known, be it of what it became."""
        return isinstance(ident, str) and self._table.get(self.current(ident)) is not None

    def feed(self, lines: Sequence[str]) -> Mined:
        """Template ids of lines, in their order, and the templates and merges they gave."""
        keys = keys_of(lines)
        ids = self._counted(keys)
        return self._mined(keys.tolist(), lines) if ids is None else Mined(ids, [], [])

    def _counted(self, keys: npt.NDArray[np.int64]) -> list[str] | None:
        """Template ids of lines that teach nothing, counted; None where one might."""
        distinct, place, number = np.unique(keys, return_inverse=True, return_counts=True)
        every = list(map(self._young.get, distinct.tolist()))
        if not all(s is not None and s.epoch == self._epoch and s.template.count for s in every):
            return None
        templates = [seen.template for seen in every if seen is not None]
        last = np.empty(len(distinct), np.int64)
        last[place] = np.arange(self._lines + 1, self._lines + 1 + len(keys))
        for template, count, line in zip(templates, number.tolist(), last.tolist(), strict=True):
            template.count += count
            template.last = max(template.last, line)
        self._lines += len(keys)
        ids = [template.id for template in templates]
        return list(map(ids.__getitem__, place.tolist()))

    def _mined(self, keys: Sequence[int], lines: Sequence[str]) -> Mined:
        """One line after the other: what one teaches holds for the next."""
        ids: list[str] = []
        new: list[Founded] = []
        young = self._young
        for key, line in zip(keys, lines, strict=True):
            seen = young.get(key)
            if seen is None:
                seen = self._recall(key, line)
                young = self._young
            if seen.epoch != self._epoch:
                self._look_up(seen)
            template = seen.template
            if not template.count:
                new.append(Founded(len(ids), template.id, template.text))
            self._lines += 1
            template.last = self._lines
            template.count += 1
            ids.append(template.id)
        merges, self._merges = self._merges, []
        return Mined(ids, new, merges)

    def current(self, ident: str) -> str:
        """The id that stands for an id now."""
        while ident in self._merged:
            ident = self._merged[ident]
        return ident

    def template(self, ident: str) -> str:
        """The text of a template, `<*>` for what varies; Rejected for one never seen or forgotten.

        >>> miner = Miner()
        >>> miner.template(miner.feed(["took 5 ms, user=7"]).ids[0])
        'took <*> ms, user=<*>'
        """
        found = self._table.get(self.current(ident))
        if found is None:
            raise Rejected(f"template {ident} is not known here: never seen, or long ago")
        return found.text

    def dump(self) -> bytes:
        """Everything that later lines depend on, as bytes with their version."""
        return dumped(Saved(self._lines, list(self._table), self._merged))

    @classmethod
    def load(cls, data: bytes, limits: Limits = Limits()) -> Self:
        """Undo `dump`; Rejected when the bytes are damaged or of another version."""
        saved, miner = loaded(data), cls(limits)
        miner._table = Table.of(saved.templates)
        miner._merged = saved.merged
        miner._lines = saved.lines
        return miner

    # ---- what was not seen lately

    def _recall(self, key: int, line: str) -> _Seen:
        seen = self._old.get(key) or _Seen(skeleton(signature(line)))
        size = sum(map(len, seen.skeleton.tokens))
        if len(self._young) >= self._limits.signatures or self._room < size:
            self._old, self._young, self._room = self._young, {}, self._limits.characters
        self._young[key] = seen
        self._room -= size
        return seen

    def _look_up(self, seen: _Seen) -> None:
        template = self._table.get(self.current(seen.id))
        if template is None:
            template = self._table.accepting(seen.skeleton.tokens) or self._found(seen)
        seen.template, seen.epoch = template, self._epoch

    def _found(self, seen: _Seen) -> Template:
        if len(self._table) >= self._limits.templates:
            self._forget()
        if self._merged.pop(seen.id, None):  # what it had become is forgotten
            self._epoch += 1
        template = founded(seen.skeleton, seen.id, self._lines)
        self._table.file(template)
        while join := join_of(self._table, template):
            template = self._join(join)
        return template

    def _join(self, join: Join) -> Template:
        """Make one of several, under the id of the most seen, then the oldest."""
        keep = max(join.members, key=lambda member: (member.count, -member.born))
        gaps = next(m.gaps for m in (keep, *join.members) if len(m.gaps) == len(join.tokens))
        for member in join.members:
            self._table.unfile(member)
            if member is keep:
                continue
            if member.count:
                self._merges.append(Merge(member.id, keep.id))
            if member.count or len(member.tokens) != len(join.tokens):
                self._remember(member.id, keep.id)
            keep.count += member.count
            keep.last = max(keep.last, member.last)
        keep.say(join.tokens, gaps)
        self._table.file(keep)
        self._epoch += 1
        return keep

    def _remember(self, old: str, new: str) -> None:
        if len(self._merged) >= self._limits.merged:
            kept = list(self._merged.items())[len(self._merged) // 2 :]
            self._merged = dict(kept)
            self._epoch += 1
        self._merged[old] = new

    def _forget(self) -> None:
        """Let the half go that was not seen for longest."""
        newest = sorted(self._table, key=lambda template: -template.last)
        kept = {template.id for template in newest[: len(newest) // 2]}
        self._table = Table.of([template for template in self._table if template.id in kept])
        self._epoch += 1


def warm_up() -> None:
    """Compile the kernels of mining, or load what an earlier process compiled; 15 s and 1 s."""
    align.warm_up()
    Miner().feed(["one line", "and another with 5 values"])
