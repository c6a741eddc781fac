"""The remote-write bridge: Prometheus pushes over HTTP, Kafka gets what was pushed.

A request is checked as strictly as intake will check it, then its body goes to the raw topic
as it came, and the sender is told "accepted" once Kafka has it. What can never work is
answered 400 with the reason, so that it is not sent again; what may work later 503. When
some series of a request are refused, the others are kept and the answer is 400, as the
specification wants it for a partial write; intake sends the refused ones to the dead letters.

Source: Prometheus remote write specifications 1.0 and 2.0.
"""

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest

from schemas.errors import Rejected, Unavailable
from schemas.topics import RAW_REMOTE_WRITE
from streams.bridge.relay import Relay
from streams.bridge.settings import BridgeSettings
from streams.connection import KafkaSettings
from streams.formats import FORMATS
from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.series import SeriesIndex

log = logging.getLogger(__name__)
PATH = "/api/v1/write"
V1, V2 = "remote-write", "remote-write-2"
MESSAGES = {"": V1, "prometheus.WriteRequest": V1, "io.prometheus.write.v2.Request": V2}
CONTENT_TYPES = {
    V1: "application/x-protobuf;proto=prometheus.WriteRequest",
    V2: "application/x-protobuf;proto=io.prometheus.write.v2.Request",
}
VERSIONS = {V1: "0.1.0", V2: "2.0.0"}
RETRY_AFTER_S = 5
WRITTEN = "X-Prometheus-Remote-Write-{}-Written"


