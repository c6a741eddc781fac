"""What the workers really do: a little computing, and waiting for somebody else.

Most of a job's time is waiting, as in most shops: for the payment provider, for the price store.
The waiting is slept, its length comes from the job's own data; the computing is computed. That is
why more replicas do more work even on two cores.
"""

import hashlib
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

SIGNING_ROUNDS = 20_000  # 7 ms on a 2020s core
PRICES = 25_000  # 10 ms to make and sort
PROVIDER_SECONDS = (0.025, 0.045)  # the payment provider's answer
STORE_SECONDS = 0.19  # the price store's answer to a query over the whole catalogue

Payload = Mapping[str, Any]


def checkout(payload: Payload) -> dict[str, object]:
    """Add the basket up, sign the order, and have the payment provider take the money."""
    articles = payload["articles"]
    total = sum(quantity * cents for _sku, quantity, cents in articles)
    order = repr((articles, total)).encode()
    signature = hashlib.pbkdf2_hmac("sha256", order, b"shop", SIGNING_ROUNDS)
    quickest, slowest = PROVIDER_SECONDS
    time.sleep(quickest + (slowest - quickest) * signature[0] / 255)
    return {"total_cents": total, "signature": signature.hex()}


def reprice(payload: Payload) -> dict[str, object]:
    """Read the catalogue's prices and find their quartiles."""
    time.sleep(STORE_SECONDS)
    rng = random.Random(payload["page"])  # noqa: S311 - prices, no secrets
    prices = sorted(rng.randrange(100, 100_000) for _ in range(PRICES))
    return {"quartiles": [prices[PRICES * quarter // 4] for quarter in (1, 2, 3)]}


KINDS: dict[str, Callable[[Payload], dict[str, object]]] = {
    "checkout": checkout,
    "reprice": reprice,
}
