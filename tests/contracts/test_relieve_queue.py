"""The shipped runbook against the real shop: its checks hold, its calls work, its undo restores."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from executors.before import fill
from runbooks.checks import evaluate
from runbooks.loader import SHIPPED, load
from runbooks.resolve import resolved, values_for
from schemas.event import Severity
from schemas.plans import Action, Step
from streams.demo.shop.launch import Shop


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with Shop(customers=2.0) as running:
        state = Action.of(
            "http", {"target": "shop-queue", "method": "GET", "path": "/control/state"}
        )
        deadline = time.monotonic() + 60
        while "shop-batch" not in send(running, state.arguments)["depth_by_source"]:
            assert time.monotonic() < deadline, "the batch job sends nothing"
        yield running


@pytest.fixture(scope="module")
def steps() -> tuple[Step, ...]:
    runbook = next(r for r in load(SHIPPED, {"http"}) if r.name == "relieve-queue")
    values = values_for(runbook, incident="inc-1", service="checkout", severity=Severity.low)
    return resolved(runbook, values)


def send(shop: Shop, arguments: str) -> Any:
    """Make a call, as the http executor would with targets of these names."""
    call = orjson.loads(arguments)
    targets = {"shop-workers": shop.workers, "shop-batch": shop.batch, "shop-queue": shop.queue}
    answer = httpx.request(
        call["method"],
        targets[call["target"]] + call["path"],
        json=call.get("json"),
        headers={"Authorization": f"Bearer {shop.token}"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_every_step_does_what_it_says_and_is_undone(shop: Shop, steps: tuple[Step, ...]) -> None:
    """Forwards and then backwards, as a run that is rolled back goes."""
    done: list[tuple[Step, str]] = []
    for step in steps:
        assert step.precheck is not None
        assert step.observe is not None
        answer = send(shop, step.precheck.action.arguments)
        assert evaluate(step.precheck.expect, answer).holds, answer
        before = orjson.dumps(send(shop, step.observe.arguments)).decode()
        send(shop, step.do.arguments)
        done.append((step, before))
    scale, throttle, clear = (
        send(shop, Action.of("http", _state(step)).arguments) for step in steps
    )
    assert scale["replicas"] == 4
    assert throttle["throttle_per_second"] == 2
    assert clear["depth_by_source"]["shop-batch"] <= 2  # what came since is there again

    for step, before in reversed(done):
        assert step.undo is not None
        send(shop, fill(step.undo.arguments, before))
    scale, throttle, clear = (
        send(shop, Action.of("http", _state(step)).arguments) for step in steps
    )
    assert scale["replicas"] == orjson.loads(done[0][1])["replicas"] == 2
    assert throttle["throttle_per_second"] == orjson.loads(done[1][1])["throttle_per_second"]
    assert clear["parked"] == 0


def test_a_second_run_changes_nothing_for_the_worse(shop: Shop, steps: tuple[Step, ...]) -> None:
    """More replicas than the runbook wants, or a tighter throttle, are left alone."""
    send(shop, Action.of("http", _post("shop-workers", "scale", replicas=6)).arguments)
    send(shop, Action.of("http", _post("shop-batch", "throttle", per_second=0.5)).arguments)
    for step in steps[:2]:
        assert step.precheck is not None
        answer = send(shop, step.precheck.action.arguments)
        assert not evaluate(step.precheck.expect, answer).holds


def _state(step: Step) -> dict[str, object]:
    target = orjson.loads(step.do.arguments)["target"]
    return {"target": target, "method": "GET", "path": "/control/state"}


def _post(target: str, change: str, **arguments: object) -> dict[str, object]:
    return {"target": target, "method": "POST", "path": f"/control/{change}", "json": arguments}
