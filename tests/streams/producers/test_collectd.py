"""collectd's write_kafka: every value that its own CSV files have, in each of its formats."""

import csv
import math
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client import CollectorRegistry

from schemas.frames import canonical
from streams.broker.embedded import EmbeddedBroker
from streams.formats.collectd import SOURCES, TOTALS
from streams.intake.settings import IntakeSettings
from tests.streams.intake.test_intake import ANY_TIME, count, working
from tests.streams.kafka_world import letters, records, samples, until, world
from tests.streams.producers.raw import make, raw
from tests.streams.producers.unpacked import Producers

CONFIGURATION = """\
Hostname "web1"
FQDNLookup false
BaseDir "{folder}"
PIDFile "{folder}/pid"
PluginDir "{plugins}"
TypesDB "{types}"
Interval 0.5
WriteThreads 1
LoadPlugin logfile
<Plugin logfile>
  LogLevel info
  File stderr
</Plugin>
LoadPlugin load
LoadPlugin memory
LoadPlugin cpu
LoadPlugin interface
<Plugin interface>
  Interface "lo"
</Plugin>
LoadPlugin unixsock
<Plugin unixsock>
  SocketFile "{folder}/socket"
</Plugin>
<LoadPlugin csv>
  FlushInterval 1
</LoadPlugin>
<Plugin csv>
  DataDir "{folder}/totals"
  StoreRates false
</Plugin>
LoadPlugin write_kafka
<Plugin write_kafka>
  Property "metadata.broker.list" "{brokers}"
{topics}
</Plugin>
"""
# A topic each: what its block says, and the format that it is read in
WRITTEN = {
    "rates": ("Format JSON", "collectd-json"),
    "totals": ("Format JSON\n    StoreRates false", "collectd-json@totals"),
    "command": ("Format Command", "collectd-command"),
    "graphite": ('Format Graphite\n    GraphitePrefix "sys."', "graphite"),
}
TOPICS = {name: raw(name) for name in WRITTEN}
STEPS = 150
RACE_MS = (
    2000  # of plugins that read side by side: what one read a moment ago may still be on its way
)


class Value(NamedTuple):
    """A value as collectd's CSV plugin wrote it."""

    plugin: str
    plugin_instance: str
    type: str
    type_instance: str
    source: str
    at: int
    value: float


def own(folder: Path) -> list[Value]:
    """All that the CSV plugin wrote, totals as totals."""
    found = []
    for file in folder.glob("web1/*/*-[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"):
        plugin, _, plugin_instance = file.parent.name.partition("-")
        kind, _, type_instance = file.name[: -len("-2026-01-02")].partition("-")
        for row in csv.DictReader(file.read_text().splitlines()):
            at = round(float(row.pop("epoch")) * 1000)
            found += [
                Value(plugin, plugin_instance, kind, type_instance, name, at, float(value))
                for name, value in row.items()
            ]
    return found


def types(path: Path) -> dict[str, dict[str, str]]:
    """types.db: type -> data source -> GAUGE, DERIVE, COUNTER or ABSOLUTE."""
    lines = (line.partition("#")[0].split(None, 1) for line in path.read_text().splitlines())
    return {
        line[0]: {one.split(":")[0].strip(): one.split(":")[1] for one in line[1].split(",")}
        for line in lines
        if line
    }


def total(known: dict[str, dict[str, str]], one: Value) -> bool:
    """Whether its type says that it only grows."""
    return known[one.type][one.source] in {"DERIVE", "COUNTER"}


def series(one: Value, suffix: str) -> str:
    """What a value's series must be called."""
    name = one.type if one.plugin == one.type else f"{one.plugin}_{one.type}"
    if one.source != "value":
        name += f"_{one.source}"
    given = {"host": "web1", "service": "web1", "plugin_instance": one.plugin_instance}
    given["type_instance"] = one.type_instance
    return canonical(name + suffix, {k: v for k, v in given.items() if v})


def path(one: Value) -> str:
    """What its series must be called in Graphite's format."""
    plugin = "-".join(filter(None, (one.plugin, one.plugin_instance)))
    kind = "-".join(filter(None, (one.type, one.type_instance)))
    name = f"sys.web1.{plugin}.{kind}"
    return name if one.source == "value" else f"{name}.{one.source}"


