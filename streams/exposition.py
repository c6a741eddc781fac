"""Metrics over HTTP: what this process has to tell Prometheus, and whether it works at all.

`/metrics` has everything in one registry. `/healthz` answers 503 until all that the process
runs has joined its groups, 200 from then on; a process that fails ends, so that nobody has to
look for its failure here.
"""

import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import make_wsgi_app

from schemas.errors import Unavailable
from streams.metrics_settings import MetricsSettings

METRICS, HEALTH = "/metrics", "/healthz"
PLAIN = ("Content-Type", "text/plain; charset=utf-8")
Answer = Callable[[str, list[tuple[str, str]]], Any]


class _Server(ThreadingMixIn, WSGIServer):
    """A slow reader holds up nobody."""

    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    """A scrape every few seconds is no news."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


class Exposition:
    """The endpoint of one process; a context manager. `registry` is what there is to tell."""

    def __init__(self, settings: MetricsSettings) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._settings = settings
        self._metrics = make_wsgi_app(self.registry)
        self._ready = ""
        self._server: WSGIServer | None = None

    def __enter__(self) -> Self:
        if self._settings.enabled:
            self._server = self._listening()
            threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    @property
    def url(self) -> str:
        """Where Prometheus scrapes; empty when nothing is told."""
        if self._server is None:
            return ""
        host, port = self._server.server_address[:2]
        shown = host.decode() if isinstance(host, bytes) else str(host)
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}{METRICS}"

    def ready(self, what: str) -> None:
        """Answer 200 from now on."""
        self._ready = what

    def _listening(self) -> WSGIServer:
        host, port = self._settings.host, self._settings.port
        kind = _Server6 if ":" in host else _Server
        try:
            server = kind((host, port), _Quiet)
        except OSError as error:
            raise Unavailable(
                f"cannot listen on {host}:{port} ({error.strerror or error}): give this worker"
                " another SENTINEL_METRICS__PORT, or 0 for a free one"
            ) from error
        server.set_app(self._answer)
        return server

    def _answer(self, request: dict[str, Any], begin: Answer) -> Iterable[bytes]:
        match request["PATH_INFO"]:
            case "/metrics":
                found: Iterable[bytes] = self._metrics(request, begin)
                return found
            case "/healthz" if self._ready:
                begin("200 OK", [PLAIN])
                return [f"ok: {self._ready}\n".encode()]
            case "/healthz":
                begin("503 Service Unavailable", [PLAIN])
                return [b"starting\n"]
        begin("404 Not Found", [PLAIN])
        return [f"there are {METRICS} and {HEALTH}\n".encode()]
