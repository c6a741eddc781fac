"""Which format a topic is taken for: rightly, or honestly for none."""

import random
from collections.abc import Sequence

import pytest

from schemas.errors import Unavailable
from streams.connect.clues import Sampled
from streams.connect.recognise import Found, recognise
from streams.formats import FORMATS
from streams.formats.avro_schema import NoSchemas, Schema, Schemas
from tests.streams.connect.fleet import FLEET, STEP_MS, STRANGERS, timed
from tests.streams.formats.contract import Golden
from tests.streams.formats.goldens import GOLDENS
from tests.streams.formats.reading import NOW, SCHEMAS

MANY = 50
KINDS = [name for name in FLEET if name not in STRANGERS]


def sample(name: str, count: int = MANY, seed: int = 1) -> list[Sampled]:
    """Records of one of the fleet's topics."""
    return [Sampled(value, at, {}) for value, at in timed(name, count, NOW, seed)]


def of(records: Sequence[Sampled], topic: str = "shop", schemas: Schemas = SCHEMAS) -> Found:
    return recognise(topic, records, NOW, schemas=schemas)


def right(name: str) -> str:
    """The format that a topic of the fleet has."""
    return name.partition(" ")[0]


@pytest.mark.parametrize("name", KINDS)
def test_every_producers_topic_is_named_rightly(name: str) -> None:
    found = of(sample(name))
    assert (found.format, found.certainty in {"sure", "likely"}) == (right(name), True), found
    assert found.reasons[0].startswith(("50 of 50 records", "25 of 50", "33 of 50"))
    assert found.samples + found.lines >= MANY


def test_every_format_is_among_them() -> None:
    named = {name for name in FORMATS if "@" not in name}
    assert named == {right(name) for name in KINDS if "@" not in name}


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_none_of_ours_is_unsure(name: str) -> None:
    found = of(sample(name))
    assert (found.format, found.certainty) == ("", "unsure"), found
    assert all(candidate in FORMATS for candidate in found.candidates)
    assert found.reasons


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda g: f"{g.format} {g.raw[:20]!r}")
def test_golden_records_are_never_taken_for_another_format(golden: Golden) -> None:
    """A unit that is seen from the times need not be named; the adapter's two JSONs are one."""
    found = of([Sampled(golden.raw, golden.arrived, {})] * MANY)
    same = {golden.format, golden.format.partition("@")[0]}
    if golden.format == "prometheus-avro" and golden.raw.startswith(b"{"):
        same.add("prometheus-json")
    if golden.format == "collectd-json@totals":
        same.remove("collectd-json")
    assert found.format in same or found.certainty == "unsure", found


def test_nearly_all_golden_records_are_recognised() -> None:
    unsure = [g for g in GOLDENS if not of([Sampled(g.raw, g.arrived, {})] * MANY).format]
    assert len(unsure) * 10 < len(GOLDENS), unsure


@pytest.mark.parametrize("name", KINDS)
def test_a_single_record_is_too_little(name: str) -> None:
    found = of(sample(name, 1))
    assert (found.format, found.certainty) == ("", "unsure")
    assert right(name) in found.candidates


@pytest.mark.parametrize("name", KINDS)
def test_damaged_records_are_never_taken_for_another_format(name: str) -> None:
    """Each record with a few bytes changed, cut out or put in, in ten different ways."""
    for seed in range(10):
        chance = random.Random(f"{name}{seed}")
        records = [
            record._replace(value=damaged(record.value, chance))
            for record in sample(name, 20, seed)
        ]
        found = of(records)
        assert found.format in {"", right(name)}, (seed, found)


