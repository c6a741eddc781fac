"""The log stage: lines in; templates, rates and anomalies out, the same whatever is read twice."""

import random
from collections.abc import Iterable, Iterator
from itertools import groupby

import pytest

from agents.logs.settings import LogSettings
from agents.logs.stage import Logs
from schemas.anomalies import Anomaly
from schemas.avro import encode
from schemas.errors import Rejected
from schemas.event import Event, Severity
from schemas.frames import Samples, write_samples
from schemas.templates import Template
from tests.agents.logs.lines import T0, Line, frame
from tests.schemas.test_masking import JWT

HOUR = 3600
FRAME_S = 10
Said = list[Event | Samples]


def logs(**settings: float) -> Logs:
    return Logs(LogSettings.model_validate(settings), {"shop": "all"})


def fed(stage: Logs, lines: Iterable[Line], first: int = 0) -> Said:
    """What the stage says of lines, in frames of FRAME_S seconds."""
    said: Said = []
    ordered = sorted(lines, key=lambda line: line.at)
    for n, (_, part) in enumerate(groupby(ordered, lambda line: line.at // FRAME_S)):
        said += stage.feed(frame(part), 0, first + n)
    return said


def usual(begin: int, end: int, service: str = "shop") -> Iterator[Line]:
    """A service as it is: three statements every few seconds, an error now and then."""
    for second in range(begin, end, 4):
        yield Line(second, f"order {second} paid in {second % 7} ms", service=service)
        yield Line(second + 0.3, f"cart of user {second} has {second % 3} items", service=service)
        if second % 8:
            yield Line(second + 0.5, "stock is in sync", service=service)
        if second % 400 == 0:
            yield Line(second + 0.6, f"payment {second} was refused", "error", service)


def anomalies(said: Said) -> list[Anomaly]:
    return [event for event in said if isinstance(event, Anomaly)]


def lives(said: Said) -> list[tuple[str, str, str]]:
    return [(a.kind, a.change, a.ending) for a in anomalies(said)]


def test_a_usual_hour_raises_nothing() -> None:
    said = fed(logs(), [*usual(0, HOUR), *usual(0, HOUR, "cart")])
    assert anomalies(said) == []


def test_a_young_service_raises_nothing_however_bad_its_lines() -> None:
    lines = [
        Line(second, f"{word} broke at {second}", "error")
        for second in range(500)
        for word in ("door", "window", "roof")
    ]
    assert anomalies(fed(logs(), lines)) == []


# ---- a template never seen


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        ("info", None),
        ("notice", None),
        ("", None),
        ("warning", Severity.low),
        ("error", Severity.medium),
        ("critical", Severity.high),
    ],
)
def test_a_template_never_seen_is_an_anomaly_when_it_says_warning_or_worse(
    level: str, severity: Severity | None
) -> None:
    news = [Line(1800, "disk /dev/sda1 of bob@example.com is failing", level)]
    found = anomalies(fed(logs(), [*usual(0, 2000), *news]))
    assert [(a.change, a.severity) for a in found] == ([("opened", severity)] if severity else [])
    for a in found:
        assert (a.source, a.service, a.group, a.value, a.high) == ("log", "shop", "all", 1, 0)
        assert a.series == 'log_new_templates{service="shop"}'
        assert a.evidence_lines == ("disk /dev/sda1 of <email> is failing",)
        assert "never seen in" in a.reason
        assert a.raw >= 1


def test_a_deploy_that_brings_five_hundred_templates_is_one_anomaly_with_a_count() -> None:
    draw = random.Random(5)
    words = ["".join(draw.choices("bcdfglmnprst", k=7)) for _ in range(1500)]
    news = [
        Line(1800 + n / 20, f"{words[3 * n]} {words[3 * n + 1]} with {words[3 * n + 2]}", "warning")
        for n in range(500)
    ]
    found = anomalies(fed(logs(), [*usual(0, 2400), *news]))
    new = [a for a in found if a.kind == "new template"]
    assert len({a.anomaly for a in new}) == 1
    assert [a.change for a in new] == ["opened", "updated", "cleared"]
    assert new[1].value > 400
    assert len(new[1].evidence_lines) == 5
    assert new[1].severity == Severity.medium
    assert new[-1].ending == "recovered"


