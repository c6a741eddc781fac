"""Tenants: whose a record is, under which limits, and which settings make no sense."""

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.topics import RAW_LOGS, RAW_METRICS
from streams.formats.avro_schema import NoSchemas
from streams.formats.limits import Limits, Refused
from streams.formats.series import ByLabel, SeriesIndex
from streams.intake.lanes import DEFAULT
from streams.intake.settings import IntakeSettings
from streams.intake.tenants import Tenancy, Tenant, lanes, owner

TENANTS = {
    "shop": Tenant(topics=("shop.metrics",), weight=2.0, limits=Limits(series=5)),
    "pay": Tenant(limits=Limits(late_s=10.0)),
}


def tenancy(tenants: dict[str, Tenant], label: str = "") -> Tenancy:
    return Tenancy(tenants, Limits(series=100, future_s=60.0), label, NoSchemas())


def record(*headers: tuple[str, bytes | None]) -> Any:
    return SimpleNamespace(headers=lambda: list(headers))


@pytest.mark.parametrize(
    ("headers", "topic", "expected"),
    [
        ((("tenant", b"pay"),), "shop.metrics", "pay"),  # the header says it
        ((), "shop.metrics", "shop"),  # else the topic
        ((), "raw.metrics", DEFAULT),
        ((("tenant", b"nobody"),), "shop.metrics", "shop"),  # no tenant of ours
        ((("tenant", None), ("tenant", b"\xff")), "raw.metrics", DEFAULT),
    ],
)
def test_header_then_topic_say_whose_a_record_is(
    headers: tuple[tuple[str, bytes | None], ...], topic: str, expected: str
) -> None:
    given = record(*headers)
    assert tenancy(TENANTS).split([given], owner(TENANTS, topic)) == {expected: [given]}


def test_records_of_a_topic_are_parted_in_their_order() -> None:
    pay, ours = [record(("tenant", b"pay")) for _ in range(2)], [record() for _ in range(2)]
    parted = tenancy(TENANTS).split([ours[0], pay[0], ours[1], pay[1]], "shop")
    assert parted == {"shop": ours, "pay": pay}


def test_a_limit_that_a_tenant_does_not_set_is_the_common_one() -> None:
    readings = tenancy(TENANTS).readings
    assert (readings["shop"].limits.series, readings["shop"].limits.future_s) == (5, 60.0)
    assert (readings["pay"].limits.series, readings["pay"].limits.late_s) == (100, 10.0)
    assert readings[DEFAULT].limits.series == 100


def test_a_tenant_fills_its_own_index_and_nobody_elses() -> None:
    readings = tenancy(TENANTS).readings
    for number in range(5):
        readings["shop"].series.learn(number, f"m{number}", {}, "s", 0)
    with pytest.raises(Refused, match="its tenant has 5 series already") as refusal:
        readings["shop"].series.learn(5, "m5", {}, "s", 0)
    assert (refusal.value.rule, refusal.value.service) == ("too-many-series-of-tenant", "s")
    assert readings[DEFAULT].series.learn(5, "m5", {}, "s", 0) == 0


def test_a_label_says_whose_a_series_is_and_old_ones_make_room() -> None:
    by_label = ByLabel("team", {"shop": Limits(series=2)})
    series = SeriesIndex(Limits(series_idle_s=10.0), by_label)
    for number in range(2):
        series.learn(number, f"m{number}", {"team": "shop"}, "s", 0)
    with pytest.raises(Refused, match="tenant shop has 2 series already"):
        series.learn(2, "m2", {"team": "shop"}, "other", 0)
    series.learn(3, "m3", {"team": "else"}, "s", 0)  # nobody with limits of its own
    assert series.sweep(0) is False
    assert series.sweep(11_000)
    assert series.learn(2, "m2", {"team": "shop"}, "other", 11_000) == 0


def test_a_sweep_keeps_count_of_the_tenants_that_stay() -> None:
    series = SeriesIndex(Limits(series_idle_s=10.0), ByLabel("team", {"shop": Limits(series=2)}))
    series.learn(0, "m0", {"team": "shop"}, "s", 0)
    series.learn(1, "m1", {"team": "shop"}, "s", 9_000)
    series.sweep(0)
    assert series.sweep(11_000)
    series.learn(2, "m2", {"team": "shop"}, "s", 11_000)
    with pytest.raises(Refused, match="tenant shop has 2 series already"):
        series.learn(3, "m3", {"team": "shop"}, "s", 11_000)


def test_lanes_know_topics_as_they_are_on_the_cluster() -> None:
    line = lanes(TENANTS, "eu-")
    line.put(("eu-shop.metrics", 0), [b"x"] * 100)
    line.put(("eu-raw.metrics", 0), [b"x"] * 100)
    taken = line.take(60, 0.0)
    shop, others = len(taken["eu-shop.metrics", 0]), len(taken["eu-raw.metrics", 0])
    assert shop + others == 60
    assert shop / others == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize(
    ("tenants", "said"),
    [
        ({"a": {"topics": ["nowhere"]}}, "topic nowhere is not in intake.topics"),
        (
            {"a": {"topics": [RAW_LOGS.name]}, "b": {"topics": [RAW_LOGS.name]}},
            "raw.logs is of two tenants, a and b",
        ),
        ({"a": {"bytes_per_s": 1000}}, "bytes_per_s hold for topics of its own"),
        ({"a": {"weight": 2, "topics": []}}, "name them in its topics"),
        ({"a": {"limits": {"serie": 1}}}, "Extra inputs"),
    ],
)
def test_settings_that_would_have_no_effect_are_refused(tenants: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        IntakeSettings.model_validate({"tenants": tenants})


def test_the_default_tenant_may_have_a_weight_and_limits() -> None:
    given = {DEFAULT: {"weight": 3, "bytes_per_s": 10, "limits": {"series": 7}}}
    settings = IntakeSettings.model_validate({"tenants": given})
    found = Tenancy(settings.tenants, settings.limits, "", NoSchemas())
    assert found.readings[DEFAULT].limits.series == 7
    line = lanes(settings.tenants, "")
    line.put((RAW_METRICS.name, 0), [b"x" * 10] * 100)
    line.take(1600, 0.0)
    assert list(line.held()) == [DEFAULT]
