"""Which series a sample belongs to, found by the bytes that it came with.

Making a canonical label string costs some ten times what reading a sample does, and the
same few thousand label sets come again and again. So each format looks up what it has at
hand (label bytes as they arrived, a tuple of symbols) and only what was never seen is
decoded, checked and named. Different spellings of one label set share a number.

The index is bounded: series a service, series in all, and what has not been heard of for a
while is forgotten, so that pods that come and go do not use up their service's share.
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import NamedTuple, Protocol, TypeVar, cast

import numpy as np
import numpy.typing as npt

from schemas.frames import canonical
from streams.formats.limits import MIB, Limits, Refused, quoted
from streams.formats.spoken import Spoken
from streams.formats.totals import Totals

INVALID = re.compile(r"[^a-zA-Z0-9_.:]")  # what a frame's label notation cannot carry
ORIGINS, ORIGIN_CHARACTERS = 50_000, 1 << 24  # of log lines, remembered, and of their labels in all
METRIC = "__name__"  # the label that a metric's name is, where it is looked at as one
SPELLINGS = 4  # keys that one series may have on average before all are forgotten
Show = Callable[[str, str], str]  # a label's name and value -> the value to be seen, or empty


def as_given(_name: str, value: str) -> str:
    """Every label as it came."""
    return value


@lru_cache(maxsize=10_000)
def named(name: str) -> str:
    """A metric's or label's name with every character that the notation lacks as `_`.

    >>> named("app.kubernetes.io/name"), named("5xx")
    ('app.kubernetes.io_name', '_5xx')
    """
    name = INVALID.sub("_", name)
    return name if name[:1].isalpha() or name[:1] == "_" else f"_{name}"


def checked(labels: Mapping[str, str], limits: Limits, show: Show = as_given) -> dict[str, str]:
    """The labels with names as frames write them and values as `show` wants, empty ones left out.

    Raises Refused for too many, too long or two that become one.
    """
    if len(labels) > limits.labels:
        raise Refused("too-many-labels", f"{len(labels)} labels, {limits.labels} allowed")
    clean: dict[str, str] = {}
    for name, value in labels.items():
        if not value:
            continue  # Prometheus: an empty label is one that is not there
        if not name or len(name.encode()) > limits.label_name_bytes:
            raise Refused("bad-label", f"a label's name has {len(name.encode())} bytes")
        if len(value) * 4 > limits.label_value_bytes:
            size = len(value.encode())
            if size > limits.label_value_bytes:
                raise Refused("label-too-long", f"label {quoted(name)} has {size} bytes")
        shown = show(name, value)
        if not shown:
            continue
        key = named(name)
        if key in clean:
            first = next(n for n, v in labels.items() if named(n) == key and v and show(n, v))
            both = f"{quoted(first)} and {quoted(name)}"
            raise Refused("bad-label", f"labels {both} are one in a series' name, {quoted(key)}")
        clean[key] = shown
    return clean


def service_of(labels: Mapping[str, str], limits: Limits, otherwise: str) -> str:
    """The service that the labels name. Raises Refused when nothing does."""
    wanted = map(named, limits.services)
    service = next((labels[name] for name in wanted if labels.get(name)), otherwise)
    if not service:
        raise Refused("no-service", f"none of {', '.join(limits.services)} is there")
    return service


def origin_of(
    labels: Mapping[str, str],
    limits: Limits,
    otherwise: str,
    named: str = "",
    show: Show = as_given,
) -> tuple[str, str]:
    """A log line's service, and its other labels as canonical string. Raises Refused.

    The service is `named`, or else what the labels name, or else `otherwise`.
    """
    clean = checked(labels, limits, show)
    service = show("service", named) if named else service_of(clean, limits, otherwise)
    if len(service.encode()) > limits.label_value_bytes:
        raise Refused("label-too-long", "the service's name is too long")
    clean.pop("service", None)
    return service, canonical("", clean)


class Recent(dict[Hashable, tuple[str, str]]):
    """What was worked out lately; begins anew when it is full: of entries, or of characters.

    Labels may be long, and different with every line: a count alone bounds no memory.
    """

    def __init__(self, most: int, characters: int) -> None:
        super().__init__()
        self._most, self._most_characters, self._characters = most, characters, 0

    def __setitem__(self, key: Hashable, value: tuple[str, str]) -> None:
        size = sum(map(len, value))
        if len(self) >= self._most or self._characters + size > self._most_characters:
            self.clear()
            self._characters = 0
        self._characters += size
        super().__setitem__(key, value)


class Known(Protocol):
    """What a format has learned of bytes that it met, by series' numbers."""

    def clear(self) -> None:
        """Forget all: the numbers are void."""


