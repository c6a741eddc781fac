"""Tokens: fetched once, renewed before they end, and every refusal in one line."""

import asyncio
import json
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from pydantic import ValidationError

from schemas.errors import Rejected, Unavailable
from streams.connection import KafkaSettings
from streams.oauth.provider import TokenProvider
from streams.oauth.settings import OAuthSettings
from streams.oauth.tokens import TOKEN, Tokens, fetched
from streams.settings import Settings
from tests.streams.oauth.identity import CLIENT, SECRET, Identity, serving


def settings(url: str, **given: Any) -> OAuthSettings:
    known = {"token_url": url, "client_id": CLIENT, "client_secret": SECRET, "timeout_s": 60}
    return OAuthSettings.model_validate(known | given)


def test_a_token_is_kept_for_four_fifths_of_its_life() -> None:
    now = [1000.0]
    with serving(Identity(life_s=100)) as identity:
        tokens = Tokens(settings(identity.url), clock=lambda: now[0])
        first = tokens.current()
        now[0] += 79
        assert tokens.current() == first
        assert len(identity.asked) == 1
        now[0] += 2
        assert TOKEN.fullmatch(tokens.current())
    assert identity.asked == [{"grant_type": ["client_credentials"]}] * 2


def test_a_token_is_used_to_its_end_while_the_endpoint_is_away() -> None:
    now = [1000.0]
    with serving(Identity(life_s=100)) as identity:
        tokens = Tokens(settings(identity.url), clock=lambda: now[0])
        first = tokens.current()
        identity.answer = (503, b"")
        now[0] += 99
        assert tokens.current() == first
        now[0] += 2
        with pytest.raises(Unavailable, match="HTTP 503"):
            tokens.current()


def test_a_token_whose_life_is_not_told_is_for_one_login() -> None:
    said = json.dumps({"access_token": "abc", "token_type": "bearer"}).encode()
    with serving(Identity(answer=(200, said))) as identity:
        tokens = Tokens(settings(identity.url, scope="kafka write"))
        assert [tokens.current(), tokens.current()] == ["abc", "abc"]
    assert [said["scope"] for said in identity.asked] == [["kafka write"]] * 2


@pytest.mark.parametrize(
    ("status", "body", "error", "why"),
    [
        (401, b'{"error":"invalid_client"}', Rejected, r"refuses us \(HTTP 401, invalid_client\)"),
        (400, b'{"error":"invalid_scope"}', Rejected, r"invalid_scope\): look at kafka\.oauth\."),
        (403, b"<html>no</html>", Rejected, r"\(HTTP 403\)"),
        (302, b"", Rejected, r"\(HTTP 302\)"),
        (400, b"[1]", Rejected, r"\(HTTP 400\)"),
        (429, b"", Unavailable, r"\(HTTP 429\)$"),
        (503, b'{"error":"busy"}', Unavailable, r"\(HTTP 503, busy\)$"),
        (200, b"<html>log in</html>", Unavailable, "with no bearer token: is .* a token endpoint"),
        (200, b'{"access_token":"a\\u0001b"}', Unavailable, "with no bearer token"),
        (200, b'{"access_token":"ab","token_type":"mac"}', Unavailable, "with no bearer token"),
        (200, b'{"access_token":"ab","expires_in":"soon"}', Unavailable, "with no bearer token"),
        (200, b'{"access_token":7}', Unavailable, "with no bearer token"),
        (200, b"null", Unavailable, "with no bearer token"),
        (200, b'{"access_token":"' + b"a" * 70_000 + b'"}', Unavailable, "with no bearer token"),
    ],
)
def test_what_the_endpoint_answers_instead_is_said(
    status: int, body: bytes, error: type[Exception], why: str
) -> None:
    identity = Identity(answer=(status, body))
    with serving(identity), pytest.raises(error, match=why) as found:
        fetched(settings(identity.url))
    said = str(found.value)
    assert identity.url in said
    assert SECRET not in said
    assert "\n" not in said


