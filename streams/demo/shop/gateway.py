"""shop-gateway: where customers check out.

`POST /checkout` turns a basket into a job and waits until a worker has done it, up to a deadline.
What it measures is what the customer saw: 503 after the deadline counts as an error, and an answer
is good when it is a 2xx within the latency objective.
"""

import argparse
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.demo.shop import component
from streams.demo.shop.arguments import Check, Refusal, answer_refusals, read
from streams.demo.shop.logs import Log
from streams.demo.shop.window import Answer, Window

SERVICE = "checkout"
CODES = (200, 400, 502, 503)  # shown from the start, so that the first error is an increase
BUCKETS = (0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.5)
MOST_ITEMS = 100  # different articles in one basket
GRACE_SECONDS = 1.0  # how much longer than the deadline the queue may take to say that it passed


class Promise(NamedTuple):
    """What customers are promised, in seconds."""

    deadline: float
    objective: float


class Article(NamedTuple):
    """One line of a basket, as the customer sent it."""

    sku: str
    quantity: int
    unit_cents: int


def basket(value: object) -> list[Article]:
    """A basket's articles.

    >>> basket([{"sku": "tea", "quantity": 2, "unit_cents": 450}])
    [Article(sku='tea', quantity=2, unit_cents=450)]
    """
    if not isinstance(value, list) or not 0 < len(value) <= MOST_ITEMS:
        raise ValueError(f"must be a list of 1 to {MOST_ITEMS} articles")
    try:
        articles = [Article(**line) for line in value]
    except TypeError as error:
        raise ValueError("lines need sku, quantity and unit_cents") from error
    for article in articles:
        if not (isinstance(article.sku, str) and article.sku):
            raise ValueError("lines need a sku")
        if not (_positive(article.quantity) and _positive(article.unit_cents)):
            raise ValueError(f"of {article.sku} needs a quantity and a price above 0")
    return articles


CHECKOUT: dict[str, Check] = {"items": basket}


class Measures(Collector):
    """What the gateway knows about its answers."""

    def __init__(self, *, objective: float, span: float, registry: CollectorRegistry) -> None:
        self._objective = objective
        self._span = span
        self._window = Window(span)
        self._requests = Counter(
            "checkout_requests_total",
            "Answered checkouts",
            ["service", "code"],
            registry=registry,
        )
        self._good = Counter(
            "checkout_good_total",
            f"Checkouts answered 2xx within {objective:g} s",
            ["service"],
            registry=registry,
        ).labels(SERVICE)
        self._latency = Histogram(
            "checkout_latency_seconds",
            "Time until the answer",
            ["service"],
            buckets=BUCKETS,
            registry=registry,
        ).labels(SERVICE)
        self.inflight = Gauge(
            "checkout_inflight", "Checkouts being answered", ["service"], registry=registry
        ).labels(SERVICE)
        for code in CODES:
            self._requests.labels(SERVICE, code)
        registry.register(self)

    def answered(self, code: int, seconds: float) -> None:
        """Count one answer."""
        failed = code >= HTTPStatus.INTERNAL_SERVER_ERROR
        self._window.add(Answer(time.monotonic(), seconds, failed))
        self._requests.labels(SERVICE, code).inc()
        self._latency.observe(seconds)
        if code < HTTPStatus.BAD_REQUEST and seconds <= self._objective:
            self._good.inc()

    def collect(self) -> Iterable[Metric]:
        """The sliding window at the moment of the scrape; nothing when nobody checked out."""
        now = time.monotonic()
        shown = (
            ("checkout_latency_p95_seconds", "95 %", self._window.quantile(0.95, now=now)),
            ("checkout_latency_p50_seconds", "Half", self._window.quantile(0.5, now=now)),
        )
        for name, share, value in shown:
            what = f"{share} of the last {self._span:g} s' checkouts took at most this"
            yield _gauge(name, what, value)
        ratio = self._window.error_ratio(now=now)
        yield _gauge("checkout_error_ratio", f"Errors of the last {self._span:g} s", ratio)


