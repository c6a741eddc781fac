"""Redaction: what is masked, dropped and hashed, what stays, and what comes of series that meet."""

import doctest
from pathlib import Path

import cramjam
import numpy as np
import pytest
from pydantic import SecretStr, ValidationError

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from schemas.frames import Samples
from streams.formats import FORMATS
from streams.formats.columns import Batch, LineColumns, Parsed, Reading
from streams.formats.limits import Limits
from streams.formats.series import SeriesIndex
from streams.intake.redaction import Redaction
from streams.intake.redaction_settings import RedactionSettings

MIB = 1024 * 1024
KEY = SecretStr("of this test alone")
AT = np.array([1_767_323_045_678], np.int64)
ALL_OFF = dict.fromkeys(("email", "card", "token", "iban", "phone", "person", "ip"), False)
CARD = "4111111111111111"


def redaction(**settings: object) -> Redaction:
    return Redaction(RedactionSettings.model_validate(settings), MIB)


def lines(*texts: str, labels: str = "{}") -> LineColumns:
    n = len(texts)
    return LineColumns(["shop"] * n, np.zeros(n, np.int64), [""] * n, list(texts), [labels] * n)


def read(rules: Redaction, *events: str, late_s: float = 0) -> tuple[Reading, Parsed]:
    limits = Limits(late_s=late_s, future_s=0)
    reading = Reading(limits, SeriesIndex(limits, show=rules.label))
    batch = Batch(
        [event.encode() for event in events], AT.repeat(len(events)), AT.repeat(len(events))
    )
    return reading, FORMATS["json"](batch, reading)


def metric(labels: str, service: str = "shop", at: int = 1_767_323_045_678) -> str:
    return f'{{"service":"{service}","metric":"m","at":{at},"value":1,"labels":{{{labels}}}}}'


# ---- lines


@pytest.mark.parametrize(
    ("off", "text", "shown"),
    [
        ("email", "ann@example.com paid", "<email> paid"),
        ("card", f"paid with {CARD}", "paid with <card>"),
        ("token", "password=hunter was refused", "password=<secret> was refused"),
        ("iban", "from DE89370400440532013000", "from <account>"),
        ("phone", "called +49 30 901820", "called <phone>"),
        ("person", "of 078-05-1120", "of <person>"),
    ],
)
def test_each_kind_is_masked_unless_it_is_switched_off(off: str, text: str, shown: str) -> None:
    assert redaction().lines(lines("all is well", text)).text == ["all is well", shown]
    assert redaction(**{off: False}).lines(lines(text)).text == [text]


def test_addresses_are_a_choice() -> None:
    text = "peer 192.168.7.12 left for 2001:db8::8a2e:370:7334"
    assert redaction().lines(lines(text)).text == [text]
    assert redaction(ip=True).lines(lines(text)).text == ["peer <ip> left for <ip>"]


def test_lines_without_anything_are_handed_on_as_they_are() -> None:
    given = lines("order 4821 paid", "tests passed")
    assert redaction().lines(given) is given
    assert redaction(**ALL_OFF).lines(lines("ann@example.com")).text == ["ann@example.com"]


def test_a_private_key_that_is_logged_line_by_line_is_masked_also_over_two_batches() -> None:
    rules = redaction()
    first = rules.lines(lines("-----BEGIN EC PRIVATE KEY-----", "MHcCAQEEIBYX", "order 7 paid"))
    assert first.text[1:] == ["<secret>", "order 7 paid"]
    others = rules.lines(lines("MHcCAQEEIBYX", labels='{pod="b"}'))
    assert others.text == ["MHcCAQEEIBYX"]  # of a source that logs no key
    second = rules.lines(
        lines("oAoGCCqGSM49", "Aw==", "-----END EC PRIVATE KEY-----", "AwEHoUQDQgAE")
    )
    assert second.text == ["<secret>", "<secret>", "-----END EC PRIVATE KEY-----", "AwEHoUQDQgAE"]


# ---- labels