def test_new_templates_that_go_on_are_the_new_normal_after_an_hour() -> None:
    news = [Line(1800 + 30 * n, f"disk {n} is failing", "warning") for n in range(150)]
    said = fed(logs(), [*usual(0, 6500), *news])
    assert lives(said) == [("new template", "opened", ""), ("new template", "cleared", "adapted")]


# ---- a template that vanishes


def test_a_template_that_stops_while_its_service_talks_on_is_missed_and_comes_back() -> None:
    lines = [
        line
        for line in usual(0, 2 * HOUR)
        if "sync" not in line.text or not HOUR < line.at < HOUR + 600
    ]
    found = anomalies(fed(logs(), lines))
    assert [(a.kind, a.change, a.ending) for a in found] == [
        ("missing template", "opened", ""),
        ("missing template", "cleared", "recovered"),
    ]
    opened, cleared = found
    assert (opened.at - opened.since).total_seconds() == 0
    assert opened.direction == "down"
    assert opened.evidence_lines == ("stock is in sync",)
    assert "stock is in sync" in opened.reason
    assert 580 <= (cleared.at - opened.at).total_seconds() + 70 <= 620


def test_what_was_never_regular_is_not_missed() -> None:
    rare = [Line(second, "cache was rebuilt") for second in (50, 900, 950, 2200)]
    assert anomalies(fed(logs(), [*usual(0, HOUR), *rare])) == []


def test_fewer_of_all_lines_is_no_missing_template() -> None:
    """Night: a tenth of the traffic, in no order."""
    draw = random.Random(4)
    night = [line for line in usual(HOUR, 2 * HOUR) if draw.random() < 0.1]
    quiet = fed(logs(), [*usual(0, HOUR), *night, *usual(0, 2 * HOUR, "cart")])
    assert [a for a in anomalies(quiet) if a.kind == "missing template"] == []


def test_a_service_that_says_nothing_while_others_do_is_an_anomaly_until_it_speaks() -> None:
    lines = [*usual(0, HOUR), *usual(HOUR + 300, 2 * HOUR), *usual(0, 2 * HOUR, "cart")]
    found = anomalies(fed(logs(), lines))
    assert [(a.kind, a.service, a.change, a.ending) for a in found] == [
        ("silent", "shop", "opened", ""),
        ("silent", "shop", "cleared", "recovered"),
    ]
    assert found[0].severity == Severity.medium
    assert (found[0].value, found[0].low) == (0, 1)
    assert "has said nothing for" in found[0].reason