class RefusedRequest(Exception):  # noqa: N818 - an answer, not a failure
    """An answer that ends a request early."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Accepted(NamedTuple):
    """What is in a request that goes to Kafka."""

    samples: int
    histograms: int
    refused: str  # what was not good, one line; empty when all was


def format_of_request(content_type: str, encoding: str, version: str) -> str:
    """The format that a request's headers claim. Raises RefusedRequest with 415.

    >>> format_of_request("application/x-protobuf", "snappy", "0.1.0")
    'remote-write'
    """
    media, _, parameters = content_type.partition(";")
    if media.strip().lower() != "application/x-protobuf":
        raise RefusedRequest(415, f"Content-Type must be application/x-protobuf, not {media!r:.80}")
    if encoding.strip().lower() != "snappy":
        raise RefusedRequest(415, f"Content-Encoding must be snappy, not {encoding!r:.80}")
    pairs = dict(p.strip().partition("=")[::2] for p in parameters.split(";") if p.strip())
    message = pairs.get("proto", "")
    if message not in MESSAGES:
        raise RefusedRequest(
            415, f"no message {message!r:.80}; {' and '.join(CONTENT_TYPES.values())}"
        )
    if not message and version.startswith("2."):
        return V2  # a sender that says so in one header only
    return MESSAGES[message]


class Bridge:
    """Requests to records."""

    def __init__(
        self, settings: BridgeSettings, kafka: KafkaSettings, registry: CollectorRegistry
    ) -> None:
        self._settings = settings
        self._topic = kafka.topic(RAW_REMOTE_WRITE)
        limits = settings.limits.model_copy(update={"late_s": 0.0, "future_s": 0.0})
        self._reading = Reading(limits, SeriesIndex(limits))  # times are intake's to judge
        self.registry = registry
        self.relay = Relay(
            kafka,
            acknowledge_s=settings.acknowledge_s,
            queue_kib=settings.queue_kib,
            largest=limits.record_bytes,
        )
        self._requests = Counter(
            "sentinel_bridge_requests", "Requests answered", ("status",), registry=registry
        )
        self._samples = Counter(
            "sentinel_bridge_samples", "Samples handed to Kafka", registry=registry
        )

    async def write(self, request: Request) -> Response:
        """Answer one remote-write request."""
        try:
            answer = await self._answer(request)
        except RefusedRequest as refusal:
            answer = Response(f"{refusal}\n", refusal.status, media_type="text/plain")
        except Rejected as error:
            answer = Response(f"{error}\n", 400, media_type="text/plain")
        except Unavailable as error:
            retry = {"Retry-After": str(RETRY_AFTER_S)}
            answer = Response(f"{error}\n", 503, retry, "text/plain")
        self._requests.labels(answer.status_code).inc()
        return answer

    async def _answer(self, request: Request) -> Response:
        self._authorised(request.headers.get("authorization", ""))
        name = format_of_request(
            request.headers.get("content-type", ""),
            request.headers.get("content-encoding", ""),
            request.headers.get("x-prometheus-remote-write-version", ""),
        )
        body = await self._body(request)
        sender = request.client.host if request.client else ""
        accepted = await self.accept(name, body, key=sender)
        headers = _written(name, accepted)
        if accepted.refused:
            return Response(f"{accepted.refused}\n", 400, headers, "text/plain")
        return Response(status_code=204, headers=headers)

    async def accept(self, name: str, body: bytes, *, key: str) -> Accepted:
        """Check a body and give it to Kafka; returns when Kafka has it.

        `key` keeps one sender's records in order. Raises RefusedRequest, Rejected or
        Unavailable when nothing was kept.
        """
        now = np.array([time.time_ns() // 1_000_000], np.int64)
        self._reading.series.sweep(int(now[0]))
        parsed = FORMATS[name](Batch([body], now, now), self._reading)
        refused = "; ".join(f"{r.rule}: {r.reason}" for r in parsed.rejects)
        if parsed.rejects and not len(parsed.samples.code):
            raise RefusedRequest(400, refused)
        headers = {
            "content-type": CONTENT_TYPES[name],
            "x-prometheus-remote-write-version": VERSIONS[name],
        }
        await self.relay.send(self._topic, body, key=key.encode(), headers=headers)
        self._samples.inc(len(parsed.samples.code))
        return _counted(parsed, refused)

    def _authorised(self, authorization: str) -> None:
        token = self._settings.token.get_secret_value()
        shown = authorization.removeprefix("Bearer ") if authorization[:7] == "Bearer " else ""
        if token and not hmac.compare_digest(shown.encode(), token.encode()):
            raise RefusedRequest(401, "a bearer token is needed")

    async def _body(self, request: Request) -> bytes:
        limit = self._settings.limits.record_bytes
        claimed = request.headers.get("content-length", "0")
        parts, size = [], int(claimed) if claimed.isdecimal() else 0
        if size <= limit:
            size = 0
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    break
                parts.append(part)
        if size > limit:
            raise RefusedRequest(413, f"more than the {limit} bytes that are allowed")
        return b"".join(parts)

    async def health(self) -> Response:
        """Whether Kafka can be reached."""
        if reason := await asyncio.to_thread(self.relay.reachable):
            return Response(f"Kafka: {reason}\n", 503, media_type="text/plain")
        return Response("ok\n", media_type="text/plain")


def create_app(
    settings: BridgeSettings, kafka: KafkaSettings, registry: CollectorRegistry | None = None
) -> FastAPI:
    """The bridge as an ASGI application."""
    bridge = Bridge(settings, kafka, registry or CollectorRegistry())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with bridge.relay:
            yield

    app = FastAPI(lifespan=lifespan, openapi_url=None)
    app.add_api_route(PATH, bridge.write, methods=["POST"], response_model=None)
    app.add_api_route("/healthz", bridge.health, response_model=None)
    app.add_api_route(
        "/metrics",
        lambda: Response(generate_latest(bridge.registry), media_type=CONTENT_TYPE_LATEST),
        response_model=None,
    )
    return app


def serve(
    settings: BridgeSettings, kafka: KafkaSettings, registry: CollectorRegistry | None = None
) -> None:
    """Run the bridge in this process until SIGTERM or SIGINT."""
    server(settings, create_app(settings, kafka, registry)).run()


def server(settings: BridgeSettings, app: FastAPI) -> uvicorn.Server:
    """The HTTP server of the bridge; on its way out it answers what is under way."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            ws="none",
            timeout_graceful_shutdown=int(settings.acknowledge_s) + 1,
        )
    )


def _counted(parsed: Parsed, refused: str) -> Accepted:
    histograms = parsed.skips["native-histogram-buckets"]
    left_out = sum(parsed.skips[name] for name in ("stale", "nan", "inf"))  # taken, not refused
    samples = len(parsed.samples.code) - 2 * histograms + left_out
    return Accepted(max(0, samples), histograms, refused)


def _written(name: str, accepted: Accepted) -> dict[str, str]:
    """What version 2 wants to be told."""
    if name != V2:
        return {}
    counts: dict[str, Any] = {
        "Samples": accepted.samples,
        "Histograms": accepted.histograms,
        "Exemplars": 0,
    }
    return {WRITTEN.format(kind): str(count) for kind, count in counts.items()}
