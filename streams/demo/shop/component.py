"""How a process of the shop begins and ends, the same for each of them.

It takes its listening socket from the launcher (so its address is known, and connections wait,
before it is up), says on standard output when it serves, and ends on SIGTERM or when its parent
does.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress

import prometheus_client
from aiohttp import web
from prometheus_client import CollectorRegistry

from streams.demo.shop.logs import Log, StandardError, Topic
from streams.demo.shop.parent import TOKEN, add_lifeline, die_with

_SHUTDOWN_SECONDS = 1.5  # for requests that are being answered: longer than checkout's deadline


def flags(description: str) -> argparse.ArgumentParser:
    """The flags that every component has."""
    parser = argparse.ArgumentParser(description=description)
    listener = parser.add_mutually_exclusive_group()
    listener.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 is any free one")
    listener.add_argument("--fd", type=int, help="a listening socket, inherited")
    add_lifeline(parser)
    parser.add_argument("--log-brokers", help="Kafka bootstrap servers; none: standard error")
    parser.add_argument("--log-topic", default="shop.logs", help="topic of the log lines")
    return parser


def log_of(service: str, options: argparse.Namespace) -> Log:
    """The log that the flags ask for."""
    if options.log_brokers is None:
        return Log(service, StandardError())
    return Log(service, Topic(options.log_brokers, options.log_topic))


def control_token() -> str:
    """The token that changes need; without one the component does not start."""
    token = os.environ.get(TOKEN, "")
    if not token:
        sys.stderr.write(f"set {TOKEN}: changes at /control need a token\n")
        sys.exit(2)
    return token


def metrics_route(registry: CollectorRegistry) -> web.RouteDef:
    """`GET /metrics` in the Prometheus text format."""

    async def metrics(_request: web.Request) -> web.Response:
        body = prometheus_client.generate_latest(registry)
        return web.Response(
            body=body, headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST}
        )

    return web.get("/metrics", metrics)


def say(line: dict[str, object]) -> None:
    """Tell the parent process something: one line of JSON on standard output."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


@asynccontextmanager
async def serving(app: web.Application, options: argparse.Namespace) -> AsyncIterator[str]:
    """Serve `app` on the given socket; gives the base URL."""
    listener = _listener(options)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        host, port = listener.getsockname()
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def beside(
    work: Callable[[], Coroutine[None, None, None]],
) -> Callable[[web.Application], AsyncIterator[None]]:
    """`work` for as long as an application serves: one of its `cleanup_ctx`."""

    async def working(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(work())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    return working


async def stopped() -> None:
    """Return when the process is asked to end."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, asked.set)
    await asked.wait()


def run(main: Callable[[], Coroutine[None, None, None]], options: argparse.Namespace) -> None:
    """Run a component's main coroutine, tied to its parent."""
    die_with(options.parent)
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call] # one series a counter is enough
    asyncio.run(main())


def _listener(options: argparse.Namespace) -> socket.socket:
    if options.fd is not None:
        return socket.socket(fileno=options.fd)
    return socket.create_server(("127.0.0.1", options.port))
