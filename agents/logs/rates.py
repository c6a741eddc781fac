"""Rates: mined lines as series to score, and what in them is strange by itself.

Per service and bucket of time each template is one sample, zeros among them, so that a
template that falls silent is seen, too. A series is called `log_lines`, without `_total`: it
is a gauge of lines in the bucket, no counter. Beside the series there are two findings with
their evidence: a template never seen before that says warning or worse, and a jump in the
share of errors.

A stage feeds each frame of lines with the ids that the miner gave, passes its merges on, and
closes buckets when its watermark moves; samples go to the metric scorer, a finding becomes an
Anomaly of source `log`. All state is in the Tally and in its dump.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, Self

import msgspec
import numpy as np

from agents.logs.masking import masked
from agents.logs.miner import Merge
from agents.logs.shares import Counts, judge
from schemas.errors import Rejected
from schemas.event import Severity
from schemas.frames import Lines, Samples, canonical

VERSION = 1
BUCKET_MS = 10_000
RECENT = 6  # buckets whose error share is judged: a minute
BEFORE = 180  # buckets before them that it is held against: half an hour
IDLE = 360  # empty buckets after which a series ends: an hour
SERIES = 256  # templates a service that are series of their own; the rest is `other`
KNOWN = 4_096  # templates a service that are remembered as seen
WARM_LINES = 1_000  # of a service before a template of it can be called new
WARM_BUCKETS = 60
EVIDENCE = 5  # lines
WIDTH = 500  # characters of a line of evidence
OTHER = "other"
WARNING, ERROR = 1, 2
RANKS = {"warning": WARNING, "error": ERROR, "critical": 3}
NEW = {WARNING: Severity.low, ERROR: Severity.medium, 3: Severity.high}


class Finding(NamedTuple):
    """Something strange in the lines of a service; `at` is epoch milliseconds."""

    kind: Literal["new template", "error share"]
    service: str
    series: str
    at: int
    severity: Severity
    score: float  # 1 or more
    value: float
    high: float  # the most that was expected
    reason: str
    evidence: tuple[str, ...]  # lines, masked


class Closed(NamedTuple):
    """What closing gave: samples of the buckets, oldest first, and error shares that jumped."""

    samples: Samples
    findings: list[Finding]


class _Service(msgspec.Struct):
    first: int  # bucket
    lines: int = 0
    said: dict[str, int] = {}  # template -> the last bucket that has it, of all remembered
    series: dict[str, int] = {}  # the same of those that are series
    open: dict[int, dict[str, int]] = {}  # bucket -> template -> lines
    errors: dict[int, int] = {}  # bucket -> lines that are errors, of those still open
    past: list[tuple[int, int]] = []  # errors and lines of the buckets closed last
    evidence: list[str] = []
    fired: bool = False


class _Wire(msgspec.Struct):
    version: int
    next: int
    services: dict[str, _Service]


class Tally:
    """Counts of templates by service and bucket of time."""

    def __init__(self) -> None:
        self._next = -1  # the first bucket that is not closed; -1 before the first line
        self._services: dict[str, _Service] = {}

    def feed(self, lines: Lines, ids: Sequence[str], texts: Sequence[str] = ()) -> list[Finding]:
        """Count lines under their templates; a line that comes late counts in the oldest bucket.

        Findings are templates new to their service that say warning or worse. `texts` are the
        lines where they differ from `lines.text`, e.g. joined traces.
        """
        buckets = (lines.at // BUCKET_MS).tolist()
        if buckets and self._next < 0:
            self._next = buckets[0]
        found: list[Finding] = []
        rows = zip(lines.service, buckets, ids, lines.severity, strict=True)
        for place, (name, at, ident, severity) in enumerate(rows):
            bucket, rank = max(at, self._next), RANKS.get(severity, 0)
            service = self._services.get(name)
            if service is None:
                service = self._services[name] = _Service(bucket)
            if rank:
                text = (texts or lines.text)[place]
                about = _About(name, bucket, int(lines.at[place]), ident, severity, text)
                found += _noted(service, about)
            _count(service, bucket, ident, rank)
        return found

    def merge(self, merges: Iterable[Merge]) -> None:
        """Count under the new id what was counted under the old."""
        for old, new in merges:
            for service in self._services.values():
                for last in (service.said, service.series):
                    if old in last:
                        last[new] = max(last.pop(old), last.get(new, 0))
                for counts in service.open.values():
                    if old in counts:
                        counts[new] = counts.pop(old) + counts.get(new, 0)

    def close(self, until: int) -> Closed:
        """Close the buckets that end by `until`, epoch milliseconds."""
        names: dict[str, int] = {}
        rows: list[tuple[int, int, float]] = []
        findings: list[Finding] = []
        while self._services and (self._next + 1) * BUCKET_MS <= until:
            for name, service in list(self._services.items()):
                if service.first > self._next:
                    continue
                for ident, number in self._closed(service).items():
                    series = canonical("log_lines", {"service": name, "template": ident})
                    code = names.setdefault(series, len(names))
                    rows.append((code, self._next * BUCKET_MS, number))
                findings += self._judged(name, service)
                if not service.series and not service.open:
                    del self._services[name]
            self._next += 1
        if self._next >= 0:
            self._next = max(self._next, until // BUCKET_MS)
        codes = np.array([row[0] for row in rows], np.int32)
        at = np.array([row[1] for row in rows], np.int64)
        values = np.array([row[2] for row in rows], np.float64)
        return Closed(Samples(list(names), codes, at, values), findings)

    def dump(self) -> bytes:
        """Everything as bytes with its version."""
        return msgspec.msgpack.encode(_Wire(VERSION, self._next, self._services))

    @classmethod
    def load(cls, data: bytes) -> Self:
        """Undo `dump`; Rejected when the bytes are damaged or of another version."""
        try:
            wire = msgspec.msgpack.decode(data, type=_Wire)
        except msgspec.DecodeError as error:
            raise Rejected(f"these bytes are no tally of log lines: {error}") from error
        if wire.version != VERSION:
            raise Rejected(f"a tally of version {wire.version}, this is {VERSION}: delete it")
        tally = cls()
        tally._next, tally._services = wire.next, wire.services
        return tally

    # ---- buckets

    def _closed(self, service: _Service) -> dict[str, float]:
        """Lines a template of the bucket that closes, zeros among them; series that end go."""
        bucket = self._next
        counts = service.open.pop(bucket, {})
        past = (service.errors.pop(bucket, 0), sum(counts.values()))
        service.past = [*service.past[1 - RECENT - BEFORE :], past]
        service.series = {
            ident: last for ident, last in service.series.items() if bucket - last <= IDLE
        }
        return {ident: float(counts.get(ident, 0)) for ident in service.series}

    def _judged(self, name: str, service: _Service) -> list[Finding]:
        """The error share's jump, said once until it is over."""
        before, recent = _summed(service.past[:-RECENT]), _summed(service.past[-RECENT:])
        verdict = judge(recent, before)
        began, service.fired = verdict.fires and not service.fired, verdict.fires
        if not began:
            return []
        severity = Severity.high if recent.share >= 0.5 else Severity.medium  # noqa: PLR2004 - half of all
        series = canonical("log_error_share", {"service": name})
        at, reason = (self._next + 1) * BUCKET_MS, f"{name}: {verdict.reason}"
        evidence = tuple(service.evidence)
        return [
            Finding("error share", name, series, at, severity, verdict.score,
                    recent.share, before.share, reason, evidence)
        ]  # fmt: skip


