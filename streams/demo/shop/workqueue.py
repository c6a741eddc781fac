"""shop-queue: the work queue over HTTP.

POST /jobs                  offer a job; with `wait_seconds`, wait for its result
POST /take                  lease the oldest job, waiting for one up to `wait_seconds`
POST /jobs/{number}/ack     done: the lease's receipt and the result
POST /control/clear         park the waiting jobs of one source
POST /control/unpark        put them back
"""

import argparse
import asyncio
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import cast

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.demo.shop import component
from streams.demo.shop.arguments import (
    Check,
    Refusal,
    answer_refusals,
    anything,
    mapping,
    number,
    read,
    text,
)
from streams.demo.shop.control import Action, Control
from streams.demo.shop.jobs import Full, Job, JobQueue
from streams.demo.shop.logs import Log

SERVICE = "shop-queue"
LONGEST_WAIT = 30.0  # seconds that a request may ask to be held
LONGEST_LIFE = 86_400.0  # seconds that a job may ask to be kept
_SWEEP_SECONDS = 0.25  # how late a lease may be found to have run out

OFFER: dict[str, Check] = {
    "source": text,
    "kind": text,
    "payload": mapping,
    "ttl_seconds": number(0, LONGEST_LIFE),
    "wait_seconds": number(0, LONGEST_WAIT),
}
TAKE: dict[str, Check] = {"wait_seconds": number(0, LONGEST_WAIT)}
ACKNOWLEDGEMENT: dict[str, Check] = {"receipt": text, "result": anything}


