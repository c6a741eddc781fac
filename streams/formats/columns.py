"""What a format makes of a batch of records: columns, refusals, counted omissions.

Nothing vanishes: `Parsed.elements` is what came in, and every element is in exactly one
of samples, lines, rejects and skips.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.masking import masked
from streams.formats.avro_schema import NoSchemas, Schemas
from streams.formats.limits import Limits
from streams.formats.series import SeriesIndex

Milliseconds = npt.NDArray[np.int64]

NONE: Mapping[tuple[str, str], int] = MappingProxyType({})
ELEMENT = 1 << 40  # an origin is the record's index plus this times (its element's index + 1)
STALE = 0x7FF0000000000002  # Prometheus' NaN for "this series has ended"
FIRST, OTHER = 1, 2  # rows of a native histogram
TOLD = 100  # faults of a batch that are told one by one; a person reads no more


class Batch(NamedTuple):
    """Records of one format, and the two clocks that their times are compared with."""

    values: Sequence[bytes]
    arrived: Milliseconds  # when each record reached Kafka: lateness is counted from here
    now: Milliseconds  # no sample may be later than this, give or take the allowed skew
    service: str = ""  # of records that name none; empty refuses those

    def only(self, i: int) -> "Batch":
        """The batch of one record."""
        one = slice(i, i + 1)
        return Batch(self.values[one], self.arrived[one], self.now[one], self.service)


class Reading(NamedTuple):
    """What outlives a batch: the limits, the series known so far, schemas of Avro records."""

    limits: Limits
    series: SeriesIndex
    schemas: Schemas = NoSchemas()


class Scanned(NamedTuple):
    """Samples that were read without rows: series, epoch ms, value, and of what."""

    code: npt.NDArray[np.int64]
    at: Milliseconds
    value: npt.NDArray[np.float64]
    origin: npt.NDArray[np.int64]
    added: npt.NDArray[np.bool_] | None = None  # which tell only what was added; None: none of them

    def only(self, which: npt.NDArray[np.bool_]) -> "Scanned":
        """Some of them."""
        added = None if self.added is None else self.added[which]
        return Scanned(
            self.code[which], self.at[which], self.value[which], self.origin[which], added
        )


class SampleColumns(NamedTuple):
    """Samples in the order in which they came; `code` is the series' number in the index."""

    code: npt.NDArray[np.int64]
    at: Milliseconds
    value: npt.NDArray[np.float64]


class LineColumns(NamedTuple):
    """Log lines in the order in which they came; `labels` are canonical label strings."""

    service: list[str]
    at: Milliseconds
    severity: list[str]
    text: list[str]
    labels: list[str]


class Reject(NamedTuple):
    """A record, or `elements` of it, for the dead letters; one a record and rule."""

    record: int
    rule: str
    reason: str
    elements: int = 1
    services: tuple[tuple[str, int], ...] = ()  # whose they are, and how many, where that is known


class Fault(NamedTuple):
    """What was wrong with one element, for whoever sent it and still waits for an answer."""

    record: int
    element: int  # its place in the record; -1: the whole record
    rule: str
    reason: str


class Native(NamedTuple):
    """Native histograms, which their senders count apart from samples."""

    histograms: int = 0
    elements: int = 0  # samples, and values left out, that are theirs


class Parsed(NamedTuple):
    """A batch, read."""

    samples: SampleColumns
    lines: LineColumns
    rejects: list[Reject]
    skips: Counter[str]  # left out on purpose, by reason: stale, nan, inf, ...
    faults: Sequence[Fault] = ()  # the first of what is in `rejects`, one by one
    skipped: Mapping[tuple[str, str], int] = NONE  # of `skips`, by reason and service if known
    native: Native = Native()

    @property
    def elements(self) -> int:
        """How many elements came in."""
        out = len(self.samples.code) + len(self.lines.service)
        return out + sum(r.elements for r in self.rejects) + self.skips.total()


Parser = Callable[[Batch, Reading], Parsed]


