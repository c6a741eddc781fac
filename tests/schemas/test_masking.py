"""Masking: what must not be stored is not, and the rest is as it was."""

import random
import string

import pytest

from agents.logs.signature import signature
from agents.logs.skeleton import skeleton
from schemas.masking import KINDS, concealed, masked

# Made up to have the shape; put together so that no scanner takes them for real ones.
JWT = "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0In0" + ".c2lnbmF0dXJlMTIz"
SECRETS = [
    ("password=hunter", "hunter"),
    ("Password: hunter", "hunter"),
    ("db_passwd='hun ter'", "hun ter"),
    ('{"password": "hun ter", "a": 1}', "hun ter"),
    (r"{\"api_key\":\"hunter\",\"a\":1}", "hunter"),
    ("API-KEY=hunter", "hunter"),
    ("client_secret=hunter&x=1", "hunter"),
    ("access_token: hunter", "hunter"),
    ("Authorization: Basic aHVudGVy", "aHVudGVy"),
    ('"authorization":"Bearer abc.def"', "abc.def"),
    ("sent Bearer abcdefghijklmnop.qrs ok", "abcdefghijklmnop"),
    ("mysql --password hunter -h db", "hunter"),
    ("mysql --password=hunter", "hunter"),
    ("--password hunter -h db", "hunter"),
    ("postgres://ann:hunter@db:5432/x", "hunter"),
    ("Set-Cookie: sid=hunter; Path=/", "sid=hunter"),
    ("-----BEGIN RSA PRIVATE KEY-----\nhunter\n-----END RSA PRIVATE KEY-----", "hunter"),
    ("-----BEGIN PRIVATE KEY-----\nhunter, cut", "hunter"),
    ('{"password":"hun\\"ter"}', 'ter"'),
    (r"{\"ctx\":{\"password\":\"hunter\"}}", "hunter"),
    ("config: :password => 'hunter'", "hunter"),
    ("<Password>hunter</Password>", "hunter"),
    ("AccountKey=hunter;Endpoint=x", "hunter"),
    ("GET /blob?sv=1&sig=hunter&se=2", "hunter"),
    ("PHPSESSID=hunter; lang=en", "hunter"),
    ("root:hunter@tcp(db:3306)/shop", "hunter"),
    ("clone https://hunter4hunter4hunter@git.example.com/x", "hunter4"),
    ("amqp://shop:hun@ter@mq:5672/", "ter"),
    ("proxy said Basic " + "c2hvcDpodW50ZXIx", "c2hvcDpodW50ZXIx"),
]
PERSONAL = [
    (f"got {JWT} here", "got <secret> here"),
    ("key " + "AKIA" + "ABCDEFGHIJKLMNOP" + ".", "key <secret>."),
    ("with " + "ghp_" + "a1" * 18, "with <secret>"),
    ("mail to ann.b+c@mail.example.com now", "mail to <email> now"),
    ("card 4111 1111 1111 1111 used", "card <card> used"),
    ("card 4111-1111-1111-1111 used", "card <card> used"),
    ("ssn 078-05-1120 seen", "ssn <person> seen"),
    ("call +49 30 901820 now", "call <phone> now"),
    ("from 192.168.7.12, port 22", "from <ip>, port 22"),
    ("took 5 ms from 10.0.0.1:22 to 10.0.0.2.", "took 5 ms from <ip>:22 to <ip>."),
    ("peer [2001:db8::8a2e:370:7334]:443 left", "peer [<ip>]:443 left"),
    ("with pass: hunter", "with pass: <secret>"),
    ("key " + "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY" * 2, "key <secret>"),
    ("from DE89 3704 0044 0532 0130 00 paid", "from <account> paid"),
    ("GET /u?mail=ann%2Bshop%40example.com&x=1", "GET /u?mail=<email>&x=1"),
    ("by o'brien@example.ie, twice", "by <email>, twice"),
    (r"{\"to\":\"ann\u0040example.com\"}", r"{\"to\":\"<email>\"}"),
    ("card 3782-822463-10005 used", "card <card> used"),
    ("card 3056 930902 5904 used", "card <card> used"),
    (
        "hook https://hooks.slack.com/services/" + "T0AB/B0CD/efGH12",
        "hook https://hooks.slack.com/services/<secret>",
    ),
    ("with " + "npm_" + "a1B2" * 9, "with <secret>"),
    ("with " + "sk-" + "proj-a1B2c3D4e5F6g7H8", "with <secret>"),
]
HARMLESS = [
    "order 4111111111111112 shipped",  # one digit off: no card
    "version 1.2.3.4.5 of 10.0.0.300, listening on 0.0.0.0:80 and :: since 12:34:56",
    "loading /opt/Services/Checkout/lib/Version2/Payment/Handlers/Default",
    "tests passed: 5, std::vector at 0a:1b:2c:3d:4e:5f",
    "2026-01-02T03:04:05.678+00:00 INFO all is well",
    "Failed password for root from db-7 port 22",
    "basic authentication failed for the user",
    "trace 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
    "retrying - token bucket is empty",
    "GET /a/b?c=d HTTP/1.1 200 1234567890123",
    "at 1767323045678 ms, 1767323045678901 us",
    "at 1767323045678901234 ns, order 2100000000000005",
    "left-pad@1.3.0 and kernel@5.10.0-33-generic",
    "Started user@1000.service, getty@tty1.service and postgresql@14-main.service.",
    "Mon Jan 05 03:04:05 +0000 2026, 2026-01-02 03:04:05 +1000 2026",
    "grew by +1500000 bytes to +12 %",
    "com.shop.Cart@1a2b3c4d",
    "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b in run 20260102-0304-12345678",
    "image shop@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1bbdd9f86d081884c7d659a2fe",
    "pod checkout-6d4cf56db6-x2kqv on node-12 restarted 3 times in 5m30s",
    "span 00f067aa0ba902b7, request 7f1d2c3b-4a5e-4f60-8172-93a4b5c6d7e8 took 12.5ms",
    "basic authentication and a bearer of news",
]


