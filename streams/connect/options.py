"""What stands behind the @ of a format's name, and which of two names that read alike it is.

Records do not say their times' unit, nor whether collectd turned counters into rates. Both
show in a sample: a time is near its record's, and a counter never falls.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from streams.connect.clues import Sampled
from streams.formats.collectd_json import GROWING
from streams.formats.document import OBJECTS
from streams.formats.epoch import MICROS, MILLIS, SECONDS, UNITS
from streams.formats.json import OWN
from streams.formats.limits import Limits, Refused
from streams.formats.times import one
from streams.formats.verdict import instant

DAY_MS = 86_400_000
NEAR_MS = 2 * DAY_MS  # between a time in a record and the record's own
WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
RISES = 10  # of counters that never fall, from which they are taken for totals
RESTARTS = 0.1  # share of falls that restarts of collectd may explain
INFLUX_TIME = re.compile(rb" (-?\d{9,20})\s*$", re.MULTILINE)
ISO = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?")
LISTS = ("dsnames", "dstypes", "values")
SORTED = ("labels", "name", "timestamp", "value")
NO_LIMITS = Limits()
SHOWN = 5  # names in a warning


class Option(NamedTuple):
    """A format's name in full."""

    format: str
    reasons: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()  # names between which nothing in the records decides
    likely: bool = False  # no more than that: two producers write the same
    warnings: tuple[str, ...] = ()


def refined(name: str, records: Sequence[Sampled]) -> Option:
    """The name with what the records tell beside their shape."""
    refine = REFINED.get(name)
    return refine(name, records) if refine else Option(name)


def _objects(records: Iterable[Sampled]) -> Iterator[tuple[Sampled, dict[str, Any]]]:
    """The JSON objects in the records; some of these may be strangers, and no JSON at all."""
    for record in records:
        try:
            yield from ((record, each) for each in _held(record.value))
        except (ValueError, RecursionError, Refused):
            continue


def _held(value: bytes) -> list[dict[str, Any]]:
    return [each for each in OBJECTS.each(value, NO_LIMITS) if isinstance(each, dict)]


def _telegraf(name: str, records: Sequence[Sampled]) -> Option:
    times = [
        (metric.get("timestamp"), record.at)
        for record, found in _objects(records)
        for metric in found.get("metrics", [found])
        if isinstance(metric, dict)
    ]
    return _in_unit(name, [(given, at) for given, at in times if isinstance(given, int | float)])


def _influx(name: str, records: Sequence[Sampled]) -> Option:
    return _in_unit(
        name,
        [(int(t), record.at) for record in records for t in INFLUX_TIME.findall(record.value)],
    )


def _in_unit(name: str, times: Sequence[tuple[float, int]]) -> Option:
    """The unit is told by magnitude, unless that is far from when the records came."""
    if not times:
        return Option(name, ("no record has a time: that of its arrival is taken",))
    if _near([(_by_magnitude(given), at) for given, at in times]):
        return Option(
            name, (f"their times are in {WORDS[_unit(times[0][0])]}, as is seen from them",)
        )
    for unit, scale in UNITS.items():
        if _near([(given * scale / 1e6, at) for given, at in times]):
            said = f"their times are near the records' own only in {WORDS[unit]}"
            return Option(f"{name}@{unit}", (said,))
    unit = _unit(times[0][0])
    said = f"their times seem to be in {WORDS[unit]}, but are far from when the records came"
    return Option(name, (said,), likely=True)


def _near(times: Sequence[tuple[float | None, int]]) -> bool:
    """Whether most are near."""
    near = sum(given is not None and abs(given - at) <= NEAR_MS for given, at in times)
    return near * 2 > len(times)


def _by_magnitude(given: float) -> float | None:
    try:
        return one(given)
    except (ValueError, OverflowError):
        return None


def _unit(given: float) -> str:
    bounds = zip((SECONDS, MILLIS, MICROS), WORDS, strict=False)
    return next((unit for bound, unit in bounds if given < bound), "ns")


def _collectd(name: str, records: Sequence[Sampled]) -> Option:
    """Whether counters came as they are, or as rates."""
    met: defaultdict[tuple[object, ...], list[tuple[float, float]]] = defaultdict(list)
    for _, found in _objects(records):
        if not all(isinstance(found.get(name), list) for name in LISTS):
            continue
        place = tuple(
            found.get(k) for k in ("host", "plugin", "plugin_instance", "type", "type_instance")
        )
        for source, kind, value in zip(
            found["dsnames"], found["dstypes"], found["values"], strict=False
        ):
            if kind in GROWING and isinstance(value, int | float):
                met[*place, source].append((instant(found.get("time")), value))
    series = {place: [value for _, value in sorted(values)] for place, values in met.items()}
    if not any(value for values in series.values() for value in values):
        return Option(name)
    if any(value != int(value) for values in series.values() for value in values):
        return Option(name, ("its counters have fractions: collectd made rates of them",))
    pairs = [pair for values in series.values() for pair in pairwise(values)]
    falls = sum(after < before for before, after in pairs)
    rises = sum(after > before for before, after in pairs)
    if falls > RESTARTS * len(pairs):
        return Option(name, ("its counters fall: collectd made rates of them",))
    if not falls and rises >= RISES:
        said = "its counters only grow: StoreRates is off, so they are totals"
        return Option(f"{name}@totals", (said,), likely=True)
    said = "too few values of its counters to tell rates from totals"
    return Option(name, (said,), (name, f"{name}@totals"))


def _adapter(name: str, records: Sequence[Sampled]) -> Option:
    """The adapter's JSON is sorted; its Avro's JSON is in another order each time. Both read."""
    orders = {tuple(found) for _, found in _objects(records) if found.keys() == set(SORTED)}
    if orders == {SORTED}:
        return Option(name)
    if len(orders) > 1:
        said = "their fields are in changing order: the adapter's avro-json"
        return Option("prometheus-avro", (said,), likely=True)
    return Option(name, likely=True)


def _daemon(name: str, records: Sequence[Sampled]) -> Option:
    """Fractions of seconds are rsyslog's, syslog-ng has none unless told to; read alike."""
    found = [each for record in records for each in ISO.findall(record.value)[:1]]
    whole = bool(found) and not any(found)
    writer, other = ("syslog-ng", "rsyslog") if whole else (name, "syslog-ng")
    if not found:
        return Option(name, (f"{other} may have written them, which is read alike",), likely=True)
    said = "no fractions" if whole else "fractions"
    told = f"their times have {said} of a second, as {writer} has it; {other} is read alike"
    return Option(writer, (told,), likely=True)


def _own(name: str, records: Sequence[Sampled]) -> Option:
    """Fields of our metrics that are passed over, where they might tell series apart."""
    known = OWN | set(NO_LIMITS.services)
    others = {
        field
        for _, found in _objects(records)
        if "metric" in found
        for field, value in found.items()
        if field not in known and isinstance(value, str)
    }
    if not others:
        return Option(name)
    fields = ", ".join(sorted(others)[:SHOWN])
    said = f"{fields}: not read, so series that differ only there become one; labels are for that"
    return Option(name, likely=True, warnings=(said,))


REFINED: dict[str, Callable[[str, Sequence[Sampled]], Option]] = {
    "telegraf-json": _telegraf,
    "influx": _influx,
    "collectd-json": _collectd,
    "prometheus-json": _adapter,
    "rsyslog": _daemon,
    "json": _own,
}
