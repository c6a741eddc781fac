"""shop-batch: reprices the catalogue, a page a job, through the same queue as checkout.

When healthy it sends a slow trickle. Its fault, switched by `POST /control/fault`, is a real kind:
it sends pages again as fast as its throttle lets it, whether or not they were done. The remedy is
the throttle, `POST /control/throttle`, which caps what it may send in either state.
"""

import argparse
import asyncio
import itertools
from contextlib import suppress
from http import HTTPStatus

from aiohttp import ClientError, ClientSession, ClientTimeout, web
from prometheus_client import CollectorRegistry, Counter, Gauge

from streams.demo.shop import component
from streams.demo.shop.arguments import answer_refusals, flag, number
from streams.demo.shop.control import Action, Control
from streams.demo.shop.logs import Log

SERVICE = "shop-batch"
THROTTLE = 100.0  # jobs a second that it may send unless told otherwise: too many to protect
ANSWER_SECONDS = 5.0  # a queue that says nothing for so long is away
LIFE_SECONDS = 3600.0  # prices of an hour ago are not worth computing
CATCH_UP_SECONDS = 1.0  # what was missed for longer is not made up for
PAGES = 1000  # of the catalogue; then it starts over


class Batch:
    """The sender: what it wants to send, what it may, and what it did."""

    def __init__(
        self,
        *,
        queue: str,
        session: ClientSession,
        trickle: float,
        flood: float,
        log: Log,
        registry: CollectorRegistry,
    ) -> None:
        self._jobs = f"{queue}/jobs"
        self._session = session
        self._trickle = trickle
        self._flood = flood
        self._log = log
        self._faulty = False
        self._throttle = THROTTLE
        self._changed = asyncio.Event()
        self._sent = Counter(
            "shop_batch_jobs_total", "Jobs sent", ["service", "outcome"], registry=registry
        )
        for outcome in ("sent", "refused"):
            self._sent.labels(SERVICE, outcome)
        rate = Gauge(
            "shop_batch_rate", "Jobs a second it is sending", ["service"], registry=registry
        )
        rate.labels(SERVICE).set_function(lambda: self.rate)

    @property
    def rate(self) -> float:
        """Jobs a second: what it wants, as far as it may."""
        return min(self._flood if self._faulty else self._trickle, self._throttle)

    def control(self, token: str) -> Control:
        """What an operator may change, and the demo's fault switch."""
        throttle = Action({"per_second": number(0, THROTTLE)}, self.throttle)
        actions = {"throttle": throttle, "fault": Action({"on": flag}, self.fault)}
        return Control(token=token, log=self._log, state=self.state, actions=actions)

    def state(self) -> dict[str, object]:
        """What a runbook checks before it throttles."""
        return {
            "service": SERVICE,
            "faulty": self._faulty,
            "throttle_per_second": self._throttle,
            "max_throttle_per_second": THROTTLE,
            "rate_per_second": self.rate,
        }

    async def throttle(self, per_second: float) -> dict[str, object]:
        """Cap the sending; 0 stops it."""
        before, self._throttle = self._throttle, per_second
        self._changed.set()
        return {"per_second": per_second, "previous_per_second": before}

    async def fault(self, *, on: bool) -> dict[str, object]:
        """Switch the fault."""
        before, self._faulty = self._faulty, on
        self._changed.set()
        return {"on": on, "previous_on": before}

    async def send(self) -> None:
        """Send for ever, at an even pace that follows every change at once."""
        last = asyncio.get_running_loop().time()
        for page in itertools.cycle(range(PAGES)):
            last = await self._turn(last)
            await self._offer(page)

    async def _turn(self, last: float) -> float:
        """Wait until the job after the one of `last` is due; gives when it was due."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            due = last + 1 / self.rate if self.rate else None
            if due is not None and due <= loop.time():
                return max(due, loop.time() - CATCH_UP_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._changed.wait()

    async def _offer(self, page: int) -> None:
        job = {
            "source": SERVICE,
            "kind": "reprice",
            "payload": {"page": page},
            "ttl_seconds": LIFE_SECONDS,
            "wait_seconds": 0,
        }
        try:
            async with self._session.post(self._jobs, json=job) as response:
                status, answer = response.status, await response.json()
        except (ClientError, TimeoutError) as error:
            self._sent.labels(SERVICE, "refused").inc()
            self._log.error(f"page {page} was not sent: {error!r}")
            return
        if status == HTTPStatus.CREATED:
            self._sent.labels(SERVICE, "sent").inc()
            self._log.info(f"sent page {page} as job {answer['job']}")
        else:
            self._sent.labels(SERVICE, "refused").inc()
            self._log.warning(f"page {page} was refused: {answer['error']}")


async def serve(options: argparse.Namespace) -> None:
    """Serve until told to stop."""
    token = component.control_token()
    log = component.log_of(SERVICE, options)
    registry = CollectorRegistry()
    async with ClientSession(timeout=ClientTimeout(total=ANSWER_SECONDS)) as session:
        batch = Batch(
            queue=options.queue,
            session=session,
            trickle=options.trickle,
            flood=options.flood,
            log=log,
            registry=registry,
        )
        app = web.Application(middlewares=[answer_refusals])
        app.add_routes(batch.control(token).routes())
        app.add_routes([component.metrics_route(registry)])
        app.cleanup_ctx.append(component.beside(batch.send))
        async with component.serving(app, options) as url:
            component.say({"ready": SERVICE, "url": url})
            await component.stopped()
    log.close()


def main() -> None:
    """Run the process."""
    parser = component.flags("shop-batch: reprices the catalogue.")
    parser.add_argument("--queue", required=True, help="base URL of the work queue")
    parser.add_argument("--trickle", type=float, default=1.0, help="jobs a second when healthy")
    parser.add_argument("--flood", type=float, default=50.0, help="jobs a second when faulty")
    options = parser.parse_args()
    component.run(lambda: serve(options), options)


if __name__ == "__main__":
    main()
