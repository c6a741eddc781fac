"""Policies on an Open Policy Agent server, over its REST API.

For teams that keep their policies in one place. The server is asked with a short deadline over
the whole exchange, however slowly it answers; what it cannot answer in time is not allowed.

Source: OPA documentation, "REST API", Data API, `POST /v1/data/{path}`.
"""

import time
from collections.abc import Mapping
from http import HTTPStatus

import httpx
import orjson

from runbooks.opa_settings import OpaSettings
from schemas.errors import Rejected, Unavailable

PATH = "/v1/data/sentinel/policy/answer"
LONGEST = 1024 * 1024  # bytes; an answer is a few hundred


class Opa:
    """An OPA server that holds the policies. `transport` replaces the network."""

    def __init__(
        self, settings: OpaSettings, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        if not settings.url.startswith(("http://", "https://")):
            raise Rejected(f"opa.url is {settings.url!r}: write http://host:port")
        self._settings = settings
        headers = {"content-type": "application/json"}
        if settings.token is not None:
            headers["authorization"] = f"Bearer {settings.token.get_secret_value()}"
        self._client = httpx.Client(
            base_url=settings.url.rstrip("/"),
            headers=headers,
            timeout=settings.timeout_s,
            trust_env=False,  # no proxy between us and what decides
            transport=transport,
        )
        self.engine = f"OPA at {settings.url}"

    def evaluate(self, document: Mapping[str, object]) -> object:
        """The server's answer to an input document.

        Raises Unavailable when it is away, slow or in trouble, Rejected when it has no answer.
        """
        try:
            answer = orjson.loads(self._asked(orjson.dumps({"input": document})))
        except orjson.JSONDecodeError as error:
            raise Rejected(f"{self.engine} answered what is no JSON") from error
        if not isinstance(answer, dict) or "result" not in answer:
            raise Rejected(f"{self.engine}: data.sentinel.policy.answer is undefined there")
        return answer["result"]

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()

    def _asked(self, body: bytes) -> bytes:
        deadline = time.monotonic() + self._settings.timeout_s
        answer = bytearray()
        try:
            with self._client.stream("POST", PATH, content=body) as response:
                for chunk in response.iter_bytes():
                    answer += chunk
                    if len(answer) > LONGEST:
                        raise Rejected(f"{self.engine} answered more than {LONGEST} bytes")
                    if time.monotonic() > deadline:  # bytes trickle in: each in time, all too late
                        raise Unavailable(
                            f"{self.engine}: no answer in {self._settings.timeout_s:g} s"
                        )
                status = response.status_code
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            raise Unavailable(f"{self.engine} is away: {why}") from error
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Unavailable(f"{self.engine} answered {status}: {bytes(answer[:200])!r}")
        if status != HTTPStatus.OK:
            raise Rejected(f"{self.engine} answered {status}: {bytes(answer[:200])!r}")
        return bytes(answer)
