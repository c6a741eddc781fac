r"""Change a target over HTTP: listed hosts only, one call, no redirects, keyed and signed.

A call that certainly did not reach the target may be sent again; one that may have reached it
is Uncertain, and the target is asked (`operations_path`) instead of guessed about. The target
can check who called: a bearer token, an HMAC signature, or both.

    Sentinel-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of the text below>
    text: "<t>\n<method>\n<path>\n<idempotency key>\n" and then the body's bytes

Sources: RFC 9110 (methods, status codes); IETF draft-ietf-httpapi-idempotency-key-header.
"""

import asyncio
import hashlib
import hmac
import re
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal, NamedTuple

import httpx
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from executors.executor import Answer, Arguments, Uncertain
from executors.http_targets import HttpSettings, HttpTarget, check_path
from schemas.errors import Denied, Rejected, Unavailable

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

KEY = re.compile(r"[A-Za-z0-9_-]{1,200}")

TRY_LATER = {  # the target says that it did not handle the request: RFC 9110, 8470, 6585
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}
ASKED = frozenset({HTTPStatus.OK})
RIGHTS = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED}


class HttpArguments(BaseModel):
    """What an action of a runbook says; `json` is the body, `expect_status` 2xx by default."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    target: str
    method: Method
    path: Annotated[str, Field(max_length=2_000)]
    body: object = Field(default=None, alias="json")
    expect_status: int | tuple[int, ...] | list[int] = Field(default=tuple(range(200, 300)))

    def expects(self) -> frozenset[int]:
        """The statuses that mean success."""
        given = self.expect_status
        return frozenset((given,) if isinstance(given, int) else given)


class Call(NamedTuple):
    """A request, ready to be sent."""

    target: HttpTarget
    method: str
    url: httpx.URL
    body: bytes
    expects: frozenset[int]
    what: str  # for people


class Reply(NamedTuple):
    """What came back, at most `largest_answer` bytes of it."""

    status: int
    body: bytes
    whole: bool


class Http:
    """Calls listed targets."""

    def __init__(self, settings: HttpSettings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        # A connection a call: on a reused one, a close by the target cannot be told from a
        # request that it took and died of.
        self._client = httpx.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def check(self, arguments: Arguments, *, changes: bool) -> None:
        """Raises Denied for an unlisted target or method, Rejected for odd arguments."""
        self._call(arguments, changes=changes)

    def asks(self, arguments: Arguments) -> bool:
        """Whether the target has an operations path."""
        return self._target(arguments).operations_path is not None

    def repeatable(self, arguments: Arguments) -> bool:
        """Whether the target is declared idempotent."""
        return self._target(arguments).idempotent

    async def read(self, arguments: Arguments, *, timeout_s: float) -> Answer:
        """GET or HEAD, and JSON or text back."""
        call = self._call(arguments, changes=False)
        reply = await self._harmless(call, timeout_s)
        _refuse(call, reply)
        if reply.status not in call.expects:
            raise Rejected(f"{call.what}: status {reply.status}, not as expected")
        if not reply.whole:
            raise Rejected(f"{call.what}: the answer is over {call.target.largest_answer} bytes")
        return self._answer(call, reply)

    async def change(self, arguments: Arguments, *, key: str, timeout_s: float) -> Answer:
        """One changing call under an idempotency key."""
        call = self._call(arguments, changes=True)
        if not KEY.fullmatch(key):
            raise Rejected("a change needs a plain idempotency key")
        reply = await self._send(call, key, timeout_s)
        _refuse(call, reply)
        answer = self._answer(call, reply)
        if reply.status not in call.expects:
            said = f"{call.what}: status {reply.status}, not as expected: {answer.text:.200}"
            raise Uncertain(said, answered=True)
        return answer

    async def applied(self, arguments: Arguments, *, key: str, timeout_s: float) -> Answer | None:
        """Ask the target's operations path."""
        target = self._target(arguments)
        if target.operations_path is None or not KEY.fullmatch(key):
            raise Rejected("the target cannot be asked whether a key was applied")
        path = target.operations_path.replace("{key}", key)
        call = _made(target, "GET", path, b"", ASKED)
        reply = await self._harmless(call, timeout_s)
        if reply.status == HTTPStatus.NOT_FOUND:
            return None
        _refuse(call, reply)
        if reply.status not in call.expects:
            raise Unavailable(f"{call.what}: status {reply.status} says neither yes nor no")
        answer = self._answer(call, reply)
        if isinstance(answer.value, dict) and answer.value.get("applied") is False:
            return None
        return answer

    async def close(self) -> None:
        """Close the client."""
        await self._client.aclose()

    def _target(self, arguments: Arguments) -> HttpTarget:
        name = arguments.get("target")
        target = self._settings.targets.get(name) if isinstance(name, str) else None
        if target is None:
            known = ", ".join(sorted(self._settings.targets)) or "none"
            raise Denied(f"the target {name!r:.100} is not listed; listed: {known}")
        return target

    def _call(self, arguments: Arguments, *, changes: bool) -> Call:
        target = self._target(arguments)
        try:
            given = HttpArguments.model_validate(arguments)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise Rejected(f"HTTP arguments: {where}: {first['msg']}") from error
        if changes and given.method not in target.allow_methods:
            listed = ", ".join(sorted(target.allow_methods)) or "none"
            raise Denied(f"{given.method} may not change {given.target}; listed: {listed}")
        if not changes and (given.method not in {"GET", "HEAD"} or given.body is not None):
            raise Denied(f"{given.method} is no way to look: GET or HEAD without a body")
        try:
            check_path(given.path)
        except ValueError as error:
            raise Denied(str(error)) from error
        body = b"" if given.body is None else orjson.dumps(given.body, option=orjson.OPT_SORT_KEYS)
        return _made(target, given.method, given.path, body, given.expects())

    async def _harmless(self, call: Call, timeout_s: float) -> Reply:
        """Send what changes nothing: any trouble on the way only means to try again."""
        try:
            reply = await self._send(call, "", timeout_s)
        except Uncertain as error:
            raise Unavailable(str(error)) from error
        if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR and reply.status not in call.expects:
            raise Unavailable(f"{call.what}: status {reply.status}")
        return reply

    async def _send(self, call: Call, key: str, timeout_s: float) -> Reply:
        """Raises Unavailable when nothing was sent, Uncertain when it broke off after that."""
        limit = min(call.target.timeout_s, timeout_s)
        # at most half, so that a connect that hangs is told from an answer that does not come
        connect = min(call.target.connect_timeout_s, limit / 2)
        try:
            async with asyncio.timeout(limit):
                request = self._client.build_request(
                    call.method,
                    call.url,
                    content=call.body or None,
                    headers=self._headers(call, key),
                    timeout=httpx.Timeout(limit, connect=connect),
                )
                return await self._received(call, request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Unavailable(f"{call.what}: no connection ({type(error).__name__})") from error
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL) as error:
            raise Rejected(f"{call.what}: {type(error).__name__}") from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise Uncertain(f"{call.what}: broke off ({type(error).__name__})") from error
        except TimeoutError as error:
            raise Uncertain(f"{call.what}: no answer within {limit:g} s") from error

    async def _received(self, call: Call, request: httpx.Request) -> Reply:
        response = await self._client.send(request, stream=True)
        try:
            body = b""
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > call.target.largest_answer:
                    cut = body[: call.target.largest_answer]
                    return Reply(response.status_code, cut, whole=False)
            return Reply(response.status_code, body, whole=True)
        finally:
            await response.aclose()

    def _headers(self, call: Call, key: str) -> dict[str, str]:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if key:
            headers["Idempotency-Key"] = key
        if call.body:
            headers["Content-Type"] = "application/json"
        if call.target.token is not None:
            headers["Authorization"] = f"Bearer {call.target.token.get_secret_value()}"
        if call.target.signing_secret is not None:
            at = int(self._clock().timestamp())
            secret = call.target.signing_secret.get_secret_value()
            place = call.url.raw_path.decode()
            signature = sign(secret, at=at, method=call.method, path=place, key=key, body=call.body)
            headers["Sentinel-Signature"] = f"t={at},v1={signature}"
        return headers

    @staticmethod
    def _answer(call: Call, reply: Reply) -> Answer:
        """Decoded, with our own secrets taken out should the target have echoed them."""
        text = reply.body.decode(errors="replace")
        for secret in (call.target.token, call.target.signing_secret):
            if secret is not None:
                text = text.replace(secret.get_secret_value(), "***")
        try:
            value: object = orjson.loads(text)
        except orjson.JSONDecodeError:
            value = text
        return Answer(value, f"{call.what}: {reply.status}")


