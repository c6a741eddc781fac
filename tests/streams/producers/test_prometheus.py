"""Prometheus' remote write through the bridge: every sample that its own storage has."""

import math
import os
import re
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from schemas.frames import canonical, parsed
from schemas.topics import RAW_REMOTE_WRITE
from streams.broker.embedded import EmbeddedBroker
from streams.broker.node import free_ports
from streams.connection import KafkaSettings
from streams.intake.settings import IntakeSettings
from tests.streams.intake.test_intake import ANY_TIME, count, working
from tests.streams.kafka_world import letters, records, samples, until, world
from tests.streams.producers.unpacked import Producers, running

ROOT = Path(__file__).parents[3]
COLLECTORS = ("--collector.disable-defaults", "--collector.loadavg", "--collector.meminfo")
SCRAPES = 8
STALE = 4  # scrape after which a series is gone, and Prometheus says so with a stale marker
CONFIGURATION = """\
global: {{scrape_interval: 500ms, scrape_timeout: 500ms, external_labels: {{region: eu}}{scraping}}}
scrape_configs:
  - {{job_name: shop, static_configs: [{{targets: ["{shop}"]}}]}}
  - {{job_name: node, static_configs: [{{targets: ["{node}"]}}]}}
  - {{job_name: prometheus, static_configs: [{{targets: ["{own}"]}}]}}
remote_write:
  - url: {bridge}
    {version}
    queue_config: {{batch_send_deadline: 200ms, max_samples_per_send: 500}}
    metadata_config: {{send: true, send_interval: 1s}}
"""


class Shop:
    """An exporter with one of each kind; its numbers change with every scrape."""

    def __init__(self) -> None:
        self.scrapes = 0

    def exposition(self) -> str:
        """What the next scrape is to see."""
        self.scrapes = n = self.scrapes + 1
        gone = f'queue_depth{{queue="old"}} {n}\n' if n <= STALE else ""
        return f"""\
# HELP orders_total Orders so far.
# TYPE orders_total counter
orders_total{{path="/a\\"b\\\\c",country="日本"}} {n * n}
orders_total{{path="/",country="de"}} {7 * n + 0.1}
# HELP queue_depth Depth.
# TYPE queue_depth gauge
queue_depth{{queue="new"}} {1e18 / n}
{gone}# TYPE temperature gauge
temperature{{kind="none"}} NaN
temperature{{kind="high"}} +Inf
temperature{{kind="low"}} {-0.5 * n}
# TYPE response_seconds histogram
response_seconds_bucket{{le="0.1"}} {3 * n}
response_seconds_bucket{{le="1"}} {4 * n}
response_seconds_bucket{{le="+Inf"}} {5 * n}
response_seconds_sum {0.7 * n}
response_seconds_count {5 * n}
# TYPE size_bytes summary
size_bytes{{quantile="0.5"}} {n}
size_bytes_sum {n}
size_bytes_count {n}
"""


@contextmanager
def exporting(shop: Shop) -> Iterator[str]:
    """The exporter on a free port; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Be scraped."""
            body = shop.exposition().encode()
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()
            thread.join()


@contextmanager
def bridging(kafka: KafkaSettings, folder: Path) -> Iterator[str]:
    """`sentinel bridge` as a process; where to write to."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("SENTINEL_")} | {
        "SENTINEL_KAFKA__BROKERS": kafka.brokers,
        "SENTINEL_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "PYTHONPATH": str(ROOT),
    }
    command = ("-m", "streams.cli", "bridge", "--port", "0")
    with running(sys.executable, *command, folder=folder, environment=own) as bridge:
        until(lambda: bridge.wrote("ready: bridge at ") or not bridge.running, 150)
        assert bridge.running, bridge.log_tail()
        (place,) = re.findall(r"ready: bridge at (http://[\d.:]+)", bridge.log_tail(100))
        yield f"{place}/api/v1/write"


class Asked:
    """A running Prometheus, over its own HTTP."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def ready(self) -> bool:
        """Whether it is up."""
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def counted(self) -> dict[str, float]:
        """Its own metrics, each summed over its labels; not numbers left out."""
        found: dict[str, float] = defaultdict(float)
        for family in text_string_to_metric_families(self._client.get("/metrics").text):
            for sample in family.samples:
                if not math.isnan(sample.value):
                    found[sample.name] += sample.value
        return found

    def reload(self) -> None:
        """Take the configuration anew."""
        assert self._client.post("/-/reload").status_code == 200

    def series(self, query: str) -> list[dict[str, Any]]:
        """The result of a query."""
        answer = self._client.get("/api/v1/query", params={"query": query}).json()
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


