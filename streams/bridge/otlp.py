"""OTLP over HTTP, metrics and logs, as OpenTelemetry's SDKs and Collector send it.

Answers are messages of the protocol in the encoding of the request. What is refused of a
request that is otherwise kept is told as its partial success, with status 200: a sender must
not repeat it. A request without any data is a success.

Source: OpenTelemetry protocol specification 1.x, "OTLP/HTTP".
"""

from collections.abc import Callable
from typing import Any

from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from starlette.requests import Request
from starlette.responses import Response

from schemas.topics import RAW_LOGS, RAW_METRICS
from streams.bridge.content import ENCODINGS
from streams.bridge.endpoint import (
    Content,
    Document,
    Endpoint,
    Result,
    Route,
    in_one_line,
    media_type,
    refused_elements,
)
from streams.bridge.refusal import LOGS_ELSEWHERE, METRICS_ELSEWHERE, RefusedRequest
from streams.formats.limits import quoted
from streams.formats.otlp_json import DECODE
from streams.formats.otlp_proto import holds_metrics
from streams.formats.proto.status_pb2 import Status

PROTOBUF, JSON = "application/x-protobuf", "application/json"
NAMES = {PROTOBUF: "otlp-proto", JSON: "otlp-json"}
INVALID, EXHAUSTED, AWAY, UNKNOWN_SENDER = 3, 8, 14, 16  # of google.rpc.Code
CODES = {401: UNKNOWN_SENDER, 429: EXHAUSTED, 503: AWAY}


def content_of(request: Request) -> Content:
    """The encoding that a request's headers claim. Raises RefusedRequest with 415."""
    media, _ = media_type(request)
    if media not in NAMES:
        said = f"Content-Type must be {PROTOBUF} or {JSON}, not {quoted(media, 80)}"
        raise RefusedRequest(415, "bad-content-type", said)
    return Content(NAMES[media], media)


def _holds_logs(name: str, body: bytes) -> bool:
    """Whether a request, which was decoded before, is of logs."""
    if name == NAMES[PROTOBUF]:
        return not holds_metrics(body)
    request = DECODE(body)
    return request.resource_metrics is None and request.resource_logs is not None


def _logs_elsewhere(name: str, body: bytes) -> str:
    return LOGS_ELSEWHERE if _holds_logs(name, body) else ""


def _metrics_elsewhere(name: str, body: bytes) -> str:
    return "" if _holds_logs(name, body) else METRICS_ELSEWHERE


def _accepted(
    answer: Callable[[], Any], rejected: str
) -> Callable[[Request, Content, Result], Response]:
    """Success, of metrics or logs; `rejected` is where the message counts what was refused."""

    def accepted(request: Request, _: Content, result: Result) -> Response:
        message = answer()
        if result.refused:
            setattr(message.partial_success, rejected, refused_elements(result))
            message.partial_success.error_message = in_one_line(result.faults, result.refused)
        return _encoded(request, 200, message)

    return accepted


def refused(request: Request, refusal: RefusedRequest) -> Response:
    """The protocol's message for a failure."""
    status = Status(code=CODES.get(refusal.status, INVALID), message=str(refusal))
    return _encoded(request, refusal.status, status)


def _encoded(request: Request, status: int, message: Any) -> Response:
    if media_type(request)[0] == JSON:
        return Response(MessageToJson(message, indent=None), status, media_type=JSON)
    return Response(message.SerializeToString(), status, media_type=PROTOBUF)


def _document(kind: str, rejected: str, example: dict[str, Any]) -> Document:
    partial = {
        "type": "object",
        "properties": {
            rejected: {"type": "string", "description": "how many, as text"},
            "errorMessage": {"type": "string"},
        },
    }
    answer = {"type": "object", "properties": {"partialSuccess": partial}}
    failure = {
        "type": "object",
        "required": ["code", "message"],
        "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
    }
    return Document(
        description=f"An export request of {kind} as OpenTelemetry's SDKs and Collector send it, "
        "packed with gzip, deflate, zstd or not at all; the answer has the request's encoding. "
        "As a base address (`OTEL_EXPORTER_OTLP_ENDPOINT`, or `endpoint` of the Collector's "
        "`otlphttp`) give `http://HOST:9201`.",
        bodies={
            PROTOBUF: {"schema": {"type": "string", "format": "binary"}},
            JSON: {"schema": {"type": "object"}, "example": example},
        },
        answers={
            200: ("Kafka has it; `partialSuccess` says what of it is refused", _content(answer)),
            400: ("All of it is refused, or it cannot be decoded", _content(failure)),
        },
    )


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {"content": {PROTOBUF: binary, JSON: {"schema": schema}}}


CHECKOUT = {"attributes": [{"key": "service.name", "value": {"stringValue": "checkout"}}]}
GAUGE = {
    "name": "queue_depth",
    "gauge": {"dataPoints": [{"timeUnixNano": "1767323045678000000", "asDouble": 17}]},
}
LINE = {
    "timeUnixNano": "1767323045678000000",
    "severityText": "ERROR",
    "body": {"stringValue": "payment refused"},
}


def _endpoint(
    path: str,
    takes: str,
    route: Route,
    accepted: Callable[[Request, Content, Result], Response],
    document: Document,
) -> Endpoint:
    return Endpoint(
        path=path,
        takes=takes,
        route=route,
        encodings=ENCODINGS,
        content=content_of,
        accepted=accepted,
        refused=refused,
        document=document,
        nothing_is_fine=True,
    )


OTLP_METRICS = _endpoint(
    "/v1/metrics",
    "OpenTelemetry metrics (OTLP/HTTP)",
    Route(RAW_METRICS, samples=True, elsewhere=_logs_elsewhere),
    _accepted(ExportMetricsServiceResponse, "rejected_data_points"),
    _document(
        "metrics",
        "rejectedDataPoints",
        {"resourceMetrics": [{"resource": CHECKOUT, "scopeMetrics": [{"metrics": [GAUGE]}]}]},
    ),
)
OTLP_LOGS = _endpoint(
    "/v1/logs",
    "OpenTelemetry logs (OTLP/HTTP)",
    Route(RAW_LOGS, lines=True, elsewhere=_metrics_elsewhere),
    _accepted(ExportLogsServiceResponse, "rejected_log_records"),
    _document(
        "log records",
        "rejectedLogRecords",
        {"resourceLogs": [{"resource": CHECKOUT, "scopeLogs": [{"logRecords": [LINE]}]}]},
    ),
)
