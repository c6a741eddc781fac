"""Starts the whole shop, says where everything is, and leaves nothing behind.

The launcher opens the listening sockets and hands them down, so every address is known before the
first process runs, and all of them start at the same time without a race.
"""

import json
import os
import secrets
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO, Self
from urllib.parse import urlsplit

from schemas.errors import Unavailable
from streams.demo.shop.parent import TOKEN

ROOT = Path(__file__).parents[3]  # where the package `streams` can be imported from
START_SECONDS = 90.0  # on a machine that is busy with other things; 2 s on a quiet one
HEALTH_SECONDS = 20.0  # for the gateway's first answer
STOP_SECONDS = 8.0  # longer than a worker's drain; then a process is ended by force
LAST_LINES = 5  # of a process's standard error, when it did not start
SERVED = ("queue", "gateway", "worker", "batch")
STOP_ORDER = (("load",), ("gateway", "batch", "worker"), ("queue",))  # a drain needs the queue


@dataclass(frozen=True)
class Logs:
    """Where the log lines go: a Kafka topic."""

    brokers: str
    topic: str


class Shop:
    """The shop's processes, from `with` to the end of its block.

    Use it in the thread that lives as long as the shop: the kernel ends the processes when the
    thread that started them ends. `customers` is their rate a second, 0 for none. With
    `break_fix` the parking lot has no places, so clearing the queue really fails. Without `logs`,
    log lines go to one file a process in `directory` (a temporary one unless given), where each
    process's standard error is in any case. `Unavailable` when a process does not come up.
    """

    def __init__(
        self,
        *,
        customers: float = 12.0,
        seed: int = 7,
        replicas: int = 2,
        break_fix: bool = False,
        logs: Logs | None = None,
        token: str | None = None,
        directory: Path | None = None,
    ) -> None:
        self.token = token or secrets.token_urlsafe(24)
        self.pids: dict[str, int] = {}
        self._customers = customers
        self._seed = seed
        self._replicas = replicas
        self._break_fix = break_fix
        self._logs = logs
        self._directory = directory
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._urls: dict[str, str] = {}
        self._open = ExitStack()

    @property
    def gateway(self) -> str:
        """Base URL of shop-gateway: `POST /checkout`."""
        return self._urls["gateway"]

    @property
    def queue(self) -> str:
        """Base URL of shop-queue; changes: clear, unpark."""
        return self._urls["queue"]

    @property
    def workers(self) -> str:
        """Base URL of shop-worker, the supervisor; change: scale."""
        return self._urls["worker"]

    @property
    def batch(self) -> str:
        """Base URL of shop-batch; changes: throttle, and the demo's fault."""
        return self._urls["batch"]

    @property
    def metrics_urls(self) -> dict[str, str]:
        """Where to scrape, by the value of the label `service`."""
        return {
            "checkout": f"{self.gateway}/metrics",
            "shop-queue": f"{self.queue}/metrics",
            "shop-worker": f"{self.workers}/metrics",
            "shop-batch": f"{self.batch}/metrics",
        }

    @property
    def directory(self) -> Path:
        """Where each process's standard error is, one file a process."""
        if self._directory is None:
            raise Unavailable("the shop is not open: use it in a `with` block")
        return self._directory

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process; each has had its time to finish what it held."""
        for names in STOP_ORDER:
            self._end([self._processes[name] for name in names if name in self._processes])
        self._processes.clear()
        self._open.close()

    def _start(self) -> None:
        if self._directory is None:
            scratch = tempfile.TemporaryDirectory(prefix="shop-")
            self._directory = Path(self._open.enter_context(scratch))
        deadline = time.monotonic() + START_SECONDS
        sockets = {name: self._listen(name) for name in SERVED}
        for name, listener in sockets.items():
            self._run(name, ["--fd", str(listener.fileno()), *self._flags(name)], listener)
            listener.close()  # the component's now: when that ends, connections are refused
        self._await_ready(SERVED, deadline)
        self._check_health()
        if self._customers:
            rate, seed = str(self._customers), str(self._seed)
            self._run("load", ["--gateway", self.gateway, "--per-second", rate, "--seed", seed])
            self._await_ready(["load"], deadline)

    def _listen(self, name: str) -> socket.socket:
        listener = self._open.enter_context(socket.create_server(("127.0.0.1", 0), backlog=256))
        host, port = listener.getsockname()
        self._urls[name] = f"http://{host}:{port}"
        return listener

    def _flags(self, name: str) -> list[str]:
        flags = [] if name == "queue" else ["--queue", self.queue]
        if name == "worker":
            flags += ["--replicas", str(self._replicas)]
        if name == "queue" and self._break_fix:
            flags += ["--break-fix"]
        if self._logs is not None:
            flags += ["--log-brokers", self._logs.brokers, "--log-topic", self._logs.topic]
        return flags

    def _run(self, name: str, flags: list[str], listener: socket.socket | None = None) -> None:
        module = "workqueue" if name == "queue" else name
        command = [sys.executable, "-m", f"streams.demo.shop.{module}", *flags]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        with self._errors(name).open("ab") as errors:
            process = subprocess.Popen(  # noqa: S603 - our own modules, an argument list, no shell
                [*command, "--parent", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=() if listener is None else (listener.fileno(),),
                start_new_session=True,  # Ctrl-C is the launcher's, which stops them in order
                env={**os.environ, TOKEN: self.token, "PYTHONPATH": path},
            )
        self._processes[name] = process
        self.pids[name] = process.pid

    def _await_ready(self, names: Iterable[str], deadline: float) -> None:
        """Each process says one line when it serves, and nothing before."""
        with selectors.DefaultSelector() as selector:
            for name in names:
                selector.register(_output(self._processes[name]), selectors.EVENT_READ, name)
            while selector.get_map():
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    late = ", ".join(key.data for key in selector.get_map().values())
                    raise Unavailable(f"not up after {START_SECONDS:g} s: {late}")
                for key, _events in ready:
                    selector.unregister(key.fileobj)
                    self._read_ready(key.data)

    def _read_ready(self, name: str) -> None:
        line = _output(self._processes[name]).readline()
        if not line:
            said = self._errors(name).read_text(errors="replace").splitlines()[-LAST_LINES:]
            raise Unavailable(f"the shop's {name} did not start: {' | '.join(said)}")
        json.loads(line)

    def _check_health(self) -> None:
        """The gateway's health includes the way to the queue."""
        address = urlsplit(self.gateway)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=HEALTH_SECONDS)
        try:
            connection.request("GET", "/healthz")
            response = connection.getresponse()
            said = response.read().decode(errors="replace")
        except (OSError, HTTPException) as error:
            raise Unavailable(f"the shop's gateway does not answer: {error!r}") from error
        finally:
            connection.close()
        if response.status != HTTPStatus.OK:
            raise Unavailable(f"the shop's gateway is not healthy: {said}")

    def _errors(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def _end(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _output(process).close()


def _output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdout is None:
        raise Unavailable("a process of the shop was started without a pipe")
    return process.stdout