def sent(now: dict[str, float]) -> bool:
    """Whether all that was stored has gone out, and nothing is under way."""
    remote = "prometheus_remote_storage"
    out = now[f"{remote}_samples_total"] + now[f"{remote}_histograms_total"]
    pending = now[f"{remote}_samples_pending"] + now[f"{remote}_histograms_pending"]
    return not pending and out == now["prometheus_tsdb_head_samples_appended_total"] > 0


class Stored(NamedTuple):
    """What Prometheus' storage has, by series and time, as intake names them."""

    values: dict[tuple[str, int], float]  # of native histograms, count and sum
    natives: dict[tuple[str, int], list[tuple[float, float]]]  # upper bounds and counts


def stored(result: list[dict[str, Any]]) -> Stored:
    """What its storage has."""
    values, natives = {}, {}
    for one in result:
        name = one["metric"].pop("__name__")
        labels = one["metric"] | {"region": "eu", "service": one["metric"]["job"]}
        for at, value in one.get("values", []):
            values[canonical(name, labels), round(at * 1000)] = float(value)
        for at, histogram in one.get("histograms", []):
            for kind in ("count", "sum"):
                place = canonical(f"{name}_{kind}", labels), round(at * 1000)
                values[place] = float(histogram[kind])
            natives[canonical(name, labels), round(at * 1000)] = [
                (float(upper), float(count)) for _, _, upper, count in histogram.get("buckets", [])
            ]
    return Stored(values, natives)


def checked(
    spread: dict[tuple[str, int], float], natives: dict[tuple[str, int], list[tuple[float, float]]]
) -> int:
    """Samples that native histograms have become, beside count and sum, are right: their bounds.

    At each bound there is as much below it as in its sender's own, finer buckets.
    """
    bounds = 0
    for (series, at), value in spread.items():
        name, labels = parsed(series)
        metric, _, kind = name.rpartition("_")
        own = {label: text for label, text in labels.items() if label != "le"}
        buckets = natives[canonical(metric, own), at]
        if kind == "bucket":
            bounds += 1
            limit = float(labels["le"]) * (1 + 1e-9)
            assert value == sum(count for upper, count in buckets if upper <= limit), (series, at)
        else:
            assert kind in {"p50", "p95", "p99"}
            assert 0 <= value <= max(upper for upper, _ in buckets)
    return bounds


def through(
    binary: Path, version: str, producers: Producers, kafka: KafkaSettings, folder: Path
) -> tuple[Stored, dict[str, float]]:
    """Let a Prometheus scrape and write for a while.

    What its storage has at the end, and its own counters.
    """
    shop = Shop()
    own, node = free_ports(2)
    file = folder / "prometheus.yml"
    exporter = "usr/bin/prometheus-node-exporter"
    listen = f"--web.listen-address=127.0.0.1:{node}"
    with (
        exporting(shop) as place,
        producers.running(exporter, listen, *COLLECTORS, folder=folder),
        bridging(kafka, folder) as bridge,
        httpx.Client(base_url=f"http://127.0.0.1:{own}", timeout=60, trust_env=False) as client,
    ):
        whole = CONFIGURATION.format(
            shop=place, node=f"127.0.0.1:{node}", own=f"127.0.0.1:{own}", bridge=bridge, version=version,
            scraping=", scrape_native_histograms: true" if "v2" in version else "",
        )  # fmt: skip
        idle = re.sub(r"(?m)^  - \{job_name.*\n", "", whole).replace("scrape_configs:\n", "")
        file.write_text(idle)
        arguments = [
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'storage'}",
            f"--web.listen-address=127.0.0.1:{own}",
            "--web.enable-lifecycle",
            "--enable-feature=native-histograms",
            "--log.level=warn",
        ]
        asked = Asked(client)
        with running(
            binary, *arguments, folder=folder, environment=producers.environment
        ) as prometheus:
            until(lambda: asked.ready() or not prometheus.running, 150)
            assert prometheus.running, prometheus.log_tail()
            file.write_text(whole)  # what is scraped before the sender listens, it leaves out
            asked.reload()
            until(lambda: shop.scrapes >= SCRAPES, 150)
            file.write_text(re.sub(r"targets: \[.*?\]", "targets: []", whole))
            asked.reload()  # every target ends, each of its series with a stale marker
            until(lambda: not asked.series('{__name__!=""}'), 150)
            until(lambda: sent(asked.counted()), 150)
            return stored(asked.series('{__name__!=""}[1h]')), asked.counted()


