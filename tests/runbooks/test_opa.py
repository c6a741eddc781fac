"""The OPA client against servers that misbehave; against a real OPA see tests/contracts."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import orjson
import pytest
from pydantic import SecretStr

from runbooks.opa import LONGEST, PATH, Opa
from runbooks.opa_settings import OpaSettings
from schemas.errors import Rejected, SentinelError, Unavailable

ANSWER = {"rules": [{"id": "a", "effect": "allow", "reason": "r"}]}


def opa(respond: Callable[[httpx.Request], httpx.Response]) -> Opa:
    settings = OpaSettings(url="http://opa.test/", token=SecretStr("secret"))
    return Opa(settings, transport=httpx.MockTransport(respond))


def test_the_document_is_the_input_and_the_result_is_the_answer() -> None:
    asked: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"result": ANSWER})

    assert opa(respond).evaluate({"environment": 'a"\x00b'}) == ANSWER
    assert asked[0].url.path == PATH
    assert asked[0].headers["authorization"] == "Bearer secret"
    assert orjson.loads(asked[0].content) == {"input": {"environment": 'a"\x00b'}}


@pytest.mark.parametrize(
    ("response", "error", "said"),
    [
        (httpx.Response(200, json={}), Rejected, "undefined there"),
        (httpx.Response(200, json=[]), Rejected, "undefined there"),
        (httpx.Response(200, text="<html>"), Rejected, "no JSON"),
        (httpx.Response(200, content=b"x" * (LONGEST + 1)), Rejected, "more than"),
        (httpx.Response(404, json={"result": ANSWER}), Rejected, "answered 404"),
        (httpx.Response(401, json={"result": ANSWER}), Rejected, "answered 401"),
        (httpx.Response(302, headers={"location": "http://x/"}), Rejected, "answered 302"),
        (httpx.Response(201, json={"result": ANSWER}), Rejected, "answered 201"),
        (httpx.Response(500, json={"result": ANSWER}), Unavailable, "answered 500"),
        (httpx.Response(503), Unavailable, "answered 503"),
    ],
)
def test_what_is_no_answer_is_an_error(
    response: httpx.Response, error: type[SentinelError], said: str
) -> None:
    with pytest.raises(error, match=said):
        opa(lambda _: response).evaluate({})


def test_a_server_that_is_away_is_unavailable() -> None:
    with socket.socket() as taken:  # bound and not listening: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        away = Opa(OpaSettings(url=f"http://127.0.0.1:{taken.getsockname()[1]}"))
        with pytest.raises(Unavailable, match="is away"):
            away.evaluate({})
        away.close()


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler, threading.Event], None]) -> Iterator[str]:
    """A server on loopback; `answer` gets the handler, and an event that is set at the end."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Answer as told."""
            answer(self, over)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_that_says_nothing_is_given_up_on() -> None:
    def hold(_: BaseHTTPRequestHandler, over: threading.Event) -> None:
        over.wait(30)

    with serving(hold) as url:
        client = Opa(OpaSettings(url=url, timeout_s=0.1))
        with pytest.raises(Unavailable, match="timed out"):
            client.evaluate({})
        client.close()


def test_a_server_that_trickles_is_given_up_on() -> None:
    """Every byte comes in time, and the answer would take for ever."""

    def trickle(handler: BaseHTTPRequestHandler, over: threading.Event) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while not over.wait(0.02):
                handler.wfile.write(b" ")
                handler.wfile.flush()
        except OSError:
            return  # the client has hung up, as it should

    with serving(trickle) as url:
        client = Opa(OpaSettings(url=url, timeout_s=0.2))
        with pytest.raises(Unavailable, match=r"no answer in 0\.2 s|timed out"):
            client.evaluate({})
        client.close()


def test_an_address_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(Rejected, match=r"opa\.url is 'opa:8181': write http://host:port"):
        Opa(OpaSettings(url="opa:8181"))
