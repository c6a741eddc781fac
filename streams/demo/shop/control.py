"""The part of a component that an operator, or Sentinel, may change: `/control`.

Changing needs a bearer token and takes an `Idempotency-Key`. A key stands for one change: the same
key again gets the first answer back and changes nothing, and `/control/operations/{key}` says
whether it was applied, so that a caller that died in between can ask instead of guess. Only what
was applied is remembered under its key: a change that failed left things as they were, and may be
tried again. `/control/log` lists every attempt that reached a change, applied or not.
"""

import asyncio
import hmac
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple

from aiohttp import web

from streams.demo.shop.arguments import Check, Refusal, read
from streams.demo.shop.logs import Log, timestamp

REMEMBERED = 10_000  # keys and log entries; the oldest go first, at one change a second after 3 h
LONGEST_KEY = 255  # characters, as payment interfaces commonly allow


@dataclass(frozen=True)
class Action:
    """One change: the arguments that it needs, all of them, and what makes it."""

    arguments: Mapping[str, Check]
    make: Callable[..., Awaitable[dict[str, object]]]


class Applied(NamedTuple):
    """A change that was made under a key, and the answer that its caller got."""

    at: str
    action: str
    arguments: dict[str, object]
    response: dict[str, object]


class Control:
    """The `/control` routes of one component.

    `state` is what `GET /control/state` answers; `actions` are the changes by name. Changes are
    made one after the other, so two that arrive together cannot interleave.
    """

    def __init__(
        self,
        *,
        token: str,
        log: Log,
        state: Callable[[], dict[str, object]],
        actions: Mapping[str, Action],
    ) -> None:
        self._token = token
        self._log = log
        self._state = state
        self._actions = actions
        self._turn = asyncio.Lock()
        self._applied: dict[str, Applied] = {}
        self._attempts: deque[dict[str, object]] = deque(maxlen=REMEMBERED)

    def routes(self) -> list[web.RouteDef]:
        """What the component adds to its application."""
        return [
            web.get("/control/state", self._show_state),
            web.get("/control/log", self._show_log),
            web.get("/control/operations/{key:.+}", self._show_operation),
            web.post("/control/{action}", self._change),
        ]

    async def _show_state(self, _request: web.Request) -> web.Response:
        return web.json_response(self._state())

    async def _show_log(self, _request: web.Request) -> web.Response:
        return web.json_response({"entries": list(self._attempts)})

    async def _show_operation(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        async with self._turn:  # a change that is being made right now has an answer soon
            applied = self._applied.get(key)
        if applied is None:
            raise Refusal(HTTPStatus.NOT_FOUND, f"no change was applied under key {key!r}")
        return web.json_response({"key": key, "applied": True, **applied._asdict()})

    async def _change(self, request: web.Request) -> web.Response:
        self._admit(request)
        name = request.match_info["action"]
        if name not in self._actions:
            known = ", ".join(sorted(self._actions))
            raise Refusal(HTTPStatus.NOT_FOUND, f"no change {name!r}; there are: {known}")
        arguments = read(await request.read(), self._actions[name].arguments)
        async with self._turn:
            return await self._once(name, arguments, _key(request))

    def _admit(self, request: web.Request) -> None:
        """Refuse who does not hold the token, and what the caller may think is only a rehearsal."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        known = hmac.compare_digest(given.strip().encode(), self._token.encode())
        if scheme.lower() != "bearer" or not known:
            raise Refusal(HTTPStatus.UNAUTHORIZED, "a valid bearer token is needed")
        if request.query_string:
            raise Refusal(HTTPStatus.BAD_REQUEST, "a change takes no query, there is no dry run")

    async def _once(self, name: str, arguments: dict[str, object], key: str) -> web.Response:
        before = self._applied.get(key)
        if before is None:
            return web.json_response(await self._attempt(name, arguments, key))
        if (before.action, before.arguments) != (name, arguments):
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"key {key!r} stands for another change")
        return web.json_response(before.response, headers={"Idempotent-Replay": "true"})

    async def _attempt(
        self, name: str, arguments: dict[str, object], key: str
    ) -> dict[str, object]:
        entry = {"at": timestamp(), "action": name, "arguments": arguments, "key": key or None}
        try:
            response = await self._actions[name].make(**arguments)
        except Refusal as refusal:
            self._attempts.append({**entry, "applied": False, "error": refusal.reason})
            self._log.error(f"control: {name} {json.dumps(arguments)} failed: {refusal.reason}")
            raise
        self._attempts.append({**entry, "applied": True})
        self._log.info(f"control: {name} {json.dumps(arguments)} applied")
        if key:
            self._applied[key] = Applied(str(entry["at"]), name, arguments, response)
            if len(self._applied) > REMEMBERED:
                del self._applied[next(iter(self._applied))]
        return response


def _key(request: web.Request) -> str:
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > LONGEST_KEY:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"a key has at most {LONGEST_KEY} characters")
    return key