class Gateway:
    """Checkouts, from request to answer."""

    def __init__(
        self, *, queue: str, session: ClientSession, promise: Promise, measures: Measures, log: Log
    ) -> None:
        self._queue = queue
        self._session = session
        self._promise = promise
        self._measures = measures
        self._log = log

    async def healthy(self, _request: web.Request) -> web.Response:
        """Up, and the queue can be reached."""
        try:
            async with self._session.get(f"{self._queue}/healthz") as response:
                response.raise_for_status()
        except (ClientError, TimeoutError) as error:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"no queue: {error!r}") from error
        return web.json_response({"service": SERVICE})

    async def checkout(self, request: web.Request) -> web.Response:
        """200 with the order, 503 when it was not done in time, 502 when the queue is away."""
        started = time.perf_counter()
        with self._measures.inflight.track_inprogress():
            code, answer = await self._answer(await request.read())
        seconds = time.perf_counter() - started
        self._measures.answered(code, seconds)
        self._tell(code, answer, seconds)
        return web.json_response(answer, status=code)

    async def _answer(self, body: bytes) -> tuple[int, dict[str, object]]:
        try:
            articles = read(body, CHECKOUT)["items"]
            return await self._ordered(articles)
        except Refusal as refusal:
            return refusal.status, {"error": refusal.reason}
        except (ClientError, TimeoutError) as error:
            return HTTPStatus.BAD_GATEWAY, {"error": f"queue unreachable: {error!r}"}

    async def _ordered(self, articles: object) -> tuple[int, dict[str, object]]:
        job = {
            "source": SERVICE,
            "kind": "checkout",
            "payload": {"articles": articles},
            "ttl_seconds": self._promise.deadline,  # afterwards nobody waits for the order
            "wait_seconds": self._promise.deadline,
        }
        async with self._session.post(f"{self._queue}/jobs", json=job) as response:
            if response.status == HTTPStatus.OK:
                done = await response.json()
                return HTTPStatus.OK, {"order": done["job"], **done["result"]}
            if response.status == HTTPStatus.ACCEPTED:
                return HTTPStatus.SERVICE_UNAVAILABLE, {"error": "timeout"}
            if response.status == HTTPStatus.TOO_MANY_REQUESTS:
                return HTTPStatus.SERVICE_UNAVAILABLE, {"error": "queue full"}
            return HTTPStatus.BAD_GATEWAY, {"error": f"queue answered {response.status}"}

    def _tell(self, code: int, answer: dict[str, object], seconds: float) -> None:
        taken = f"{seconds * 1000:.0f} ms"
        if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._log.error(f"checkout failed after {taken}: {answer['error']}")
        elif code >= HTTPStatus.BAD_REQUEST:
            self._log.warning(f"checkout refused: {answer['error']}")
        elif seconds > self._promise.objective:
            self._log.warning(f"checkout of order {answer['order']} was slow: {taken}")
        else:
            self._log.info(f"checkout of order {answer['order']} took {taken}")


def _positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _gauge(name: str, what: str, value: float | None) -> Metric:
    family = GaugeMetricFamily(name, what, labels=["service"])
    if value is not None:
        family.add_metric([SERVICE], value)
    return family


async def serve(options: argparse.Namespace) -> None:
    """Serve until told to stop."""
    log = component.log_of(SERVICE, options)
    registry = CollectorRegistry()
    promise = Promise(options.deadline, options.objective)
    measures = Measures(objective=promise.objective, span=options.window, registry=registry)
    timeout = ClientTimeout(total=promise.deadline + GRACE_SECONDS)
    async with ClientSession(timeout=timeout, connector=TCPConnector(limit=0)) as session:
        gateway = Gateway(
            queue=options.queue, session=session, promise=promise, measures=measures, log=log
        )
        app = web.Application(middlewares=[answer_refusals])
        app.add_routes([web.get("/healthz", gateway.healthy)])
        app.add_routes([web.post("/checkout", gateway.checkout)])
        app.add_routes([component.metrics_route(registry)])
        async with component.serving(app, options) as url:
            component.say({"ready": SERVICE, "url": url})
            await component.stopped()
    log.close()


def main() -> None:
    """Run the process."""
    parser = component.flags("shop-gateway: where customers check out.")
    parser.add_argument("--queue", required=True, help="base URL of the work queue")
    parser.add_argument("--deadline", type=float, default=1.0, help="seconds until it gives up")
    parser.add_argument("--objective", type=float, default=0.4, help="seconds of a good answer")
    parser.add_argument("--window", type=float, default=3.0, help="seconds of the sliding window")
    options = parser.parse_args()
    component.run(lambda: serve(options), options)


if __name__ == "__main__":
    main()