def check(
    kafka: KafkaSettings,
    format_: str,
    has: Stored,
    told: dict[str, float],
) -> None:
    """What is in Kafka is what was stored, and as much as its sender counted."""
    bodies = records(kafka, RAW_REMOTE_WRITE)
    settings = IntakeSettings.model_validate(
        {"topics": {RAW_REMOTE_WRITE.name: format_}, "limits": ANY_TIME}
    )
    registry = CollectorRegistry()
    with working(kafka, settings, registry):
        until(lambda: count(registry, "records") == len(bodies))
    assert not [(letter.rule, letter.reason) for letter in letters(kafka)]
    every = {(row.series, row.at): row.value for row in samples(kafka)}
    wanted = has.values
    numbers = {place: value for place, value in wanted.items() if math.isfinite(value)}
    found = {place: value for place, value in every.items() if place in numbers}
    assert len(every) == count(registry, "samples")
    assert checked(
        {place: every[place] for place in every.keys() - found.keys()}, has.natives
    ) >= len(has.natives)
    assert len(found) == len(numbers)
    assert {place: value for place, value in numbers.items() if found.get(place) != value} == {}

    def left_out(reason: str) -> float:
        return sum(
            sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.name == "sentinel_intake_skipped_total" and sample.labels["reason"] == reason
        )

    remote = "prometheus_remote_storage"
    assert not told[f"{remote}_samples_failed_total"] + told[f"{remote}_samples_dropped_total"]
    histograms = told[f"{remote}_histograms_total"]
    not_a_number = sum(math.isnan(value) for value in wanted.values())
    assert left_out("nan") == not_a_number
    assert left_out("inf") == len(wanted) - len(numbers) - not_a_number
    # Stale markers are sent and counted like samples, but no query shows them
    assert left_out("stale") > 0
    # One that was stored is a count and a sum; a stale one is one marker
    sent_ones = told[f"{remote}_samples_total"] + histograms + len(has.natives)
    assert len(wanted) + left_out("stale") == sent_ones
    kinds = {series.partition("{")[0] for series, _ in found}
    assert kinds >= {"orders_total", "response_seconds_bucket", "size_bytes", "up", "node_load1"}
    old = [at for series, at in found if series.startswith("queue_depth") and '"old"' in series]
    assert 0 < len(old) <= STALE  # fewer where a scrape took too long


@pytest.mark.broker
@pytest.mark.timeout(600)  # of which a machine with nothing else to do needs 20
def test_every_sample_that_prometheus_wrote_is_there(
    producers: Producers, broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """Remote write 1.0, from Prometheus as Debian has it; the bridge and intake as they are."""
    kafka = world(broker.bootstrap, topic_prefix)
    binary = producers.place("usr/bin/prometheus")
    check(kafka, "remote-write", *through(binary, "", producers, kafka, tmp_path))


@pytest.mark.broker
@pytest.mark.faults
@pytest.mark.timeout(1500)  # the first time Prometheus 3 is built
def test_every_sample_that_prometheus_3_wrote_is_there(
    producers: Producers,
    prometheus_3: Path,
    broker: EmbeddedBroker,
    topic_prefix: str,
    tmp_path: Path,
) -> None:
    """Remote write 2.0, with native histograms of its own."""
    kafka = world(broker.bootstrap, topic_prefix)
    version = "protobuf_message: io.prometheus.write.v2.Request\n    send_native_histograms: true"
    has, told = through(prometheus_3, version, producers, kafka, tmp_path)
    assert told["prometheus_remote_storage_histograms_total"] > 0
    assert has.natives
    check(kafka, "remote-write-2", has, told)
