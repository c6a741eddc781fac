"""Telegraf's outputs.kafka: every field that its own file has, in each of its formats."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from schemas.frames import canonical
from streams.broker.embedded import EmbeddedBroker
from streams.broker.node import free_ports
from streams.intake.settings import IntakeSettings
from tests.streams.intake.test_intake import ANY_TIME, count, working
from tests.streams.kafka_world import letters, samples, until, world
from tests.streams.producers.raw import make, raw, sizes
from tests.streams.producers.test_prometheus import Shop
from tests.streams.producers.unpacked import TOKYO, running

CONFIGURATION = """\
[global_tags]
  region = "eu"
[agent]
  hostname = "web1"
  interval = "500ms"
  flush_interval = "300ms"
  metric_buffer_limit = 100000
  debug = true
[[inputs.http_listener_v2]]
  service_address = "tcp://127.0.0.1:{posted}"
  paths = ["/"]
  data_format = "influx"
[[inputs.http_listener_v2]]
  service_address = "tcp://127.0.0.1:{scraped}"
  paths = ["/"]
  data_format = "prometheus"
[[inputs.cpu]]
  collect_cpu_time = true
[[inputs.internal]]
[[inputs.mem]]
[[inputs.system]]
[[outputs.file]]
  files = ["{folder}/own"]
  data_format = "json"
  json_timestamp_units = "1ns"
{outputs}
"""
OUTPUT = """\
[[outputs.kafka]]
  alias = "%s"
  brokers = ["%s"]
  topic = "%s"
  data_format = %s
"""
RFC_3339 = "2006-01-02T15:04:05.000Z07:00"  # as Go writes down how times are to be written
# An output each: its data format, what else it is told, and the format that its topic is read in
WRITTEN = {
    "influx": ('"influx"', "influx"),
    "unsigned": ('"influx"\n  influx_uint_support = true', "influx"),
    "seconds": ('"json"', "telegraf-json"),
    "nanoseconds": ('"json"\n  json_timestamp_units = "1ns"', "telegraf-json@ns"),
    "nested": (
        f'"json"\n  json_nested_fields_include = ["text"]\n  json_timestamp_format = "{RFC_3339}"',
        "telegraf-json",
    ),
    "events": ('"cloudevents"', "cloudevents@telegraf-json"),
    "write": ('"prometheusremotewrite"', "remote-write"),
    "exposition": ('"prometheus"\n  prometheus_export_timestamp = true', "openmetrics"),
    "graphite": ('"graphite"', "graphite"),
    "tagged": ('"graphite"\n  graphite_tag_support = true', "graphite"),
}
TOPICS = {name: raw(f"telegraf-{name}") for name in WRITTEN}
WHOLE_SECONDS = {"seconds", "graphite", "tagged"}
STEPS = 12
UNSIGNED = 2**64 - 1
CAPPED = float(2**63 - 1)

Metric = dict[str, Any]  # name, tags, fields, timestamp in ns
Row = tuple[str, int, float]


def lines(now: int) -> list[str]:
    """What an application posts in line protocol: odd values, odd names, odd text; `now` in ns."""
    found = [
        rf"shop,app=pay big={2**63 - 1}i,tiny=5e-324,huge=1e300,less=-0.5,ok=true,bad=f {now}",
        rf"shop,app=pay most={UNSIGNED}u,value=3 {now}",
        rf"odd\ name\,x,app=pay,path=C:\\dir\x,say=\"hi,uni=日本,all=a\ b\,c\=d f\ g=1,h\=i=2 {now}",
        rf'said,app=pay text="two{chr(10)}lines, and \"more\" a=b",n=1i {now}',
        rf'said,app=pay text="a \\ and an end\\",n=2i {now}',
        rf'said,app=pay text="only text" {now}',
        rf'said,app=pay text="{{\"a\": [1, 2]}}",n=3i {now}',
    ]
    for step in range(STEPS):
        at = now + step * 50_000_000
        found.append(f"queue,app=pay,of=orders depth={step * 7 % 5}i,wait={step / 8} {at}")
    return found


def own(path: Path) -> list[Metric]:
    """All that Telegraf wrote to its file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def rows(metric: Metric, output: str) -> Iterator[Row]:
    """What must come of a metric in an output's format; of text nothing."""
    tags, at = metric["tags"], metric["timestamp"] // 1_000_000
    service = tags.get("app", "web1")
    if output in WHOLE_SECONDS:
        at = at // 1000 * 1000
    for field, given in metric["fields"].items():
        if isinstance(given, str):
            continue
        name, labels, value = metric["name"], tags | {"service": service}, float(given)
        if output == "influx" and given == UNSIGNED:
            value = CAPPED
        match output:
            case "graphite":
                rest = [tags[tag] for tag in sorted(tags) if tag != "host"]
                path = ".".join([tags["host"], *(t.replace(".", "_") for t in rest), name])
                yield plain(path if field == "value" else f"{path}.{field}"), at, value
                continue
            case "tagged":
                full = name if field == "value" else f"{name}.{field}"
            case "write" | "exposition":
                full = field if name == "prometheus" else f"{name}_{field}"
                if (
                    field == "response_seconds_count"
                ):  # which is the infinite bucket's, and fills it
                    infinite = labels | {"le": "+Inf"}
                    yield canonical("response_seconds_bucket", infinite), at, value
            case _:
                full = field if name == "prometheus" else f"{name}_{field}"
                full = name if field == "value" else full
        yield series(full, labels, output), at, value


