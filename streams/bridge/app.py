"""The bridge over HTTP: the table of its addresses, their document, and what it says of itself.

A new protocol is a file beside this one with its `Endpoint`, and a name in `TABLE`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI, Response, Security
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streams.bridge.accept import Bridge
from streams.bridge.door import Door
from streams.bridge.endpoint import Endpoint
from streams.bridge.ingest import ALERTMANAGER, INGEST
from streams.bridge.openapi import DESCRIPTION, TITLE, answers, body
from streams.bridge.otlp import OTLP_LOGS, OTLP_METRICS
from streams.bridge.remote_write import REMOTE_WRITE
from streams.bridge.settings import BridgeSettings
from streams.intake.settings import IntakeSettings

TABLE: tuple[Endpoint, ...] = (INGEST, ALERTMANAGER, OTLP_METRICS, OTLP_LOGS, REMOTE_WRITE)
USUAL = ("otlp-proto", "otlp-json", "remote-write", "remote-write-2", "alertmanager")


def create_app(settings: BridgeSettings, bridge: Bridge) -> FastAPI:
    """The bridge as an ASGI application; the relay of `bridge` is its caller's to open."""
    door = Door(settings, bridge)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        bridge.warm_up(USUAL)
        yield

    app = FastAPI(
        title=TITLE, description=DESCRIPTION, version=version("sentinel-pipeline"),
        lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False,
    )  # fmt: skip
    for endpoint in TABLE:
        _add(app, endpoint, door)
    _add_own(app, bridge)
    return app


def unread(intake: IntakeSettings) -> set[str]:
    """Raw topics that the bridge writes to and that these settings of intake do not read."""
    routes = [endpoint.route for endpoint in TABLE]
    written = {
        topic.name for route in routes for topic in (route.topic, route.lines_alone) if topic
    }
    return written - intake.topics.keys()


def _add(app: FastAPI, endpoint: Endpoint, door: Door) -> None:
    told = answers(endpoint)
    app.add_api_route(
        endpoint.path,
        door.at(endpoint),
        methods=["POST"],
        summary=endpoint.takes,
        description=endpoint.document.description,
        status_code=next(int(status) for status in told if int(status) < 300),  # noqa: PLR2004 - a success
        response_model=None,
        response_class=Response,
        responses=told,
        dependencies=[
            Security(HTTPBearer(auto_error=False, description="a token of bridge.tokens"))
        ],
        openapi_extra=body(endpoint),
    )


def _add_own(app: FastAPI, bridge: Bridge) -> None:
    """What the bridge says of itself."""

    async def health() -> Response:
        if reason := await asyncio.to_thread(bridge.relay.reachable):
            return Response(f"Kafka: {reason}\n", 503, media_type="text/plain")
        return Response("ok\n", media_type="text/plain")

    def metrics() -> Response:
        return Response(generate_latest(bridge.registry), media_type=CONTENT_TYPE_LATEST)

    text = {"text/plain": {"schema": {"type": "string"}}}
    app.add_api_route(
        "/healthz",
        health,
        summary="Whether Kafka can be reached",
        response_class=Response,
        responses={
            200: {"description": "It can", "content": text},
            503: {"description": "It cannot, and why", "content": text},
        },
    )
    app.add_api_route(
        "/metrics",
        metrics,
        summary="Prometheus metrics of the bridge",
        response_class=Response,
        responses={200: {"description": "Text of Prometheus", "content": text}},
    )
