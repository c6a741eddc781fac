"""collectd's write_kafka in its JSON format: a list of value lists.

By default the producer turns counters into rates itself (StoreRates), without saying so in
the data sources' types, so values are taken as they are. Where it is switched off, the
topic's format is `collectd-json@totals`: counters and derives are then called `..._total`,
which detect turns into rates. A null is a value that collectd did not have. An empty record
can appear for the first sample of a rate; it is skipped, not refused.

Source: collectd, src/write_kafka.c, src/utils/format_json/format_json.c.
"""

from functools import partial

import msgspec

from streams.formats.collectd import labels, metric
from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.document import Documents
from streams.formats.limits import Refused
from streams.formats.record import Record, read_each
from streams.formats.verdict import instant, number, too_many

GROWING = {"counter", "derive"}


class _Values(msgspec.Struct, gc=False):
    values: list[float | str | None]
    dsnames: list[str]
    host: str
    plugin: str
    type: str
    time: float | str
    dstypes: list[str] = []
    plugin_instance: str = ""
    type_instance: str = ""


DOCUMENTS = Documents(_Values)


def parse(batch: Batch, reading: Reading, *, totals: bool = False) -> Parsed:
    """Read a batch of records; `totals`: counters were not turned into rates."""
    space = ("collectd", totals)
    return read_each(batch, reading, partial(_record, totals), space=space, empty="empty")


def _record(totals: bool, record: Record, raw: bytes) -> None:  # noqa: FBT001 - bound once, by name
    found = list(DOCUMENTS.each(raw, record.limits))
    each = (len(one.values) for one in found if isinstance(one, _Values))
    too_many(sum(each), record.limits.elements)
    record.each(found, partial(_values, totals))


def _values(totals: bool, record: Record, given: _Values) -> None:  # noqa: FBT001 - as above
    if not given.values or len(given.values) != len(given.dsnames):
        raise Refused(
            "bad-field", f"{len(given.values)} values, {len(given.dsnames)} names for them"
        )
    if totals and len(given.dstypes) != len(given.values):
        raise Refused("bad-field", "a value without its type")
    kinds = given.dstypes if totals else ["gauge"] * len(given.values)
    at = instant(given.time)
    own = (given.host, given.plugin_instance, given.type_instance)
    for value, source, kind in zip(given.values, given.dsnames, kinds, strict=True):
        if value is None:
            record.skip("nan")
            continue
        name = metric(given.plugin, given.type, source)
        if kind in GROWING:
            name += "_total"
        record.sample((own, name), name, lambda: labels(*own), at, number(value))