def series(name: str, labels: dict[str, str], output: str) -> str:
    """What a series must be called."""
    if output == "tagged":
        name = graphite(name)
    if output == "tagged":
        labels = {k: graphite(v) if k != "service" else v for k, v in labels.items()}
    return canonical(re.sub(r"[^\w.:]", "_", name, flags=re.ASCII), labels)


def graphite(text: str) -> str:
    """Text as Telegraf cleans it for Graphite."""
    text = re.sub(r"[/@*]", "-", text).replace("\\", "").replace("..", ".")
    return re.sub(r"[^\w\-:.=]", "_", text)


def plain(path: str) -> str:
    """The series of a path."""
    name = re.sub(r"[^\w.:]", "_", graphite(path), flags=re.ASCII)
    return canonical(name, {"service": "hall"})


def told(log: str) -> dict[str, int]:
    """How many metrics each output said it wrote."""
    found = Counter[str]()
    for alias, many in re.findall(r"\[outputs\.kafka::(\w+)\] Wrote batch of (\d+) metrics", log):
        found[alias] += int(many)
    for alias in re.findall(r"\[outputs\.kafka::(\w+)\] Could not serialize metric", log):
        found[alias] -= 1  # a metric without a finite field, which some formats cannot say
    return found


def posted(metrics: list[Metric], now: int) -> dict[str, list[dict[str, Any]]]:
    """Fields of what was posted, as Telegraf has them."""
    names = ("shop", "odd name,x", "said")
    found = {
        name: [m["fields"] for m in metrics if m["name"] == name and m["timestamp"] == now]
        for name in names
    }
    found["queue"] = [
        m["fields"] | {"at": m["timestamp"] - now} for m in metrics if m["name"] == "queue"
    ]
    return found


POSTED = {
    "shop": [
        {"big": 2**63 - 1, "tiny": 5e-324, "huge": 1e300, "less": -0.5, "ok": True, "bad": False},
        {"most": UNSIGNED, "value": 3},
    ],
    "odd name,x": [{"f g": 1, "h=i": 2}],
    "said": [
        {"text": 'two\nlines, and "more" a=b', "n": 1},
        {"text": "a \\ and an end\\", "n": 2},
        {"text": "only text"},
        {"text": '{"a": [1, 2]}', "n": 3},
    ],
    "queue": [
        {"depth": step * 7 % 5, "wait": step / 8, "at": step * 50_000_000}
        for step in range(STEPS)
    ],
}  # fmt: skip


