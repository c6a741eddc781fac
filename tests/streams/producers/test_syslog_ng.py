"""syslog-ng's kafka(): what it says it wrote are log lines, as plain text and as JSON."""

import csv
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from streams.broker.embedded import EmbeddedBroker
from streams.broker.node import free_ports
from streams.intake.settings import IntakeSettings
from tests.streams.intake.test_intake import ANY_TIME, count, working
from tests.streams.kafka_world import letters, until, world
from tests.streams.producers.logs import (
    FILE_LINES,
    ODD,
    Said,
    Taken,
    labelled,
    messages,
    same,
    say,
    taken,
    write,
)
from tests.streams.producers.raw import make, raw, sizes
from tests.streams.producers.unpacked import Producers

# A destination each: its name, what it writes and the format that its topic is read in
DESTINATIONS = {
    "default": ("", "syslog-ng"),
    "json": ('message("$(format-json --scope selected-macros --scope nv-pairs)")', "syslog-ng-json"),
    "everything": ('message("$(format-json --scope everything)")', "syslog-ng-json"),
    "rfc5424": (
        'message("<$PRI>1 $ISODATE $HOST $PROGRAM ${PID:--} ${MSGID:--} ${SDATA:--} $MSG")',
        "syslog",
    ),
}  # fmt: skip
TOPICS = {name: raw(name) for name in DESTINATIONS}
CONFIGURATION = """\
@version: 3.35
options { stats-level(1); use-dns(no); dns-cache(no); keep-hostname(yes); frac-digits(3);
          time-zone("+09:00"); };
source s_file {
  file("%(log)s" program-override("shop") host-override("web1") default-facility(local1)
       default-severity(error) flags(no-parse) follow-freq(0.1));
};
source s_old { network(ip("127.0.0.1") port(%(old)d) transport("tcp")); };
source s_new { network(ip("127.0.0.1") port(%(new)d) transport("tcp") flags(syslog-protocol)); };
%(destinations)s
log {
  source(s_file); source(s_old); source(s_new);
%(used)s
  flags(flow-control);
};
"""
ITS_NAMES = {"audit": "security", "alert": "console", "clock": "solaris-cron"}  # of facilities
DESTINATION = 'destination d_%s { kafka-c(bootstrap-servers("%s") topic("%s") %s); };'


def from_file(destination: str, line: str) -> Taken:
    """What must come of a line of the file."""
    given = {"host": "web1", "app": "shop", "facility": "local1"}
    severity = "error"
    if destination == "default":
        del given["facility"]
        severity = "error" if line.startswith("ERROR") else ""
    return Taken("shop", severity, line, labelled(**given))


def from_network(destination: str, said: Said) -> Taken:
    """What must come of a message."""
    given = {"host": "db2", "app": said.app, "facility": said.facility}
    severity = said.severity
    if destination != "rfc5424":
        given["facility"] = ITS_NAMES.get(said.facility, said.facility)
    if destination == "default":
        del given["facility"]
        severity = ""
    if destination == "rfc5424" and said.new:
        given |= {"msgid": "ID47", "shop_1.region": "eu"}
    return Taken(said.app, severity, said.text, labelled(**given))


@pytest.mark.broker
def test_every_line_that_syslog_ng_wrote_is_there(
    producers: Producers, broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """A file with odd lines and messages of every priority, to four destinations at once."""
    kafka = world(broker.bootstrap, topic_prefix)
    make(kafka, TOPICS.values())
    old, new = free_ports(2)
    log = tmp_path / "shop.log"
    made = [
        DESTINATION % (name, broker.bootstrap, kafka.topic(TOPICS[name]), message)
        for name, (message, _) in DESTINATIONS.items()
    ]
    filling = {
        "log": log,
        "old": old,
        "new": new,
        "destinations": "\n".join(made),
        "used": "\n".join(f"  destination(d_{name});" for name in DESTINATIONS),
    }
    (tmp_path / "syslog-ng.conf").write_text(CONFIGURATION % filling)
    began = datetime.now(UTC)
    lines, said = write(log), messages(began)
    total = FILE_LINES + len(said)
    program = "usr/sbin/syslog-ng"

    def stats() -> dict[str, dict[str, int]]:
        """Counters of each destination, as syslog-ng-ctl has them from the running program."""
        asked = subprocess.run(
            [producers.place(f"{program}-ctl"), "stats", "-c", tmp_path / "control"],
            env=producers.environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        found: dict[str, dict[str, int]] = {name: {} for name in DESTINATIONS}
        for row in csv.DictReader(asked.stdout.splitlines(), delimiter=";"):
            if row["SourceName"] == "dst.kafka":
                found[row["SourceId"][2:].partition("#")[0]][row["Type"]] = int(row["Number"])
        return found

    def sent() -> bool:
        """It says so, and Kafka has it."""
        return min(written().values()) >= total and all(
            one.get("written") == total for one in stats().values()
        )

    with sizes(kafka, TOPICS.values()) as written, producers.running(
        program, "--foreground", "--no-caps",
        *("-f", tmp_path / "syslog-ng.conf", "-R", tmp_path / "persist"),
        *("-p", tmp_path / "pid", "-c", tmp_path / "control"),
        f"--module-path={producers.place('usr/lib/syslog-ng/[0-9]*')}",
        folder=tmp_path,
    ) as shipper:  # fmt: skip
        until(lambda: (tmp_path / "control").exists() or not shipper.running)
        assert shipper.running, shipper.log_tail()
        say(old, [each.wire for each in said if not each.new])
        say(new, [each.wire for each in said if each.new])
        until(sent, 120)
        told, in_kafka = stats(), written()

    whole = {"written": total, "dropped": 0, "queued": 0}
    assert {n: {k: one[k] for k in whole} for n, one in told.items()} == dict.fromkeys(told, whole)
    assert set(in_kafka.values()) == {total}

    formats = {TOPICS[name].name: read_in for name, (_, read_in) in DESTINATIONS.items()}
    limits = ANY_TIME | {"zone": "Asia/Tokyo"}  # DATE has none: what time-zone() says
    settings = IntakeSettings.model_validate({"topics": formats, "limits": limits})
    registry = CollectorRegistry()
    with working(kafka, settings, registry):
        until(lambda: count(registry, "records") == total * len(DESTINATIONS))

    assert not [(letter.rule, letter.original) for letter in letters(kafka)]
    found = taken(kafka)
    wanted = [
        *(from_file(destination, text) for destination in DESTINATIONS for text in lines),
        *(from_network(destination, each) for destination in DESTINATIONS for each in said),
    ]
    same([line for line, _ in found], wanted)
    times: dict[str, set[int]] = {}
    for line, at in found:
        times.setdefault(line.text, set()).add(at)
    assert {each.text: times[each.text] for each in said} == {each.text: {each.at} for each in said}
    ended = datetime.now(UTC)
    for text in set(lines) - set(ODD):
        assert all(began.timestamp() - 1 <= at / 1000 <= ended.timestamp() for at in times[text])
