"""Masking: what must not be stored is not, and the rest is as it was."""

import random
import string

import pytest

from agents.logs.signature import signature
from agents.logs.skeleton import skeleton
from schemas.labelled import concealed
from schemas.masking import KINDS, masked

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
    # lists of arguments, and options
    ('exec ["mysql","--password","hunter"] failed', "hunter"),
    ("args=['--db-password', 'hunter', '-h', 'db']", "hunter"),
    (r"{\"argv\":[\"--api-key\",\"hunter\"]}", "hunter"),
    ("argv [mysql, --password, hunter, -h, db]", "hunter"),
    ('run --password "hun ter" -h', "ter"),
    ("run --secret-access-key hunter -h", "hunter"),
    ("mysql -uroot -phunter shop", "hunter"),
    ('probe ["mysqladmin","ping","-phunter"] failed', "hunter"),
    ("sshpass -p hunter ssh web1", "hunter"),
    ("docker login -u shop -p hunter hub.example.com", "hunter"),
    ("redis-cli -h r -a hunter ping", "hunter"),
    ("curl -s -u shop:hunter https://x", "hunter"),
    # nested values, and names and values apart
    ('{"password":{"value":"hunter"},"a":1}', "hunter"),
    ('{"password": {"type":"string","is":{"a":["hunter"]}}}', "hunter"),
    ('{"password":{"note":"a}b","value":"hunter"}}', "hunter"),
    (r"{\"password\":{\"value\":\"hunter\"}}", "hunter"),
    ('"passwords":["hunter","b"]', "hunter"),
    ("passwords=[hunter, b]", "hunter"),
    ('{"password":{"value":"hunter", cut', "hunter"),
    ('{"name":"DB_PASSWORD","value":"hunter"}', "hunter"),
    ('{"value":"hunter","name":"DB_PASSWORD"}', "hunter"),
    (r"{\"name\":\"DB_PASSWORD\",\"value\":\"hunter\"}", "hunter"),
    (r"{\"value\":\"hunter\",\"name\":\"DB_PASSWORD\"}", "hunter"),
    ("- name: DB_PASSWORD\n  value: hunter\n", "hunter"),
    ("EnvVar{Name:DB_PASSWORD,Value:hunter,ValueFrom:nil,}", "hunter"),
    ('{"key":"api_token","value":{"stringValue":"hunter"}}', "hunter"),
    ('{"name":"Authorization","value":"Token hunter"}', "hunter"),
    # codes
    ("pin: 4711 was wrong", "4711"),
    ('{"user_pin":"4711"}', "4711"),
    ("userPin=4711", "4711"),
    ('"cvv": 123, "cvc2":"456"', "123"),
    ("card_cvc=456", "456"),
    ("security code: 123", "123"),
    ("otp=123456 sent", "123456"),
    ('{"otp_code":"123456"}', "123456"),
    ("your one-time code: 123 456", "123 456"),
    ("your one-time password is 123456.", "123456"),
    ("Your verification code is 123456", "123456"),
    ("123456 is your Shop verification code", "123456"),
    ("mfa_code=123456", "123456"),
    # cookies and headers
    ("Cookie: theme=dark; sid=hunter; lang=en", "hunter"),
    ('"Cookie":"a=1; sid=hunter","b":2', "hunter"),
    ("cookies={'sid': 'hunter'}", "hunter"),
    ("connect.sid=hunter", "hunter"),
    (r"{\\\"Authorization\\\":\\\"Token hunter\\\"}", "hunter"),
    ('"authorization":["Token hunter"]', "hunter"),
    ("map[Authorization:[Token hunter] Host:[x]]", "hunter"),
    ('Authorization: Digest username="ann", response="hunter", uri="/"', "hunter"),
    ("Authorization: AWS4-HMAC-SHA256 Credential=A/2026, Signature=hunter", "hunter"),
    ("[('x-api-key', 'hunter'), ('host', 'x')]", "hunter"),
    ("(b'authorization', b'Token hunter')", "hunter"),
    # connections and keys
    ("jdbc:sqlserver://db:1433;user=sa;password=hunter;", "hunter"),
    ("Server=db;User Id=sa;PWD = hunter;", "hunter"),
    ("jdbc:oracle:thin:scott/hunter@db:1521/x", "hunter"),
    ("SharedAccessKeyName=Root;SharedAccessKey=hunter=", "hunter"),
    ("encryption_key=hunter and signing-key: hunter", "hunter"),
    (r"-----BEGIN RSA PRIVATE KEY-----\nhunter\n-----END RSA PRIVATE KEY-----\n", "hunter"),
    ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nhunter\n-----END PGP", "hunter"),
    (r'{"private_key":"-----BEGIN PRIVATE KEY-----\nhunter\n","client_email":"x"}', "hunter"),
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
    ("at https://hooks.slack.com/workflows/" + "T0AB/A0CD/1234/efGH12", "at https://hooks.slack.com/workflows/<secret>"),
    ("POST /api/webhooks/" + "123456789/" + "aB3_" * 8, "POST /api/webhooks/<secret>"),
    *(
        (f"with {begin}{end}.", "with <secret>.")
        for begin, end in (
            ("glrt-", "a1B2" * 5), ("glptt-", "a1b2" * 10), ("glcbt-64_", "a1B2" * 5),
            ("xapp-1-A0B-12-", "a1" * 20), ("hvb.", "a1B2" * 10), ("doo_v1_", "a1" * 32),
            ("dckr_pat_", "a1B2" * 7), ("rubygems_", "a1" * 24), ("sntrys_", "a1B2" * 10),
            ("glsa_", "a1B2" * 8 + "_12345678"), ("lin_api_", "a1B2" * 10), ("figd_", "a1B2" * 10),
            ("hf_", "aBcD" * 9), ("pscale_pw_", "a1B2" * 8), ("tskey-auth-", "a1B2" * 5),
            ("NRAK-", "A1B" * 9), ("PMAK-", "a1b2" * 6 + "-" + "a1" * 17),
            ("ATATT3xFf", "a1B2" * 20), ("AGE-SECRET-KEY-1", "QP" * 29),
        )
    ),
]  # fmt: skip
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
    "token_count=5, max_tokens=4096, tokens: 512 and tokenCount=7",
    '"usage":{"prompt_tokens":12},"tokens":{"input":12,"output":7}',
    "password_changed_at=2026-01-02T03:04:05Z password_policy=strict",
    'token_type=bearer expires_in=3600 token_ttl: 60 "tokenExpiresAt":1767323045678',
    "secretName: db-creds, token_file=/run/token, token_url=https://login.example.com/t",
    "has_password=true api_key=null secret: None",
    "pin_count: 3, pin 3 of the connector, gpio pin: 13, pinned=4711 ping: 1234 ms",
    "mapping: 4711 shipping=48213 opinion: 1234",
    "otp-service: 2026-01-02 ready, cvv missing, code=404, status_code: 503, exit code: 137",
    "security checks: 5 of 12 passed, verification took 1234 ms, mfa enabled",
    "one-time job 48213 is done, pin: 2.14.3, one of your orders is your 4th",
    '{"name":"LOG_LEVEL","value":"debug"},{"name":"PORT","value":"8080"}',
    '{"name":"TOKEN_TTL","value":"3600"}, fields ["password","email"] are needed',
    "a two-pass compile, per-token cost, cross-account access, run -v --pass-through",
    "grep -p x, tar -a y, mysql is up, ps -u root, curl -u is deprecated, docker login -h",
    "Set-Cookie was refused, cookie_domain= cookie-name: sid",
    "hooks.slack.com/services is down, GET /api/webhooks/stats, npm_config_cache=/tmp",
    "gl-account-4711, hf_model, task-runner-sk-worker, xapp-status, lin_api_v2",
]


