"""What the open transaction refuses and leaves out, and what was read since the last report.

Counters and reports are made of the same numbers, so that they agree. A report that tells of
omissions is written in their own transaction: an aborted one takes its report along, a crash
after the commit loses none. What was merely read is told every few seconds.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.intake import Flow, IntakeReport, Kind, Omission
from streams.formats.columns import Parsed, Reject

EVERY_S = 5.0  # between two reports when nothing is left out
ENTRIES = 200  # of a report; of what comes beyond them, services are told no more
SERVICE, REASON = 200, 300  # characters that are told of each
Whose = tuple[str, str]  # topic, tenant


@dataclass
class Entry:
    """What there is of a kind, and its first example."""

    elements: int = 0
    letters: int = 0
    partition: int = -1
    offset: int = -1
    reason: str = ""


class Account:
    """The account of one worker. `began` is when it started."""

    def __init__(self, worker: str, began: datetime) -> None:
        self._worker, self._since = worker, began
        self._flows: dict[Whose, Counter[str]] = {}  # committed, and not told yet
        self._open: dict[Whose, Counter[str]] = {}  # of the open transaction
        self._omitted: dict[Kind, Entry] = {}  # of the open transaction
        self._told: datetime | None = None  # by the report in the open transaction

    def read(self, whose: Whose, records: int, size: int, parsed: Parsed) -> None:
        """Note what came of records of one topic and tenant."""
        flow = self._open.setdefault(whose, Counter())
        flow["records"] += records
        flow["size"] += size
        flow["samples"] += len(parsed.samples.code)
        flow["lines"] += len(parsed.lines.service)
        for reason, count in parsed.skips.items():
            known = {s: n for (r, s), n in parsed.skipped.items() if r == reason}
            for service, elements in _shared(known, count):
                self._entry(whose, service, reason, refused=False).elements += elements

    def refused(self, whose: Whose, reject: Reject, record: Any) -> None:
        """Note a dead letter of a record."""
        letters = 1  # there is one, whosever elements it has
        for service, elements in _shared(dict(reject.services), reject.elements):
            entry = self._entry(whose, service, reject.rule, refused=True)
            entry.elements += elements
            entry.letters += letters
            letters = 0
            if entry.offset < 0:
                entry.partition, entry.offset = record.partition(), record.offset()
                entry.reason = reject.reason[:REASON]

    def report(self, now: datetime, held: Sequence[str]) -> IntakeReport | None:
        """What to tell in the open transaction, if there is something to tell by now."""
        late = (now - self._since).total_seconds() >= EVERY_S
        if not self._omitted and not (late and (self._open or self._flows)):
            return None
        self._told = now
        flows: dict[Whose, Counter[str]] = {}
        for part in (self._flows, self._open):
            for whose, flow in part.items():
                flows[whose] = flows.get(whose, Counter()) + flow
        return IntakeReport(
            at=now,
            group=self._worker,
            worker=self._worker,
            since=self._since,
            omissions=self.omissions(),
            flows=tuple(
                Flow(topic=topic, tenant=tenant, **{name: flow[name] for name in FLOW})
                for (topic, tenant), flow in flows.items()
            ),
            held=tuple(held),
        )

    def omissions(self) -> tuple[Omission, ...]:
        """What the open transaction keeps out."""
        return tuple(
            Omission(**kind._asdict(), **vars(entry)) for kind, entry in self._omitted.items()
        )

    def ended(self, *, committed: bool) -> None:
        """Follow the end of the transaction."""
        if committed and self._told is not None:
            self._since = self._told
            self._flows.clear()
        elif committed:
            for whose, flow in self._open.items():
                self._flows.setdefault(whose, Counter()).update(flow)
        self._told = None
        self._open.clear()
        self._omitted.clear()

    def _entry(self, whose: Whose, service: str, rule: str, *, refused: bool) -> Entry:
        kind = Kind(*whose, service[:SERVICE], rule, refused)
        if kind not in self._omitted and len(self._omitted) >= ENTRIES:
            kind = kind._replace(service="")
        return self._omitted.setdefault(kind, Entry())


FLOW = ("records", "size", "samples", "lines")


def _shared(known: dict[str, int], total: int) -> list[tuple[str, int]]:
    """Elements by service; those whose service is not known have none."""
    rest = total - sum(known.values())
    return [*known.items(), *([("", rest)] if rest > 0 else [])]
