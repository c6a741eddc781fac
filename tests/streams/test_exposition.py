"""Metrics over HTTP: what is told where, and what is said when that is not possible."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import Counter

from schemas.errors import Unavailable
from streams.exposition import Exposition
from streams.metrics_settings import MetricsSettings


@pytest.fixture
def told() -> Iterator[Exposition]:
    with Exposition(MetricsSettings()) as endpoint:
        yield endpoint


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - our own
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_everything_in_the_registry_is_told_and_the_process_beside_it(told: Exposition) -> None:
    Counter("sentinel_seen", "Seen", ("of",), registry=told.registry).labels("all").inc(3)
    status, text = get(told.url)
    assert status == http.client.OK
    assert 'sentinel_seen_total{of="all"} 3.0' in text
    assert "process_resident_memory_bytes" in text


def test_health_is_told_once_all_have_joined(told: Exposition) -> None:
    health = told.url.replace("/metrics", "/healthz")
    assert get(health) == (503, "starting\n")
    told.ready("detect slo")
    assert get(health) == (200, "ok: detect slo\n")


def test_other_places_are_not_there(told: Exposition) -> None:
    assert get(told.url.replace("/metrics", "/")) == (404, "there are /metrics and /healthz\n")


def test_two_workers_of_one_machine_do_not_meet(told: Exposition) -> None:
    with Exposition(MetricsSettings()) as other:
        assert other.url.startswith("http://127.0.0.1:")
        assert other.url != told.url


def test_a_port_that_is_taken_is_said_with_what_to_do(told: Exposition) -> None:
    port = int(told.url.split(":")[2].split("/")[0])
    with pytest.raises(Unavailable, match=f"127.0.0.1:{port} .*another SENTINEL_METRICS__PORT"):
        Exposition(MetricsSettings(port=port)).__enter__()


def test_nothing_listens_when_it_is_switched_off() -> None:
    with Exposition(MetricsSettings(enabled=False)) as off:
        assert off.url == ""
