"""The bridge over HTTP: one table of addresses, one way through for all of them.

Who sends is asked first, then whether there is room, then what the body claims to be; only
then is it read. It is checked as strictly as intake will check it, goes to the raw topic that
the table names, and the sender is told "accepted" once Kafka has it. What can never work is
answered 4xx with the reason, so that it is not sent again; what may work later 429 or 503.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version

from fastapi import FastAPI, Request, Response, Security
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from streams.bridge.accept import Bridge, Origin
from streams.bridge.authorisation import Sender, Senders
from streams.bridge.content import received, unpacked
from streams.bridge.endpoint import Endpoint, encoding
from streams.bridge.ingest import ALERTMANAGER, INGEST
from streams.bridge.openapi import DESCRIPTION, TITLE, answers, body
from streams.bridge.otlp import OTLP_LOGS, OTLP_METRICS
from streams.bridge.refusal import BUSY, RefusedRequest, later
from streams.bridge.remote_write import REMOTE_WRITE
from streams.bridge.room import Held, Room
from streams.bridge.settings import BridgeSettings
from streams.connection import KafkaSettings
from streams.formats.columns import Reading
from streams.formats.series import SeriesIndex
from streams.intake.intake import warm_up
from streams.intake.settings import IntakeSettings

log = logging.getLogger(__name__)
TABLE: tuple[Endpoint, ...] = (INGEST, ALERTMANAGER, OTLP_METRICS, OTLP_LOGS, REMOTE_WRITE)
USUAL = ("otlp-proto", "otlp-json", "remote-write", "remote-write-2", "alertmanager")
KIB = 1024
PACKED_BY_ITSELF = "snappy"  # remote write's body goes to Kafka as it is


class Door:
    """Requests to answers."""

    def __init__(self, settings: BridgeSettings, bridge: Bridge) -> None:
        self._settings, self._bridge = settings, bridge
        self._senders = Senders(settings.tokens)
        self._room = Room(settings.requests, settings.in_flight_kib * KIB)
        metrics = bridge.metrics
        metrics.under_way.set_function(lambda: self._room.requests)
        metrics.held.set_function(lambda: self._room.size)

    def at(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        """What answers the requests of an address."""

        async def answer(request: Request) -> Response:
            return await self._answer(endpoint, request)

        return answer

    async def _answer(self, endpoint: Endpoint, request: Request) -> Response:
        metrics = self._bridge.metrics
        try:
            response = await self._let_in(endpoint, request)
        except RefusedRequest as refusal:
            if refusal.status == BUSY:
                refusal.status = endpoint.busy
            response = endpoint.refused(request, refusal)
            metrics.refused.labels(refusal.rule).inc(refusal.refused or 1)
            if refusal.status == 401:  # noqa: PLR2004 - unauthorised
                response.headers["WWW-Authenticate"] = "Bearer"
            if refusal.retry_after_s is not None:
                response.headers["Retry-After"] = str(refusal.retry_after_s)
        metrics.requests.labels(endpoint.path, response.status_code).inc()
        return response

    async def _let_in(self, endpoint: Endpoint, request: Request) -> Response:
        sender = self._senders.of(request.headers.get("authorization", ""))
        with self._under_way(sender) as held:
            content = endpoint.content(request)
            limit = self._bridge.largest(sender.tenant, endpoint.route)
            raw = await self._body(endpoint, request, limit, held)
            result = await self._bridge.accept(
                content,
                raw,
                origin=_origin(request, sender),
                route=endpoint.route,
                nothing_is_fine=endpoint.nothing_is_fine,
            )
            return endpoint.accepted(request, content, result)

    @contextmanager
    def _under_way(self, sender: Sender) -> Iterator[Held]:
        """A place for the request. Raises RefusedRequest when there is none for this sender."""
        with self._room.place() as held:
            wait = sender.rate.wait(asyncio.get_running_loop().time()) if sender.rate else 0.0
            if wait:
                raise later(BUSY, "over-rate", f"{sender.name} is over its rate", wait)
            yield held

    async def _body(self, endpoint: Endpoint, request: Request, limit: int, held: Held) -> bytes:
        """The body as its record will hold it. Raises RefusedRequest."""
        packed = encoding(request, endpoint.encodings)
        raw = await received(
            request.stream(),
            request.headers.get("content-length", ""),
            limit=limit,
            within_s=self._settings.receive_s,
            take=held.take,
        )
        if packed == PACKED_BY_ITSELF:
            return raw
        result = unpacked(raw, packed, limit)
        if result is not raw:
            held.take(len(result))
        return result


def create_app(
    settings: BridgeSettings,
    kafka: KafkaSettings,
    intake: IntakeSettings,
    registry: CollectorRegistry | None = None,
) -> FastAPI:
    """The bridge as an ASGI application."""
    bridge = Bridge(settings, kafka, intake, registry or CollectorRegistry())
    door = Door(settings, bridge)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        warm_up(Reading(intake.limits, SeriesIndex(intake.limits)), USUAL)
        with bridge.relay:
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


def _origin(request: Request, sender: Sender) -> Origin:
    host = request.client.host if request.client else ""
    return Origin(host, sender.tenant, request.headers.get("traceparent", ""))
