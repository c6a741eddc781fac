"""Pulling: what a Prometheus would scrape, as remote write on the raw topic.

For those who have targets and no Prometheus. Each round a target gives its exposition, which
goes to Kafka as one remote-write request with an `up` series of 1; a target that cannot be
read gives `up` 0 and never stops the others. A label that the exposition has under one of our
names is kept as `exported_...`, as Prometheus does it; `service` is the exposition's own.

Source: Prometheus' exposition formats; prometheus.io/docs/concepts/jobs_instances.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import cramjam
import httpx
from prometheus_client import Counter, Gauge
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from schemas.errors import Rejected
from streams.bridge.accept import Bridge, Origin
from streams.bridge.endpoint import Content, in_one_line
from streams.bridge.refusal import RefusedRequest
from streams.bridge.remote_write import CONTENT_TYPES, ROUTE, V1
from streams.bridge.settings import ScrapeSettings
from streams.formats.proto.remote_write_v1_pb2 import Label, Sample, TimeSeries, WriteRequest

log = logging.getLogger(__name__)
CONTENT = Content(V1, CONTENT_TYPES[V1])
ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.5"
TARGET = re.compile(r"(?:([A-Za-z0-9_.:-]+)=)?(https?://.+)")
SERIES_A_REQUEST = 2000  # as Prometheus' own sender does by default


class Target(NamedTuple):
    """One thing to scrape, and what is said of all that it says."""

    url: str
    labels: dict[str, str]  # job and instance, and service if it was named


def target(given: str) -> Target:
    """A target as the command line writes it. Raises Rejected.

    >>> target("checkout=http://127.0.0.1:8000").url
    'http://127.0.0.1:8000/metrics'
    """
    found = TARGET.fullmatch(given.strip())
    parts = urlsplit(found[2]) if found else None
    if not found or not parts or not parts.netloc:
        raise Rejected(f"{given!r} is no target: write URL or service=URL")
    url = parts._replace(path=parts.path if parts.path not in {"", "/"} else "/metrics")
    instance = parts.netloc.rpartition("@")[2]
    labels = {"job": found[1] or instance, "instance": instance}
    if found[1]:
        labels["service"] = found[1]
    return Target(url.geturl(), labels)


def requests(text: str, content_type: str, labels: Mapping[str, str], now: int) -> list[bytes]:
    """An exposition as remote-write bodies; `now` (epoch ms) stamps samples without a time.

    Raises Rejected for a text that is no exposition.
    """
    families = _families(text, content_type)
    series = []
    try:
        for family in families:
            for sample in family.samples:
                at = now if sample.timestamp is None else int(float(sample.timestamp) * 1000)
                series.append(
                    _series(sample.name, _merged(sample.labels, labels), sample.value, at)
                )
    except (ValueError, KeyError, IndexError, TypeError) as error:  # what its parser raises
        raise Rejected(f"not an exposition: {error}"[:300]) from error
    series.append(_series("up", labels, 1.0, now))
    return _packed(series)


def down(labels: Mapping[str, str], now: int) -> list[bytes]:
    """What is said of a target that cannot be read."""
    return _packed([_series("up", labels, 0.0, now)])


def _families(text: str, content_type: str) -> Iterable[Any]:
    parse: Callable[[str], Iterable[Any]] = text_string_to_metric_families
    if content_type.lower().startswith("application/openmetrics-text"):
        parse = openmetrics.text_string_to_metric_families
    return parse(text)


def _merged(own: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    merged = {
        f"exported_{name}" if name in given and name != "service" else name: value
        for name, value in own.items()
    }
    return {**given, **merged}


def _series(name: str, labels: Mapping[str, str], value: float, at: int) -> TimeSeries:
    pairs = sorted({**labels, "__name__": name}.items())
    return TimeSeries(
        labels=[Label(name=k, value=v).SerializeToString() for k, v in pairs],
        samples=[Sample(value=float(value), timestamp=at)],
    )


def _packed(series: Sequence[TimeSeries]) -> list[bytes]:
    return [
        bytes(
            cramjam.snappy.compress_raw(
                WriteRequest(timeseries=series[i : i + SERIES_A_REQUEST]).SerializeToString()
            )
        )
        for i in range(0, len(series), SERIES_A_REQUEST)
    ]


class Scraper:
    """Rounds over the targets, each target at its own pace."""

    def __init__(self, settings: ScrapeSettings, bridge: Bridge) -> None:
        """The relay of `bridge` is its caller's to open. Raises Rejected for what is no target."""
        if not settings.targets:
            raise Rejected(
                "nothing to scrape: name a target in bridge.scrape.targets, or as --scrape"
                " checkout=http://HOST:PORT"
            )
        self._settings = settings
        self._targets = [target(given) for given in settings.targets]
        self._down: set[str] = set()  # said once, not once a round
        self._bridge, registry = bridge, bridge.registry
        self._scrapes = Counter(
            "sentinel_scrapes", "Scrapes", ("instance", "outcome"), registry=registry
        )
        self._seconds = Gauge(
            "sentinel_scrape_seconds", "Length of the last scrape", ("instance",), registry=registry
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Scrape until `stop` is set."""
        async with (
            httpx.AsyncClient(
                timeout=self._settings.timeout_s, headers={"Accept": ACCEPT}, follow_redirects=False
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            for each in self._targets:
                group.create_task(self._rounds(each, client, stop))

    async def _rounds(self, each: Target, client: httpx.AsyncClient, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not stop.is_set():
            began = loop.time()
            await self._once(each, client)
            self._seconds.labels(each.labels["instance"]).set(loop.time() - began)
            due = max(
                due + self._settings.interval_s, loop.time()
            )  # a missed round is not caught up
            try:
                await asyncio.wait_for(stop.wait(), due - loop.time())
            except TimeoutError:
                continue

    async def _once(self, each: Target, client: httpx.AsyncClient) -> None:
        now = time.time_ns() // 1_000_000
        try:
            text, content_type = await self._get(each.url, client)
            bodies, outcome = requests(text, content_type, each.labels, now), "up"
        except (httpx.HTTPError, httpx.InvalidURL, Rejected, UnicodeError) as error:
            bodies, outcome = down(each.labels, now), "down"
            if each.url not in self._down:
                log.warning("scraping %s: %s", each.url, str(error) or type(error).__name__)
                self._down.add(each.url)
        else:
            self._down.discard(each.url)
        try:
            for body in bodies:
                origin = Origin(each.labels["instance"])
                result = await self._bridge.accept(CONTENT, body, origin=origin, route=ROUTE)
                if result.refused:
                    told = in_one_line(result.faults, result.refused)
                    log.warning("scraped from %s: %s", each.url, told)
        except RefusedRequest as error:
            log.warning("scraped from %s, lost: %s", each.url, error)
            outcome = "lost"
        self._scrapes.labels(each.labels["instance"], outcome).inc()

    async def _get(self, url: str, client: httpx.AsyncClient) -> tuple[str, str]:
        async with client.stream("GET", url) as response:
            response.raise_for_status()
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > self._settings.exposition_bytes:
                    raise Rejected(f"more than {self._settings.exposition_bytes} bytes")
            return body.decode(), response.headers.get("content-type", "")
