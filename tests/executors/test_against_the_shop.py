"""The shipped runbook, carried out by the HTTP executor on the demo's shop with its processes."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from executors.http import Http
from executors.http_targets import HttpSettings
from executors.registry import targets
from runbooks.loader import SHIPPED, load
from runbooks.resolve import resolved, values_for
from schemas.event import Severity
from schemas.identity import Signer, ring
from schemas.plans import Approved
from streams.demo.shop.launch import Shop
from tests.executors.plans import GROUP, INCIDENT, approved, at, plan
from tests.executors.shell import Shell

ALICE = Signer.generate()


def listed(shop: Shop) -> HttpSettings:
    """The shop's controls, as an operator would list them."""
    controls = {"shop-workers": shop.workers, "shop-batch": shop.batch, "shop-queue": shop.queue}
    asked = {"token": shop.token, "operations_path": "/control/operations/{key}"}
    return HttpSettings.model_validate(
        {"targets": {name: {"base_url": url, **asked} for name, url in controls.items()}}
    )


def grant(settings: HttpSettings, **changes: Any) -> Approved:
    """`relieve-queue`, filled in for a critical incident and approved."""
    runbook = next(r for r in load(SHIPPED, targets(settings)) if r.name == "relieve-queue")
    values = values_for(runbook, incident=INCIDENT, service="checkout", severity=Severity.critical)
    return approved(plan(*resolved(runbook, values), runbook=runbook.name, **changes))


def state(url: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{url}/control/state", trust_env=False, timeout=60).json()
    return answer


def attempts(url: str) -> list[tuple[str, bool]]:
    entries = httpx.get(f"{url}/control/log", trust_env=False, timeout=60).json()["entries"]
    return [(entry["action"], entry["applied"]) for entry in entries]


def await_batch(shop: Shop, *, waiting: bool) -> None:
    """Until the queue knows the batch job, and perhaps holds some of its work."""
    deadline = time.monotonic() + 60
    while state(shop.queue)["depth_by_source"].get("shop-batch", -1) < int(waiting):
        assert time.monotonic() < deadline, "the batch job has sent nothing"
        time.sleep(0.05)


def carried_out(shop: Shop, *, take_back: bool = False, **changes: Any) -> Shell:
    settings = listed(shop)

    async def run() -> Shell:
        http = Http(settings, lambda: datetime.now(UTC))
        shell = Shell({"http": http}, keyring=ring({"alice": ALICE}))
        await shell.finish(grant(settings, **changes))
        if take_back:
            token = shell.last().rollback_token
            demand = ALICE.rollback(
                group=GROUP, incident=INCIDENT, token=token, by="alice", at=at(10)
            )
            await shell.finish(demand)
        await http.close()
        return shell

    return asyncio.run(run())


@pytest.mark.timeout(120)
def test_the_shipped_runbook_is_carried_out_and_taken_back() -> None:
    """Rows 46 to 49 on real processes: dry run, run, rollback by its token."""
    with Shop(customers=0) as shop:
        await_batch(shop, waiting=False)
        urls = (shop.workers, shop.batch, shop.queue)
        before = [state(url) for url in urls]
        dry = carried_out(shop, dry_run=True)
        assert dry.last().status == "succeeded", dry.last().detail
        assert [attempts(url) for url in urls] == [[], [], []]
        shell = carried_out(shop, take_back=True)
        ends = [result.status for result in shell.results if result.phase == "run"]
        assert ends == ["started", "succeeded", "rolled_back"], shell.last().detail
        assert attempts(shop.workers) == [("scale", True), ("scale", True)]
        assert attempts(shop.batch) == [("throttle", True), ("throttle", True)]
        assert attempts(shop.queue) == [("clear", True), ("unpark", True)]
        after = [state(url) for url in urls]
        assert after[0]["replicas"] == before[0]["replicas"]
        assert after[1]["throttle_per_second"] == before[1]["throttle_per_second"]


@pytest.mark.timeout(120)
def test_a_fix_that_the_shop_cannot_make_is_undone_in_reverse() -> None:
    """The parking lot has no places: the third step fails with a 500, and is not tried again."""
    with Shop(customers=0, break_fix=True) as shop:
        response = httpx.post(
            f"{shop.batch}/control/fault", json={"on": True}, trust_env=False, timeout=60,
            headers={"Authorization": f"Bearer {shop.token}"},
        )  # fmt: skip
        assert response.is_success, response.text
        await_batch(shop, waiting=True)
        shell = carried_out(shop)
        assert shell.last().status == "rolled_back", shell.last().detail
        assert attempts(shop.queue) == [("clear", False)]
        assert attempts(shop.workers) == [("scale", True), ("scale", True)]
        undone = [result.step for result in shell.results if result.phase == "undo"]
        assert undone == [1, 1, 0, 0]
