"""How good alarms are, measured on labelled history.

Events are counted, not rows: nobody cares how many minutes of an outage were marked, but whether
it was told, how late, and how often somebody was called for nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streams.backtest.labels import Span
from streams.backtest.table import Floats

GRACE = 10  # rows after its start in which an event may be found, however short it is
REST = 20  # rows: alarms at most so far apart are one
DAY = 86400.0

DEFINITIONS = (
    (
        f"An event is a labelled window. It is found if an alarm comes in it, or until {GRACE} rows"
        " after its start: what lasts one row is told with the next ones."
    ),
    f"Alarms at most {REST} rows apart are one alarm: somebody was called once.",
    "A false alarm is one that begins outside of every event.",
    (
        "Precision is found events / (found events + false alarms), recall is found events /"
        " events, F1 their harmonic mean."
    ),
    (
        "AP (average precision) is the area under precision over recall for all thresholds on the"
        " score: how well it ranks, whatever the threshold."
    ),
    "Delay is the median time from an event's start to its first alarm.",
    "False alarms a day are per series: false alarms / the days that the series cover together.",
)

Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


class Tally(NamedTuple):
    """What was counted on one series, to be summed over many."""

    events: int
    found: int
    false_alarms: int
    days: float
    delays: tuple[float, ...]  # seconds, of the events that were found
    best: Floats  # highest score of each event
    outside: Floats  # peaks of the score outside of all events


class Quality(NamedTuple):
    """Figures of one series or of all; None where there is nothing to divide by."""

    events: int
    found: int
    false_alarms: int
    precision: float | None
    recall: float | None
    f1: float | None
    average_precision: float | None
    delay_s: float | None
    false_alarms_a_day: float | None


def tally(at: Floats, score: Floats, alarm: Flags, events: Sequence[Rows]) -> Tally:
    """Count one series: times, scores and alarms [n], and for each event its rows."""
    outside = np.ones(len(at), np.bool_)
    best, delays = [], []
    for rows in events:
        if not len(rows):  # nothing was measured in it, so nothing could be found
            best.append(0.0)
            continue
        until = max(int(rows[-1]), int(rows[0]) + GRACE)
        window = slice(int(rows[0]), until + 1)
        outside[window] = False
        best.append(float(score[window].max()))
        if alarm[window].any():
            first = int(rows[0]) + int(np.argmax(alarm[window]))
            delays.append(max(float(at[first] - at[rows[0]]), 0.0))
    days = float(at.max() - at.min()) / DAY if len(at) else 0.0
    return Tally(
        events=len(events),
        found=len(delays),
        false_alarms=int(outside[onsets(alarm)].sum()),
        days=days,
        delays=tuple(delays),
        best=np.array(best, np.float64),
        outside=score[peaks(score) & outside],
    )


def quality(tallies: Sequence[Tally]) -> Quality:
    """The figures of all series together: every event and every false alarm counts alike."""
    events, found = sum(t.events for t in tallies), sum(t.found for t in tallies)
    false, days = sum(t.false_alarms for t in tallies), sum(t.days for t in tallies)
    precision = found / (found + false) if found + false else None
    recall = found / events if events else None
    f1 = 2 * found / (found + false + events) if events else None
    delays = [delay for t in tallies for delay in t.delays]
    return Quality(
        events=events,
        found=found,
        false_alarms=false,
        precision=precision,
        recall=recall,
        f1=f1,
        average_precision=average_precision(
            np.concatenate([t.best for t in tallies]), np.concatenate([t.outside for t in tallies])
        )
        if events
        else None,
        delay_s=float(np.median(delays)) if delays else None,
        false_alarms_a_day=false / days if days > 0 else None,
    )


def segments(label: Flags) -> list[Rows]:
    """The events of a label a row: every run of labelled rows.

    >>> [rows.tolist() for rows in segments(np.array([0, 1, 1, 0, 1], bool))]
    [[1, 2], [4]]
    """
    rows = np.flatnonzero(label)
    return np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else []


def windows(at: Floats, spans: Sequence[Span]) -> list[Rows]:
    """The events of labelled windows; those wholly outside of the history are none."""
    if not len(at):
        return []
    first, last = at.min(), at.max()
    return [
        np.flatnonzero((at >= span.start) & (at <= span.end))
        for span in spans
        if span.end >= first and span.start <= last
    ]


def onsets(alarm: Flags) -> npt.NDArray[np.int64]:
    """Rows where an alarm begins that no other shortly precedes.

    >>> onsets(np.array([0, 1, 1, 0, 1], bool)).tolist()
    [1]
    """
    rows = np.flatnonzero(alarm)
    return rows[np.diff(rows, prepend=-REST - 1) > REST]


def peaks(score: Floats) -> Flags:
    """Rows that would begin an alarm at some threshold: above the last such row, or long after.

    >>> peaks(np.array([1.0, 0.5, 2.0, 1.5])).tolist()
    [True, False, True, False]
    """
    peak = np.zeros(len(score), np.bool_)
    last, height = -REST - 1, -np.inf
    for row, value in enumerate(score.tolist()):
        if row - last > REST or value > height:
            peak[row] = True
            last, height = row, value
    return peak


def average_precision(best: Floats, outside: Floats) -> float:
    """Area under precision over recall, 0 to 1, from events' and false peaks' scores."""
    falling = np.sort(outside)
    area = recall_before = 0.0
    for threshold in np.unique(best)[::-1]:
        found = int(np.count_nonzero(best >= threshold))
        false = len(falling) - int(np.searchsorted(falling, threshold, side="left"))
        recall = found / len(best)
        area += found / (found + false) * (recall - recall_before)
        recall_before = recall
    return area