def test_labels_are_masked_by_shape_and_by_name() -> None:
    reading, _ = read(
        redaction(),
        metric('"user":"ann@example.com","db_password":"hunter","secret":"tls","region":"eu"'),
    )
    assert reading.series.names == [
        'm{db_password="<secret>",region="eu",secret="tls",service="shop",user="<email>"}'
    ]


def test_a_label_whose_name_is_personal_is_left_out() -> None:
    reading, _ = read(redaction(), metric('"ann@example.com":"1","region":"eu"'))
    assert reading.series.names == ['m{region="eu",service="shop"}']


def test_labels_are_dropped_and_hashed_by_name_with_wildcards() -> None:
    rules = redaction(
        drop_labels=["internal.*"], hash_labels=["customer", "app.io/*"], hash_key=KEY
    )
    reading, _ = read(
        rules,
        metric('"internal.id":"7","Customer":"Jane Doe","app.io/owner":"Jane Doe"'),
    )
    (name,) = reading.series.names
    hashed = rules.label("customer", "Jane Doe")
    assert name == f'm{{Customer="{hashed}",app.io_owner="{hashed}",service="shop"}}'
    assert len(hashed) == 16


def test_a_hash_is_the_same_for_the_same_value_and_key_alone() -> None:
    one = redaction(hash_labels=["user"], hash_key=KEY)
    same = redaction(hash_labels=["user"], hash_key=KEY)
    other = redaction(hash_labels=["user"], hash_key="another key, as long")
    assert one.label("user", "ann") == same.label("user", "ann")
    assert (
        len({one.label("user", "ann"), one.label("user", "bob"), other.label("user", "ann")}) == 3
    )


def test_a_service_is_masked_or_hashed_like_any_label() -> None:
    reading, parsed = read(
        redaction(hash_labels=["service"], hash_key=KEY),
        metric(""),
        '{"service":"shop","at":1767323045678,"message":"hello"}',
    )
    hashed = redaction(hash_labels=["service"], hash_key=KEY).label("service", "shop")
    assert reading.series.services == parsed.lines.service == [hashed]
    reading, parsed = read(redaction(), metric("", service="ann@example.com"))
    assert reading.series.services == ["<email>"]


def test_what_is_refused_tells_its_service_as_it_is_seen() -> None:
    rules = redaction(hash_labels=["service"], hash_key=KEY)
    line = '{"service":"shop","at":1767323000000,"message":"hello"}'
    _, parsed = read(rules, metric("", at=1_767_323_000_000), line, late_s=1)
    hashed = rules.label("service", "shop")
    assert [reject.services for reject in parsed.rejects] == [((hashed, 1),)] * 2


def test_what_is_dropped_is_as_if_it_had_not_been_sent() -> None:
    """Also where it would have named the service: then the next one does, or nothing."""
    event = '{"metric":"m","at":1767323045678,"value":1,"labels":{"job":"a","app":"b"}}'
    reading, _ = read(redaction(drop_labels=["job"]), event)
    assert reading.series.names == ['m{app="b",service="b"}']
    _, parsed = read(redaction(drop_labels=["job", "app"]), event)
    assert [reject.rule for reject in parsed.rejects] == ["no-service"]