class WorkQueue:
    """The queue's requests: `JobQueue` decides, this one lets callers wait."""

    def __init__(self, *, jobs: JobQueue, log: Log, registry: CollectorRegistry) -> None:
        self._jobs = jobs
        self._log = log
        self._arrived = asyncio.Condition()
        self._results: dict[int, asyncio.Future[object]] = {}
        self._sources: set[str] = set()
        registry.register(Depths(jobs))
        self._offered = Counter(
            "shop_queue_jobs_total",
            "Jobs that were offered",
            ["service", "source"],
            registry=registry,
        )

    def routes(self) -> list[web.RouteDef]:
        """What the gateway, the batch job and the workers use."""
        return [
            web.get("/healthz", self.healthy),
            web.post("/jobs", self.offer),
            web.post("/take", self.take),
            web.post("/jobs/{number:[0-9]+}/ack", self.acknowledge),
        ]

    def control(self, token: str) -> Control:
        """What an operator may change."""
        clear = Action({"source": text}, self.clear)
        unpark = Action({"source": text}, self.unpark)
        actions = {"clear": clear, "unpark": unpark}
        return Control(token=token, log=self._log, state=self.state, actions=actions)

    async def healthy(self, _request: web.Request) -> web.Response:
        """Serving is all that there is to it."""
        return web.json_response({"service": SERVICE})

    async def offer(self, request: web.Request) -> web.Response:
        """201 with the job's number, or 200 with its result when the caller waited for it."""
        offer = read(await request.read(), OFFER)
        try:
            job = self._jobs.offer(
                source=cast("str", offer["source"]),
                kind=cast("str", offer["kind"]),
                payload=cast("dict[str, object]", offer["payload"]),
                now=time.monotonic(),
                ttl=cast("float", offer["ttl_seconds"]),
            )
        except Full as error:
            self._log.warning(f"refused a job of {offer['source']}: {error}")
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, str(error)) from error
        self._sources.add(job.source)
        self._offered.labels(SERVICE, job.source).inc()
        wait = cast("float", offer["wait_seconds"])
        if not wait:
            await self._announce()
            return web.json_response({"job": job.number}, status=HTTPStatus.CREATED)
        return await self._result(job, wait)

    async def _result(self, job: Job, wait: float) -> web.Response:
        done = self._results[job.number] = asyncio.get_running_loop().create_future()
        await self._announce()
        try:
            async with asyncio.timeout(wait):
                return web.json_response({"job": job.number, "result": await done})
        except TimeoutError:
            return web.json_response({"job": job.number}, status=HTTPStatus.ACCEPTED)
        finally:
            del self._results[job.number]

    async def take(self, request: web.Request) -> web.Response:
        """200 with a job and its receipt, or 204 when none came in time."""
        asked = read(await request.read(), TAKE)
        try:
            async with asyncio.timeout(cast("float", asked["wait_seconds"])):
                async with self._arrived:
                    while (lease := self._jobs.take(time.monotonic())) is None:
                        await self._arrived.wait()
        except TimeoutError:
            return web.Response(status=HTTPStatus.NO_CONTENT)
        job = lease.job
        return web.json_response(
            {
                "job": job.number,
                "receipt": lease.receipt,
                "source": job.source,
                "kind": job.kind,
                "payload": job.payload,
                "waited_seconds": time.monotonic() - job.offered_at,
            }
        )

    async def acknowledge(self, request: web.Request) -> web.Response:
        """204, or 409 when the lease ran out and the job is somebody else's now."""
        given = read(await request.read(), ACKNOWLEDGEMENT)
        number_of_job = int(request.match_info["number"])
        job = self._jobs.acknowledge(number_of_job, cast("str", given["receipt"]))
        if job is None:
            raise Refusal(HTTPStatus.CONFLICT, "the lease has run out")
        waiting = self._results.get(job.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(given["result"])
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def sweep(self) -> None:
        """Offer again, for ever, what workers took and did not finish."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            for job in self._jobs.redeliver(time.monotonic()):
                self._log.warning(f"job {job.number} of {job.source} was not finished in time")
                await self._announce()

    async def clear(self, source: str) -> dict[str, object]:
        """Park the waiting jobs of one source."""
        self._known(source)
        try:
            parked = self._jobs.park(source)
        except Full as error:
            raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)) from error
        return {"source": source, "parked": parked, "depth": self._jobs.depth}

    async def unpark(self, source: str) -> dict[str, object]:
        """Put the parked jobs of one source back."""
        self._known(source)
        try:
            unparked = self._jobs.unpark(source)
        except Full as error:
            raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)) from error
        await self._announce()
        return {"source": source, "unparked": unparked, "depth": self._jobs.depth}

    def state(self) -> dict[str, object]:
        """What a runbook checks before it touches the queue."""
        return {
            "service": SERVICE,
            "depth": self._jobs.depth,
            "depth_by_source": dict.fromkeys(sorted(self._sources), 0)
            | self._jobs.waiting_by_source(),
            "leased": self._jobs.leased,
            "parked": sum(self._jobs.parked_by_source().values()),
            "parked_by_source": self._jobs.parked_by_source(),
            "oldest_seconds": self._jobs.oldest(time.monotonic()),
            "capacity": self._jobs.capacity,
            "parking_capacity": self._jobs.parking,
        }

    def _known(self, source: str) -> None:
        if source not in self._sources:
            known = ", ".join(sorted(self._sources)) or "none yet"
            raise Refusal(HTTPStatus.NOT_FOUND, f"no jobs came from {source!r}; sources: {known}")

    async def _announce(self) -> None:
        async with self._arrived:
            self._arrived.notify_all()


class Depths(Collector):
    """The queue's numbers as they are at the moment of the scrape."""

    def __init__(self, jobs: JobQueue) -> None:
        self._jobs = jobs

    def collect(self) -> Iterable[Metric]:
        """Read the queue."""
        parked = sum(self._jobs.parked_by_source().values())
        oldest = self._jobs.oldest(time.monotonic())
        yield _gauge("shop_queue_depth", "Jobs that wait", self._jobs.depth)
        yield _gauge("shop_queue_leased", "Jobs that are being done", self._jobs.leased)
        yield _gauge("shop_queue_parked", "Jobs in the parking lot", parked)
        yield _gauge("shop_queue_oldest_seconds", "Waiting time of the oldest job", oldest)
        yield _counter("shop_queue_expired", "Jobs nobody waited for", self._jobs.expired)
        yield _counter("shop_queue_redelivered", "Leases that ran out", self._jobs.redelivered)


def _gauge(name: str, what: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, what, labels=["service"])
    family.add_metric([SERVICE], value)
    return family


def _counter(name: str, what: str, value: float) -> Metric:
    family = CounterMetricFamily(name, what, labels=["service"])
    family.add_metric([SERVICE], value)
    return family


async def serve(options: argparse.Namespace) -> None:
    """Serve until told to stop."""
    token = component.control_token()
    log = component.log_of(SERVICE, options)
    registry = CollectorRegistry()
    parking = 0 if options.break_fix else options.parking
    jobs = JobQueue(capacity=options.capacity, parking=parking, visibility=options.visibility)
    queue = WorkQueue(jobs=jobs, log=log, registry=registry)
    app = web.Application(middlewares=[answer_refusals])
    app.add_routes([*queue.routes(), *queue.control(token).routes()])
    app.add_routes([component.metrics_route(registry)])
    app.cleanup_ctx.append(component.beside(queue.sweep))
    async with component.serving(app, options) as url:
        component.say({"ready": SERVICE, "url": url})
        await component.stopped()
    log.close()


def main() -> None:
    """Run the process."""
    parser = component.flags(__doc__.partition("\n")[0])
    parser.add_argument("--capacity", type=int, default=100_000, help="jobs that may wait")
    parser.add_argument("--parking", type=int, default=100_000, help="jobs that may be parked")
    parser.add_argument("--break-fix", action="store_true", help="no parking: clear fails")
    parser.add_argument("--visibility", type=float, default=5.0, help="seconds a lease lasts")
    options = parser.parse_args()
    component.run(lambda: serve(options), options)


if __name__ == "__main__":
    main()
