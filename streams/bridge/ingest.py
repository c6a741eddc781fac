"""Sentinel's own addresses: JSON, whatever else intake reads, and Alertmanager's webhook.

The answer counts what was in a body, so that nobody has to guess: every element is accepted,
left out on purpose or refused, and of the refused the first hundred are told one by one. A
body of which anything was kept is answered 200, since most senders repeat what is not.
"""

from typing import Any

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from schemas.topics import RAW_LOGS, RAW_METRICS
from streams.bridge.content import ENCODINGS
from streams.bridge.endpoint import Content, Document, Endpoint, Result, Route, media_type
from streams.bridge.refusal import AWAY, RefusedRequest
from streams.formats import FORMATS, MEDIA
from streams.formats.columns import Fault
from streams.formats.limits import quoted

JSON = "application/json"
LINES = ("application/x-ndjson", "application/jsonl")
TYPES = {JSON: "json", **dict.fromkeys(LINES, "json"), **MEDIA}
NAMED = tuple(name for name in FORMATS if not name.startswith("avro"))  # which asks a registry


class Reason(BaseModel):
    """Why something is refused."""

    element: int | None = Field(description="its place in the body, from 0; null: the whole body")
    rule: str = Field(description="a short name, as dead letters and metrics have it")
    reason: str


class Answer(BaseModel):
    """What became of a request."""

    accepted: int = Field(description="elements (samples, log lines) that Kafka has")
    left_out: dict[str, int] = Field(
        description="of the accepted, those that no model will see, by reason: nan, stale, ..."
    )
    refused: int | None = Field(
        description="elements that will never work; null: the request was not looked into"
    )
    reasons: list[Reason] = Field(description="the first hundred of the refused, one by one")


def content_of(request: Request) -> Content:
    """The format that a request names or its type tells. Raises RefusedRequest with 415."""
    media, _ = media_type(request)
    named = request.query_params.get("format", "")
    if named:
        if named not in NAMED:
            told = ", ".join(name for name in NAMED if "@" not in name)
            raise RefusedRequest(
                415, "unknown-format", f"no format {quoted(named, 80)}; there are {told}"
            )
        return Content(named, media[:100])
    if media not in TYPES:
        types = ", ".join(TYPES)
        said = f"Content-Type must be {types}, or ?format=NAME given; not {quoted(media, 80)}"
        raise RefusedRequest(415, "bad-content-type", said)
    return Content(TYPES[media], media)


def alerts_of(request: Request) -> Content:
    """Alertmanager's format, of JSON. Raises RefusedRequest with 415."""
    media, _ = media_type(request)
    if media != JSON:
        said = f"Content-Type must be {JSON}, not {quoted(media, 80)}"
        raise RefusedRequest(415, "bad-content-type", said)
    return Content("alertmanager", media)


def accepted(_: Request, __: Content, result: Result) -> Response:
    """What was accepted and what was not."""
    answer = Answer(
        accepted=result.accepted,
        left_out=dict(result.left_out),
        refused=result.refused,
        reasons=list(map(_reason, result.faults)),
    )
    return _json(200, answer)


def refused(_: Request, refusal: RefusedRequest) -> Response:
    """Why nothing was accepted."""
    reasons = list(map(_reason, refusal.faults)) or [
        Reason(element=None, rule=refusal.rule, reason=str(refusal))
    ]
    answer = Answer(accepted=0, left_out={}, refused=refusal.refused, reasons=reasons)
    return _json(refusal.status, answer)


def _reason(fault: Fault) -> Reason:
    place = fault.element if fault.element >= 0 else None
    return Reason(element=place, rule=fault.rule, reason=fault.reason)


def _json(status: int, answer: Answer) -> Response:
    return Response(answer.model_dump_json() + "\n", status, media_type=JSON)


