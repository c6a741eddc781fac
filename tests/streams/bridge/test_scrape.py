"""Scraping: expositions as Prometheus would read them, targets that fail, rounds that go on."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS

from schemas.errors import Rejected
from schemas.frames import parsed as labels_of
from schemas.topics import RAW_REMOTE_WRITE
from streams.bridge.accept import Bridge
from streams.bridge.scrape import Scraper, Target, down, requests, target
from streams.bridge.settings import BridgeSettings, ScrapeSettings
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.intake.settings import IntakeSettings
from tests.streams.formats.reading import NOW, parsed, reading, samples
from tests.streams.kafka_world import records, until, world

LABELS = {"job": "shop", "instance": "h:1", "service": "checkout"}
TEXT = """
# HELP rt Response time.
# TYPE rt histogram
rt_bucket{le="0.1"} 3
rt_bucket{le="+Inf"} 4
rt_sum 0.7
rt_count 4
# TYPE hot gauge
hot{job="own",service="oven"} NaN
hot{x="a\\"b\\\\c\\nd"} 2.5 1767323000000
"""


def told(bodies: list[bytes]) -> dict[str, tuple[int, float]]:
    """What intake makes of remote-write bodies."""
    using = reading()
    result = parsed("remote-write", *bodies, using=using)
    assert not result.rejects
    return {series: (at, value) for series, at, value in samples(result, using)}


def test_an_exposition_becomes_series_of_its_target() -> None:
    found = told(requests(TEXT, "text/plain; version=0.0.4", LABELS, NOW))
    given = 'instance="h:1",job="shop"'
    service = 'service="checkout"'
    assert found == {
        f'rt_bucket{{{given},le="0.1",{service}}}': (NOW, 3),
        f'rt_bucket{{{given},le="+Inf",{service}}}': (NOW, 4),
        f"rt_sum{{{given},{service}}}": (NOW, 0.7),
        f"rt_count{{{given},{service}}}": (NOW, 4),
        f'hot{{{given},{service},x="a\\"b\\\\c\\nd"}}': (1767323000000, 2.5),
        f"up{{{given},{service}}}": (NOW, 1),
    }


def test_an_exposition_may_name_its_own_service_but_not_our_labels() -> None:
    text = '# TYPE hot gauge\nhot{job="own",service="oven"} 1\n'
    series = next(iter(told(requests(text, "", LABELS, NOW))))
    assert labels_of(series)[1] == {
        "exported_job": "own",
        "instance": "h:1",
        "job": "shop",
        "service": "oven",
    }


def test_openmetrics_is_read_by_its_own_rules() -> None:
    text = "# TYPE hits counter\nhits_total 5 1767323045.678\n# EOF\n"
    found = told(requests(text, OPENMETRICS, LABELS, NOW + 9))
    assert list(found.values()) == [(NOW, 5), (NOW + 9, 1)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [("<html>no</html>", ""), ("a{b=c} 1", ""), ("a 1\n", OPENMETRICS), ("a one", "")],
)
def test_what_is_no_exposition_is_refused(text: str, kind: str) -> None:
    with pytest.raises(Rejected, match="not an exposition"):
        requests(text, kind, LABELS, NOW)


def test_a_large_exposition_goes_in_several_requests() -> None:
    text = "".join(f'm{{n="{i}"}} {i}\n' for i in range(4500))
    bodies = requests(text, "", LABELS, NOW)
    assert len(bodies) == 3
    assert len(told(bodies)) == 4501


def test_a_target_that_is_down_says_only_that() -> None:
    assert list(told(down(LABELS, NOW)).items()) == [
        ('up{instance="h:1",job="shop",service="checkout"}', (NOW, 0))
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://h:1", Target("http://h:1/metrics", {"job": "h:1", "instance": "h:1"})),
        ("checkout=https://h/m?x=1", Target("https://h/m?x=1", {"job": "checkout", "instance": "h", "service": "checkout"})),
        ("http://u:p@h:1/", Target("http://u:p@h:1/metrics", {"job": "h:1", "instance": "h:1"})),
    ],
)  # fmt: skip
def test_a_target_is_a_url_with_or_without_a_service(given: str, expected: Target) -> None:
    assert target(given) == expected


@pytest.mark.parametrize("given", ["", "checkout", "ftp://h", "http://", "a b=http://h"])
def test_what_is_no_target_is_refused(given: str) -> None:
    with pytest.raises(Rejected, match="is no target"):
        target(given)


@contextmanager
def exporter(registry: CollectorRegistry, status: list[int]) -> Iterator[str]:
    """An exporter on a free port that answers with the last status of the list."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[-1])
            self.end_headers()
            self.wfile.write(generate_latest(registry))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()
            thread.join()


def bridge(kafka: KafkaSettings, registry: CollectorRegistry) -> Bridge:
    """What scraped series are given to."""
    return Bridge(BridgeSettings(), kafka, IntakeSettings(), registry)


@pytest.mark.broker
def test_rounds_go_on_whatever_a_target_does(
    broker: EmbeddedBroker, topic_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One target is never there; the other is, is not, and is again."""
    kafka = world(broker.bootstrap, topic_prefix)
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    accepting = bridge(kafka, ours)
    Gauge("queue_depth", "Depth", registry=theirs).set(7)
    status = [200]

    def times(instance: str, outcome: str) -> float:
        labels = {"instance": instance, "outcome": outcome}
        return ours.get_sample_value("sentinel_scrapes_total", labels) or 0

    def more(instance: str, outcome: str, than: float) -> bool:
        return times(instance, outcome) > than

    async def rounds(url: str) -> None:
        settings = ScrapeSettings(targets=(f"shop={url}", "http://127.0.0.1:9"), interval_s=0.05)
        stop = asyncio.Event()
        work = asyncio.ensure_future(Scraper(settings, accepting).run(stop))
        instance = url.removeprefix("http://")
        for wanted, answer in (("up", 200), ("down", 500), ("up", 200)):
            status.append(answer)
            before = times(instance, wanted)
            await asyncio.to_thread(until, partial(more, instance, wanted, before + 2))
        assert times("127.0.0.1:9", "down") > 2
        stop.set()
        await work

    with exporter(theirs, status) as url, accepting.relay:
        asyncio.run(rounds(url))
    using = reading(late_s=0, future_s=0)
    result = parsed(
        "remote-write", *(r.value() for r in records(kafka, RAW_REMOTE_WRITE)), using=using
    )
    assert not result.rejects
    found = {(series.split("{")[0], labels_of(series)[1]["service"], value) for series, _, value in samples(result, using)}  # fmt: skip
    complaints = [r for r in caplog.records if "500 Internal" in r.getMessage()]
    assert len(complaints) == 1  # once when it goes down, not once a round
    assert found == {
        ("queue_depth", "shop", 7.0),
        ("up", "shop", 1.0),
        ("up", "shop", 0.0),
        ("up", "127.0.0.1:9", 0.0),
    }


def test_nothing_to_scrape_is_said_at_once() -> None:
    with pytest.raises(Rejected, match="name a target"):
        Scraper(ScrapeSettings(), bridge(KafkaSettings(), CollectorRegistry()))
