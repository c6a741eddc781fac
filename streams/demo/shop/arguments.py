"""What a request's body may hold: read strictly, refused in one line that says what to change."""

import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from aiohttp import web

Check = Callable[[object], object]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refusal(Exception):  # noqa: N818 - the answer to a caller, not a fault of the component
    """A request that is not carried out, and the HTTP status that says whose doing it is."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def whole(low: int, high: int) -> Check:
    """An integer from `low` to `high`."""

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return check


def number(low: float, high: float) -> Check:
    """A finite number from `low` to `high`."""

    def check(value: object) -> float:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return check


def flag(value: object) -> bool:
    """True or false, and nothing that only looks like it."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - one error for any bad value
    return value


def text(value: object) -> str:
    """A string that says something."""
    if not isinstance(value, str) or not value:
        raise ValueError("must be a non-empty string")
    return value


def mapping(value: object) -> dict[str, object]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise ValueError("must be an object")  # noqa: TRY004 - one error for any bad value
    return value


def anything(value: object) -> object:
    """Any JSON: the receiver only hands it on."""
    return value


def read(body: bytes, fields: Mapping[str, Check]) -> dict[str, object]:
    """The checked fields of a JSON body; `Refusal` (400) unless it has exactly these.

    >>> read(b'{"replicas": 3}', {"replicas": whole(1, 8)})
    {'replicas': 3}
    """
    try:
        given = json.loads(body)
    except ValueError as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"the body is no JSON: {error}") from error
    if not isinstance(given, dict) or given.keys() != fields.keys():
        needed = ", ".join(sorted(fields))
        raise Refusal(HTTPStatus.BAD_REQUEST, f"the body must be an object with: {needed}")
    return {name: _checked(name, fields[name], value) for name, value in given.items()}


@web.middleware
async def answer_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn a `Refusal` into its answer: one line of JSON that says what is wrong."""
    try:
        return await handler(request)
    except Refusal as refusal:
        asks = refusal.status == HTTPStatus.UNAUTHORIZED
        headers = {"WWW-Authenticate": "Bearer"} if asks else None
        error = {"error": refusal.reason}
        return web.json_response(error, status=refusal.status, headers=headers)


def _checked(name: str, check: Check, value: object) -> object:
    try:
        return check(value)
    except ValueError as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"{name} {error}") from error