def sign(secret: str, *, at: int, method: str, path: str, key: str, body: bytes) -> str:
    """The HMAC of a call, hex; `at` is in Unix seconds, `path` as in the request line."""
    text = f"{at}\n{method}\n{path}\n{key}\n".encode() + body
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def _made(
    target: HttpTarget,
    method: str,
    path: str,
    body: bytes,
    expects: frozenset[int],
) -> Call:
    base = httpx.URL(target.base_url)
    url = httpx.URL(target.base_url.rstrip("/") + path)
    if (url.scheme, url.host, url.port) != (base.scheme, base.host, base.port):
        raise Denied(f"{path!r:.100} leads to another host")
    return Call(target, method, url, body, expects, f"{method} {url}")


def _refuse(call: Call, reply: Reply) -> None:
    """Raises for what the target certainly did not do: 3xx and 4xx that are not expected."""
    if reply.status in call.expects:
        return
    if reply.status in RIGHTS:
        raise Denied(f"{call.what}: status {reply.status}: the target did not accept our rights")
    if reply.status in TRY_LATER:
        raise Unavailable(f"{call.what}: status {reply.status}: later")
    if HTTPStatus.MULTIPLE_CHOICES <= reply.status < HTTPStatus.BAD_REQUEST:
        raise Rejected(f"{call.what}: status {reply.status}: redirects are not followed")
    if HTTPStatus.BAD_REQUEST <= reply.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        said = Http._answer(call, reply).text  # noqa: SLF001 - of the same file
        raise Rejected(f"{call.what}: status {reply.status}: {said:.200}")
