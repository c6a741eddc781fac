"""One series of a backtest while it is read: what was counted, and what its picture needs."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agents.scorer.kind import Kind
from agents.telling import kind_name
from streams.backtest.detector import Scored
from streams.backtest.labels import Span
from streams.backtest.numenta import Judged
from streams.backtest.picture import Mark, Trace
from streams.backtest.quality import Quality, Tally, quality, segments, tally, windows
from streams.backtest.table import Floats

MOST_MARKS = 5_000  # alarms kept a series, for the picture and the list: more is no picture
FIRST_SCORES = 30  # samples a series shows before anything is scored,
FIRST_ALARMS = 80  # and before anything can alarm, unless it is slower than five minutes


class Found(NamedTuple):
    """What a series gave; times in ISO 8601."""

    name: str
    output: str  # its scores, below the output folder
    picture: str | None
    samples: int
    missing: int
    alarms: int
    highest: float  # score
    kinds: dict[str, int]
    first: str | None
    last: str | None
    quality: Quality | None
    alarmed: tuple[Mark, ...]
    notes: tuple[str, ...]


class Series:
    """A series, fed in chunks. `spans` is None where no file of labels was given.

    `traced` keeps what a picture needs, `judged` every score for the Numenta benchmark.
    """

    def __init__(
        self,
        name: str,
        output: Path,
        spans: Sequence[Span] | None,
        *,
        traced: bool,
        judged: bool = False,
    ) -> None:
        self.name, self.output = name, output
        self.samples = self.missing = self.alarms = 0
        self.highest = 0.0
        self.trace = Trace() if traced else None
        self.picture: str | None = None
        self.tally: Tally | None = None
        self.spans: tuple[Span, ...] = tuple(spans or ())
        self.marks: list[Mark] = []
        self.notes: tuple[str, ...] = ()
        self.judged: Judged | None = None
        self._judging = judged
        self._from_file = spans is not None
        self._kinds: Counter[int] = Counter()
        self.backward = 0  # times that repeat one before, or are earlier
        self._ends: tuple[float, float] | None = None
        self._newest = -np.inf
        self._kept: list[tuple[Floats, Floats, npt.NDArray[np.bool_]]] = []
        self._label: list[npt.NDArray[np.bool_]] | None = []

    def add(self, at: Floats, scored: Scored, label: npt.NDArray[np.bool_] | None) -> None:
        """The next rows, scored, and their labels if the history has a column of them."""
        if not len(at):
            return
        self.samples += len(at)
        self.missing += int(np.count_nonzero(~np.isfinite(scored.value)))
        self._order(at)
        self.highest = max(self.highest, float(scored.score.max()))
        rows = np.flatnonzero(scored.alarm)
        self.alarms += len(rows)
        self._kinds.update(scored.kind[rows].tolist())
        for i in rows[: MOST_MARKS - len(self.marks)].tolist():
            self.marks.append(_mark(at, scored, i))
        if self.trace is not None:
            self.trace.add(at, scored)
        if label is None:
            self._label = None
        elif self._label is not None:
            self._label.append(label)
        if self._from_file or self._label is not None:
            self._kept.append((at, scored.score, scored.alarm))

    def end(self, notes: Sequence[str]) -> None:
        """No more rows: measure against the labels, if there are any."""
        said = list(notes)
        if 0 < self.samples <= FIRST_SCORES:
            said.append(f"only {self.samples} samples: nothing is scored before {FIRST_SCORES}")
        elif 0 < self.samples <= FIRST_ALARMS:
            said.append(f"only {self.samples} samples: hardly an alarm before {FIRST_ALARMS}")
        if self.backward:
            said.append(
                f"{self.backward} times repeat or run backward: is it one series, in order?"
            )
        if self.alarms > len(self.marks):
            said.append(f"the first {len(self.marks)} of {self.alarms} alarms are shown")
        self.notes = tuple(said)
        if self._kept and (self._from_file or self._label is not None):
            self.tally = self._measured()
        self._kept, self._label = [], None

    def _order(self, at: Floats) -> None:
        before = np.maximum.accumulate(np.concatenate(([self._newest], at)))[:-1]
        self.backward += int(np.count_nonzero(at <= before))
        self._newest = max(self._newest, float(at.max()))
        first, last = self._ends or (np.inf, -np.inf)
        self._ends = min(first, float(at.min())), max(last, float(at.max()))

    def _measured(self) -> Tally:
        at, score, alarm = (np.concatenate(part) for part in zip(*self._kept, strict=True))
        if self._judging:
            ends = (at.min(), at.max())
            there = [w for w in self.spans if w.end >= ends[0] and w.start <= ends[1]]
            self.judged = Judged(at, score, alarm, there)
        if not self.spans and self._label is not None:
            events = segments(np.concatenate(self._label))
            self.spans = tuple(Span(float(at[r].min()), float(at[r].max())) for r in events)
        else:
            events = windows(at, self.spans)
        return tally(at, score, alarm, events)

    @property
    def interest(self) -> tuple[int, float, int]:
        """What a person should look at first: mistakes, then the highest score."""
        wrong = 0
        if self.tally:
            wrong = self.tally.events - self.tally.found + self.tally.false_alarms
        return wrong, self.highest, self.alarms

    @property
    def kinds(self) -> dict[str, int]:
        """How many alarms of each kind, the most frequent first."""
        counted = self._kinds.most_common()
        return {kind_name(kind): count for kind, count in counted if kind != Kind.NONE}

    def found(self) -> Found:
        """The series for programs."""
        first, last = (iso(each) for each in self._ends) if self._ends else (None, None)
        return Found(
            name=self.name,
            output=self.output.as_posix(),
            picture=self.picture,
            samples=self.samples,
            missing=self.missing,
            alarms=self.alarms,
            highest=self.highest,
            kinds=self.kinds,
            first=first,
            last=last,
            quality=quality([self.tally]) if self.tally else None,
            alarmed=tuple(self.marks),
            notes=self.notes,
        )


def _mark(at: Floats, scored: Scored, i: int) -> Mark:
    low, high = float(scored.low[i]), float(scored.high[i])
    return Mark(
        at=float(at[i]),
        value=float(scored.value[i]),
        score=float(scored.score[i]),
        kind=kind_name(int(scored.kind[i])),
        low=low if np.isfinite(low) else None,
        high=high if np.isfinite(high) else None,
    )


def iso(at: float) -> str | None:
    """A time for people, UTC; None for one that no calendar has.

    >>> iso(0.0), iso(1e300)
    ('1970-01-01T00:00:00Z', None)
    """
    try:
        return f"{datetime.fromtimestamp(at, UTC).isoformat().removesuffix('+00:00')}Z"
    except (ValueError, OverflowError, OSError):
        return None