K = TypeVar("K", bound=Known)


class ByLabel(NamedTuple):
    """Tenants that are named by a label of a series."""

    label: str
    limits: Mapping[str, Limits]  # by tenant; of them, the counts of series


class SeriesIndex:
    """Numbers for series, and the way back to their names and services.

    `show` says what is to be seen of labels, and of a metric's name as of the label METRIC.
    """

    def __init__(
        self, limits: Limits, tenants: ByLabel | None = None, show: Show = as_given
    ) -> None:
        self._limits, self._tenants, self.show = limits, tenants, show
        self.codes: dict[Hashable, int] = {}  # whatever a format looks up -> number
        self._known: dict[Hashable, Known] = {}
        self.origins = Recent(
            ORIGINS, ORIGIN_CHARACTERS
        )  # of log lines: service and canonical labels
        self.names: list[str] = []
        self.services: list[str] = []
        self.totals = Totals()
        self.buckets = Spoken()
        self._by_name: dict[str, int] = {}
        self._named_bytes = self._keyed_bytes = 0  # of names; of what formats look up
        self._service_codes: dict[str, int] = {}
        self._series: Counter[tuple[str, str]] = Counter()  # by tenant (label) and service
        self._of_tenant: Counter[str] = Counter()  # by label; empty: of those that it names not
        self._named: dict[int, str] = {}  # number -> tenant, where a label names one
        self._of = np.zeros(1024, np.int32)  # number -> number of its service
        self._seen = np.zeros(1024, np.int64)  # number -> epoch ms
        self._swept: int | None = None  # epoch ms

    def __len__(self) -> int:
        """How many series are known."""
        return len(self.names)

    def known(self, key: Hashable, nothing: Callable[[], K]) -> K:
        """What is known under `key`, `nothing` at first; it is cleared when numbers change."""
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = nothing()
        return cast("K", found)

    def learn(
        self, key: Hashable, metric: str, labels: Mapping[str, str], service: str, now: int
    ) -> int:
        """The number of a series that `codes` does not have under `key` yet.

        `service` is what the record says beside its labels, or empty; `now` is epoch ms.
        Raises Refused, with the service as far as it is known.
        """
        try:
            return self._learnt(key, metric, labels, service, now)
        except Refused as error:
            wanted = (self.show(n, labels[n]) for n in self._limits.services if labels.get(n))
            error.service = error.service or next(filter(None, wanted), service)
            raise

    def _learnt(
        self, key: Hashable, metric: str, labels: Mapping[str, str], service: str, now: int
    ) -> int:
        limits = self._limits
        if not metric or len(metric.encode()) > limits.label_name_bytes:
            raise Refused("bad-metric", f"the metric's name has {len(metric.encode())} bytes")
        clean = checked(labels, limits, self.show)
        clean["service"] = service_of(clean, limits, service)
        if len(clean["service"].encode()) > limits.label_value_bytes:
            raise Refused("label-too-long", "the service's name is too long")
        name = canonical(named(self.show(METRIC, metric)), clean)
        code = self._by_name.get(name)
        if code is None:
            code = self._new(name, clean["service"], self._tenant(clean), now)
        size = self._keyed_bytes + _size(key)
        if len(self.codes) < SPELLINGS * limits.series and size <= SPELLINGS * self._most_bytes:
            self.codes[key], self._keyed_bytes = code, size  # beyond, only slower
        return code

    @property
    def _most_bytes(self) -> int:
        return self._limits.series_mib * MIB

    def _tenant(self, labels: Mapping[str, str]) -> str:
        """The tenant that the labels name, empty for none that has limits of its own."""
        if self._tenants is None:
            return ""
        found = labels.get(self._tenants.label, "")
        return found if found in self._tenants.limits else ""

    def _room(self, service: str, tenant: str) -> None:
        """Raise Refused when service or tenant have as many series as they may have."""
        limits = self._limits
        if tenant and self._tenants is not None:
            limits = self._tenants.limits[tenant]
        if (has := self._series[tenant, service]) >= limits.series_per_service:
            raise Refused(
                "too-many-series-of-service", f"{service} has {has} series already", service
            )
        if tenant and (has := self._of_tenant[tenant]) >= limits.series:
            raise Refused(
                "too-many-series-of-tenant", f"tenant {tenant} has {has} series already", service
            )
        if (has := len(self.names)) >= self._limits.series:
            raise Refused(
                "too-many-series-of-tenant", f"its tenant has {has} series already", service
            )

        if self._named_bytes >= self._most_bytes:
            said = f"its tenant's series have {self._limits.series_mib} MiB of labels already"
            raise Refused("too-many-series-of-tenant", f"{said} (series_mib)", service)

    def _new(self, name: str, service: str, tenant: str, now: int) -> int:
        self._room(service, tenant)
        code = len(self.names)
        if code == len(self._of):
            self._of = np.concatenate([self._of, np.zeros_like(self._of)])
            self._seen = np.concatenate([self._seen, np.zeros_like(self._seen)])
        self.names.append(name)
        self._named_bytes += len(name)
        self._by_name[name] = code
        self._series[tenant, service] += 1
        if tenant:
            self._of_tenant[tenant] += 1
            self._named[code] = tenant
        if service not in self._service_codes:
            self._service_codes[service] = len(self.services)
            self.services.append(service)
        self._of[code] = self._service_codes[service]
        self._seen[code] = now
        return code

    def service_codes(self, code: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """Numbers, into `services`, of the series' services."""
        return self._of[code]

    def of_services(self, code: npt.NDArray[np.int64]) -> list[str]:
        """The services of these series."""
        return [self.services[i] for i in self._of[code].tolist()]

    def touch(self, code: npt.NDArray[np.int64], now: int) -> None:
        """Note that these series were heard of at `now`, epoch ms."""
        self._seen[code] = now

    def sweep(self, now: int) -> bool:
        """Forget idle series when it is time to; numbers handed out before are void then."""
        idle = int(self._limits.series_idle_s * 1000)
        if self._swept is None:
            self._swept = now
        if now - self._swept < idle / 4:
            return False
        self._swept = now
        kept = np.flatnonzero(self._seen[: len(self.names)] > now - idle).tolist()
        if len(kept) == len(self.names):
            return False
        old = [
            (self.names[i], self.services[self._of[i]], self._named.get(i, ""), int(self._seen[i]))
            for i in kept
        ]
        self.totals.renumbered(kept)
        self.buckets.clear()
        self.codes.clear()
        for known in self._known.values():
            known.clear()
        self._named_bytes = self._keyed_bytes = 0
        self.names.clear()
        self.services.clear()
        self._by_name.clear()
        self._service_codes.clear()
        self._series.clear()
        self._of_tenant.clear()
        self._named.clear()
        for name, service, tenant, seen in old:
            self._new(name, service, tenant, seen)
        return True


def _size(key: Hashable) -> int:
    """About how many bytes a key holds: text as it came, which may be spelled at any length."""
    match key:
        case str() | bytes():
            return len(key)
        case tuple():
            return sum(map(_size, key))
    return 8