def told(socket_file: Path, lines: Sequence[str]) -> list[str]:
    """What collectd answers to commands on its socket."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(60)
        link.connect(str(socket_file))
        with link.makefile("rw", encoding="utf-8", newline="\n") as lane:
            answers = []
            for line in lines:
                lane.write(f"{line}\n")
                lane.flush()
                answers.append(lane.readline())
            return answers


def handed(now: int) -> list[str]:
    """Values of an application of ours, one a second until a moment ago, as PUTVAL commands."""
    commands = []
    for i in range(STEPS):
        at = now - 2 * STEPS + i
        commands += [
            f"PUTVAL web1/shop/gauge-orders interval=1 {at}:{i / 8 - 3}",
            f"PUTVAL web1/shop/derive-bytes interval=1 {at}:{i * i}",
            f"PUTVAL web1/shop-eu/mysql_threads interval=1 {at}:{i}:U:{i % 7}:{5 * i}",
        ]
    return commands


@pytest.mark.broker
def test_every_value_that_collectd_read_is_there(
    producers: Producers, broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """What plugins read of this machine and what an application hands over, in four formats."""
    kafka = world(broker.bootstrap, topic_prefix)
    make(kafka, TOPICS.values())
    blocks = [
        f'  <Topic "{kafka.topic(TOPICS[name])}">\n    {block}\n  </Topic>'
        for name, (block, _) in WRITTEN.items()
    ]
    types_db = producers.place("usr/share/collectd/types.db")
    (tmp_path / "collectd.conf").write_text(
        CONFIGURATION.format(
            folder=tmp_path,
            plugins=producers.place("usr/lib/collectd"),
            types=types_db,
            brokers=broker.bootstrap,
            topics="\n".join(blocks),
        )
    )
    given = handed(int(time.time()))
    socket_file = tmp_path / "socket"

    def loads() -> int:
        return len([one for one in own(tmp_path / "totals") if one.type == "load"])

    def marked() -> bool:
        """Whether the mark has come through everywhere: it is the last of what is compared."""
        return all(
            any(b"marker" in record.value() for record in records(kafka, topic))
            for topic in TOPICS.values()
        )

    with producers.running(
        "usr/sbin/collectd", "-f", "-C", tmp_path / "collectd.conf", folder=tmp_path
    ) as collectd:
        until(lambda: socket_file.exists() or not collectd.running)
        assert collectd.running, collectd.log_tail()
        answers = told(socket_file, given)
        until(lambda: loads() >= 3 * 10)
        # The last moment compared: Graphite's whole seconds are rounded, and none lies across it
        end = (int(time.time() * 1000) - RACE_MS - 500) // 1000 * 1000 + 500
        answers += told(socket_file, ["PUTVAL web1/marker/gauge interval=1 N:1"])
        until(marked)
    assert Counter(answers) == {"0 Success: 1 value has been dispatched.\n": len(given) + 1}

    formats = {TOPICS[name].name: read_in for name, (_, read_in) in WRITTEN.items()}
    settings = IntakeSettings.model_validate(
        {"topics": formats, "services": {"raw.graphite": "hall"}, "limits": ANY_TIME}
    )
    registry = CollectorRegistry()
    wanted = sum(len(records(kafka, topic)) for topic in TOPICS.values())
    with working(kafka, settings, registry):
        until(lambda: count(registry, "records") == wanted)
    assert not [(letter.rule, letter.original) for letter in letters(kafka)]

    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    for row in samples(kafka):
        if row.at < end:
            found[row.series, row.at].append(row.value)
    values = [one for one in own(tmp_path / "totals") if one.at < end]
    compare(values, found, types(types_db))


def compare(
    values: list[Value],
    found: dict[tuple[str, int], list[float]],
    known: dict[str, dict[str, str]],
) -> None:
    """Take what was written from what was found: each value once a format, and nothing is left."""
    before: dict[str, Value] = {}
    assert len([one for one in values if one.plugin == "shop"]) == STEPS * (1 + 1 + 4)
    assert {one.plugin for one in values} >= {"load", "memory", "cpu", "interface", "shop"}
    for one in sorted(values, key=lambda one: one.at):
        if math.isnan(one.value):
            continue
        suffix = "_total" if total(known, one) else ""
        same = found[series(one, suffix), one.at]
        times = 2 if suffix else 3  # as totals and as a command; a gauge in the format of rates too
        assert [f"{value:.6f}" for value in same] == [f"{one.value:.6f}"] * times, one
        same.clear()
        last = before.get(path(one))
        if suffix and last is not None:
            (rate,) = found.pop((series(one, ""), one.at))
            passed = (one.at - last.at) / 1000
            assert rate * passed == pytest.approx(one.value - last.value, rel=0.01, abs=1e-6), one
        before[path(one)] = one
        # Graphite's format has whole seconds, rounded; the hyphen is no character of a series' name
        name = canonical(path(one).replace("-", "_"), {"service": "hall"})
        second = (one.at + 500) // 1000 * 1000
        shown = [f"{value:.6f}" for value in found[name, second]]
        assert f"{one.value:.6f}" in shown, (one, shown)
        del found[name, second][shown.index(f"{one.value:.6f}")]
    assert not {place: left for place, left in found.items() if left}


def test_the_types_of_collectd_are_known_as_it_has_them(producers: Producers) -> None:
    """In its Command format a record does not say what its values are."""
    known = types(producers.place("usr/share/collectd/types.db"))
    named = {kind: tuple(sources) for kind, sources in known.items()}
    assert {kind: names for kind, names in named.items() if names != ("value",)} == SOURCES
    growing = {
        f"{kind}/{source}"
        for kind, sources in known.items()
        for source, of in sources.items()
        if of in {"DERIVE", "COUNTER"}
    }
    ours = {
        place
        for one in TOTALS
        for place in ([one] if "/" in one else [f"{one}/{name}" for name in named[one]])
    }
    assert ours == growing
