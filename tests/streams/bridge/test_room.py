"""How much is held at once: a limit on requests, on bytes, on time and on a token's rate."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from streams.bridge.rate import Rate
from streams.bridge.refusal import RefusedRequest
from streams.bridge.room import Room
from tests.streams.bridge.over_http import GONE, serving
from tests.streams.kafka_world import until

TYPES = {
    "/ingest": {"content-type": "application/json"},
    "/ingest/alertmanager": {"content-type": "application/json"},
    "/v1/metrics": {"content-type": "application/json"},
    "/v1/logs": {"content-type": "application/x-protobuf"},
    "/api/v1/write": {"content-type": "application/x-protobuf", "content-encoding": "snappy"},
}
BUSY = {  # Prometheus and Alertmanager drop what is answered 429
    "/ingest": 429, "/ingest/alertmanager": 503, "/v1/metrics": 429, "/v1/logs": 429,
    "/api/v1/write": 503,
}  # fmt: skip


@contextmanager
def unfinished(client: httpx.Client, body: bytes, claimed: int) -> Iterator[None]:
    """A request under way: its sender has sent a part of its body, and sends no more."""
    address = (client.base_url.host, client.base_url.port or 0)
    head = (
        f"POST /ingest HTTP/1.1\r\nHost: {client.base_url.host}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {claimed}\r\n\r\n"
    )
    with socket.create_connection(address) as link:
        link.sendall(head.encode() + body)
        until(lambda: f"held_bytes {len(body):.1f}" in client.get("/metrics").text)
        yield
    until(lambda: "requests_under_way 0.0" in client.get("/metrics").text)


def test_beyond_so_many_requests_a_sender_is_asked_to_come_back() -> None:
    """In the words that its protocol takes for it; once there is room, it is let in."""
    with serving(GONE, requests=1) as client:
        with unfinished(client, b"x", claimed=9):
            for path, headers in TYPES.items():
                answer = client.post(path, content=b"{}", headers=headers)
                assert (path, answer.status_code) == (path, BUSY[path])
                assert answer.headers["retry-after"] == "1"
        assert client.post("/ingest", content=b"{}", headers=TYPES["/ingest"]).status_code == 400


def test_beyond_so_many_bytes_a_sender_is_asked_to_come_back() -> None:
    with serving(GONE, in_flight_kib=8) as client:
        with unfinished(client, bytes(6000), claimed=9000):
            answer = client.post("/ingest", content=bytes(4000), headers=TYPES["/ingest"])
            assert answer.status_code == 429
            assert "6000 bytes are held already" in answer.text
        answer = client.post("/ingest", content=bytes(4000), headers=TYPES["/ingest"])
        assert answer.status_code == 400


def test_a_body_that_does_not_come_costs_its_place_no_longer_than_allowed() -> None:
    with serving(GONE, receive_s=0.3) as client, unfinished(client, b"x", claimed=9):
        until(lambda: 'path="/ingest",status="503"} 1.0' in client.get("/metrics").text)
        assert 'refused_total{rule="too-slow"} 1.0' in client.get("/metrics").text


def test_a_sender_that_goes_away_leaves_its_place() -> None:
    with serving(GONE) as client:
        with unfinished(client, b"x", claimed=9):
            pass
        until(lambda: 'refused_total{rule="cut-off"} 1.0' in client.get("/metrics").text)


def test_a_token_s_rate_holds_for_it_alone() -> None:
    tokens = {"slow": {"token": "s" * 16, "requests_per_s": 0.001}, "other": {"token": "o" * 16}}
    with serving(GONE, tokens=tokens) as client:
        answers = [
            client.post(
                path, content=b"{}", headers=TYPES[path] | {"authorization": f"Bearer {who * 16}"}
            )
            for path, who in (("/ingest", "s"), ("/ingest", "s"), ("/api/v1/write", "s"), ("/ingest", "o"))
        ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [400, 429, 503, 400]
    assert answers[1].json()["reasons"][0] == {
        "element": None, "rule": "over-rate", "reason": "slow is over its rate",
    }  # fmt: skip
    assert int(answers[1].headers["retry-after"]) > 900


def test_room_is_given_back_whatever_happens() -> None:
    room = Room(requests=1, size=10)
    with room.place() as held:
        held.take(6)
        with pytest.raises(RefusedRequest, match="6 bytes are held already, and 10 allowed"):
            held.take(6)
    assert (room.requests, room.size) == (0, 0)
    with room.place() as held:
        held.take(10)
        with pytest.raises(RefusedRequest), room.place():
            pytest.fail("there was room for one only")
    assert (room.requests, room.size) == (0, 0)


def test_a_rate_below_one_a_second_still_lets_the_first_through() -> None:
    rate = Rate(0.5)
    assert [rate.wait(at) for at in (7.0, 7.0, 8.0, 9.0)] == [0.0, 2.0, 1.0, 0.0]


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    rate = Rate(1.0)
    assert [rate.wait(at) for at in (10.0, 5.0, 5.5)] == [0.0, 1.0, 0.5]
