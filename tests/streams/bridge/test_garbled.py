"""Bytes that nobody meant to send: every answer is one that the document foresees, never a 500."""

import json
import random
from typing import Any

from streams.bridge.app import TABLE
from streams.bridge.ingest import ALERT, EXAMPLES, NAMED
from streams.bridge.otlp import JSON, OTLP_LOGS, OTLP_METRICS, PROTOBUF
from tests.streams.bridge.over_http import GONE, serving
from tests.streams.bridge.test_otlp import export, log_export
from tests.streams.formats.test_remote_write import VERSION_1

GOOD: dict[str, list[tuple[bytes, dict[str, str]]]] = {
    "/ingest": [(json.dumps(EXAMPLES).encode(), {"content-type": JSON})],
    "/ingest/alertmanager": [(json.dumps(ALERT).encode(), {"content-type": JSON})],
    "/v1/metrics": [(export(1, 2).SerializeToString(), {"content-type": PROTOBUF})],
    "/v1/logs": [(log_export("a", "b").SerializeToString(), {"content-type": PROTOBUF})],
    "/api/v1/write": [
        (VERSION_1, {"content-type": PROTOBUF, "content-encoding": "snappy"}),
    ],
}
for endpoint in (OTLP_METRICS, OTLP_LOGS):
    example: Any = endpoint.document.bodies[JSON]["example"]
    GOOD[endpoint.path].append((json.dumps(example).encode(), {"content-type": JSON}))
ROUNDS = 25


def garbled(body: bytes, chance: random.Random) -> bytes:
    """The body with some bits turned over, or cut off, or with a piece of it twice."""
    found = bytearray(body)
    at = chance.randrange(len(found))
    match chance.randrange(3):
        case 0:
            found[at] ^= 1 << chance.randrange(8)
        case 1:
            del found[at:]
        case _:
            found[at:at] = found[: chance.randrange(len(found))]
    return bytes(found)


def test_a_garbled_body_is_refused_or_is_another_good_one() -> None:
    """Kafka is gone, so a good one is asked to come back."""
    chance = random.Random(11)
    assert GOOD.keys() == {endpoint.path for endpoint in TABLE}
    seen = set()
    with serving(GONE, acknowledge_s=0.02) as client:
        for path, bodies in GOOD.items():
            for body, headers in bodies:
                assert client.post(path, content=body, headers=headers).status_code == 503
                for _ in range(ROUNDS):
                    wrong = garbled(body, chance)
                    answer = client.post(path, content=wrong, headers=headers)
                    assert "parser-failed" not in answer.text, (path, wrong)
                    seen.add(answer.status_code)
    assert seen <= {200, 400, 503}  # 200: nothing is left of an OTLP request
    assert 400 in seen


def test_no_format_that_can_be_named_fails_on_what_is_not_it() -> None:
    with serving(GONE, acknowledge_s=0.02) as client:
        for name in NAMED:
            for body in (b"", b"\xff\x00\x80", b"{}", b"[[]]", b"a b c", VERSION_1):
                answer = client.post("/ingest", params={"format": name}, content=body)
                assert answer.status_code in {400, 503}, (name, body, answer.text)
                assert "parser-failed" not in answer.text, (name, body)
