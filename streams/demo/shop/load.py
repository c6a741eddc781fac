"""The customers: they arrive at random, at a steady rate, and do not wait for each other.

An open loop: how many arrive does not depend on how fast the shop answers, so a slow shop gets a
real crowd. Arrivals are Poisson, baskets are drawn, and both follow from the seed. Only the
standard library, so that it is there at once.
"""

import argparse
import http.client
import json
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import NamedTuple
from urllib.parse import urlsplit

from streams.demo.shop.parent import add_lifeline, die_with

ARTICLES = (("tea", 450), ("kettle", 3900), ("cup", 1200), ("honey", 780), ("strainer", 990))
PATIENCE_SECONDS = 5.0  # of a customer whose connection says nothing
CUSTOMERS = 64  # at once: above rate times patience of the demo, so that arrivals never queue here


class Visit(NamedTuple):
    """A customer: seconds after the one before, and what is in the basket."""

    after: float
    body: bytes


def visits(per_second: float, seed: int) -> Iterator[Visit]:
    """Customers without end, the same for the same seed."""
    rng = random.Random(seed)  # noqa: S311 - customers, no secrets
    for _ in count():
        chosen = rng.sample(ARTICLES, rng.randint(1, 3))
        items = [
            {"sku": sku, "quantity": rng.randint(1, 3), "unit_cents": cents}
            for sku, cents in chosen
        ]
        yield Visit(rng.expovariate(per_second), json.dumps({"items": items}).encode())


def check_out(host: str, port: int, body: bytes) -> None:
    """One checkout on a connection of its own, as customers have."""
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("POST", "/checkout", body, {"Content-Type": "application/json"})
        connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"a customer got no answer: {error!r}\n")
    finally:
        connection.close()


def drive(gateway: str, *, per_second: float, seed: int, stop: threading.Event) -> None:
    """Send customers until told to stop."""
    address = urlsplit(gateway)
    host, port = address.hostname or "", address.port or 80
    due = time.monotonic()
    with ThreadPoolExecutor(CUSTOMERS) as crowd:
        for visit in visits(per_second, seed):
            due += visit.after
            if stop.wait(max(0.0, due - time.monotonic())):
                return
            crowd.submit(check_out, host, port, visit.body)


def main() -> None:
    """Run the process."""
    parser = argparse.ArgumentParser(description="The shop's customers.")
    parser.add_argument("--gateway", required=True, help="base URL of the gateway")
    parser.add_argument("--per-second", type=float, default=12.0, help="customers a second")
    parser.add_argument("--seed", type=int, default=7, help="of arrivals and baskets")
    add_lifeline(parser)
    options = parser.parse_args()
    if options.per_second <= 0:
        parser.error("--per-second must be above 0")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _signal, _frame: stop.set())
    die_with(options.parent)
    sys.stdout.write(json.dumps({"ready": "load", "url": options.gateway}) + "\n")
    sys.stdout.flush()
    drive(options.gateway, per_second=options.per_second, seed=options.seed, stop=stop)


if __name__ == "__main__":
    main()
