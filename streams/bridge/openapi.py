"""What the OpenAPI document says of an address, put together from what is its own.

The answers that all addresses give are told once; their content is the address' own, as it
answers a Prometheus in text and an OpenTelemetry exporter in the protocol's messages.
"""

from typing import Any

from streams.bridge.endpoint import Endpoint

RETRY = {"Retry-After": {"description": "seconds", "schema": {"type": "string"}}}
CHALLENGE = {"WWW-Authenticate": {"schema": {"type": "string", "enum": ["Bearer"]}}}
SHARED = {
    401: "A bearer token is needed (`bridge.tokens`), and this is none",
    413: "Larger than `intake.limits.record_bytes`, as it came or unpacked",
    415: "Not a content type or encoding of this address",
    503: "Kafka did not confirm it, or too much is under way: come back after `Retry-After`",
}
BUSY = "Too much is under way, or over the token's rate: come back after `Retry-After`"
TITLE = "Sentinel's bridge"
DESCRIPTION = (
    "Metrics, log lines and alerts over HTTP to Kafka. An answer of 2xx comes after Kafka has "
    "confirmed what was accepted; 4xx will never work and should not be repeated (429 may be); "
    "5xx may work later, and may then be there twice, since a confirmation can get lost."
)


def body(endpoint: Endpoint) -> dict[str, Any]:
    """What an operation's document has beside its answers."""
    document = endpoint.document
    encodings = {
        "name": "Content-Encoding",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "enum": list(endpoint.encodings)},
    }
    return {
        "requestBody": {"required": True, "content": dict(document.bodies)},
        "parameters": [*document.parameters, encodings],
    }


def answers(endpoint: Endpoint) -> dict[int | str, dict[str, Any]]:
    """An operation's answers by status."""
    given = endpoint.document.answers
    told = dict(given)
    wrong = given[400][1]
    told |= {status: (meaning, wrong) for status, meaning in SHARED.items()}
    told[endpoint.busy] = told.get(endpoint.busy, (BUSY, wrong))
    headers = {401: CHALLENGE, 429: RETRY, 503: RETRY}
    return {
        status: {
            "description": meaning,
            **holds,
            **({"headers": headers[status]} if status in headers else {}),
        }
        for status, (meaning, holds) in sorted(told.items())
    }
