"""The bridge and the scraper as one process: a socket of our own, readiness told, ends in order."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from schemas.errors import Unavailable
from streams.bridge.accept import Bridge
from streams.bridge.app import TABLE, create_app, unread
from streams.bridge.authorisation import check_exposure, strangers
from streams.bridge.scrape import Scraper
from streams.bridge.settings import BridgeSettings
from streams.cluster import reach
from streams.connection import KafkaSettings
from streams.intake.settings import IntakeSettings

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Tells when it takes requests, and leaves signals to us.

    Uvicorn would raise them again once it has stopped, and an end in order would be a failure.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell."""
        await super().startup(sockets)
        if self.started:
            self._ready()


def serve(
    bridge: BridgeSettings,
    kafka: KafkaSettings,
    intake: IntakeSettings,
    *,
    ready: Callable[[str], None],
) -> None:
    """Run until SIGTERM or SIGINT; `ready` is given the base URL once requests are taken.

    Raises Unavailable when the port is taken or Kafka does not answer, Rejected for a target
    that is none and for an address that others reach without a token.
    """
    check_exposure(bridge)
    reach(kafka)
    if missing := sorted(unread(intake)):
        log.warning(
            "intake.topics does not read %s: what comes for it waits there", ", ".join(missing)
        )
    if unknown := strangers(bridge.tokens, intake.tenants):
        log.warning(
            "intake.tenants has no %s: what comes with their tokens counts as the default tenant's",
            ", ".join(unknown),
        )
    with listening(bridge.host, bridge.port) as link:
        accepting = Bridge(bridge, kafka, intake, CollectorRegistry())
        pulling = Scraper(bridge.scrape, accepting) if bridge.scrape.targets else None
        with accepting.relay:
            asyncio.run(
                _run(configured(bridge, create_app(bridge, accepting)), pulling, link, ready)
            )


def addresses(base: str) -> list[str]:
    """What to send where, a line each."""
    wide = max(len(endpoint.path) for endpoint in TABLE)
    return [f"{base}{endpoint.path:{wide}}  {endpoint.takes}" for endpoint in TABLE]


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises Unavailable when it cannot."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        link = socket.create_server(address[:2], family=family)
    except OSError as error:
        raise Unavailable(
            f"cannot listen on {host}:{port} ({error.strerror}): choose another with --port"
        ) from error
    return link


def url(link: socket.socket) -> str:
    """The base of all addresses."""
    host, port = link.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def configured(settings: BridgeSettings, app: FastAPI) -> uvicorn.Config:
    """The HTTP server's own settings; on its way out it answers what is under way."""
    return uvicorn.Config(
        app, log_config=None, access_log=False, ws="none",
        timeout_graceful_shutdown=int(settings.acknowledge_s) + 1,
    )  # fmt: skip


async def _run(
    config: uvicorn.Config,
    pulling: Scraper | None,
    link: socket.socket,
    ready: Callable[[str], None],
) -> None:
    stop = asyncio.Event()
    server = Server(config, lambda: ready(url(link)))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serving = asyncio.ensure_future(server.serve(sockets=[link]))
    scraping = asyncio.ensure_future(pulling.run(stop) if pulling else stop.wait())
    await asyncio.wait({serving, scraping}, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    server.should_exit = True
    await asyncio.gather(serving, scraping)
