"""Tokens of an identity provider, by client credentials, each kept for most of its life.

Source: RFC 6749, 4.4 (the grant), 5.1 and 5.2 (answers); RFC 6750, 2.1 (what a token is of).
"""

import re
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx

from schemas.errors import Rejected, Unavailable
from schemas.masking import masked
from streams.oauth.settings import OAuthSettings

WORTH = 0.8  # of a token's life; librdkafka renews its own after as much
LONGEST_TOKEN = 64 * 1024  # bytes of an answer
SAID = 200  # characters of what the endpoint says of a refusal
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
LIMITED, BROKEN = 429, 500  # HTTP


class Token(NamedTuple):
    """What opens Kafka, and for how long, s; 0 where the provider does not say."""

    text: str
    life_s: float


class Tokens:
    """The token in force. Any thread may ask; one at a time fetches."""

    def __init__(
        self, settings: OAuthSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings, self._clock = settings, clock
        self._lock = threading.Lock()
        self._token, self._began = Token("", 0.0), 0.0

    def current(self) -> str:
        """A token that is good, and new before it ends. Raises what `fetched` raises."""
        with self._lock:
            now = self._clock()
            if now >= self._began + WORTH * self._token.life_s:
                try:
                    self._token, self._began = fetched(self._settings), now
                except Unavailable:
                    if now >= self._began + self._token.life_s:
                        raise  # else there is time left to try again
            return self._token.text


def fetched(settings: OAuthSettings) -> Token:
    """A new token. Raises Rejected when we are refused, Unavailable when nobody answers."""
    asked = {"grant_type": "client_credentials"}
    if settings.scope:
        asked["scope"] = settings.scope
    try:
        with httpx.Client(
            auth=(settings.client_id, settings.client_secret.get_secret_value()),
            verify=_trusted(settings),
            timeout=settings.timeout_s,
            follow_redirects=False,  # nobody else is shown the secret
        ) as client:
            answer = client.post(
                settings.token_url, data=asked, headers={"Accept": "application/json"}
            )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = str(error) or type(error).__name__
        raise Unavailable(
            f"no token for Kafka: nobody answers at {settings.token_url} ({why}):"
            " look at kafka.oauth.token_url and ca_file"
        ) from error
    return _token(settings, answer)


def _trusted(settings: OAuthSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as error:  # a file that is not there, or holds no certificate
        said = error.strerror or error
        raise Rejected(f"kafka.oauth.ca_file ({settings.ca_file}): {said}") from error


def _token(settings: OAuthSettings, answer: httpx.Response) -> Token:
    if not answer.is_success:
        raise _refusal(settings, answer)
    try:
        told: Any = answer.json() if len(answer.content) <= LONGEST_TOKEN else None
        text, kind = told["access_token"], told.get("token_type", "bearer")
        life_s = float(told.get("expires_in", 0))
        good = TOKEN.fullmatch(text) and kind.lower() == "bearer" and 0 <= life_s < float("inf")
    except (ValueError, TypeError, KeyError, AttributeError):
        good = None
    if not good:  # what it says instead may be half a secret
        raise Unavailable(
            f"no token for Kafka: {settings.token_url} answers {answer.status_code}, but with no"
            " bearer token: is kafka.oauth.token_url a token endpoint?"
        )
    return Token(text, life_s)


def _refusal(settings: OAuthSettings, answer: httpx.Response) -> Rejected | Unavailable:
    why = f"HTTP {answer.status_code}"
    try:
        told = answer.json()
        said = ": ".join(str(told[key]) for key in ("error", "error_description") if key in told)
        why += f", {masked(' '.join(said.split()))[:SAID]}" if said else ""
    except (ValueError, TypeError):
        pass  # the status alone has to do: an error page is not for one line
    what = f"no token for Kafka: {settings.token_url} refuses us ({why})"
    if answer.status_code == LIMITED or answer.status_code >= BROKEN:
        return Unavailable(what)
    return Rejected(f"{what}: look at kafka.oauth.client_id, client_secret and scope")
