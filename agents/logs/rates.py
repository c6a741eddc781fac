"""Rates: mined lines as series to score, and what in them is strange by itself.

Per service and bucket of time each template, by severity, is one sample, zeros among them, so
that one that falls silent is seen, too. A series is called `log_lines`, without `_total`: it
is a gauge of lines in the ten seconds before its time, no counter. One that has been zero for
an hour ends with Prometheus' stale marker. All state is in the Tally and in its dump.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import NamedTuple, Self

import msgspec
import numpy as np
import numpy.typing as npt

from agents.logs.entries import ERROR, LEVELS, NARROW, Entries
from agents.logs.lives import BUCKET_S, EVIDENCE, Said
from agents.logs.miner import Merge
from agents.logs.services import Bounds, Moment, Note, Rates, Service, Text
from agents.logs.settings import LogSettings
from schemas.errors import Rejected
from schemas.frames import COUNTED, Samples, canonical
from schemas.masking import masked

VERSION = 3
BUCKET_MS = BUCKET_S * 1000
STEP_MS = 10_000  # by which a frame moves the others' time: frames come more often than that
FILL = 12  # empty buckets between a service's own lines that are counted; then time jumps
FRESH = 256  # new templates of a service in a bucket that a line is kept of
WIDTH = 500  # characters of a line that is kept
LOOK_BACK = 50  # errors of a frame among which those of different templates are found
STALE = np.array([0x7FF0000000000002], np.uint64).view(np.float64)[0]  # Prometheus': it ended


class Closed(NamedTuple):
    """What closing gave: samples by service, oldest first; notes and changes of anomalies."""

    samples: dict[str, Samples]
    notes: list[tuple[str, int, Note]]  # service, bucket
    said: list[tuple[str, Said]]


class _Wire(msgspec.Struct):
    version: int
    newest: int
    clock: int
    services: dict[str, Service]


class Tally:
    """Counts of templates by service and bucket of time."""

    def __init__(self, settings: LogSettings) -> None:
        self._newest = -1  # time of the newest line of all, epoch milliseconds; -1 before it
        self._clock = 0  # by how much it has grown, of jumps STEP_MS alone, milliseconds
        self._services: dict[str, Service] = {}
        self._errors: dict[str, dict[str, str]] = {}  # service -> template -> its newest, as it is
        self._named: dict[tuple[str, int], _Named] = {}  # service and severity -> what rates it has
        self._most = settings.max_templates
        self._late_ms, self._wait_ms = round(settings.late_s * 1000), round(settings.wait_s * 1000)
        self._bounds = Bounds(
            learn=round(settings.learn_s / BUCKET_S),
            learn_lines=settings.learn_lines,
            series=settings.series_per_service,
            idle=max(1, round(settings.idle_s / BUCKET_S)),
            update=max(1, round(settings.update_s / BUCKET_S)),
        )

    def feed(self, entries: Entries, ids: Sequence[str]) -> None:
        """Count entries under their templates; one that comes late counts in the oldest bucket.

        Late is what its own service has left behind: that services are read one after the
        other, as after an outage, makes nothing late.
        """
        if not len(entries):
            return
        self._hear(entries)
        unknown: set[tuple[int, str]] = set()
        for code, rank, bucket, idents in _groups(entries, ids):
            service = self._services[entries.services[code]]
            counts = service.open.setdefault(max(bucket, service.next), {})
            lines = counts.get(rank)
            if type(lines) is not Counter:  # none, or as loaded
                lines = counts[rank] = Counter(lines)
            lines.update(idents)  # by compiled code
            for ident in set(idents).difference(service.known):  # no walk through all known
                if ident not in service.fresh:
                    unknown.add((code, ident))
        if unknown:
            self._sample(entries, ids, unknown)
        self._keep_errors(entries, ids)

    def merge(self, merges: Iterable[Merge]) -> list[tuple[str, int, Note]]:
        """Count under the new id what was counted under the old; what to tell of it."""
        return [
            (name, service.next, note)
            for old, new in merges
            for name, service in self._services.items()
            if (note := service.rename(old, new))
        ]

    def close(self, newest: int, text: Text) -> Closed:
        """Close what is over; `newest` is the time of the newest line, epoch milliseconds.

        A service closes its buckets by its own lines. When it is silent, the others' time counts
        for it, once they have gone on for a while without it.
        """
        if self._newest >= 0:
            self._clock += min(max(newest - self._newest, 0), STEP_MS)
        self._newest = max(self._newest, newest)
        rates, closed = _Rates(self._named), Closed({}, [], [])
        for name, service in self._services.items():
            own = service.newest - self._late_ms
            alone = max(self._clock - service.spoke_at - self._wait_ms, 0)
            own, until = own // BUCKET_MS, (own + alone) // BUCKET_MS
            for moment in _moments(service, own, until):
                evidence = partial(self._evidence, name, service)
                shown = service.close(moment, self._bounds, name, text, evidence)
                rates.add(name, moment.bucket, shown.rates)
                closed.notes.extend((name, moment.bucket, note) for note in shown.notes)
                closed.said.extend((name, said) for said in shown.said)
        self._forget()
        closed.samples.update(rates.samples())
        return closed

    def dump(self) -> bytes:
        """Everything as bytes with its version."""
        for name, service in self._services.items():
            self._evidence(name, service)
        wire = _Wire(VERSION, self._newest, self._clock, self._services)
        return msgspec.msgpack.encode(wire)

    @classmethod
    def load(cls, data: bytes, settings: LogSettings) -> Self:
        """Undo `dump`; Rejected when the bytes are damaged or of another version."""
        try:
            wire = msgspec.msgpack.decode(data, type=_Wire)
        except msgspec.DecodeError as error:
            raise Rejected(f"these bytes are no tally of log lines: {error}") from error
        if wire.version != VERSION:
            raise Rejected(f"a tally of version {wire.version}, this reads {VERSION}")
        tally = cls(settings)
        tally._newest, tally._clock, tally._services = wire.newest, wire.clock, wire.services
        return tally

    # ---- lines that are kept

    def _hear(self, entries: Entries) -> None:
        """Who speaks, and until when."""
        newest = np.full(len(entries.services), -1, np.int64)
        np.maximum.at(newest, entries.service, entries.at)
        for name, at in zip(entries.services, newest.tolist(), strict=True):
            if at < 0:
                continue
            service = self._services.get(name)
            if service is None:
                of = entries.services.index(name)
                bucket = int(entries.at[entries.service == of].min()) // BUCKET_MS
                service = self._services[name] = Service(bucket, bucket)
            service.newest = max(service.newest, at)
            service.spoke_at = self._clock

    def _sample(self, entries: Entries, ids: Sequence[str], unknown: set[tuple[int, str]]) -> None:
        """Keep a line, masked, of each template that its service does not know yet."""
        for place, pair in enumerate(zip(entries.service.tolist(), ids, strict=True)):
            if pair in unknown:
                unknown.discard(pair)
                fresh = self._services[entries.services[pair[0]]].fresh
                room = len(fresh) < FRESH
                fresh[pair[1]] = shown(entries.text[place]) if room else ""
                if not unknown:
                    return

    def _keep_errors(self, entries: Entries, ids: Sequence[str]) -> None:
        """Keep the newest errors of different templates of each service."""
        places = np.flatnonzero(entries.rank >= ERROR)
        if not len(places):
            return
        of = entries.service[places]
        for code in np.unique(of).tolist():
            errors = self._errors.setdefault(entries.services[code], {})
            newest: dict[str, str] = {}
            for place in places[of == code][: -LOOK_BACK - 1 : -1].tolist():
                newest.setdefault(ids[place], entries.text[place])
            _renew(errors, list(newest.items())[EVIDENCE - 1 :: -1])

    def _evidence(self, name: str, service: Service) -> list[str]:
        """The newest errors of a service, masked when they are told or saved, not sooner."""
        if errors := self._errors.pop(name, None):
            _renew(service.errors, [(ident, shown(text)) for ident, text in errors.items()])
        return list(service.errors.values())

    # ---- bounds

    def _forget(self) -> None:
        """Let the half of all templates go that was not seen for longest, if there are too many."""
        if sum(len(service.known) for service in self._services.values()) <= self._most:
            return
        order = sorted(
            (known.last, name, ident)
            for name, service in self._services.items()
            for ident, known in service.known.items()
        )
        for _, name, ident in order[: len(order) // 2]:
            del self._services[name].known[ident]
        for name, service in list(self._services.items()):
            if not service.known and service.idle():
                del self._services[name]
        self._named = {key: it for key, it in self._named.items() if key[0] in self._services}


def _moments(service: Service, own: int, until: int) -> Iterator[Moment]:
    """The buckets that close: before `own` by the service's own lines, then by those of others.

    Where it said nothing between two of its own lines it may have been us who were away: that
    is no silence, and after a while of it time jumps.
    """
    empty = 0
    while service.next < until:
        spoken = service.next in service.open
        empty = 0 if spoken else empty + 1
        if service.idle():
            service.next = until
        elif empty > FILL and service.next < own:
            service.next = min([*service.open, until])
        else:
            yield Moment(service.next, service.tick, spoken or service.next >= own)
            service.next += 1
            service.tick += 1


def _groups(entries: Entries, ids: Sequence[str]) -> Iterator[tuple[int, int, int, list[str]]]:
    """Service, severity and bucket, and the templates of their entries, in their order."""
    buckets = entries.at // BUCKET_MS
    first = int(buckets.min())
    span = int(buckets.max()) - first + 1
    code = entries.service.astype(np.int64) * len(LEVELS) + entries.rank
    code = code * span + buckets - first
    if int(code.max()) < NARROW:
        code = code.astype(np.uint16)  # sorted by radix
    order = np.argsort(code, kind="stable")
    code = code[order]
    begins = np.flatnonzero(np.append(True, code[1:] != code[:-1]))
    ordered = list(map(ids.__getitem__, order.tolist()))
    ends = [*begins[1:].tolist(), len(ordered)]
    for begin, end, packed in zip(begins.tolist(), ends, code[begins].tolist(), strict=True):
        pair, later = divmod(packed, span)
        yield *divmod(pair, len(LEVELS)), first + later, ordered[begin:end]


def _renew(errors: dict[str, str], newer: Iterable[tuple[str, str]]) -> None:
    """Put newer ones behind the others; the oldest go."""
    for ident, text in newer:
        errors.pop(ident, None)
        errors[ident] = text
    while len(errors) > EVIDENCE:
        del errors[next(iter(errors))]


class _Named(NamedTuple):
    """The templates that a severity of a service had rates of last, and their series."""

    idents: list[str]
    names: list[str]


class _Rates:
    """Samples as they come, by service; mostly of the same series as in the bucket before."""

    def __init__(self, named: dict[tuple[str, int], _Named]) -> None:
        self._named = named
        self._columns: dict[str, _Columns] = {}

    def add(self, service: str, bucket: int, rates: Iterable[Rates]) -> None:
        columns = self._columns.setdefault(service, _Columns({}, {}, [], [], []))
        at = (bucket + 1) * BUCKET_MS
        for rank, idents, lines, ended in rates:
            named = self._named.get((service, rank))
            if named is None or named.idents != idents:
                named = _Named(idents, [series(service, rank, ident) for ident in idents])
                self._named[service, rank] = named
            columns.add(at, rank, named.names, lines)
            if ended:
                names = [series(service, rank, ident) for ident in ended]
                columns.add(at, rank, names, [STALE] * len(ended))

    def samples(self) -> dict[str, Samples]:
        return {
            service: columns.samples()
            for service, columns in self._columns.items()
            if columns.number
        }


class _Columns(NamedTuple):
    number: dict[str, int]  # of a series
    codes: dict[int, tuple[list[str], npt.NDArray[np.int32]]]  # severity -> its names and numbers
    code: list[npt.NDArray[np.int32]]
    at: list[int]
    value: list[Sequence[float]]

    def add(self, at: int, rank: int, names: list[str], values: Sequence[float]) -> None:
        known = self.codes.get(rank)
        if known is None or known[0] is not names:
            number = self.number
            codes = [number.setdefault(name, len(number)) for name in names]
            known = self.codes[rank] = names, np.array(codes, np.int32)
        self.code.append(known[1])
        self.at.append(at)
        self.value.append(values)

    def samples(self) -> Samples:
        sizes = list(map(len, self.code))
        return Samples(
            list(self.number),
            np.concatenate(self.code),
            np.repeat(np.array(self.at, np.int64), sizes),
            np.array([value for some in self.value for value in some], np.float64),
        )


@lru_cache(maxsize=65_536)
def series(service: str, rank: int, ident: str) -> str:
    """The canonical label string of a rate.

    >>> series("shop", 6, "00f067aa0ba902b7")
    'log_lines{service="shop",severity="error",template="00f067aa0ba902b7"}'
    """
    level = LEVELS[rank]
    severity = {"severity": level} if level else {}
    return canonical(COUNTED, {"service": service, "template": ident, **severity})


def shown(text: str) -> str:
    """What is kept of an entry: masked, then cut, so that no half of a secret is left."""
    return masked(text[: 4 * WIDTH])[:WIDTH]
