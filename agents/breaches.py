"""The static rules over the blocks of a frame: what fires, lasts and is over.

What a block knows of its breaches is in the block, and changes with its samples alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from agents.clock import NEVER, Clock
from agents.rules import Breach, Ending, Rules, Ruling, event_of, judge, removed
from agents.scorer.block import CAPACITY
from agents.series_block import Block
from agents.share import Floats, Said, Share, gap_of, patience, placed
from runbooks.thresholds import Rule


class _Row(NamedTuple):
    """A rule on a row."""

    block: Block
    row: int
    rule: Rule


class Breaches:
    """The rules in force, and how long a series may be silent while one fires."""

    def __init__(
        self, rules: Rules, groups: Mapping[str, str], *, update_s: float, ended_s: float
    ) -> None:
        self.rules = rules
        self._groups = groups
        self._update_s, self._ended_s = update_s, ended_s

    def judged(self, share: Share, value: Floats, gap: Floats, clock: Clock) -> Iterator[Said]:
        """What a block's share of a frame changes; `value` [n] with counters as rates.

        `gap` [n] is how often each sample's series was sampled until then, in seconds.
        """
        block, rules = share.block, self.rules
        if not rules:
            return
        if block.concerns is None or len(block.concerns.first) <= len(block.names):
            block.concerns = rules.of(block.names)
        concerns = block.concerns
        breached = np.zeros(CAPACITY, np.bool_)
        breached[list(block.breaches)] = True
        picked = rules.picked(concerns, breached, share.rows, value)
        late = np.zeros(CAPACITY, np.bool_)  # what a breach begins in this share goes on in it
        late[share.rows[picked]] = True
        for i in np.flatnonzero(late[share.rows] & np.isfinite(value)).tolist():
            row, place = int(share.rows[i]), int(share.place[i])
            at, x = float(share.at[i]), float(value[i])
            yield from self._silent(block, row, clock.before(place), clock, float(gap[i]))
            for number in concerns.rule[concerns.first[row] : concerns.first[row + 1]].tolist():
                what = _Row(block, row, rules.rules[number])
                before = block.breaches.get(row, {}).get(what.rule.id)
                ruling = judge(what.rule, before, at, x, self._update_s)
                _put(what, _heard(ruling.breach, clock, place))
                told = ruling.breach or before
                if ruling.change and told is not None:
                    over = Ending("recovered" if ruling.change == "cleared" else "")
                    yield self._said(what, told, ruling, at, x, clock, place, over)

    def passed(self, blocks: Iterable[tuple[int, Block]], clock: Clock) -> Iterator[Said]:
        """The frame is over: what ends because its series, or its rule, is no more."""
        for _, block in blocks:
            for row in list(block.breaches):
                yield from self._silent(block, row, clock.after, clock, gap_of(block, row))

    def _silent(
        self, block: Block, row: int, now: float, clock: Clock, gap: float
    ) -> Iterator[Said]:
        for ident, breach in list(block.breaches.get(row, {}).items()):
            known = self.rules.by_id.get(ident)
            wait = patience(gap, self._ended_s) if known else 0.0
            due = breach.silent_since + wait
            if now < due:
                continue
            what = _Row(block, row, known or removed(ident))
            _put(what, None)
            block.changed = True
            if breach.firing:
                metric = block.names[row].partition("{")[0]
                why = f"{metric} has sent nothing" if known else f"the rule {ident} is no more"
                yield self._said(
                    what, breach, Ruling(None, "cleared"), breach.heard_at + wait, breach.worst,
                    clock, -1, Ending("ended", why), due=due,
                )  # fmt: skip

    def _said(
        self,
        what: _Row,
        breach: Breach,
        ruling: Ruling,
        at: float,
        value: float,
        clock: Clock,
        place: int,
        end: Ending,
        due: float = NEVER,
    ) -> Said:
        change: Literal["", "opened", "updated", "cleared"] = ruling.change
        assert change != ""  # noqa: S101 - nobody asks for nothing
        event = event_of(
            what.rule, what.block.names[what.row], breach, change, at, value,
            groups=self._groups, cause=clock.cause, end=end,
            points=what.block.evidence(what.row, at),
        )  # fmt: skip
        return placed(event, max(at, due), clock, place)


def _heard(breach: Breach | None, clock: Clock, place: int) -> Breach | None:
    """The breach with the partition's time as its newest sample came."""
    if breach is None:
        return None
    return msgspec.structs.replace(breach, heard_by=float(clock.newest[place]))


def _put(what: _Row, breach: Breach | None) -> None:
    held = what.block.breaches.setdefault(what.row, {})
    if breach is None:
        held.pop(what.rule.id, None)
    else:
        held[what.rule.id] = breach
    if not held:
        del what.block.breaches[what.row]
