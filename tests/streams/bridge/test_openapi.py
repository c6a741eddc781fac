"""The OpenAPI document: every address, every answer, and no page that loads from elsewhere.

That real answers are as it says is checked by every test that uses `serving`.
"""

from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from streams.bridge.accept import Bridge
from streams.bridge.app import TABLE, create_app, unread
from streams.bridge.settings import BridgeSettings
from streams.intake.settings import IntakeSettings
from tests.streams.bridge.over_http import GONE, holds, serving


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document as it is served."""
    with serving(GONE) as client:
        found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def test_every_address_tells_what_it_takes_and_all_that_it_answers(
    document: dict[str, Any],
) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["paths"].keys() == {e.path for e in TABLE} | {"/healthz", "/metrics"}
    for endpoint in TABLE:
        told = document["paths"][endpoint.path]["post"]
        success = "204" if endpoint.path == "/api/v1/write" else "200"
        wanted = {success, "400", "401", "413", "415", "503", str(endpoint.busy)}
        assert told["responses"].keys() == wanted
        assert told["requestBody"]["content"]
        assert told["security"] == [{"HTTPBearer": []}]
        (encoding,) = (p for p in told["parameters"] if p["name"] == "Content-Encoding")
        assert encoding["schema"]["enum"] == list(endpoint.encodings)
    scheme = document["components"]["securitySchemes"]["HTTPBearer"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for path in ("/healthz", "/metrics"):
        assert "security" not in document["paths"][path]["get"]


def test_every_reference_of_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            return own + [found for inner in part.values() for found in references(inner)]
        if isinstance(part, list):
            return [found for inner in part for found in references(inner)]
        return []

    found = references(document)
    assert found
    for reference in found:
        place: Any = document
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/ingest/", "/v1/traces", "/"])
def test_there_is_no_other_address(path: str) -> None:
    with serving(GONE) as client:
        assert client.get(path).status_code == 404
        assert client.get("/ingest").status_code == 405


@pytest.mark.parametrize(
    ("status", "headers", "content"),
    [
        (418, {"content-type": "application/json"}, b"{}"),
        (400, {"content-type": "text/html"}, b"no"),
        (400, {"content-type": "application/json"}, b'{"accepted": "many"}'),
        (503, {"content-type": "application/json"}, b"{}"),  # without Retry-After
    ],
)
def test_the_check_of_answers_sees_what_is_not_documented(
    document: dict[str, Any], status: int, headers: dict[str, str], content: bytes
) -> None:
    request = httpx.Request("POST", "http://here/ingest")
    answer = httpx.Response(status, headers=headers, content=content, request=request)
    with pytest.raises(Exception, match=r"not documented|lacks|is not of type"):
        holds(document, answer)


def test_topics_that_intake_does_not_read_are_known() -> None:
    assert unread(IntakeSettings()) == set()
    mine = IntakeSettings(topics={"raw.logs": "json", "mine": "influx"})
    assert unread(mine) == {"raw.metrics", "raw.remote-write"}


def test_the_document_needs_no_server() -> None:
    """So a client can be generated from the package alone."""
    settings = BridgeSettings()
    app = create_app(settings, Bridge(settings, GONE, IntakeSettings(), CollectorRegistry()))
    assert app.openapi()["info"]["title"] == "Sentinel's bridge"
