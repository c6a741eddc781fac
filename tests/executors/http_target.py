# ruff: noqa: ARG002 - a handler takes its request, also when it has no use for it
"""A real HTTP server on loopback that changes dials, keeps keys, and misbehaves when told to."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web

TOKEN = "target-bearer-7f3a"  # noqa: S105 - of this server, made up for it
SECRET = "target-signing-91cc"  # noqa: S105 - of this server, made up for it


class Seen(NamedTuple):
    """A request as it arrived."""

    method: str
    path: str  # as in the request line
    headers: dict[str, str]
    body: bytes


class HttpTargetServer:
    """`/dials/<name>` is read and set; other paths misbehave, each in its own way."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.dials: dict[str, object] = {f"dial{n}": n for n in range(9)}
        self.keys: dict[str, object] = {}
        self.effects: list[tuple[str, object]] = []
        self.drop_answers = 0  # changes that take effect and are never answered
        self.answer = web.json_response  # how a change is answered
        self.url = ""

    @property
    def changing(self) -> list[Seen]:
        """Requests that would change something."""
        return [request for request in self.seen if request.method not in {"GET", "HEAD"}]

    def application(self) -> web.Application:
        """All routes."""
        app = web.Application(middlewares=[self._record])
        app.router.add_get("/dials/{name}", self._read)
        app.router.add_post("/dials/{name}", self._set)
        app.router.add_get("/operations/{key}", self._operation)
        app.router.add_route("*", "/status/{status}", self._status)
        app.router.add_route("*", "/redirect", self._redirect)
        app.router.add_route("*", "/echo", self._echo)
        app.router.add_route("*", "/large", self._large)
        app.router.add_route("*", "/slow", self._slow)
        app.router.add_route("*", "/drip", self._drip)
        app.router.add_route("*", "/hangup", self._hang_up)
        app.router.add_route("*", "/{anything:.*}", self._nothing)
        return app

    @web.middleware
    async def _record(self, request: web.Request, handler: object) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(Seen(request.method, request.raw_path, dict(request.headers), body))
        return await handler(request)  # type: ignore[operator, no-any-return] # aiohttp's own type

    async def _read(self, request: web.Request) -> web.Response:
        return web.json_response({"value": self.dials[request.match_info["name"]]})

    async def _set(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"error": "no rights"}, status=401)
        name, key = request.match_info["name"], request.headers["Idempotency-Key"]
        value = json.loads(await request.read())["value"]
        if key not in self.keys:
            self.keys[key] = self.dials[name] = value
            self.effects.append((name, value))
        if self.drop_answers:
            self.drop_answers -= 1
            return await self._hang_up(request)
        return web.json_response({"value": value})

    async def _operation(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        if key not in self.keys:
            return web.json_response({"error": "not applied"}, status=404)
        return web.json_response({"key": key, "applied": True, "value": self.keys[key]})

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response({"error": "as asked"}, status=int(request.match_info["status"]))

    async def _redirect(self, request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": f"{self.url}/dials/dial1"})

    async def _echo(self, request: web.Request) -> web.Response:
        return web.json_response({"headers": dict(request.headers), "secret": SECRET})

    async def _large(self, request: web.Request) -> web.Response:
        return web.json_response({"value": "x" * 200_000})

    async def _slow(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    async def _drip(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(300):
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    async def _hang_up(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _nothing(self, request: web.Request) -> web.Response:
        return web.json_response({"error": "no such path"}, status=404)


@asynccontextmanager
async def serving() -> AsyncIterator[HttpTargetServer]:
    """The server on a free port of loopback; stopped at the end, handlers cancelled."""
    server = HttpTargetServer()
    runner = web.AppRunner(
        server.application(), handler_cancellation=True, shutdown_timeout=0.1, access_log=None
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()
