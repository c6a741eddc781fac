"""Services: what is known of one that logs, and what a bucket of its lines shows.

Everything is learned when a bucket closes, so that lines count the same in whatever order they
came within it, and templates that merged meanwhile are one.
"""

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import repeat
from typing import Literal, NamedTuple

import msgspec

from agents.logs.entries import ERROR, WARNING
from agents.logs.lives import (
    BEFORE,
    RECENT,
    About,
    Life,
    Lost,
    News,
    Quiet,
    Said,
    error_share,
    missing_templates,
    new_templates,
    silent,
)
from agents.logs.rhythm import Rhythm, left_out, silence

OTHER = "other"
SINGLE = 0.01  # of the lines: more templates seen once, and the next new one is no news
NOTES = 64  # new templates of a service told a bucket; the rest when they come again

Text = Callable[[str], str]  # a template's text by its id
Evidence = Callable[[], Sequence[str]]  # a service's last errors, masked
Counts = dict[int, dict[str, int]]  # severity, in LEVELS -> template -> lines


class Known(msgspec.Struct, array_like=True):
    """A template as a service says it."""

    first: int  # bucket
    last: int  # bucket
    rank: int  # the worst, in LEVELS
    rhythm: Rhythm
    count: int = 0
    told: int = 0  # the count when people were last told; 0: never
    lost: bool = False


class Note(NamedTuple):
    """What to tell people of a template."""

    change: Literal["seen", "counted", "merged"]
    ident: str
    rank: int
    lines: int
    since: int  # bucket
    sample: str = ""
    into: str = ""


class Rates(NamedTuple):
    """Series of one severity: lines of each template in a bucket, and those that ended."""

    rank: int
    idents: list[str]
    lines: list[int]
    ended: list[str]


class Shown(NamedTuple):
    """What a bucket showed: rates, notes, changes of anomalies."""

    rates: list[Rates]
    notes: list[Note]
    said: list[Said]


class Bounds(NamedTuple):
    """Of what is kept of a service; times in buckets."""

    learn: int
    learn_lines: int
    series: int
    idle: int
    update: int


class Moment(NamedTuple):
    """A bucket that closes, and how many of its service have before it."""

    bucket: int
    tick: int
    judged: bool  # whether its service or others said anything: else it shows no silence


