"""The HTTP executor against a real server: what is sent, what is refused, what is kept secret."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from executors.executor import Answer, Uncertain
from executors.http import Http, sign
from executors.http_targets import HttpSettings, HttpTarget
from schemas.errors import Denied, Rejected, SentinelError, Unavailable
from schemas.plans import Action
from tests.executors.http_target import SECRET, TOKEN, HttpTargetServer, serving
from tests.executors.plans import approved, plan, step
from tests.executors.shell import Shell

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
KEY = "k" * 32


def target(url: str, **changes: Any) -> HttpTarget:
    """The server as a listed target."""
    values: dict[str, Any] = {
        "base_url": url,
        "token": TOKEN,
        "signing_secret": SECRET,
        "operations_path": "/operations/{key}",
        "timeout_s": 30,
        **changes,
    }
    return HttpTarget.model_validate(values)


@asynccontextmanager
async def executor(**changes: Any) -> AsyncIterator[tuple[Http, HttpTargetServer]]:
    """An executor whose only target is a running server."""
    async with serving() as server:
        http = Http(HttpSettings(targets={"shop": target(server.url, **changes)}), lambda: NOW)
        try:
            yield http, server
        finally:
            await http.close()


def with_executor(use: Callable[[Http, HttpTargetServer], Awaitable[Any]], **changes: Any) -> Any:
    async def run() -> Any:
        async with executor(**changes) as (http, server):
            return await use(http, server)

    return asyncio.run(run())


def post(path: str = "/dials/dial1", **more: Any) -> dict[str, object]:
    return {"target": "shop", "method": "POST", "path": path, "json": {"value": 10}, **more}


def get(path: str = "/dials/dial1", **more: Any) -> dict[str, object]:
    return {"target": "shop", "method": "GET", "path": path, **more}


def test_a_change_carries_key_token_and_a_signature_that_the_target_can_check() -> None:
    async def use(http: Http, server: HttpTargetServer) -> None:
        answer = await http.change(post(), key=KEY, timeout_s=30)
        assert answer.value == {"value": 10}
        (seen,) = server.seen
        assert seen.headers["Idempotency-Key"] == KEY
        assert seen.headers["Authorization"] == f"Bearer {TOKEN}"
        stamp, signature = seen.headers["Sentinel-Signature"].split(",")
        at = int(stamp.removeprefix("t="))
        assert at == int(NOW.timestamp())
        expected = sign(SECRET, at=at, method=seen.method, path=seen.path, key=KEY, body=seen.body)
        assert signature == f"v1={expected}"
        assert seen.body == b'{"value":10}'

    with_executor(use)


def test_a_signature_covers_method_path_key_time_and_body() -> None:
    base: dict[str, Any] = {"at": 1, "method": "POST", "path": "/a", "key": "k", "body": b"x"}
    changes: list[dict[str, Any]] = [
        {"at": 2}, {"method": "PUT"}, {"path": "/b"}, {"key": "l"}, {"body": b"y"},
    ]  # fmt: skip
    signatures = {sign("s", **{**base, **change}) for change in [{}, *changes]}
    assert len(signatures) == 6


def test_the_same_key_again_is_one_change_and_the_target_can_be_asked() -> None:
    async def use(http: Http, server: HttpTargetServer) -> None:
        assert await http.applied(post(), key=KEY, timeout_s=30) is None
        await http.change(post(), key=KEY, timeout_s=30)
        await http.change(post(), key=KEY, timeout_s=30)
        found = await http.applied(post(), key=KEY, timeout_s=30)
        assert found is not None
        assert server.effects == [("dial1", 10)]

    with_executor(use)


@pytest.mark.parametrize(
    "path",
    [
        "", "dials", "//evil.example/x", "/..", "/../admin", "/a/../b", "/a/./b", "/a//b", "/%2e%2e/b",
        "/a%2fb", "/a?x=1", "/a#b", "/a\\b", "http://evil.example/", "/a\r\nHost: evil", "/a b", "/\u2025",
        "/a;rm -rf", "/{{before.x}}", "/$(id)", "/..;/admin", "/a;x=1", "/`id`", "@evil.example/", "/a\x00", "/" + "a" * 3000,
    ],
)  # fmt: skip
def test_a_path_that_could_lead_elsewhere_is_refused_before_anything_is_sent(path: str) -> None:
    async def use(http: Http, server: HttpTargetServer) -> None:
        for arguments, changes in ((post(path), True), (get(path), False)):
            with pytest.raises((Denied, Rejected)):
                http.check(arguments, changes=changes)
        with pytest.raises((Denied, Rejected)):
            await http.change(post(path), key=KEY, timeout_s=30)
        with pytest.raises((Denied, Rejected)):
            await http.read(get(path), timeout_s=30)
        assert server.seen == []

    with_executor(use)


REFUSED: list[tuple[dict[str, object], type[SentinelError]]] = [
    (post(target="other"), Denied),
    (post(target=["shop"]), Denied),
    (post(target="http://evil.example"), Denied),
    (post(method="DELETE"), Denied),
    (post(method="GET"), Denied),
    (post(method="TRACE"), Rejected),
    (post(method="post"), Rejected),
    (post(headers={"Host": "evil"}), Rejected),
    ({**post(), "path": 7}, Rejected),
    (post(expect_status="200"), Rejected),
    ({"target": "shop"}, Rejected),
    ({}, Denied),
]


@pytest.mark.parametrize(("arguments", "error"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_not_listed_or_makes_no_sense_is_refused(
    arguments: dict[str, object], error: type[SentinelError]
) -> None:
    async def use(http: Http, server: HttpTargetServer) -> None:
        with pytest.raises(error):
            http.check(arguments, changes=True)
        with pytest.raises(error):
            await http.change(arguments, key=KEY, timeout_s=30)
        assert server.seen == []

    with_executor(use)


def test_a_look_cannot_change() -> None:
    async def use(http: Http, server: HttpTargetServer) -> None:
        for arguments in (post(), get(json={"value": 1})):
            with pytest.raises(Denied):
                await http.read(arguments, timeout_s=30)
        assert server.seen == []

    with_executor(use)


def test_redirects_are_not_followed() -> None:
    async def use(http: Http, server: HttpTargetServer) -> None:
        with pytest.raises(Rejected, match="redirects are not followed"):
            await http.change(post("/redirect"), key=KEY, timeout_s=30)
        with pytest.raises(Rejected, match="redirects are not followed"):
            await http.read(get("/redirect"), timeout_s=30)
        assert [seen.path for seen in server.seen] == ["/redirect", "/redirect"]

    with_executor(use)


STATUSES: list[tuple[int, type[SentinelError], type[SentinelError]]] = [
    (400, Rejected, Rejected), (401, Denied, Denied), (403, Denied, Denied), (404, Rejected, Rejected),
    (408, Unavailable, Unavailable), (409, Rejected, Rejected), (422, Rejected, Rejected),
    (429, Unavailable, Unavailable), (500, Uncertain, Unavailable), (503, Uncertain, Unavailable),
]  # fmt: skip


@pytest.mark.parametrize(("status", "changed", "read"), STATUSES)
def test_a_status_says_whether_the_change_may_have_been_made(
    status: int, changed: type[SentinelError], read: type[SentinelError]
) -> None:
    async def use(http: Http, _: HttpTargetServer) -> None:
        with pytest.raises(changed, match=str(status)):
            await http.change(post(f"/status/{status}"), key=KEY, timeout_s=30)
        with pytest.raises(read, match=str(status)):
            await http.read(get(f"/status/{status}"), timeout_s=30)

    with_executor(use)


def test_a_runbook_may_say_which_status_it_expects() -> None:
    async def use(http: Http, _: HttpTargetServer) -> None:
        gone = post("/status/404", expect_status=[204, 404])
        assert isinstance(await http.change(gone, key=KEY, timeout_s=30), Answer)
        with pytest.raises(Uncertain, match="not as expected"):
            await http.change(post("/status/200", expect_status=204), key=KEY, timeout_s=30)
        with pytest.raises(Rejected, match="not as expected"):
            await http.read(get("/status/202", expect_status=200), timeout_s=30)

    with_executor(use)


def test_no_connection_means_that_nothing_was_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        port = taken.getsockname()[1]
        settings = HttpSettings(targets={"shop": target(f"http://127.0.0.1:{port}")})

        async def run() -> None:
            http = Http(settings, lambda: NOW)
            with pytest.raises(Unavailable, match="no connection"):
                await http.change(post(), key=KEY, timeout_s=30)
            with pytest.raises(Unavailable):
                await http.applied(post(), key=KEY, timeout_s=30)
            await http.close()

        asyncio.run(run())


@pytest.mark.parametrize("path", ["/hangup", "/slow", "/drip"])
def test_a_change_that_broke_off_is_uncertain_and_a_look_is_only_tried_again(path: str) -> None:
    """Drip: every read comes in time and the answer never ends, so the whole call is timed."""

    async def use(http: Http, _: HttpTargetServer) -> None:
        with pytest.raises(Uncertain) as caught:
            await http.change(post(path), key=KEY, timeout_s=1)
        assert not caught.value.answered
        with pytest.raises(Unavailable):
            await http.read(get(path), timeout_s=1)

    with_executor(use)


def test_a_long_answer_is_refused_to_a_check_and_cut_after_a_change() -> None:
    async def use(http: Http, _: HttpTargetServer) -> None:
        with pytest.raises(Rejected, match="over 65536 bytes"):
            await http.read(get("/large"), timeout_s=30)
        answer = await http.change(post("/large"), key=KEY, timeout_s=30)
        assert len(answer.text) < 2_100

    with_executor(use)


def test_secrets_are_in_no_answer_log_error_or_representation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The server echoes the headers that it got, and our signing secret."""
    caplog.set_level(logging.DEBUG)

    async def use(http: Http, server: HttpTargetServer) -> list[str]:
        said = [repr(http), repr(target(server.url)), target(server.url).model_dump_json()]
        answer = await http.change(post("/echo"), key=KEY, timeout_s=30)
        said += [answer.text, repr(answer)]
        for path in ("/status/401", "/status/409", "/status/500", "/hangup"):
            try:
                await http.change(post(path), key=KEY, timeout_s=30)
            except SentinelError as error:
                said += [str(error), repr(error), repr(error.__cause__)]
        assert all(TOKEN in seen.headers["Authorization"] for seen in server.seen)
        return said

    said = "\n".join([*with_executor(use), caplog.text])
    assert "Bearer ***" in said
    assert TOKEN not in said
    assert SECRET not in said


