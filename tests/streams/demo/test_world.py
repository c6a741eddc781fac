"""The fault is the world's, and the shop's own log tells who else changed something."""

from collections.abc import Iterator

import httpx
import pytest

from schemas.errors import Unavailable
from streams.demo.shop.launch import Shop
from streams.demo.world import World


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with Shop(customers=0) as opened:
        yield opened


def world(shop: Shop, token: str | None = None) -> World:
    urls = {"shop-batch": shop.batch, "shop-queue": shop.queue}
    return World(urls, batch=shop.batch, token=token or shop.token)


def test_the_fault_is_real_and_no_change_of_anybody_else(shop: Shop) -> None:
    world(shop).fault(on=True)
    assert httpx.get(f"{shop.batch}/control/state").json()["faulty"] is True
    world(shop).fault(on=False)
    assert world(shop).changes() == []


def test_changes_of_others_are_told_whether_they_took_effect_or_not(shop: Shop) -> None:
    headers = {"Authorization": f"Bearer {shop.token}"}
    for url, body in (
        (f"{shop.queue}/control/clear", {"source": "nobody"}),
        (f"{shop.batch}/control/throttle", {"per_second": 5}),
    ):
        httpx.post(url, json=body, headers=headers)
    told = [(c.component, c.action, c.applied) for c in world(shop).changes()]
    assert told == [("shop-queue", "clear", False), ("shop-batch", "throttle", True)]


def test_a_shop_that_refuses_or_is_gone_is_one_clear_line(shop: Shop) -> None:
    with pytest.raises(Unavailable, match=r"the shop refused /control/fault: 401"):
        world(shop, token="guess").fault(on=True)  # noqa: S106 - a wrong one, on purpose
    gone = World({}, batch="http://127.0.0.1:9", token="t")  # noqa: S106 - nobody is there
    with pytest.raises(Unavailable, match="the shop does not answer"):
        gone.fault(on=True)