LABELS = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
TIME = {"type": ["string", "number"], "description": "ISO 8601, or epoch s, ms, us or ns"}
METRIC: dict[str, Any] = {
    "type": "object",
    "required": ["service", "metric", "at", "value"],
    "properties": {
        "service": {"type": "string"},
        "metric": {"type": "string"},
        "at": TIME,
        "value": {"type": ["number", "string", "null"]},
        "labels": LABELS,
    },
}
LOG_LINE: dict[str, Any] = {
    "type": "object",
    "required": ["service", "at", "message"],
    "properties": {
        "service": {"type": "string"},
        "at": TIME,
        "severity": {"type": ["string", "number"]},
        "message": {"type": "string"},
        "labels": LABELS,
    },
}
EVENT = {"anyOf": [METRIC, LOG_LINE]}
EXAMPLES: list[dict[str, Any]] = [
    {
        "service": "checkout",
        "metric": "latency_p95_ms",
        "at": "2026-01-02T03:04:05.678Z",
        "value": 212.4,
        "labels": {"region": "eu"},
    },
    {
        "service": "checkout",
        "at": "2026-01-02T03:04:05.678Z",
        "severity": "error",
        "message": "payment refused",
    },
]
ALERT: dict[str, Any] = {
    "version": "4",
    "status": "firing",
    "receiver": "sentinel",
    "commonLabels": {"alertname": "HighErrorRate", "service": "checkout"},
    "alerts": [
        {
            "status": "firing",
            "labels": {"severity": "critical"},
            "annotations": {"summary": "5 % of payments fail"},
            "startsAt": "2026-01-02T03:04:05.678Z",
            "endsAt": "0001-01-01T00:00:00Z",
        }
    ],
}
ANSWER: dict[str, Any] = {"model": Answer}
ANSWERS = {
    200: ("Kafka has what is accepted of it", ANSWER),
    400: ("All of it is refused, or it cannot be decoded", ANSWER),
}
FORMAT = {
    "name": "format",
    "in": "query",
    "required": False,
    "description": "the body's format by the name that intake has for it, whatever the content "
    "type says; so whoever can send Influx lines or syslog over HTTP needs no converter",
    "schema": {"type": "string", "enum": list(NAMED)},
}
OPAQUE = {"schema": {"type": "string"}}

INGEST = Endpoint(
    path="/ingest",
    takes="JSON metrics and log lines; with ?format=NAME any other format",
    route=Route(RAW_METRICS, samples=True, lines=True, lines_alone=RAW_LOGS),
    encodings=ENCODINGS,
    content=content_of,
    accepted=accepted,
    refused=refused,
    document=Document(
        description="Metrics and log lines: one, a list of them, or several separated by "
        "newlines. One with `metric` is a sample, one with `message` a log line. The time may "
        "also be called `timestamp`, `ts` or `time`.",
        bodies={
            JSON: {
                "schema": {"anyOf": [EVENT, {"type": "array", "items": EVENT}]},
                "examples": {
                    "metric": {"value": EXAMPLES[0]},
                    "line": {"value": EXAMPLES[1]},
                    "several": {"value": EXAMPLES},
                },
            },
            **dict.fromkeys((*LINES, *MEDIA), OPAQUE),
        },
        answers=ANSWERS,
        parameters=(FORMAT,),
    ),
)
ALERTMANAGER = Endpoint(
    path="/ingest/alertmanager",
    takes="Alertmanager's webhook",
    route=Route(RAW_LOGS, lines=True),
    encodings=ENCODINGS,
    content=alerts_of,
    accepted=accepted,
    refused=refused,
    busy=AWAY,  # Alertmanager repeats after 5xx alone
    document=Document(
        description="Alerts as Alertmanager's webhook sends them; each becomes a log line of the "
        "alert's service. In Alertmanager's file it is `webhook_configs: [{url: "
        "http://HOST:9201/ingest/alertmanager, http_config: {authorization: {credentials: "
        "TOKEN}}}]`.",
        bodies={JSON: {"schema": {"type": "object", "required": ["alerts"]}, "example": ALERT}},
        answers=ANSWERS,
    ),
)
