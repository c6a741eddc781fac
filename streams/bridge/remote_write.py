"""Prometheus remote write, as Prometheus and its relatives push it.

When some series of a request are refused, the others are kept and the answer is 400, as the
specification wants it for a partial write: a sender does not repeat what was answered so.
Prometheus takes 429 for such an answer too unless told otherwise, so busy is 503 here.

Source: Prometheus remote write specifications 1.0 and 2.0; prometheus.io, configuration,
`retry_on_http_429`.
"""

from starlette.requests import Request
from starlette.responses import Response

from schemas.topics import RAW_REMOTE_WRITE
from streams.bridge.endpoint import (
    Content,
    Document,
    Endpoint,
    Result,
    Route,
    encoding,
    in_one_line,
    media_type,
)
from streams.bridge.refusal import AWAY, RefusedRequest
from streams.formats.limits import quoted

PATH = "/api/v1/write"
MEDIA = "application/x-protobuf"
V1, V2 = "remote-write", "remote-write-2"
MESSAGES = {"": V1, "prometheus.WriteRequest": V1, "io.prometheus.write.v2.Request": V2}
CONTENT_TYPES = {
    V1: f"{MEDIA};proto=prometheus.WriteRequest",
    V2: f"{MEDIA};proto=io.prometheus.write.v2.Request",
}
VERSION = "x-prometheus-remote-write-version"
WRITTEN = "X-Prometheus-Remote-Write-{}-Written"
ROUTE = Route(RAW_REMOTE_WRITE, samples=True)


def content_of(request: Request) -> Content:
    """The message that a request's headers claim. Raises RefusedRequest with 415."""
    media, parameters = media_type(request)
    if media != MEDIA:
        said = f"Content-Type must be {MEDIA}, not {quoted(media, 80)}"
        raise RefusedRequest(415, "bad-content-type", said)
    encoding(request, ("snappy",))  # also the format's own: it stays packed
    message = parameters.get("proto", "")
    if message not in MESSAGES:
        said = f"no message {quoted(message, 80)}; {' and '.join(CONTENT_TYPES.values())}"
        raise RefusedRequest(415, "bad-content-type", said)
    name = MESSAGES[message]
    if not message and request.headers.get(VERSION, "").startswith("2."):
        name = V2  # a sender that says so in one header only
    return Content(name, CONTENT_TYPES[name])


def accepted(_: Request, content: Content, result: Result) -> Response:
    """204, or 400 with the reason for a part that was refused."""
    headers = _written(result) if content.format == V2 else {}
    if result.refused:
        return _text(400, in_one_line(result.faults, result.refused), headers)
    return Response(status_code=204, headers=headers)


def refused(_: Request, refusal: RefusedRequest) -> Response:
    """The reason, of which Prometheus logs the first line."""
    return _text(refusal.status, str(refusal), {})


def _text(status: int, reason: str, headers: dict[str, str]) -> Response:
    return Response(f"{reason}\n", status, headers, "text/plain")


def _written(result: Result) -> dict[str, str]:
    """What version 2 wants to be told: a histogram is many samples to us, one thing to it."""
    taken = sum(result.left_out.get(name, 0) for name in ("stale", "nan", "inf"))
    counts = {
        "Samples": result.samples + taken - result.native.elements,
        "Histograms": result.native.histograms,
        "Exemplars": 0,
    }
    return {WRITTEN.format(kind): str(count) for kind, count in counts.items()}


TEXT = {"content": {"text/plain": {"schema": {"type": "string"}}}}
REMOTE_WRITE = Endpoint(
    path=PATH,
    takes="Prometheus remote write 1.0 and 2.0",
    route=ROUTE,
    encodings=("snappy",),
    content=content_of,
    accepted=accepted,
    refused=refused,
    busy=AWAY,
    document=Document(
        description="Series as Prometheus, its agents and its relatives push them: a snappy block "
        "(`Content-Encoding: snappy`) of one protobuf message. In Prometheus' file it is "
        "`remote_write: [{url: http://HOST:9201/api/v1/write, authorization: {credentials: "
        "TOKEN}}]`.",
        bodies={
            media: {"schema": {"type": "string", "format": "binary"}}
            for media in (MEDIA, *CONTENT_TYPES.values())
        },
        answers={
            204: ("Kafka has all of it", {}),
            400: ("Some or all of it is refused; what is good in it was kept", TEXT),
        },
    ),
)
