"""Who may send: bearer tokens by name, each with its tenant and its rate.

A token is looked for among all of them, each compared in the same time whatever it is, so
that an answer's delay says nothing. Without tokens everybody may send who reaches us, which
is allowed on a loopback address only.
"""

import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Collection, Mapping
from typing import NamedTuple

from schemas.errors import Rejected
from streams.bridge.rate import Rate
from streams.bridge.refusal import RefusedRequest
from streams.bridge.settings import BridgeSettings, Token

SCHEME = "bearer"


class Sender(NamedTuple):
    """Whose request it is; both empty where nobody needs a token."""

    name: str
    tenant: str
    rate: Rate | None


ANYBODY = Sender("", "", None)


class Senders:
    """Those who may send."""

    def __init__(self, tokens: Mapping[str, Token]) -> None:
        self._known = [
            (_digest(given.token.get_secret_value()), _sender(name, given))
            for name, given in tokens.items()
        ]

    def of(self, authorization: str) -> Sender:
        """Whose header this is. Raises RefusedRequest with 401."""
        if not self._known:
            return ANYBODY
        scheme, _, shown = authorization.partition(" ")
        digest = _digest(shown.strip() if scheme.lower() == SCHEME else "")
        found = None
        for known, sender in self._known:
            if hmac.compare_digest(digest, known):
                found = sender
        if found is None:
            raise RefusedRequest(401, "unauthorised", "a bearer token of bridge.tokens is needed")
        return found


def check_exposure(settings: BridgeSettings) -> None:
    """Raises Rejected for an address that others reach while nobody needs a token."""
    if not settings.tokens and not loopback(settings.host):
        raise Rejected(
            f"other machines reach {settings.host or 'every address'}, and no token is set: set "
            "bridge.tokens.NAME.token (SENTINEL_BRIDGE__TOKENS__NAME__TOKEN), or listen on "
            "127.0.0.1"
        )


def strangers(tokens: Mapping[str, Token], tenants: Collection[str]) -> list[str]:
    """Tenants of tokens that are not among `tenants`."""
    return sorted({given.tenant for given in tokens.values() if given.tenant} - set(tenants))


def loopback(host: str) -> bool:
    """Whether only this machine reaches the address.

    >>> loopback("127.0.0.1"), loopback("::1"), loopback("0.0.0.0"), loopback("")
    (True, True, False, False)
    """
    if not host:
        return False  # every address
    try:
        found = {address[0] for *_, address in socket.getaddrinfo(host, None)}
    except OSError:
        return False  # a name that is none
    return all(ipaddress.ip_address(str(one).partition("%")[0]).is_loopback for one in found)


def _sender(name: str, given: Token) -> Sender:
    rate = Rate(given.requests_per_s) if given.requests_per_s else None
    return Sender(name, given.tenant, rate)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()  # all of one length