def test_a_service_that_is_gone_is_told_once() -> None:
    found = fed(logs(), [*usual(0, HOUR), *usual(0, 5 * HOUR // 2, "cart")])
    assert lives(found) == [("silent", "opened", ""), ("silent", "cleared", "adapted")]


def test_when_nobody_says_anything_nobody_is_missed() -> None:
    """The pipeline was away: all is as before once it is back."""
    assert anomalies(fed(logs(), [*usual(0, HOUR), *usual(5 * HOUR, 6 * HOUR)])) == []


# ---- the share of errors


def test_a_jump_in_the_error_share_is_opened_updated_and_cleared() -> None:
    storm = [Line(HOUR + n / 2, f"payment {n} was refused", "error") for n in range(2 * 300)]
    found = anomalies(fed(logs(), [*usual(0, 2 * HOUR), *storm]))
    assert {a.kind for a in found} == {"error share"}
    assert len({a.anomaly for a in found}) == 1
    assert found[0].change == "opened"
    assert {a.change for a in found[1:-1]} == {"updated"}
    assert (found[-1].change, found[-1].ending) == ("cleared", "recovered")
    over = found[-1].at.timestamp() - (T0 / 1000 + HOUR + 300)
    assert 20 <= over <= 40  # incidents wait for it
    assert (found[0].at - found[0].since).total_seconds() == 0
    assert found[1].value > found[0].high
    (evidence,) = found[0].evidence_lines
    assert evidence.startswith("payment ")
    assert "lines are errors" in found[0].reason
    assert len({a.id for a in found}) == len(found)


# ---- the rest of what it says


def test_templates_are_listed_with_text_sample_and_the_same_id_everywhere() -> None:
    one = [e for e in fed(logs(), usual(0, 100)) if isinstance(e, Template)]
    other = fed(logs(), [*usual(50, 100), *usual(0, 100, "cart")])
    seen = {e.text: e for e in one if e.change == "seen"}
    assert set(seen) == {
        "order <*> paid in <*> ms", "cart of user <*> has <*> items", "stock is in sync",
        "payment <*> was refused",
    }  # fmt: skip
    assert seen["payment <*> was refused"].severity == "error"
    assert seen["stock is in sync"].sample == "stock is in sync"
    there = {(e.text, e.template) for e in other if isinstance(e, Template)}
    assert {(e.text, e.template) for e in seen.values()} <= there


def test_merged_templates_are_told_with_what_they_became() -> None:
    lines = [
        Line(20 * n, f"session of {name} was opened by the gateway")
        for n, name in enumerate(("ann", "bob", "cyd", "dan", "eve", "fay", "gil", "hal"))
    ]
    events = [e for e in fed(logs(), [*lines, Line(300, "end")]) if isinstance(e, Template)]
    merged = [e for e in events if e.change == "merged"]
    assert merged
    assert {e.text for e in merged} == {"session of <*> was opened by the gateway"}
    assert {e.into for e in merged} == {events[0].template}
    assert {e.template for e in merged} <= {e.template for e in events if e.change == "seen"}


def test_rates_are_samples_of_one_service_each_in_order_of_time() -> None:
    said = fed(logs(), [*usual(0, 300), *usual(0, 300, "cart")])
    samples = [one for one in said if isinstance(one, Samples)]
    assert {f'service="{s}"' in one.names[0] for one in samples for s in ("shop", "cart")}
    newest: dict[str, int] = {}
    for one in samples:
        assert len({name.partition('service="')[2][:4] for name in one.names}) == 1
        for code, at in zip(one.code.tolist(), one.at.tolist(), strict=True):
            assert at > newest.get(one.names[code], 0)
            newest[one.names[code]] = at


def test_a_trace_is_one_entry_with_its_cause() -> None:
    trace = [
        Line(10, "order 7 failed", "error"),
        Line(10, "java.lang.IllegalStateException: cannot pay", "error"),
        Line(10, "\tat com.shop.Pay.run(Pay.java:12)", "error"),
        Line(10, "Caused by: java.net.ConnectException: refused", "error"),
    ]
    events = [
        e for e in fed(logs(), [*trace, Line(40, "ok"), Line(90, "ok")]) if isinstance(e, Template)
    ]
    first = next(e for e in events if e.severity == "error")
    assert first.count == 1
    assert "ConnectException" in first.text
    assert first.sample.count("\n") == 3


# ---- state


def whole_story() -> list[Line]:
    lines = [
        line for line in usual(0, 2 * HOUR) if "sync" not in line.text or not 4000 < line.at < 4600
    ]
    lines += [Line(3000 + n, f"disk {n} is failing", "warning") for n in range(200)]
    lines += [Line(5000 + n / 2, f"payment {n} was refused", "error") for n in range(300)]
    return lines


def identities(said: Said) -> list[object]:
    return [one.id if isinstance(one, Event) else write_samples(one) for one in said]


def test_a_restart_anywhere_changes_no_word_and_no_bit() -> None:
    frames = [
        frame(part)
        for _, part in groupby(
            sorted(whole_story(), key=lambda line: line.at), lambda line: line.at // 60
        )
    ]
    whole, expected = logs(), []
    for offset, lines in enumerate(frames):
        expected += whole.feed(lines, 0, offset)
    draw = random.Random(3)
    stage, found = logs(), {}
    saved: tuple[int, dict[int, bytes]] = 0, {}
    offset = 0
    while offset < len(frames):
        found[offset] = stage.feed(frames[offset], 0, offset)
        offset += 1
        if draw.random() < 0.05:
            saved = offset, {0: stage.blocks(0)[0].dump()}
        if draw.random() < 0.04:  # killed: what was saved last is read back, the rest read again
            stage = logs()
            stage.load(0, saved[1])
            offset = max(saved[0] - 2, 0)
            while offset < saved[0]:
                assert stage.feed(frames[offset], 0, offset) == []
                offset += 1
    again = [one for offset in sorted(found) for one in found[offset]]
    assert identities(again) == identities(expected)
    assert stage.blocks(0)[0].dump() == whole.blocks(0)[0].dump()
    assert {a.kind for a in anomalies(expected)} == {
        "new template",
        "missing template",
        "error share",
    }
    assert len({e.id for e in expected if isinstance(e, Event)}) == len(
        [e for e in expected if isinstance(e, Event)]
    )


def test_a_block_that_cannot_be_read_is_refused_unless_it_may_be_learned_anew() -> None:
    with pytest.raises(Rejected, match=r"cannot be read.*logs.reset_damaged"):
        logs().load(0, {0: b"nothing"})
    assert "cannot be read" in logs(reset_damaged=True).load(0, {0: b"nothing"})[0]


# ---- what must not be stored

SEEDED = {
    "e-mail": ("mail to marie.curie@radium.example now", "marie.curie"),
    "card": ("paid with 4111 1111 1111 1111 today", "1111 1111"),
    "card, no gaps": ("paid with card 5555555555554444", "5555555555554444"),
    "IPv4": ("login from 203.0.113.77 failed", "203.0.113.77"),
    "IPv6": ("login from 2001:db8::8a2e:370:7334 failed", "8a2e:370"),
    "bearer": ("sent Authorization: Bearer abcdefghijklmnopqrstuv", "abcdefghijklmnop"),
    "AWS key": ("using AKIA" + "IOSFODNNZEXAMPLE" + " for upload", "IOSFODNNZEXAMPLE"),
    "AWS secret": ("aws_secret_access_key=wJalrXUtnFEMIbPxRfiCYzEXAMPLEKEYqq", "wJalrXUtn"),
    "URL": ("connect to postgres://app:hushhush@db/orders", "hushhush"),
    "password": ("login with password=hushhush refused", "hushhush"),
    "JWT": (f"token was {JWT} rejected", JWT.split(".")[1]),
    "GitHub": ("clone with ghp_" + "abcdefghij" * 4 + " denied", "abcdefghijabcdefghij"),
    "Slack": ("posting with xoxb-" + "abcdefghijklmnopq" + " denied", "abcdefghijklmnopq"),
    "IBAN": ("transfer to DE89 3704 0044 0532 0130 00 booked", "0532 0130"),
    "SSN": ("applicant 078-05-1120 checked", "078-05-1120"),
    "phone": ("texted +49 30 901820 twice", "901820"),
}


@pytest.mark.parametrize("level", ["info", "error"])
def test_no_secret_is_in_any_event_sample_or_block(level: str) -> None:
    """In lines of their own, in a trace, as a label, said young and late, held back at the end."""
    lines = list(usual(0, 1500))
    for at in (5, 1300):
        for n, (text, _) in enumerate(SEEDED.values()):
            lines += [
                Line(at + n / 10, text, level, labels=f'{{said="{text.replace(chr(34), "")}"}}'),
                Line(at + 20 + n, f"order failed: {text}", level),
                Line(at + 20 + n, f"\tat shop.Pay({text})", level),
                Line(at + 20 + n, f"Caused by: shop.PayError: {text}", level),
            ]
    lines += [
        Line(1499.9, text, level, labels=str(n)) for n, (text, _) in enumerate(SEEDED.values())
    ]
    stage = logs()
    said = fed(stage, lines)
    stored = b"\n".join(
        write_samples(one) if isinstance(one, Samples) else encode(one)[0] for one in said
    )
    (block,) = stage.blocks(0)
    states = [
        block.joiner.dump(),
        block.tally.dump(),
        *map(_plain, block.miner._table),
        block.dump(),
    ]
    stored += b"\n".join(states)
    assert [name for name, (_, secret) in SEEDED.items() if secret.encode() in stored] == []
    assert any(isinstance(one, Anomaly) for one in said) == (level == "error")


def _plain(template: object) -> bytes:
    return template.text.encode()  # type: ignore[attr-defined, no-any-return]
