"""The schema registry's client, against a small server of the same protocol."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from schemas.errors import Denied, Unavailable
from streams.formats import registry
from streams.formats.columns import Reading
from streams.formats.limits import Limits, Refused
from streams.formats.registry import MOST_BYTES, Registry
from streams.formats.registry_settings import RegistrySettings
from streams.formats.series import SeriesIndex
from tests.streams.formats.goldens_wrapped import AVRO, SAMPLE, binary
from tests.streams.formats.reading import EVENT, parsed, samples

REGION = '{"type":"record","name":"Region","namespace":"com.shop","fields":[{"name":"at","type":"long"}]}'
REFERRING = (
    '{"type":"record","name":"R","fields":[{"name":"service","type":"string"},{"name":"metric",'
    '"type":"string"},{"name":"value","type":"int"},{"name":"at","type":"long"},'
    '{"name":"region","type":"com.shop.Region"}]}'
)


class Served(ThreadingHTTPServer):
    """A registry of a few schemas, that notes what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[str] = []
        self.failures = 0  # how many requests from now on are answered with 503
        self.token = ""
        self.answers: dict[str, dict[str, Any]] = {
            "/schemas/ids/7": {"schema": EVENT},
            "/schemas/ids/8": {"schema": "{}", "schemaType": "PROTOBUF"},
            "/schemas/ids/9": {"schema": '{"type":"array","items":"null"}'},
            "/schemas/ids/10": {
                "schema": REFERRING,
                "references": [{"name": "com.shop.Region", "subject": "a/b", "version": 2}],
            },
            "/subjects/a%2Fb/versions/2": {"schema": REGION, "id": 1},
            "/schemas/ids/11": {"surprise": 1},
            "/schemas/ids/12": {"schema": EVENT, "more": "x" * MOST_BYTES},
        }

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answers(BaseHTTPRequestHandler):
    """One request."""

    server: Served

    def do_GET(self) -> None:
        """Answer as a registry does."""
        self.server.asked.append(self.path)
        answer = self.server.answers.get(self.path)
        status = 200 if answer else 404
        if self.server.failures:
            self.server.failures -= 1
            status = 503
        elif self.server.token and self.headers.get("Authorization") != self.server.token:
            status = 401
        body = json.dumps(answer or {"error_code": 40403}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
        """Say nothing."""


@pytest.fixture
def served() -> Iterator[Served]:
    server = Served()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def client(served: Served) -> Iterator[Registry]:
    found = Registry(RegistrySettings(url=f"{served.url}/"))
    yield found
    found.close()


def reading(client: Registry) -> Reading:
    limits = Limits(late_s=0)
    return Reading(limits, SeriesIndex(limits), client)


def test_a_schema_is_fetched_once(served: Served, client: Registry) -> None:
    using = reading(client)
    result = parsed("avro", AVRO, AVRO, AVRO, using=using)
    assert samples(result, using) == list(SAMPLE) * 3
    assert served.asked == ["/schemas/ids/7"]


def test_a_number_that_is_not_known_is_its_records_fault(served: Served, client: Registry) -> None:
    """Asked once for however many records, and harming none that is good."""
    strange = b"\x00\x00\x00\x00\x63" + AVRO[5:]
    result = parsed("avro", strange, AVRO, strange, using=reading(client))
    assert [(r.record, r.rule) for r in result.rejects] == [
        (0, "unknown-schema"),
        (2, "unknown-schema"),
    ]
    assert len(result.samples.code) == 1
    assert served.asked.count("/schemas/ids/99") == 1


@pytest.mark.parametrize(
    ("number", "rule"), [(8, "bad-schema"), (9, "bad-schema")], ids=["not Avro", "not safe"]
)
def test_a_schema_that_cannot_be_used_is_said_to_be(
    served: Served, client: Registry, number: int, rule: str
) -> None:
    for _ in range(2):
        with pytest.raises(Refused) as refusal:
            client.schema(number)
        assert refusal.value.rule == rule
    assert len(served.asked) == 1


def test_a_schema_may_refer_to_others(served: Served, client: Registry) -> None:
    schema = client.schema(10)
    given = {"service": "s", "metric": "m", "value": 1, "at": 5, "region": {"at": 7}}
    assert schema.read(binary(schema.parsed, given)) == given
    assert served.asked == ["/schemas/ids/10", "/subjects/a%2Fb/versions/2"]


def test_a_passing_failure_is_tried_again(served: Served, client: Registry) -> None:
    served.failures = 2
    assert client.schema(7)
    assert len(served.asked) == 3


def test_a_registry_that_is_away_loses_nothing(
    served: Served, client: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker stops with a line that says what to look at; no record becomes a dead letter."""
    monkeypatch.setattr(registry, "PAUSES_S", (0.0,))
    served.failures = 100
    with pytest.raises(Unavailable, match=r"HTTP 503; records in Avro wait, check intake\.regis"):
        parsed("avro", AVRO, using=reading(client))
    served.failures = 0
    assert len(parsed("avro", AVRO, using=reading(client)).samples.code) == 1
    gone = Registry(RegistrySettings(url="http://127.0.0.1:9"))
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9: .*refused"):
        gone.schema(7)


def test_a_wrong_password_is_said_to_be_one(served: Served, client: Registry) -> None:
    served.token = "Basic dXNlcjpzZWNyZXQ="  # noqa: S105 - of this test
    with pytest.raises(Denied, match=r"HTTP 401; check intake\.registry\.user and password"):
        client.schema(7)
    shown = RegistrySettings.model_validate(
        {"url": served.url, "user": "user", "password": "secret"}
    )
    assert Registry(shown).schema(7)


@pytest.mark.parametrize("number", [11, 12], ids=["another answer", "an endless one"])
def test_an_address_that_is_no_registry_is_said_to_be_none(client: Registry, number: int) -> None:
    with pytest.raises(
        Unavailable, match=r"without a schema in it; is intake\.registry\.url right"
    ):
        client.schema(number).read(b"")
