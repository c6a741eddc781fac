"""Schemas from a registry that speaks Confluent's protocol, each fetched once.

While the registry is away nothing that needs a new schema can be read: after a few attempts
that is Unavailable, which stops the worker with its transaction open, so that its records
are read again later. A number that the registry does not know is the record's fault.
"""

import logging
import time
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from schemas.errors import Denied, Unavailable
from streams.formats.avro_schema import Schema, compiled, schema_json
from streams.formats.limits import MIB, Refused, quoted
from streams.formats.registry_settings import RegistrySettings

log = logging.getLogger(__name__)
KEPT = 10_000  # schemas, and numbers of none
UNKNOWN_S = 60.0  # a number that is not known is not asked for again so soon
MOST_BYTES = 4 * MIB
MOST_REFERENCES = 100  # of one schema, all the way down
NOT_FOUND, LIMITED, BROKEN = 404, 429, 500  # HTTP
DENIED = {401, 403}
PAUSES_S = (0.1, 0.3, 1.0)  # between attempts; less than a transaction may take


class Registry:
    """A schema registry, and what it has said so far."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._url = settings.url.rstrip("/")
        user, password = settings.user, settings.password.get_secret_value()
        self._client = httpx.Client(
            auth=(user, password) if user else None,
            timeout=settings.timeout_s,
            headers={
                "Accept": "application/vnd.schemaregistry.v1+json, application/json",
                "Accept-Encoding": "identity",  # so that what is read is no more than what comes
            },
            follow_redirects=False,
        )
        self._known: dict[int, Schema | Refused] = {}
        self._unknown: dict[int, float] = {}  # number -> when we were told, monotonic

    def schema(self, number: int) -> Schema:
        """The schema of a number. Raises Refused, Unavailable or Denied."""
        found = self._known.get(number)
        if found is None:
            found = self._asked(number)
        if isinstance(found, Refused):
            raise Refused(found.rule, str(found))
        return found

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _asked(self, number: int) -> Schema | Refused:
        told = self._unknown.get(number)
        if told is None or time.monotonic() - told > UNKNOWN_S:
            answer = self._get(f"/schemas/ids/{number}")
            if answer is not None:
                if len(self._known) >= KEPT:
                    self._known.clear()
                self._known[number] = self._compiled(number, answer)
                return self._known[number]
            if len(self._unknown) >= KEPT:
                self._unknown.clear()
            self._unknown[number] = time.monotonic()
        return Refused("unknown-schema", f"the registry has no schema {number}")

    def _compiled(self, number: int, answer: dict[str, Any]) -> Schema | Refused:
        kind = answer.get("schemaType", "AVRO")
        if kind != "AVRO":
            return Refused("bad-schema", f"schema {number} is {quoted(kind, 20)}, not Avro")
        try:
            named: dict[str, Any] = {}
            self._referred(answer, named)
            return compiled(str(answer.get("schema")), named)
        except Refused as error:
            return error

    def _referred(self, answer: dict[str, Any], named: dict[str, Any]) -> None:
        """Find the schemas that one refers to, those first that others need."""
        for reference in answer.get("references") or ():
            name = str(reference["name"])
            if name in named:
                continue
            if len(named) >= MOST_REFERENCES:
                raise Refused("bad-schema", f"refers to over {MOST_REFERENCES} others")
            subject = quote(str(reference["subject"]), safe="")
            found = self._get(f"/subjects/{subject}/versions/{int(reference['version'])}")
            if found is None:
                raise Refused("bad-schema", f"refers to {quoted(name)}, which is not there")
            self._referred(found, named)
            named[name] = schema_json(str(found.get("schema")))

    def _get(self, path: str) -> dict[str, Any] | None:
        """The registry's answer, None for "there is none". Raises Unavailable or Denied."""
        said = ""
        for pause in (*PAUSES_S, None):
            try:
                with self._client.stream("GET", self._url + path) as response:
                    said = f"HTTP {response.status_code}"
                    if response.status_code < BROKEN and response.status_code != LIMITED:
                        return self._answer(response)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                said = str(error) or type(error).__name__
            if pause is not None:
                time.sleep(pause)
        raise Unavailable(
            f"schema registry {self._url}: {said}; records in Avro wait, check intake.registry"
        )

    def _answer(self, response: httpx.Response) -> dict[str, Any] | None:
        if response.status_code == NOT_FOUND:
            return None
        if response.status_code in DENIED:
            raise Denied(
                f"schema registry {self._url}: HTTP {response.status_code}; check "
                "intake.registry.user and password"
            )
        try:
            answer = msgspec.json.decode(_body(response))
        except (ValueError, RecursionError):
            answer = None
        if response.is_success and isinstance(answer, dict) and "schema" in answer:
            return answer
        raise Unavailable(
            f"schema registry {self._url}: HTTP {response.status_code} without a schema in it; "
            "is intake.registry.url right?"
        )


def _body(response: httpx.Response) -> bytes:
    """What an answer holds; nothing when that is more than a schema can be."""
    body = bytearray()
    for part in response.iter_bytes():
        body += part
        if len(body) > MOST_BYTES:
            return b""
    return bytes(body)