def test_the_environment_sends_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment is not used."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def use(http: Http, server: HttpTargetServer) -> None:
        await http.read(get(), timeout_s=30)
        assert len(server.seen) == 1

    with_executor(use)


WRONG: list[dict[str, Any]] = [
    {"base_url": "ftp://shop"}, {"base_url": "http://user:pw@shop"}, {"base_url": "http://shop?x"},
    {"base_url": "shop"}, {"base_url": "http://shop/../x"}, {"operations_path": "/operations"},
    {"operations_path": "/../{key}"}, {"token": ""}, {"token": "a\nb"}, {"signing_secret": ""},
    {"timeout_s": 0}, {"allow_methods": ["GET"]}, {"unknown": 1},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_settings_that_cannot_be_meant_are_refused_when_they_are_read(
    wrong: dict[str, Any],
) -> None:
    with pytest.raises(ValidationError):
        target("http://127.0.0.1:1", **wrong)


# ---- a whole run against the server


def dial(number: int) -> Any:
    path = f"/dials/dial{number}"
    look, undo = get(path), post(path, json={"value": "{{before.value}}"})
    return step(
        number,
        precheck={"action": Action.of("http", look), "expect": "value < 100"},
        observe=Action.of("http", look),
        do=Action.of("http", post(path)),
        undo=Action.of("http", undo),
    )


def run_against(
    server: HttpTargetServer, *, dry_run: bool = False, **changes: Any
) -> Awaitable[Shell]:
    async def run() -> Shell:
        http = Http(HttpSettings(targets={"shop": target(server.url, **changes)}), lambda: NOW)
        shell = Shell({"http": http})
        await shell.finish(approved(plan(dial(1), dial(2), dry_run=dry_run)))
        await http.close()
        return shell

    return run()


def test_a_run_changes_a_real_target_and_a_dry_run_sends_it_no_changing_call() -> None:
    async def run() -> None:
        async with serving() as server:
            dry = await run_against(server, dry_run=True)
            assert dry.last().status == "succeeded"
            assert server.changing == []
            wet = await run_against(server)
            assert wet.last().status == "succeeded"
            assert server.effects == [("dial1", 10), ("dial2", 10)]

    asyncio.run(run())


def test_an_answer_that_was_lost_is_found_at_the_operations_path() -> None:
    async def run() -> None:
        async with serving() as server:
            server.drop_answers = 1
            shell = await run_against(server)
            assert shell.last().status == "succeeded"
            assert server.effects == [("dial1", 10), ("dial2", 10)]
            done = [r for r in shell.results if (r.phase, r.status) == ("do", "succeeded")]
            assert [result.reconciled for result in done] == [True, False]

    asyncio.run(run())


def test_an_answer_that_was_lost_stays_unknown_without_an_operations_path() -> None:
    async def run() -> None:
        async with serving() as server:
            server.drop_answers = 1
            shell = await run_against(server, operations_path=None)
            assert shell.last().status == "rollback_failed"
            assert server.effects == [("dial1", 10)]
            assert len(server.changing) == 1

    asyncio.run(run())


def test_a_wrong_token_stops_the_run_before_any_change() -> None:
    async def run() -> None:
        async with serving() as server:
            shell = await run_against(server, token="x" + TOKEN)
            assert shell.last().status == "failed"
            assert "did not accept our rights" in shell.last().detail
            assert server.effects == []

    asyncio.run(run())
