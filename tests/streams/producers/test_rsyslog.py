"""rsyslog's omkafka: what it says it sent are log lines, whichever template wrote them."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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

# An action each: its name, the template and the format that its topic is read in
TEMPLATES = {
    "default": ("", "rsyslog"),
    "rfc5424": ("RSYSLOG_SyslogProtocol23Format", "syslog"),
    "standard": ("standard", "rsyslog-json"),
    "full": ("full", "rsyslog-json"),
    "message": ("message", "rsyslog-json"),
    "elastic": ("elastic", "rsyslog-json"),
}
TOPICS = {name: raw(name) for name in TEMPLATES}
# standard and full are the texts of rsyslog's own StdJSONFmt and FullJSONFmt, which this version
# does not let a configuration name; elastic is what its documents show for Elasticsearch.
CONFIGURATION = r"""
global(workDirectory="%(folder)s" localHostname="web1" maxMessageSize="64k")
module(load="imfile" mode="polling" pollingInterval="1")
module(load="imptcp")
module(load="omkafka")
module(load="impstats" interval="1" format="json" log.file="%(folder)s/stats" log.syslog="off")
input(type="imfile" file="%(log)s" tag="shop:" severity="error" facility="local1" ruleset="all")
input(type="imptcp" address="127.0.0.1" port="%(port)d" ruleset="all")
template(name="standard" type="string" string="{\"message\":\"%%msg:::json%%\",\"fromhost\":\"%%HOSTNAME:::json%%\",\"facility\":\"%%syslogfacility-text%%\",\"priority\":\"%%syslogpriority-text%%\",\"timereported\":\"%%timereported:::date-rfc3339%%\",\"timegenerated\":\"%%timegenerated:::date-rfc3339%%\"}")
template(name="full" type="string" string="{\"message\":\"%%msg:::json%%\",\"fromhost\":\"%%HOSTNAME:::json%%\",\"programname\":\"%%programname%%\",\"procid\":\"%%PROCID%%\",\"msgid\":\"%%MSGID%%\",\"facility\":\"%%syslogfacility-text%%\",\"priority\":\"%%syslogpriority-text%%\",\"timereported\":\"%%timereported:::date-rfc3339%%\",\"timegenerated\":\"%%timegenerated:::date-rfc3339%%\"}")
template(name="message" type="string" string="%%jsonmesg%%")
template(name="elastic" type="list" option.jsonf="on") {
  property(outname="@timestamp" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="severity" name="syslogseverity-text" caseConversion="upper" format="jsonf")
  property(outname="facility" name="syslogfacility-text" format="jsonf")
  property(outname="syslog-tag" name="syslogtag" format="jsonf")
  property(outname="message" name="msg" format="jsonf")
}
ruleset(name="all") {
%(actions)s
}
"""
ACTION = '  action(type="omkafka" name="%s" broker=["%s"] topic="%s"%s)'


def stats(path: Path) -> dict[str, dict[str, Any]]:
    """What each part of rsyslog said of itself last."""
    said = re.findall(r"(\{ .*\})\n", path.read_text()) if path.exists() else []
    return {one["name"]: one for one in map(json.loads, said)}


def from_file(template: str, line: str) -> Taken:
    """What must come of a line of the file, which says nothing of itself but its text."""
    given = {"host": "web1", "app": "shop", "facility": "local1"}
    severity, text = "error", line.removeprefix(" ")  # the space that follows a tag
    match template:
        case "rfc5424":
            text = line
        case "default":
            del given["facility"]
            severity = "error" if line.startswith("ERROR") else ""
        case "standard" | "elastic":
            del given["app"]
    return Taken(given.get("app", "web1"), severity, text, labelled(**given))


def from_network(template: str, said: Said) -> Taken:
    """What must come of a message."""
    given = {"host": "db2", "app": said.app, "facility": said.facility}
    severity, text = said.severity, said.text
    match template:
        case "default":
            del given["facility"]
            severity = ""
        case "standard" | "elastic":
            del given["app"]
        case "rfc5424" if said.new:
            given |= {"msgid": "ID47", "shop_1.region": "eu"}
        case "rfc5424":
            text = f" {text}"  # what followed the tag, and to the new RFC is the text's own
    return Taken(given.get("app", "db2"), severity, text, labelled(**given))


@pytest.mark.broker
def test_every_line_that_rsyslog_sent_is_there(
    producers: Producers, broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """A file with odd lines and messages of every priority, in six templates at once."""
    kafka = world(broker.bootstrap, topic_prefix)
    make(kafka, TOPICS.values())
    actions = [
        ACTION % (name, broker.bootstrap, kafka.topic(TOPICS[name]), f' template="{template}"' if template else "")
        for name, (template, _) in TEMPLATES.items()
    ]  # fmt: skip
    (port,) = free_ports(1)
    log = tmp_path / "shop.log"
    filling = {"folder": tmp_path, "log": log, "port": port, "actions": "\n".join(actions)}
    (tmp_path / "rsyslog.conf").write_text(CONFIGURATION % filling)
    began = datetime.now(UTC)
    lines, said = write(log), messages(began)
    total = FILE_LINES + len(said)

    def sent() -> bool:
        """It says so, and Kafka has it; what is not, it would give up two seconds after the end."""
        submitted: int = stats(tmp_path / "stats").get("omkafka", {}).get("submitted", 0)
        return submitted >= total * len(TEMPLATES) <= sum(written().values())

    with (
        sizes(kafka, TOPICS.values()) as written,
        producers.running(
            "usr/sbin/rsyslogd",
            *("-n", "-f", tmp_path / "rsyslog.conf", "-i", tmp_path / "pid"),
            *("-M", producers.place("usr/lib/*/rsyslog")),
            folder=tmp_path,
        ) as rsyslog,
    ):
        until(lambda: (tmp_path / "stats").exists() or not rsyslog.running)
        assert rsyslog.running, rsyslog.log_tail()
        say(port, [each.wire for each in said])
        until(sent, 120)
        in_kafka = written()

    told = stats(tmp_path / "stats")
    assert told["omkafka"]["submitted"] == total * len(TEMPLATES)
    assert {name: told[name]["processed"] for name in TEMPLATES} == dict.fromkeys(TEMPLATES, total)
    failures = {k: v for k, v in told["omkafka"].items() if k.startswith(("failures", "errors"))}
    assert not any(failures.values()), failures
    assert set(in_kafka.values()) == {total}

    formats = {TOPICS[name].name: read_in for name, (_, read_in) in TEMPLATES.items()}
    settings = IntakeSettings.model_validate({"topics": formats, "limits": ANY_TIME})
    registry = CollectorRegistry()
    with working(kafka, settings, registry):
        until(lambda: count(registry, "records") == total * len(TEMPLATES))

    assert not [(letter.rule, letter.original) for letter in letters(kafka)]
    found = taken(kafka)
    wanted = [
        *(from_file(template, text) for template in TEMPLATES for text in lines),
        *(from_network(template, each) for template in TEMPLATES for each in said),
    ]
    same([line for line, _ in found], wanted)
    given = {each.text: {each.at} for each in said}
    times: dict[str, set[int]] = {}
    for line, at in found:
        times.setdefault(line.text.removeprefix(" "), set()).add(at)
    assert {text: times[text] for text in given} == given
    ended = datetime.now(UTC)
    for text in set(lines) - set(ODD):  # no template loses a millisecond of when it was read
        (at,) = times[text]
        assert began.timestamp() * 1000 - 1 <= at <= ended.timestamp() * 1000
