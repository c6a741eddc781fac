"""Who may send, and where nobody need say who they are."""

import socket

import pytest
from pydantic import ValidationError

from schemas.errors import Rejected
from streams.bridge.authorisation import ANYBODY, Senders, check_exposure, loopback, strangers
from streams.bridge.refusal import RefusedRequest
from streams.bridge.serving import serve
from streams.bridge.settings import BridgeSettings
from streams.intake.settings import IntakeSettings
from streams.settings import Settings
from tests.streams.bridge.over_http import GONE, serving
from tests.streams.formats.test_remote_write import VERSION_1

RIGHT, OTHER = "right-and-long-enough", "other-and-long-enough"
TOKENS = {"shop": {"token": RIGHT, "tenant": "emea"}, "oven": {"token": OTHER}}
ADDRESSES = ("/ingest", "/ingest/alertmanager", "/v1/metrics", "/v1/logs", "/api/v1/write")
WRONG = [
    "", RIGHT, "Bearer", "Bearer ", "Bearer wrong", f"Basic {RIGHT}", f"Bearer {RIGHT}x",
    f"Bearer {RIGHT[:-1]}", f"Bearer {RIGHT} {OTHER}", f"Bearer {RIGHT.upper()}",
]  # fmt: skip


def senders(**changes: object) -> Senders:
    return Senders(BridgeSettings.model_validate({"tokens": TOKENS, **changes}).tokens)


@pytest.mark.parametrize(
    ("shown", "name", "tenant"),
    [(f"Bearer {RIGHT}", "shop", "emea"), (f"bearer  {OTHER}", "oven", "")],
)
def test_a_token_says_who_sends(shown: str, name: str, tenant: str) -> None:
    assert senders().of(shown)[:2] == (name, tenant)


@pytest.mark.parametrize("shown", [*WRONG, "Bearer \udcff\u00fc"])
def test_what_is_no_token_of_ours_is_refused(shown: str) -> None:
    with pytest.raises(RefusedRequest, match=r"a bearer token of bridge\.tokens is needed"):
        senders().of(shown)


def test_without_tokens_anybody_may_send() -> None:
    assert senders(tokens={}).of("Bearer whatever") == ANYBODY


def test_every_address_wants_the_token_before_it_reads_the_body() -> None:
    with serving(GONE, tokens=TOKENS) as client:
        for path in ADDRESSES:
            head = f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n"
            with socket.create_connection(
                (client.base_url.host, client.base_url.port or 0)
            ) as link:
                link.settimeout(60)
                link.sendall(head.encode())  # and no body, ever
                assert link.recv(12) == b"HTTP/1.1 401"
            for shown in (one for one in WRONG if one == one.strip()):
                headers = {"authorization": shown} if shown else {}
                answer = client.post(path, content=VERSION_1, headers=headers)
                assert answer.status_code == 401
                assert RIGHT not in answer.text
        right = client.post(ADDRESSES[0], headers={"authorization": f"Bearer {RIGHT}"})
        assert right.status_code == 415  # let in, and then asked what that is
        for path in ("/healthz", "/metrics", "/openapi.json"):
            assert client.get(path).status_code in {200, 503}


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ({"a": {"token": "short"}}, "the token of a must be 16 ASCII characters or more"),
        ({"a": {"token": "with a space in between"}}, "without spaces"),
        ({"a": {"token": "ümlaut-is-not-in-headers"}}, "16 ASCII"),
        ({"a": {"token": RIGHT}, "b": {"token": RIGHT}}, "a and b have the same token"),
        ({"a": {}}, "Field required"),
    ],
)
def test_settings_that_are_no_tokens_are_refused_without_showing_them(
    tokens: dict[str, object], said: str
) -> None:
    with pytest.raises(Rejected, match=r"^bridge\b") as refused:
        Settings.load({"SENTINEL_BRIDGE__TOKENS": str(tokens).replace("'", '"')})
    assert said in str(refused.value)
    for secret in ("short", "with a space", "ümlaut", RIGHT):
        assert secret not in str(refused.value)
    with pytest.raises(ValidationError):
        BridgeSettings.model_validate({"tokens": tokens})


def test_a_token_can_be_set_in_the_environment() -> None:
    loaded = Settings.load(
        {
            "SENTINEL_BRIDGE__TOKENS__SHOP__TOKEN": RIGHT,
            "SENTINEL_BRIDGE__TOKENS__SHOP__TENANT": "emea",
        }
    )
    assert Senders(loaded.bridge.tokens).of(f"Bearer {RIGHT}").tenant == "emea"
    assert RIGHT not in repr(loaded)


def test_a_token_of_a_tenant_that_intake_does_not_know_is_noticed() -> None:
    tokens = BridgeSettings.model_validate({"tokens": TOKENS}).tokens
    assert strangers(tokens, {"apac"}) == ["emea"]
    assert not strangers(tokens, {"emea", "apac"})


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("", False), ("192.0.2.7", False),
        ("no such host", False),
    ],
)  # fmt: skip
def test_which_addresses_only_this_machine_reaches(host: str, alone: bool) -> None:  # noqa: FBT001 - of a table
    assert loopback(host) == alone


def test_others_are_not_let_in_without_a_token() -> None:
    """Said before Kafka or a port is even looked for."""
    with pytest.raises(Rejected, match=r"other machines reach 0\.0\.0\.0, and no token is set"):
        serve(
            BridgeSettings(host="0.0.0.0"),
            GONE,
            IntakeSettings(),
            ready=lambda _: None,
        )
    check_exposure(BridgeSettings.model_validate({"host": "0.0.0.0", "tokens": TOKENS}))
    check_exposure(BridgeSettings())
