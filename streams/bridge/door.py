"""One way through for every request, whatever its protocol.

Who sends is asked first, then whether there is room, then what the body claims to be; only
then is it read. It is checked as strictly as intake will check it, goes to the raw topic of
its address, and the sender is told "accepted" once Kafka has it. What can never work is
answered 4xx with the reason, so that it is not sent again; what may work later 429 or 503.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from starlette.requests import Request
from starlette.responses import Response

from streams.bridge.accept import Bridge, Origin
from streams.bridge.authorisation import Sender, Senders
from streams.bridge.content import received, unpacked
from streams.bridge.endpoint import Endpoint, encoding
from streams.bridge.refusal import BUSY, RefusedRequest, later
from streams.bridge.room import Held, Room
from streams.bridge.settings import BridgeSettings

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
            if refusal.refused is None:  # else they are counted by rule already
                metrics.refused.labels(refusal.rule).inc()
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


def _origin(request: Request, sender: Sender) -> Origin:
    host = request.client.host if request.client else ""
    return Origin(host, sender.tenant, request.headers.get("traceparent", ""))