@dataclass
class Rows:
    """What a parser fills while it walks through a batch; `settled` makes the columns."""

    code: list[int] = field(default_factory=list)
    at: list[Any] = field(default_factory=list)
    value: list[Any] = field(default_factory=list)
    origin: list[int] = field(default_factory=list)
    increments: list[int] = field(default_factory=list)  # which rows tell only what was added
    native: list[tuple[int, int]] = field(default_factory=list)  # histograms: their rows, from, to
    service: list[str] = field(default_factory=list)
    severity: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    line_at: list[Any] = field(default_factory=list)
    line_origin: list[int] = field(default_factory=list)
    skips: Counter[str] = field(default_factory=Counter)
    skipped: Counter[tuple[str, str]] = field(default_factory=Counter)  # by reason and service
    refused: dict[tuple[int, str], list[Any]] = field(default_factory=dict)  # -> reason, services
    faults: list[Fault] = field(default_factory=list)

    def refuse(self, origin: int, rule: str, reason: str, service: str = "") -> None:
        """Note an element that will never work; `service` is its, empty when that is not known."""
        element, index = divmod(origin, ELEMENT)
        told = len(self.faults) < TOLD
        if told or (index, rule) not in self.refused:
            reason = masked(reason)  # it may quote what was given
        said = f"element {element - 1}: {reason}" if element else reason
        self.refused.setdefault((index, rule), [said, Counter()])[1][service] += 1
        if told:
            self.faults.append(Fault(index, element - 1, rule, reason))

    def add_line(
        self, origin: int, service: str, at: Any, severity: str, text: str, labels: str
    ) -> None:
        """Note a log line; `at` is whatever the time column's reader takes."""
        self.line_origin.append(origin)
        self.service.append(service)
        self.line_at.append(at)
        self.severity.append(severity)
        self.text.append(text)
        self.labels.append(labels)

    def rejects(self) -> list[Reject]:
        """The refusals, one a record and rule, in the records' order."""
        result = []
        for (index, rule), (reason, services) in sorted(self.refused.items(), key=lambda i: i[0]):
            n = services.total()
            said = reason if n == 1 else f"{reason} (and {n - 1} more like it)"
            known = tuple(pair for pair in services.items() if pair[0])
            result.append(Reject(index, rule, said, n, known))
        return result


def timely(
    at: Milliseconds,
    origin: npt.NDArray[np.int64],
    batch: Batch,
    rows: Rows,
    limits: Limits,
    service: Callable[[int], str],
) -> npt.NDArray[np.bool_]:
    """Which elements are neither impossible nor too old nor too far ahead; the others are refused.

    `at` is epoch ms, `service` tells an element's. What was given as an impossible time (-1) was
    refused before.
    """
    record = origin % ELEMENT
    late = np.zeros(len(at), np.bool_)
    early = np.zeros(len(at), np.bool_)
    if limits.late_s:
        late = batch.arrived[record] - at > limits.late_s * 1000
    if limits.future_s:
        early = at - batch.now[record] > limits.future_s * 1000
    bad = (at < 0) | (late | early)
    if not bad.any():
        return ~bad
    for i in np.flatnonzero(bad).tolist():
        if at[i] < 0:
            continue
        if late[i]:
            behind = (int(batch.arrived[record[i]]) - int(at[i])) / 1000
            rows.refuse(
                int(origin[i]),
                "too-late",
                f"{behind:.0f} s old, {limits.late_s:g} allowed",
                service(i),
            )
        else:
            ahead = (int(at[i]) - int(batch.now[record[i]])) / 1000
            rows.refuse(
                int(origin[i]),
                "in-the-future",
                f"{ahead:.0f} s ahead, {limits.future_s:g} allowed",
                service(i),
            )
    return ~bad


def finite(
    value: npt.NDArray[np.float64],
    among: npt.NDArray[np.bool_],
    rows: Rows,
    services: Callable[[npt.NDArray[np.bool_]], Mapping[str, int]],
) -> npt.NDArray[np.bool_]:
    """Which of `among` are numbers; stale markers, other NaN and infinities are counted."""
    good = np.isfinite(value)
    if good.all():
        return among
    stale = value.view(np.uint64) == STALE
    for name, which in (
        ("stale", stale),
        ("nan", np.isnan(value) & ~stale),
        ("inf", np.isinf(value)),
    ):
        found = which & among
        if count := int(np.count_nonzero(found)):
            rows.skips[name] += count
            for service, its in services(found).items():
                rows.skipped[name, service] += its
    return among & good