class _About(NamedTuple):
    """A line that says warning or worse."""

    service: str
    bucket: int
    at: int
    template: str
    severity: str
    text: str


def _noted(service: _Service, about: _About) -> list[Finding]:
    """Keep a line as evidence; a finding if its template is new to a service known well."""
    new, rank = about.template not in service.said, RANKS[about.severity]
    if rank < ERROR and not new:
        return []
    line = masked(about.text[:WIDTH])
    if rank >= ERROR:
        service.evidence = [*service.evidence[1 - EVIDENCE :], line]
    young = service.lines < WARM_LINES or about.bucket - service.first < WARM_BUCKETS
    if not new or young or len(service.said) >= KNOWN:
        return []
    series = canonical("log_lines", {"service": about.service, "template": about.template})
    reason = (
        f"{about.service} says {about.severity} with a template never seen in"
        f" {service.lines} lines: {line}"
    )
    return [
        Finding("new template", about.service, series, about.at, NEW[rank],
                1.0, 1.0, 0.0, reason, (line,))
    ]  # fmt: skip


def _count(service: _Service, bucket: int, ident: str, rank: int) -> None:
    service.lines += 1
    if ident in service.said or len(service.said) < KNOWN:
        service.said[ident] = bucket
    own = ident if ident in service.series or len(service.series) < SERIES else OTHER
    service.series[own] = bucket
    counts = service.open.setdefault(bucket, {})
    counts[own] = counts.get(own, 0) + 1
    if rank >= ERROR:
        service.errors[bucket] = service.errors.get(bucket, 0) + 1


def _summed(past: list[tuple[int, int]]) -> Counts:
    return Counts(sum(errors for errors, _ in past), sum(total for _, total in past))
