"""shop-worker: keeps as many replicas as it is told, and shows what they do.

`POST /control/scale` answers when the new replicas are up, or when those that are too many have
finished their last job. A replica that dies is replaced.
"""

import argparse
import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from streams.demo.shop import component
from streams.demo.shop.arguments import answer_refusals, whole
from streams.demo.shop.control import Action, Control
from streams.demo.shop.logs import Log

SERVICE = "shop-worker"
BUCKETS = (0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 5.0)
DRAIN_SECONDS = 5.0  # a replica that has not finished by then is ended
RESTART_SECONDS = 0.5  # before a dead replica is replaced, so that a broken one does not spin


class Measures:
    """What the replicas did, as the supervisor heard it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.replicas = Gauge(
            "shop_worker_replicas", "Replicas that take jobs", ["service"], registry=registry
        ).labels(SERVICE)
        self.jobs = Counter(
            "shop_worker_jobs_total", "Finished jobs", ["service", "kind"], registry=registry
        )
        self.seconds = Histogram(
            "shop_worker_job_seconds",
            "Time to do a job",
            ["service", "kind"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.late = Counter(
            "shop_worker_late_total", "Jobs done after their lease", ["service"], registry=registry
        ).labels(SERVICE)
        self.restarts = Counter(
            "shop_worker_restarts_total", "Replicas replaced", ["service"], registry=registry
        ).labels(SERVICE)


class Replica:
    """One replica's process, and the task that listens to it."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.ready = asyncio.Event()
        self.wanted = True

    async def stop(self) -> None:
        """Let it finish its job; end it when that takes too long."""
        self.wanted = False
        if self.process.returncode is None:
            self.process.terminate()
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


class Supervisor:
    """As many replicas as wanted."""

    def __init__(self, *, queue: str, most: int, slow: float, log: Log, measures: Measures) -> None:
        self._queue = queue
        self._most = most
        self._slow = slow
        self._log = log
        self._measures = measures
        self._turn = asyncio.Lock()  # the number of replicas changes for one reason at a time
        self._replicas: list[Replica] = []
        self._listeners: set[asyncio.Task[None]] = set()
        measures.replicas.set_function(lambda: len(self._replicas))

    def control(self, token: str) -> Control:
        """What an operator may change."""
        actions = {"scale": Action({"replicas": whole(1, self._most)}, self.scale)}
        return Control(token=token, log=self._log, state=self.state, actions=actions)

    def state(self) -> dict[str, object]:
        """What a runbook checks before it scales."""
        return {
            "service": SERVICE,
            "replicas": len(self._replicas),
            "min_replicas": 1,
            "max_replicas": self._most,
            "pids": [replica.process.pid for replica in self._replicas],
        }

    async def scale(self, replicas: int) -> dict[str, object]:
        """Start or stop replicas until there are as many as wanted."""
        async with self._turn:
            before = len(self._replicas)
            added = [await self._start() for _ in range(replicas - before)]
            for replica in added:
                await replica.ready.wait()
            await self._shrink(replicas)
        return {"replicas": replicas, "previous_replicas": before}

    async def stop(self) -> None:
        """Stop every replica."""
        async with self._turn:
            await self._shrink(0)
        await asyncio.gather(*self._listeners)

    async def _shrink(self, replicas: int) -> None:
        surplus = self._replicas[replicas:]
        del self._replicas[replicas:]
        await asyncio.gather(*(replica.stop() for replica in surplus))

    async def _start(self) -> Replica:
        command = ("-m", "streams.demo.shop.replica", "--queue", self._queue)
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, "--parent", str(os.getpid()), stdout=PIPE
        )
        replica = Replica(process)
        self._replicas.append(replica)
        listener = asyncio.create_task(self._listen(replica))
        self._listeners.add(listener)
        listener.add_done_callback(self._listeners.discard)
        return replica

    async def _listen(self, replica: Replica) -> None:
        if replica.process.stdout is None:
            raise RuntimeError("a replica was started without a pipe")
        async for line in replica.process.stdout:
            self._heard(replica, json.loads(line))
        await replica.process.wait()
        replica.ready.set()  # whoever waits for it need not wait for ever
        if replica.wanted:
            await self._replace(replica)

    def _heard(self, replica: Replica, line: dict[str, Any]) -> None:
        if "ready" in line:
            replica.ready.set()
        elif "away" in line:
            self._log.error(f"replica {replica.process.pid} has no queue: {line['away']}")
        else:
            self._finished(line)

    def _finished(self, line: dict[str, Any]) -> None:
        kind, waited = line["kind"], line["waited_seconds"]
        self._measures.jobs.labels(SERVICE, kind).inc()
        self._measures.seconds.labels(SERVICE, kind).observe(line["seconds"])
        if not line["in_time"]:
            self._measures.late.inc()
            self._log.warning(f"{kind} job {line['job']} was done after its lease ran out")
        if waited > self._slow:
            self._log.warning(
                f"{kind} job {line['job']} waited {waited * 1000:.0f} ms for a worker"
            )

    async def _replace(self, replica: Replica) -> None:
        self._log.error(
            f"replica {replica.process.pid} ended with {replica.process.returncode}, replacing it"
        )
        await asyncio.sleep(RESTART_SECONDS)
        async with self._turn:
            if replica not in self._replicas:  # scaled away in the meantime
                return
            self._replicas.remove(replica)
            self._measures.restarts.inc()
            await self._start()


async def serve(options: argparse.Namespace) -> None:
    """Serve until told to stop."""
    token = component.control_token()
    log = component.log_of(SERVICE, options)
    registry = CollectorRegistry()
    supervisor = Supervisor(
        queue=options.queue,
        most=options.most,
        slow=options.slow,
        log=log,
        measures=Measures(registry),
    )
    app = web.Application(middlewares=[answer_refusals])
    app.add_routes(supervisor.control(token).routes())
    app.add_routes([component.metrics_route(registry)])
    try:
        await supervisor.scale(options.replicas)
        async with component.serving(app, options) as url:
            component.say({"ready": SERVICE, "url": url})
            await component.stopped()
    finally:
        await supervisor.stop()
    log.close()


def main() -> None:
    """Run the process."""
    parser = component.flags("shop-worker: keeps the worker replicas.")
    parser.add_argument("--queue", required=True, help="base URL of the work queue")
    parser.add_argument("--replicas", type=int, default=2, help="replicas to start with")
    parser.add_argument("--most", type=int, default=8, help="replicas that may be asked for")
    parser.add_argument("--slow", type=float, default=0.5, help="seconds of waiting worth a line")
    options = parser.parse_args()
    component.run(lambda: serve(options), options)


if __name__ == "__main__":
    main()