def settled(
    rows: Rows,
    sample_at: Milliseconds,
    value: npt.NDArray[np.float64],
    line_at: Milliseconds,
    batch: Batch,
    reading: Reading,
    scanned: Scanned | None = None,
) -> Parsed:
    """The columns of a batch: times checked, numbers counted out, refusals merged.

    `sample_at`, `value` and `line_at` are the rows' columns as numbers; a time of -1 is one
    that was refused already. `scanned` are samples of the batch that were read without rows.
    """
    limits, series = reading.limits, reading.series
    code, origin = np.array(rows.code, np.int64), np.array(rows.origin, np.int64)
    added, native = _flags(rows.increments, len(code)), _parts(rows.native, len(code))
    if scanned is not None:
        order = _in_order(scanned.origin, origin)
        code = np.concatenate([scanned.code, code])[order]
        sample_at = np.concatenate([scanned.at, sample_at])[order]
        value = np.concatenate([scanned.value, value])[order]
        theirs = scanned.added if scanned.added is not None else _flags([], len(scanned.code))
        added = np.concatenate([theirs, added])[order]
        native = np.concatenate([np.zeros(len(scanned.code), np.int8), native])[order]
        origin = np.concatenate([scanned.origin, origin])[order]
    keep = timely(
        sample_at, origin, batch, rows, limits, lambda i: series.of_services(code[i : i + 1])[0]
    )
    told = _native(rows.native, native[keep])
    keep = finite(value, keep, rows, lambda which: Counter(series.of_services(code[which])))
    if not keep.all():
        code, sample_at, value, added = code[keep], sample_at[keep], value[keep], added[keep]
    if added.any():
        value[added] = reading.series.totals.grown(code[added], value[added])
    lines = LineColumns(rows.service, line_at, rows.severity, rows.text, rows.labels)
    line_origin = np.array(rows.line_origin, np.int64)
    # Services of lines have been through `show` already: a hash of a hash would be another one
    stays = timely(line_at, line_origin, batch, rows, limits, rows.service.__getitem__)
    if not stays.all():
        lines = _kept(lines, stays)
    if len(code):
        reading.series.touch(code, int(batch.now.max()))
    samples = SampleColumns(code, sample_at, value)
    return Parsed(samples, lines, rows.rejects(), rows.skips, rows.faults, rows.skipped, told)


def _in_order(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> Any:
    """How two columns of origins, each in order, become one that is."""
    if not len(one) or not len(other):
        return slice(None)
    both = np.concatenate([one, other])
    return np.lexsort((both // ELEMENT, both % ELEMENT))


def _flags(which: list[int], size: int) -> npt.NDArray[np.bool_]:
    flags = np.zeros(size, np.bool_)
    flags[which] = True
    return flags


def _parts(ranges: Sequence[tuple[int, int]], size: int) -> npt.NDArray[np.int8]:
    """Of a histogram FIRST and OTHER rows, of anything else 0."""
    parts = np.zeros(size, np.int8)
    for first, end in ranges:
        parts[first:end] = OTHER
        parts[first : min(first + 1, end)] = FIRST
    return parts


def _native(ranges: Sequence[tuple[int, int]], timely: npt.NDArray[np.int8]) -> Native:
    """How many there are, among what is of a time that is taken; stale ones have no rows."""
    if not ranges:
        return Native()
    stale = sum(first == end for first, end in ranges)
    histograms = int(np.count_nonzero(timely == FIRST))
    return Native(histograms + stale, int(np.count_nonzero(timely)) + stale)


def _kept(lines: LineColumns, which: npt.NDArray[np.bool_]) -> LineColumns:
    chosen = np.flatnonzero(which).tolist()
    return LineColumns(
        [lines.service[i] for i in chosen],
        lines.at[which],
        [lines.severity[i] for i in chosen],
        [lines.text[i] for i in chosen],
        [lines.labels[i] for i in chosen],
    )


def nothing() -> SampleColumns:
    """No samples."""
    return SampleColumns(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def refused(records: int, rule: str, reason: str) -> Parsed:
    """A batch of `records` of which nothing can be read."""
    reason = masked(reason)
    rejects = [Reject(i, rule, reason) for i in range(records)]
    return Parsed(nothing(), LineColumns([], np.zeros(0, np.int64), [], [], []), rejects, Counter())


def joined(parts: Sequence[Parsed]) -> Parsed:
    """Batches of one record each as one batch."""
    samples = SampleColumns(*map(np.concatenate, zip(*(p.samples for p in parts), strict=True)))
    texts = (
        [row for part in parts for row in getattr(part.lines, column)]
        for column in ("service", "severity", "text", "labels")
    )
    service, severity, text, labels = texts
    line_at = np.concatenate([part.lines.at for part in parts])
    rejects = [r._replace(record=i) for i, part in enumerate(parts) for r in part.rejects]
    skips: Counter[str] = sum((part.skips for part in parts), Counter())
    skipped: Counter[tuple[str, str]] = sum((Counter(p.skipped) for p in parts), Counter())
    lines = LineColumns(service, line_at, severity, text, labels)
    native = Native(*(sum(part.native[i] for part in parts) for i in range(2)))
    return Parsed(samples, lines, rejects, skips, skipped=skipped, native=native)
