"""The load of the benches is what it says: peers and intake find the same in it."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.histogram_payloads import HISTOGRAMS
from benchmarks.payloads import LAST, PAYLOADS, SERVICES, Payload
from tests.streams.formats.reading import parsed, reading, samples


def made(name: str) -> Payload:
    now = time.time_ns() // 1_000_000
    (make,) = (make for make in PAYLOADS if make.__name__ == name)
    return (
        make(LAST, now - 100_000)
        if name in {"remote_write", "remote_write_2", "otlp_metrics"}
        else make(2000, now - 100_000)
    )


@pytest.mark.parametrize("name", ["remote_write", "remote_write_2", "otlp_metrics"])
def test_peer_and_intake_read_the_same_samples(name: str) -> None:
    payload = made(name)
    now, using = time.time_ns() // 1_000_000, reading()
    found = parsed(payload.format, *payload.records, using=using, arrived=now, now=now)
    assert not found.rejects
    peers: list[tuple[Any, Any, Any]] = [payload.read(record) for record in payload.records]
    assert found.samples.value.tolist() == [value for _, _, values in peers for value in values]
    scale = 1_000_000 if name == "otlp_metrics" else 1
    assert found.samples.at.tolist() == [at // scale for _, ats, _ in peers for at in ats]
    assert len(found.samples.code) == payload.elements
    up = {
        series.partition('service="')[2][:11]
        for series, _, value in samples(found, using)
        if value > 4000
    }
    assert len(up) == SERVICES


@pytest.mark.parametrize("make", HISTOGRAMS)
def test_histograms_become_as_many_samples_as_they_say(make: Callable[[int, int], Payload]) -> None:
    """The bench counts them in frames; and each service's jump must be there to be found."""
    now, using = time.time_ns() // 1_000_000, reading()
    payload = make(LAST + 2, now - 100_000)
    found = parsed(payload.format, *payload.records, using=using, arrived=now, now=now)
    assert not found.rejects
    assert len(found.samples.code) == payload.samples
    peers = [payload.read(record) for record in payload.records]
    assert sum(len(at) for _, at, _ in peers) == payload.elements
    up = {
        series.partition('service="')[2][:11]
        for series, _, value in samples(found, using)
        if value > 4000 and series.startswith("http.server.duration_p")
    }
    assert len(up) == SERVICES


@pytest.mark.parametrize("name", ["otlp_logs", "json_lines", "text_lines"])
def test_peer_and_intake_read_as_many_lines(name: str) -> None:
    payload = made(name)
    now = time.time_ns() // 1_000_000
    found = parsed(payload.format, *payload.records, service=payload.service, arrived=now, now=now)
    assert not found.rejects
    assert len(found.lines.text) == payload.elements
    peers = [payload.read(record) for record in payload.records]
    said = [one for peer in peers for one in peer] if name == "otlp_logs" else peers
    assert len(said) == payload.elements
