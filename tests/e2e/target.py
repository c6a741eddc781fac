"""A real HTTP service that is broken until three changes were made, each exactly once.

It keeps idempotency keys, tells which ones were applied, logs every effect, and can hold a
request back before or after its effect, so that a kill lands in the middle of a step.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from aiohttp import web

TOKEN = "target-bearer-51f0"  # noqa: S105 - of this server, made up for it
STEPS = ("drain", "purge", "resume")
LONGEST_HOLD_S = 60.0  # a test that failed must not leave a handler waiting

Moment = Literal["before", "after"]


class Effect(NamedTuple):
    """A change that was made; `on` is what it was set to: False is an undo."""

    service: str
    step: str
    on: bool
    key: str


class Asked(NamedTuple):
    """A request that would change something, whatever came of it."""

    service: str
    step: str
    key: str


@dataclass
class Hold:
    """One request, kept waiting before or after its effect."""

    moment: Moment
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


class Target:
    """`/services/{service}` is looked at, `/services/{service}/{step}` is changed."""

    def __init__(self) -> None:
        self.url = ""
        self.effects: list[Effect] = []
        self.asked: list[Asked] = []
        self._state: dict[str, dict[str, bool]] = {}
        self._keys: dict[str, Effect] = {}
        self._holds: dict[tuple[str, str], Hold] = {}
        self._turn = asyncio.Lock()

    def repaired(self, service: str) -> bool:
        """Whether all three changes are in force."""
        return all(self._state.get(service, {}).get(step, False) for step in STEPS)

    def of(self, service: str) -> list[Effect]:
        """The service's effects, in order."""
        return [effect for effect in self.effects if effect.service == service]

    def hold(self, service: str, step: str, moment: Moment) -> Hold:
        """Keep the next request for this step waiting, until it is released."""
        held = self._holds[service, step] = Hold(moment)
        return held

    def application(self) -> web.Application:
        """All routes."""
        app = web.Application()
        app.router.add_get("/services/{service}", self._look)
        app.router.add_post("/services/{service}/{step}", self._change)
        app.router.add_get("/operations/{key}", self._operation)
        return app

    def _of(self, service: str) -> dict[str, bool]:
        return self._state.setdefault(service, dict.fromkeys(STEPS, False))

    async def _look(self, request: web.Request) -> web.Response:
        return web.json_response(self._of(request.match_info["service"]))

    async def _change(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"error": "no rights"}, status=401)
        service, step = request.match_info["service"], request.match_info["step"]
        key, on = request.headers["Idempotency-Key"], bool((await request.json())["on"])
        self.asked.append(Asked(service, step, key))
        held = self._holds.pop((service, step), None)
        if held is not None and held.moment == "before":
            await self._wait(held)
        async with self._turn:
            if key not in self._keys:
                self._of(service)[step] = on
                self._keys[key] = Effect(service, step, on, key)
                self.effects.append(self._keys[key])
        if held is not None and held.moment == "after":
            await self._wait(held)
        return web.json_response(self._of(service))

    @staticmethod
    async def _wait(held: Hold) -> None:
        held.reached.set()
        await asyncio.to_thread(held.released.wait, LONGEST_HOLD_S)

    async def _operation(self, request: web.Request) -> web.Response:
        effect = self._keys.get(request.match_info["key"])
        if effect is None:
            return web.json_response({"applied": False}, status=404)
        return web.json_response({"applied": True, "step": effect.step})


@contextmanager
def serving() -> Iterator[Target]:
    """The target on a free port of loopback, in a thread of its own; stopped at the end."""
    target = Target()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="target", daemon=True)
    thread.start()

    def done(coroutine: object) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)  # type: ignore[arg-type]

    # A request whose sender died is carried out all the same, later: as real targets do.
    runner = web.AppRunner(target.application(), shutdown_timeout=0.1, access_log=None)
    try:
        done(_start(runner, target))
        yield target
    finally:
        for held in target._holds.values():
            held.released.set()
        done(runner.cleanup())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


async def _start(runner: web.AppRunner, target: Target) -> None:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    target.url = f"http://{host}:{port}"