def test_what_a_refusal_quotes_is_masked_and_bounded() -> None:
    told = {"error": "invalid_client", "error_description": f"client_secret={SECRET} " + "x " * 500}
    identity = Identity(answer=(400, json.dumps(told).encode()))
    with serving(identity), pytest.raises(Rejected) as found:
        fetched(settings(identity.url))
    assert SECRET not in str(found.value)
    assert len(str(found.value)) < 500


def test_nobody_there_and_a_file_that_is_not_are_said() -> None:
    with pytest.raises(Unavailable, match=r"nobody answers at http://127\.0\.0\.1:1/token"):
        fetched(settings("http://127.0.0.1:1/token"))
    with pytest.raises(Rejected, match=r"kafka\.oauth\.ca_file \(nowhere\.pem\): No such file"):
        fetched(settings("https://127.0.0.1:1/token", ca_file="nowhere.pem"))


def test_aiokafka_is_told_in_its_own_words() -> None:
    """Any other exception would end its loops; this one it logs, and tries again."""
    provider = TokenProvider(settings("http://127.0.0.1:1/token", extensions={"pool": "p-1"}))
    assert provider.extensions() == {"pool": "p-1"}
    with pytest.raises(KafkaConnectionError, match="no token for Kafka: nobody answers"):
        asyncio.run(provider.token())


GIVEN = {"token_url": "https://id.example.com/t", "client_id": CLIENT, "client_secret": SECRET}


def kafka(**given: Any) -> KafkaSettings:
    known = {"protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "oauth": GIVEN}
    return KafkaSettings.model_validate(known | given)


def test_both_libraries_get_the_same() -> None:
    oauth = GIVEN | {"scope": "a b", "extensions": {"x": "1", "y": "2"}, "ca_file": "id.pem"}
    config = kafka(oauth=oauth, ca_file="").confluent()
    assert {name: value for name, value in config.items() if "oauth" in name or "http" in name} == {
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": "https://id.example.com/t",
        "sasl.oauthbearer.client.id": CLIENT,
        "sasl.oauthbearer.client.secret": SECRET,
        "sasl.oauthbearer.scope": "a b",
        "sasl.oauthbearer.extensions": "x=1,y=2",
        "https.ca.location": "id.pem",
    }
    assert config["sasl.mechanisms"] == "OAUTHBEARER"
    assert "sasl.username" not in config
    credentials = kafka().faust()["broker_credentials"]
    assert isinstance(credentials.oauth_cb, TokenProvider)
    assert credentials.protocol.value == "SASL_SSL"
    assert SECRET not in repr(kafka())


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"oauth": {}}, r"OAUTHBEARER needs oauth\.token_url"),
        ({"oauth": {"scope": "a"}}, "needs token_url and client_id and client_secret as well"),
        ({"oauth": GIVEN | {"client_secret": ""}}, "needs client_secret as well"),
        ({"oauth": GIVEN | {"token_url": "id.example.com"}}, "should match pattern"),
        ({"oauth": GIVEN | {"extensions": {"auth": "x"}}}, "`auth` is the token's own name"),
        ({"oauth": GIVEN | {"extensions": {"a": "1,b=2"}}}, "should match pattern"),
        ({"oauth": GIVEN | {"extensions": {"a": "1\x01b=2"}}}, "should match pattern"),
        ({"sasl_username": "me"}, r"say oauth\.client_id and oauth\.client_secret"),
        ({"sasl_mechanism": "PLAIN"}, "oauth needs sasl_mechanism OAUTHBEARER"),
        ({"protocol": "SSL"}, "oauth needs sasl_mechanism OAUTHBEARER and protocol SASL_SSL"),
    ],
)
def test_settings_that_do_not_fit_are_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        kafka(**given)


def test_variables_say_it_too() -> None:
    told = Settings.load(
        {
            "SENTINEL_KAFKA__PROTOCOL": "SASL_SSL",
            "SENTINEL_KAFKA__SASL_MECHANISM": "OAUTHBEARER",
            "SENTINEL_KAFKA__OAUTH__TOKEN_URL": GIVEN["token_url"],
            "SENTINEL_KAFKA__OAUTH__CLIENT_ID": CLIENT,
            "SENTINEL_KAFKA__OAUTH__CLIENT_SECRET": SECRET,
        }
    )
    assert told.kafka == kafka()