class Service(msgspec.Struct):
    """What is known of a service."""

    first: int  # bucket
    next: int  # the oldest bucket that is open
    tick: int = 0  # buckets closed, long gaps left out: what rhythms count in
    newest: int = 0  # time of its newest line, epoch milliseconds
    spoke_at: int = 0  # on the partition's clock
    rhythm: Rhythm = msgspec.field(default_factory=lambda: Rhythm(0, 0))
    lines: int = 0
    known: dict[str, Known] = {}
    series: dict[int, dict[str, int]] = {}  # severity -> template -> the last bucket with it
    open: dict[int, Counts] = {}  # by bucket
    fresh: dict[str, str] = {}  # template not known yet -> a line of it, masked
    errors: dict[str, str] = {}  # template -> its last error, masked
    past: list[tuple[int, int]] = []  # errors and lines of the buckets closed last
    lives: dict[str, Life] = {}
    hushed: bool = False  # whether its silence was said

    def rename(self, old: str, new: str) -> Note | None:
        """From now on `new` stands for `old`; a note if people know the old."""
        if old not in self.known and old not in self.fresh:
            return None
        for counts in self.open.values():
            for lines in counts.values():
                _moved(lines, old, new, operator.add)
        for last in self.series.values():
            _moved(last, old, new, max)
        if old in self.fresh:
            self.fresh.setdefault(new, self.fresh.pop(old))
        for life in self.lives.values():
            life.idents = [new if ident == old else ident for ident in life.idents]
        gone = self.known.pop(old, None)
        if gone is None:
            return None
        kept = self.known.get(new)
        kept = self.known[new] = gone if kept is None else _both(kept, gone)
        if not gone.told:
            return None
        return Note("merged", old, kept.rank, kept.count, kept.first, into=new)

    def close(
        self, moment: Moment, bounds: Bounds, name: str, text: Text, evidence: Evidence
    ) -> Shown:
        """Learn a bucket."""
        raw = self.open.pop(moment.bucket, {})
        lines, spoken = self.lines, _spoken(raw)
        total = spoken.total
        familiar = self._familiar(moment.bucket, bounds)
        news, due = self._learned(moment, spoken)
        self.past = [*self.past[1 - RECENT - BEFORE :], (spoken.errors, total)]
        notes = self._notes(due)
        rates = self._rates(moment.bucket, raw, bounds)
        about = About(name, moment.bucket, lines, bounds.update)
        quiet = self._quiet(moment.tick, total)
        news = [one for one in news if one.rank >= WARNING] if familiar else []
        heard = spoken.lines
        lost = self._lost(moment.tick, heard, text) if quiet.score < 1 and moment.judged else []
        if total:
            self.rhythm.heard(moment.tick, lines, lines + total)
            self.hushed = False
        self.lines += total
        said: list[Said] = []
        if moment.judged:
            lives = self.lives
            steps = {
                "silent": silent(lives.get("silent"), quiet, about),
                "missing": missing_templates(lives.get("missing"), lost, heard, about),
                "new": new_templates(lives.get("new"), news, heard, about),
                "share": error_share(lives.get("share"), self.past, evidence, about),
            }
            self.hushed |= steps["silent"].life is not None
            self.lives = {key: step.life for key, step in steps.items() if step.life is not None}
            said = [step.said for step in steps.values() if step.said is not None]
        return Shown(rates, notes, said)

    def idle(self) -> bool:
        """Whether an empty bucket can show nothing."""
        return not self.series and not self.open and not self.lives

    # ---- parts of a bucket

    def _familiar(self, bucket: int, bounds: Bounds) -> bool:
        """Whether this service is known well enough for a new template to be news.

        The chance that the next line shows a new one is about the share of lines whose
        template was seen once. Source: I. J. Good, "The population frequencies of species",
        Biometrika 40, 1953.
        """
        if bucket - self.first < bounds.learn or self.lines < bounds.learn_lines:
            return False
        if not self.fresh or "new" in self.lives:
            return True
        single = sum(1 for known in self.known.values() if known.count == 1)
        return single <= SINGLE * self.lines

    def _learned(self, moment: Moment, spoken: "_Spoken") -> tuple[list[News], list[str]]:
        """Count a bucket's templates; those never seen before, and those to tell of."""
        news, due = [], []
        bucket, tick, before, after = *moment[:2], self.lines, self.lines + spoken.total
        every, worst = self.known, spoken.worst
        for ident, lines in spoken.lines.items():
            known, rank = every.get(ident), worst[ident]
            if known is None:
                known = every[ident] = Known(bucket, bucket, rank, Rhythm(tick, tick))
                news.append(News(ident, rank, self.fresh.get(ident, "")))
            known.last, known.lost = bucket, False
            known.rank = max(known.rank, rank)
            known.count = count = known.count + lines
            known.rhythm.heard(tick, before, after)
            if count >= 2 * known.told:
                due.append(ident)
        return news, due

    def _quiet(self, tick: int, total: int) -> Quiet:
        rhythm = self.rhythm
        told = self.hushed and "silent" not in self.lives  # for so long that it is normal now
        score = 0.0 if total or told else silence(rhythm, tick)
        usual = self.lines / max(rhythm.last - rhythm.began, 1)
        return Quiet(tick - rhythm.last, rhythm.pause, usual, score)

    def _notes(self, due: Collection[str]) -> list[Note]:
        notes: list[Note] = []
        for ident in due:
            known = self.known[ident]
            if not known.told and len(notes) >= NOTES:
                continue
            sample = self.fresh.get(ident, "") if not known.told else ""
            change: Literal["seen", "counted"] = "counted" if known.told else "seen"
            notes.append(Note(change, ident, known.rank, known.count, known.first, sample))
            known.told = known.count
        if self.fresh:
            waiting = {
                ident for counts in self.open.values() for of in counts.values() for ident in of
            }
            self.fresh = {ident: line for ident, line in self.fresh.items() if ident in waiting}
        return notes

    def _rates(self, bucket: int, raw: Counts, bounds: Bounds) -> list[Rates]:
        room = bounds.series - sum(map(len, self.series.values()))
        counts = {}
        for rank in sorted(raw, reverse=True):  # for errors there is room first
            last, lines = self.series.setdefault(rank, {}), raw[rank]
            new = len(set(lines).difference(last))  # without a walk through all of `last`
            if new > room:
                lines = _folded(lines, last, room)
            last.update(dict.fromkeys(lines, bucket))
            room = max(room - new, 0)
            counts[rank] = lines
        rates = []
        for rank, last in list(self.series.items()):
            lines = counts.get(rank, {})
            ended = [ident for ident, at in last.items() if bucket - at > bounds.idle]
            for ident in ended:
                del last[ident]
            if not last:
                del self.series[rank]
            rates.append(Rates(rank, list(last), list(map(lines.get, last, repeat(0))), ended))
        return rates

    def _lost(self, tick: int, heard: Collection[str], text: Text) -> list[Lost]:
        """Templates whose silence is too long since this bucket; of those with a rate."""
        lost = []
        series = self.series.values()
        for ident in [ident for last in series for ident in last if ident not in heard]:
            known = self.known.get(ident)
            if known is None or known.lost or known.rank >= WARNING:  # no loss
                continue
            score = silence(known.rhythm, tick)
            if score >= 1:
                score = min(score, left_out(known.rhythm, self.lines))
            if score >= 1:
                known.lost = True
                lost.append(Lost(ident, text(ident), score))
        return lost