@pytest.mark.parametrize(("line", "secret"), SECRETS)
def test_what_is_labelled_secret_leaves(line: str, secret: str) -> None:
    for shown in (masked(line), concealed(line)):
        assert secret not in shown
        assert "<secret>" in shown


@pytest.mark.parametrize(("line", "expected"), PERSONAL)
def test_personal_data_is_known_by_its_shape(line: str, expected: str) -> None:
    assert masked(line) == expected


@pytest.mark.parametrize("line", HARMLESS)
def test_the_rest_stays(line: str) -> None:
    assert masked(line) == line


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_kind_alone_leaves_the_others(kind: str) -> None:
    shown = {
        "email": "ann@example.com", "card": "4111111111111111", "token": "password=hunter",
        "iban": "DE89370400440532013000", "phone": "+49 30 901820", "person": "078-05-1120",
        "ip": "10.0.0.1",
    }  # fmt: skip
    line = " and ".join(shown.values())
    found = masked(line, {kind})
    assert {name for name, text in shown.items() if text not in found} == {kind}
    assert masked(line, ()) == line


def test_what_follows_a_secret_stays() -> None:
    line = 'a=1 password="x y" b=2, token=abc; c=3 {"secret":"s","d":4}'
    assert masked(line) == 'a=1 password="<secret>" b=2, token=<secret>; c=3 {"secret":"<secret>","d":4}'  # fmt: skip


def test_masking_again_changes_nothing() -> None:
    draw = random.Random(8)
    parts = [line for line, _ in (*SECRETS, *PERSONAL)] + HARMLESS + list(string.punctuation)
    for _ in range(300):
        once = masked(" ".join(draw.choices(parts, k=6)))
        assert masked(once) == once


@pytest.mark.parametrize(
    "line", [line for line, _ in (*SECRETS, *PERSONAL) if "PRIVATE" not in line]
)
def test_a_masked_line_is_of_the_same_template(line: str) -> None:
    """What is held back over a restart was masked meanwhile."""
    assert skeleton(signature(masked(line))).tokens == skeleton(signature(line)).tokens