@pytest.mark.broker
@pytest.mark.faults
@pytest.mark.timeout(1500)  # the first time Telegraf is built
def test_every_field_that_telegraf_wrote_is_there(
    telegraf: Path, broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """What it reads of this machine, what it scrapes, and what is posted to it, in ten formats."""
    kafka = world(broker.bootstrap, topic_prefix)
    make(kafka, TOPICS.values())
    outputs = [
        OUTPUT % (name, broker.bootstrap, kafka.topic(TOPICS[name]), told_to)
        for name, (told_to, _) in WRITTEN.items()
    ]
    ports = dict(zip(("posted", "scraped"), free_ports(2), strict=True))
    file, shop, now = tmp_path / "own", Shop(), time.time_ns()
    filling = {"folder": tmp_path, "outputs": "\n".join(outputs), **ports}
    (tmp_path / "telegraf.conf").write_text(CONFIGURATION.format(**filling))
    environment = {"TZ": TOKYO, "LC_ALL": "C.UTF-8"}
    command = (telegraf, "--config", tmp_path / "telegraf.conf")
    with (
        sizes(kafka, TOPICS.values()) as written,
        httpx.Client(timeout=60, trust_env=False) as client,
        running(*command, folder=tmp_path, environment=environment) as agent,
    ):

        def post(port: str, body: str) -> None:
            answer = client.post(f"http://127.0.0.1:{ports[port]}/", content=body.encode())
            assert answer.status_code == 204, answer.text

        def gathered(times: int) -> bool:
            return file.exists() and file.read_text().count('"name":"mem"') >= times

        until(lambda: gathered(1) or not agent.running, 150)
        assert agent.running, agent.log_tail()
        for line in lines(now):
            post("posted", f"{line}\n")
        for _ in range(6):
            post("scraped", shop.exposition())
        until(lambda: gathered(5), 150)
        agent.stop(60)  # it sends what it has before it ends
        in_kafka = written()
    metrics = own(file)
    assert posted(metrics, now) == POSTED
    assert {m["name"] for m in metrics} >= {"cpu", "mem", "system", "prometheus", "internal_write"}
    assert in_kafka == {
        TOPICS[name].name: many for name, many in told(agent.log_tail(10**6)).items()
    }

    formats = {TOPICS[name].name: read_in for name, (_, read_in) in WRITTEN.items()}
    hall = {TOPICS["graphite"].name: "hall"}
    settings = IntakeSettings.model_validate(
        {"topics": formats, "services": hall, "limits": ANY_TIME}
    )
    registry = CollectorRegistry()
    with working(kafka, settings, registry):
        until(lambda: count(registry, "records") == sum(in_kafka.values()))
    assert not [(letter.rule, letter.reason, letter.original) for letter in letters(kafka)]
    wanted = Counter(row for output in WRITTEN for m in metrics for row in rows(m, output))
    found = Counter((row.series, row.at, row.value) for row in samples(kafka))
    assert (found - wanted, wanted - found) == (Counter(), Counter())
    check(registry, metrics)


def check(registry: CollectorRegistry, metrics: list[Metric]) -> None:
    """What was left out is what no sample can be made of."""
    left_out = Counter[str]()
    for family in registry.collect():
        for sample in family.samples:
            if sample.name == "sentinel_intake_skipped_total" and sample.value:
                left_out[sample.labels["reason"]] += int(sample.value)
    texts = sum(isinstance(given, str) for m in metrics for given in m["fields"].values())
    only_text = sum(
        all(isinstance(given, str) for given in m["fields"].values()) and bool(m["fields"])
        for m in metrics
    )
    infinite = sum(not m["fields"] for m in metrics)
    assert infinite == 6 < texts
    buckets = sum("le" in m["tags"] and m["tags"]["le"] != "+Inf" for m in metrics)
    others = sum("le" in m["tags"] for m in metrics) - buckets
    quantiles = sum("quantile" in m["tags"] for m in metrics)
    assert left_out == {
        "text-field": 6 * texts,
        "empty": 4 * only_text + 2 * infinite,  # in Graphite's formats
        "metric-without-points": 3 * infinite,  # in JSON
        "inf": 2 * infinite,  # in Prometheus' formats
        "placeholder": 2 * (3 * buckets + 2 * others) + 2 * quantiles,
    }