class _Spoken(NamedTuple):
    """Lines and the worst severity by template; lines in all, and errors."""

    lines: dict[str, int]
    worst: dict[str, int]
    total: int
    errors: int


def _spoken(raw: Counts) -> _Spoken:
    every: dict[str, int] = {}
    worst: dict[str, int] = {}
    total = errors = 0
    for rank in sorted(raw):
        lines = raw[rank]
        number = sum(lines.values())
        total += number
        errors += number if rank >= ERROR else 0
        if every:
            for ident, count in lines.items():
                every[ident] = every.get(ident, 0) + count
        else:
            every.update(lines)
        worst.update(dict.fromkeys(lines, rank))
    return _Spoken(every, worst, total, errors)


def _folded(lines: Mapping[str, int], known: Collection[str], room: int) -> dict[str, int]:
    """Lines by template with those for which there is no room as one."""
    folded: dict[str, int] = {}
    other = 0
    for ident, count in lines.items():
        if ident in known:
            folded[ident] = count
        elif room > 0:
            folded[ident], room = count, room - 1
        else:
            other += count
    if other:
        folded[OTHER] = other
    return folded


def _moved(numbers: dict[str, int], old: str, new: str, both: Callable[[int, int], int]) -> None:
    if old in numbers:
        moved = numbers.pop(old)
        numbers[new] = both(numbers[new], moved) if new in numbers else moved


def _both(one: Known, other: Known) -> Known:
    """A template that was two; its rhythm is that of the more frequent."""
    rhythm = max(one.rhythm, other.rhythm, key=lambda rhythm: rhythm.spoke)
    if other.rhythm.last > rhythm.last:
        rhythm.last, rhythm.at_line = other.rhythm.last, other.rhythm.at_line
    return Known(
        min(one.first, other.first),
        max(one.last, other.last),
        max(one.rank, other.rank),
        rhythm,
        one.count + other.count,
        max(one.told, other.told),
    )
