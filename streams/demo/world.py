"""The world outside of Sentinel: makes the shop's fault, and reads what the shop says of itself.

The director stands here for whoever deploys a bad batch job. It never tells Sentinel anything.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple
from urllib.parse import urlsplit

from schemas.errors import Unavailable

ANSWER_S = 10.0
FAULT = "fault"  # the one change that is ours


class Change(NamedTuple):
    """A change that somebody else asked the shop for."""

    at: str
    component: str
    action: str
    arguments: str
    applied: bool


class World:
    """The shop as its owner reaches it; `controls` are base URLs by component."""

    def __init__(self, controls: Mapping[str, str], *, batch: str, token: str) -> None:
        self._controls = dict(controls)
        self._batch = batch
        self._token = token

    def fault(self, *, on: bool) -> None:
        """The batch job goes wild, or stops it. Raises Unavailable."""
        _call(f"{self._batch}/control/{FAULT}", self._token, {"on": on})

    def changes(self) -> list[Change]:
        """What others asked of the shop, as its components logged it, in order of time."""
        found = []
        for component, url in self._controls.items():
            answer = _call(f"{url}/control/log", self._token)
            entries = answer.get("entries")
            for entry in entries if isinstance(entries, list) else ():
                if entry["action"] != FAULT:
                    arguments = json.dumps(entry["arguments"])
                    found.append(
                        Change(entry["at"], component, entry["action"], arguments, entry["applied"])
                    )
        return sorted(found)


def _call(url: str, token: str, body: object = None) -> dict[str, object]:
    """POST a body, GET without one; the JSON object that was answered."""
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=ANSWER_S)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        connection.request(
            "GET" if body is None else "POST",
            address.path,
            None if body is None else json.dumps(body),
            headers,
        )
        response = connection.getresponse()
        said = response.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        raise Unavailable(f"the shop does not answer at {url}: {error!r}") from error
    finally:
        connection.close()
    if response.status != HTTPStatus.OK:
        raise Unavailable(f"the shop refused {address.path}: {response.status} {said}")
    answer: dict[str, object] = json.loads(said)
    return answer