def test_series_that_differ_only_in_what_is_masked_become_one_that_detect_can_read() -> None:
    """Two samples at one time, over and over."""
    events = [
        metric(f'"user":"{user}@example.com"', at=1_767_323_045_678 + 1000 * second)
        for second in range(200)
        for user in ("ann", "bob")
    ]
    reading, parsed = read(redaction(), *events)
    assert reading.series.names == ['m{service="shop",user="<email>"}']
    frame = Samples(
        reading.series.names,
        parsed.samples.code.astype(np.int32),
        parsed.samples.at,
        parsed.samples.value,
    )
    assert len(frame) == 400
    assert [a for a in Detect(DetectSettings(), {}).feed(frame, 0, 0) if a.change == "opened"] == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hash_labels": ["user"]}, "hash_labels needs a hash_key of 16 characters or more"),
        ({"hash_labels": ["user"], "hash_key": "short"}, "hash_labels needs a hash_key"),
        ({"drop_labels": ["service"]}, "drop_labels covers `service`"),
        ({"hash_key": KEY}, "hash_key does nothing without hash_labels: name the labels"),
        ({"drop_labels": ["*"]}, "put it into hash_labels"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RedactionSettings.model_validate(settings)


def test_the_key_of_hashes_is_not_shown() -> None:
    assert "of this test" not in repr(RedactionSettings(hash_labels=("user",), hash_key=KEY))


# ---- dead letters


def letter(rules: Redaction, value: bytes, *, packed: bool = False, kept: int = 1000) -> bytes:
    return rules.letter(value, "because", kept, packed=packed).original


def test_a_dead_letter_has_its_record_masked() -> None:
    assert letter(redaction(), b'{"user":"ann@example.com","n":1}') == b'{"user":"<email>","n":1}'
    assert letter(redaction(**ALL_OFF), b"ann@example.com") == b"ann@example.com"


@pytest.mark.parametrize("before", range(985, 1001))
def test_no_half_of_a_secret_is_left_where_a_letter_is_cut(before: int) -> None:
    value = b"x" * (before - 1) + b" " + CARD.encode() + b" " + b"y" * 10_000
    shown = letter(redaction(), value)
    assert len(shown) <= 1000
    assert b"411" not in shown


@pytest.mark.parametrize("size", [*range(10, 16), ord("A"), ord("Z")])
def test_a_binary_record_with_a_secret_is_withheld(size: int) -> None:
    """Whatever byte says the string's length, it does not hide the string."""
    plain = b"\x0a\x05hello\x12" + bytes([size])
    assert letter(redaction(), plain + b"all is well\x00") == plain + b"all is well\x00"
    assert letter(redaction(), plain + CARD.encode() + b"\x00") == b""
    assert letter(redaction(), plain + b"eyJhbGciOiJI.eyJzdWIiOiIx.c2ln\x00") == b""


def test_a_packed_record_is_looked_into() -> None:
    good = bytes(cramjam.snappy.compress_raw(b"\x0a\x05hello hello hello hello"))
    bad = bytes(cramjam.snappy.compress_raw(b"\x0a\x05ann@example.com ann@example.com"))
    bomb = bytes(cramjam.snappy.compress_raw(b"\x00" * 2 * MIB))
    zipped = bytes(cramjam.gzip.compress(b"ann@example.com"))
    assert letter(redaction(), good, packed=True) == good
    for value in (bad, good[:-3], bomb, zipped, zipped[:-4]):
        assert letter(redaction(), value, packed=True) == b""


def test_a_record_with_a_label_that_is_hidden_is_withheld_and_its_reason_quotes_nothing() -> None:
    rules = redaction(hash_labels=["customer"], hash_key=KEY)
    shown = rules.letter(b'{"customer":"Jane"}', "'Jane' is no number", 1000, packed=False)
    assert shown.original == b""
    assert shown.reason.startswith("<hidden> is no number; the original holds")
    assert letter(rules, b'{"region":"eu"}') == b'{"region":"eu"}'


def test_headers_are_masked_as_labels_are() -> None:
    rules = redaction(drop_labels=["x-trace-*"])
    headers = {
        "authorization": "Bearer abc",
        "x-user": "ann@example.com",
        "x-trace-id": "7",
        "a": "b",
    }
    assert rules.headers(headers) == {"authorization": "<secret>", "x-user": "<email>", "a": "b"}


def test_the_page_tells_every_setting_and_its_example_is_so() -> None:
    page = Path(__file__).parents[3] / "docs" / "redaction.md"
    text = page.read_text()
    for name, field in RedactionSettings.model_fields.items():
        state = "**off**" if name == "ip" else "on" if field.default is True else ""
        assert f"| `{name}` | {state}" in text
    assert doctest.testfile(str(page), module_relative=False) == (0, 2)