def damaged(value: bytes, chance: random.Random) -> bytes:
    raw = bytearray(value)
    for _ in range(chance.choice((1, 2, 4))):
        at = chance.randrange(len(raw))
        match chance.randrange(3):
            case 0:
                raw[at] ^= 1 << chance.randrange(8)
            case 1:
                del raw[at : at + chance.randint(1, len(raw) // 4)]
                raw = raw or bytearray(b"x")
            case _:
                raw[at:at] = chance.randbytes(2)
    return bytes(raw)


@pytest.mark.parametrize(("one", "other"), list(zip(KINDS, [*KINDS[7:], *KINDS[:7]], strict=True)))
def test_two_kinds_in_one_topic_are_told_apart(one: str, other: str) -> None:
    records = sample(one, 30) + sample(other, 20)
    found = of(records)
    assert found.certainty == "unsure"
    if right(one).partition("@")[0] == right(other).partition("@")[0]:
        return
    assert set(found.candidates) <= {
        right(one), right(other), "rsyslog", "prometheus-avro", "collectd-json",
    }  # fmt: skip
    assert any("two kinds" in warning for warning in found.warnings), found


@pytest.mark.parametrize("name", KINDS)
def test_a_few_strangers_are_said_and_do_not_mislead(name: str) -> None:
    records = sample(name, 47) + sample("orders", 2) + sample("random bytes", 1)
    found = of(records)
    assert (found.format, found.certainty) == (right(name), "likely")
    assert any("of 50 records would be refused" in warning for warning in found.warnings)


def test_the_lines_of_a_stack_trace_are_text_among_other_text() -> None:
    lines = [record.value for record in sample("text", 30)]
    trace = [
        b"java.lang.X: boom",
        *(b"\tat com.shop.Pay.charge(Pay.java:%d)" % i for i in range(19)),
    ]
    found = of([Sampled(value, NOW, {}) for value in lines + trace])
    assert (found.format, found.certainty) == ("text", "likely")
    assert not found.warnings


def test_nothing_but_empty_records() -> None:
    assert of([Sampled(b"", NOW, {})] * MANY).certainty == "unsure"


def test_empty_records_between_others_do_not_count() -> None:
    """A rate's first sample may be one of collectd's; compacted topics have tombstones."""
    records = [each for one in sample("collectd-json") for each in (one, Sampled(b"", NOW, {}))]
    assert of(records).format == "collectd-json"


def test_headers_are_followed_as_they_are_at_run_time() -> None:
    headers = {"sentinel-format": "telegraf-json"}
    records = [record._replace(headers=headers) for record in sample("telegraf-json")]
    found = of(records)
    assert (found.format, found.certainty) == ("telegraf-json", "sure")
    assert "have headers that say telegraf-json" in found.reasons[0]


def test_headers_that_name_no_format_are_said() -> None:
    records = [record._replace(headers={"sentinel-format": "jsonl"}) for record in sample("json")]
    found = of(records)
    assert (found.certainty, found.candidates) == ("unsure", ())
    assert "'jsonl', which is none" in found.reasons[0]


def test_headers_that_contradict_the_records_are_not_believed() -> None:
    headers = {"x-prometheus-remote-write-version": "2.0.0"}
    records = [record._replace(headers=headers) for record in sample("remote-write")]
    found = of(records)
    assert (found.format, found.certainty) == ("", "unsure")
    assert set(found.candidates) == {"remote-write", "remote-write-2"}


@pytest.mark.parametrize("name", ["influx", "telegraf-json"])
def test_a_unit_is_named_where_times_do_not_show_it(name: str) -> None:
    """A simulation's clock begins in 1970: its milliseconds look like seconds of 2026."""
    start = 1_767_323_045
    line = {
        "influx": "cpu,host=a usage={} {}",
        "telegraf-json": '{{"name":"cpu","tags":{{"host":"a"}},"fields":{{"usage":{}}},'
        '"timestamp":{}}}',
    }[name]
    records = [
        Sampled(line.format(i, start + i).encode(), start + i, {}) for i in range(0, 500, 10)
    ]
    found = recognise("shop", records, start + 500)
    assert found.format == f"{name}@ms"
    assert "only in milliseconds" in " ".join(found.reasons)


def test_a_service_is_suggested_where_records_name_none() -> None:
    found = of(sample("graphite"), topic="metrics.checkout-eu.v1")
    assert (found.format, found.service) == ("graphite", "checkout-eu")


def test_times_that_intake_would_refuse_are_said() -> None:
    late = 2 * 3_600_000
    records = [record._replace(at=record.at + late) for record in sample("beats")]
    (warning,) = of(records).warnings
    assert "7200 s old, 3600 allowed" in warning
    assert "intake.limits.late_s" in warning


def test_fields_that_are_passed_over_are_said() -> None:
    raw = b'{"service":"a","metric":"m","value":1,"time":%d,"pod":"p-%d"}'
    records = [Sampled(raw % (NOW, i), NOW, {}) for i in range(MANY)]
    found = of(records)
    assert (found.format, found.certainty) == ("json", "likely")
    assert found.warnings[0].startswith("pod: not read")


def test_avro_without_a_registry_is_unsure_and_says_what_to_do() -> None:
    found = of(sample("avro"), schemas=NoSchemas())
    assert (found.certainty, found.candidates) == ("unsure", ("avro",))
    assert "set intake.registry.url" in found.reasons[0]


def test_a_registry_that_is_away_costs_only_the_topics_that_need_it() -> None:
    class Away:
        """Cannot be reached."""

        def schema(self, number: int) -> Schema:
            """Never."""
            assert number == 7
            raise Unavailable("schema registry: connection refused")

    assert of(sample("avro"), schemas=Away()).reasons == ("schema registry: connection refused",)
    assert of(sample("json"), schemas=Away()).format == "json"


def test_rates_and_totals_of_collectd_are_not_confused() -> None:
    """Whole numbers that neither grow enough nor fall could be either."""
    found = of(sample("collectd-json@totals", 4))
    assert found.certainty == "unsure"
    assert set(found.candidates) == {"collectd-json", "collectd-json@totals"}


def test_a_secret_at_the_start_of_a_strange_record_is_not_shown() -> None:
    records = [Sampled(b"password=hunter%d;" % i, NOW, {}) for i in range(MANY)]
    strange = [Sampled(b'[1, "password=hunter2"]', NOW, {})] * MANY
    assert "hunter" not in repr((of(records), of(strange)))


def test_a_reader_that_refuses_them_is_believed() -> None:
    """Fluent Bit's time as a number, but nothing that could be a line's text."""
    raw = b'{"@timestamp":%d.5,"cpu":%d}'
    records = [Sampled(raw % (NOW // 1000 - STEP_MS * i // 1000, i), NOW, {}) for i in range(MANY)]
    found = of(records)
    assert (found.certainty, found.candidates) == ("unsure", ("fluentbit",))
    assert "its reader refuses too many of them" in found.reasons