@pytest.mark.parametrize(("line", "secret"), SECRETS)
def test_what_is_labelled_secret_leaves(line: str, secret: str) -> None:
    for shown in (masked(line), concealed(line)):
        assert secret not in shown
        assert "<secret>" in shown


@pytest.mark.parametrize(("line", "expected"), PERSONAL)
def test_personal_data_is_known_by_its_shape(line: str, expected: str) -> None:
    assert masked(line) == expected


def test_an_address_may_stand_behind_a_label() -> None:
    line = "peer:2001:db8::8a2e:370:7334 node:fe80::1%eth0 ::ffff:10.0.0.1 code:12:34 to:fe80::1"
    assert masked(line) == "peer:<ip> node:<ip>%eth0 ::ffff:<ip> code:12:34 to:<ip>"


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
    line = (
        '{"password":{"value":"x"},"a":["--token","x","-v"],"b":{"name":"TOKEN","value":"x","c":1}}'
    )
    assert masked(line) == (
        '{"password":<secret>,"a":["--token","<secret>","-v"],'
        '"b":{"name":"TOKEN","value":"<secret>","c":1}}'
    )
    line = "Cookie: a=1; b=2 path=/x pin: 4711, otp=123456; mysql -px shop --password 'x y' -v"
    assert masked(line) == (
        "Cookie: <secret> path=/x pin: <secret>, otp=<secret>;"
        " mysql -p<secret> shop --password '<secret>' -v"
    )


@pytest.mark.parametrize(
    "unit",
    [
        "a", '"', "'", " ", "\\", '\\"', "[", "{", "[{", '{"', "(", "=", ":", "-", "--", "@", "1 ", "\n",
        "password:{", "password:[", 'password="', 'token:{"a":', r"\"token\":\"", "tokens:{a:1,",
        "token{'token':{'", "cookie:", "cookie: a=", "authorization: digest a=", "value:",
        '"value":"x","name":', "name:", "name: token value", "('token','", "mysql ", "mysql a ",
        "curl -u a", "--a-", '--password "', "--password', '", "a-b-", "pin:", "pin is ", "otp: 123 ",
        "one time pass", "1234 is your a ", "jdbc:oracle:thin:", "sqlplus a/", "://a:", "a:@tcp(",
        "-----BEGIN PRIVATE KEY-----", "basic aaaa", "<token>", "eyJaaaaaaaa.", "sk-", "glrt-aaaaaaa.",
        "/api/webhooks/12345678/", "fe80:", "a:::", "a@a.",
    ],
)  # fmt: skip
def test_a_hostile_text_takes_no_for_ever(unit: str) -> None:
    """Quadratic steps would be minutes here; all patterns take some steps a character."""
    text = unit * (100_000 // len(unit))
    assert len(masked(text)) < 10 * len(text)


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
