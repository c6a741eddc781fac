"""collectd's write_kafka in its Command format: lines of the plain text protocol.

    PUTVAL photon2/load/load interval=10.000 1517512718.495:0.31:0.34:0.28

The values' names and types are not in it; those of collectd's own types.db are known. Its
counters come as totals, whatever StoreRates says, and are called `..._total`, which detect turns
into rates. Values of other types are numbered and taken as they are.

Source: collectd, collectd-unixsock(5); src/utils/cmds/putval.c.
"""

import re

from streams.formats.collectd import grows, labels, metric, sources
from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.limits import Refused, quoted
from streams.formats.record import Record, read_each
from streams.formats.verdict import instant, number

WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return read_each(
        batch, reading, lambda record, raw: record.each(record.lines(raw), _line), space="collectd"
    )


def _line(record: Record, line: str) -> None:
    words = [quoted or plain for quoted, plain in WORD.findall(line)]
    if len(words) < 3 or words[0].upper() != "PUTVAL":  # noqa: PLR2004 - command, name, values
        raise Refused("bad-line", f"{quoted(line)} is no PUTVAL")
    host, plugin, kind = _identifier(words[1])
    lists = [word for word in words[2:] if "=" not in word]  # the others are options
    if not lists:
        raise Refused("bad-line", "a PUTVAL without values")
    name, _, plugin_instance = plugin.partition("-")
    kind, _, type_instance = kind.partition("-")
    own = (host, plugin_instance, type_instance)
    for given in lists:
        time, *values = given.split(":")
        if not values:
            raise Refused("bad-line", f"{quoted(given)}: a time without values")
        at = record.arrived if time == "N" else instant(time)
        for source, value in zip(sources(kind, len(values)), values, strict=True):
            if value == "U":  # undefined
                record.skip("nan")
                continue
            full = metric(name, kind, source) + ("_total" if grows(kind, source) else "")
            record.sample((own, full), full, lambda: labels(*own), at, number(value))


def _identifier(given: str) -> tuple[str, str, str]:
    parts = given.split("/")
    if len(parts) != 3 or not all(parts):  # noqa: PLR2004 - host, plugin, type
        raise Refused("bad-line", f"{quoted(given)} is not host/plugin/type")
    return parts[0], parts[1], parts[2]
