"""SLO files: what is read, what is refused and where, what is said about what is read."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from runbooks.objectives import (
    BurnAlert,
    Objective,
    Period,
    SeriesSelector,
    alerts_for,
    length,
    lint,
    load,
)
from schemas.errors import Rejected

SHIPPED = Path(__file__).parents[2] / "runbooks" / "slo"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def source(metric: str, **labels: str) -> dict[str, Any]:
    return {"metricSource": {"spec": {"series": {"metric": metric, "labels": labels}}}}


def document() -> dict[str, Any]:
    return {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {"name": "checkout", "annotations": {}},
        "spec": {
            "service": "checkout",
            "budgetingMethod": "Occurrences",
            "timeWindow": [{"duration": "30d", "isRolling": True}],
            "indicator": {
                "spec": {"ratioMetric": {"good": source("good"), "total": source("all", env="eu")}}
            },
            "objectives": [{"target": 0.999}],
        },
    }


def put(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """The document with the value at a dotted path; `None` takes the key out."""
    *way, last = path.split(".")
    held: Any = document
    for key in way:
        held = held[int(key)] if isinstance(held, list) else held[key]
    if value is None:
        held.pop(last)
    else:
        held[last] = value
    return document


def written(folder: Path, *documents: dict[str, Any]) -> Path:
    file = folder / "slo.yaml"
    file.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    return file


def only(path: Path) -> Objective:
    (objective,) = load(path).objectives
    return objective


def test_the_shipped_example_loads_without_a_note() -> None:
    loaded = load(SHIPPED)
    assert [o.name for o in loaded.objectives] == ["checkout-availability"]
    assert loaded.notes == ()


def test_an_objective_holds_what_the_file_says(tmp_path: Path) -> None:
    found = only(written(tmp_path, document()))
    assert (found.service, found.target, found.bucket) == ("checkout", 0.999, MINUTE)
    assert found.period == Period(length=30 * DAY)
    assert found.good == SeriesSelector(metric="good")
    assert found.total.matches("all", {"env": "eu", "zone": "a"})
    assert not found.total.matches("all", {"env": "us"})
    assert not found.total.matches("good", {"env": "eu"})
    assert found.counter


@pytest.mark.parametrize(
    ("matcher", "labels", "matches"),
    [
        ('code!~"5.."', {"code": "200"}, True),
        ('code!~"5.."', {"code": "503"}, False),
        ('code=~"5.."', {"code": "5031"}, False),
        ('code=~"2..|3.."', {"code": "302"}, True),
        ('code!="500"', {}, True),
        ('code="500"', {}, False),
        (r'path="a\"b"', {"path": 'a"b'}, True),
    ],
)
def test_matchers_mean_what_they_mean_in_prometheus(
    tmp_path: Path, matcher: str, labels: dict[str, str], *, matches: bool
) -> None:
    series = "spec.indicator.spec.ratioMetric.total.metricSource.spec.series"
    changed = put(document(), f"{series}.matchers", [matcher])
    changed = put(changed, f"{series}.labels", {})
    assert only(written(tmp_path, changed)).total.matches("all", labels) is matches


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("spec.objectve", 1, "spec.objectve: unknown key: remove it or correct its spelling"),
        ("spec.alertPolicies", [], "spec.alertPolicies: unknown key"),
        ("spec.objectives.0.taget", 1, "spec.objectives.0.taget: unknown key"),
        ("spec.objectives.0.target", 1.0, "spec.objectives.0.target: Input should be less than 1"),
        ("spec.objectives.0.target", 99.9, "spec.objectives.0.target: Input should be less than 1"),
        ("spec.objectives.0.targetPercent", 99, "give exactly one of target"),
        ("spec.objectives", [], "spec.objectives: "),
        ("spec.service", None, "spec.service: Field required"),
        ("spec.budgetingMethod", "Timeslices", "Input should be 'Occurrences'"),
        ("spec.timeWindow.0.duration", "1 month", "'1 month' is no duration"),
        ("spec.timeWindow.0.duration", "99999999d", "'99999999d' is no duration"),
        ("spec.timeWindow.0.duration", "99Y", "'99Y' is too long"),
        ("spec.timeWindow.0.isRolling", False, "either isRolling: true or has a calendar"),
        ("spec.indicator.spec.ratioMetric.bad", source("b"), "exactly one of good and bad"),
        ("spec.indicator.spec.ratioMetric.good", None, "exactly one of good and bad"),
        ("apiVersion", "openslo/v1alpha", "Input should be 'openslo/v1'"),
        ("kind", "Service", "Input should be 'SLO'"),
        ("metadata.name", "Check Out", "metadata.name: String should match"),
        ("metadata.annotations", {"sentinel/bucketz": "1m"}, "unknown annotation sentinel/bucketz"),
        ("metadata.annotations", {"sentinel/bucket": "soon"}, "'soon' is no duration"),
        ("metadata.annotations", {"sentinel/bucket": "30d"}, "too wide for the timeWindow"),
        ("metadata.annotations", {"sentinel/alerts": "1h@2"}, "write it as 1h+5m@14.4=page"),
        ("metadata.annotations", {"sentinel/alerts": "1h+2h@2=page"}, "short window must be"),
        ("metadata.annotations", {"sentinel/alerts": "1h+5s@2=page"}, "shorter than sentinel/buck"),
    ],
)
def test_what_is_not_understood_is_refused_with_file_and_path(
    tmp_path: Path, path: str, value: object, said: str
) -> None:
    file = written(tmp_path, put(document(), path, value))
    with pytest.raises(Rejected) as refusal:
        load(file)
    assert str(file) in str(refusal.value)
    assert said in str(refusal.value)
    assert any(said in str(problem) for problem in lint(file))


@pytest.mark.parametrize("matcher", ["code=5..", 'code=~"("', 'code=="5"'])
def test_a_wrong_matcher_is_refused(tmp_path: Path, matcher: str) -> None:
    series = "spec.indicator.spec.ratioMetric.total.metricSource.spec.series"
    file = written(tmp_path, put(document(), f"{series}.matchers", [matcher]))
    with pytest.raises(Rejected, match=r"ratioMetric\.total"):
        load(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"a: [", "is no YAML"),
        (b"\xff\xfe\xff", "is no YAML"),
        (b"", "holds no SLO"),
        (b"- 1", "valid dictionary"),
        (b"a: 2025-13-01", "is no YAML"),
    ],
)
def test_a_broken_file_is_one_clear_line(tmp_path: Path, text: bytes, said: str) -> None:
    file = tmp_path / "slo.yaml"
    file.write_bytes(text)
    (problem,) = lint(file)
    assert said in str(problem)
    assert "\n" not in str(problem)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="cannot be read: No such file"):
        load(tmp_path / "none.yaml")


def test_every_error_of_a_folder_is_said_at_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("kind: 1", encoding="utf-8")
    with pytest.raises(Rejected) as refusal:
        load(tmp_path)
    assert {"a.yaml", "b.yaml"} <= {
        Path(line.split(":")[0]).name for line in str(refusal.value).splitlines()
    }


def test_two_objectives_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="'checkout' is defined twice"):
        load(written(tmp_path, document(), document()))


def test_several_targets_are_several_objectives(tmp_path: Path) -> None:
    targets = [{"target": 0.99}, {"targetPercent": 99.9}]
    loaded = load(written(tmp_path, put(document(), "spec.objectives", targets)))
    assert [(o.name, o.target) for o in loaded.objectives] == [
        ("checkout-99", 0.99),
        ("checkout-99.9", 0.999),
    ]


@pytest.mark.parametrize(
    ("target", "dead"),
    [(0.90, 1), (0.9305, 1), (0.9306, 0), (0.99, 0), (0.9999, 0), (0.8, 2), (0.5, 3)],
)
def test_an_alert_that_can_never_fire_is_noted(tmp_path: Path, target: float, dead: int) -> None:
    """The highest burn is 1/(1 - target): 14.4 is out of reach below 93.06 %."""
    loaded = load(written(tmp_path, put(document(), "spec.objectives.0.target", target)))
    assert sum("can never fire" in note for note in loaded.notes) == dead
    assert all(problem.severity == "warning" for problem in lint(tmp_path))


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        (30 * DAY, [(60, 5, 14.4), (360, 30, 6), (1440, 120, 3), (4320, 360, 1)]),
        (60 * DAY, [(120, 10, 14.4), (720, 60, 6), (2880, 240, 3), (8640, 720, 1)]),
        (7 * DAY, [(14, 1, 14.4), (84, 7, 6), (336, 28, 3), (1008, 84, 1)]),
        (HOUR, [(5, 1, 1.2), (6, 1, 1)]),
    ],
)
def test_windows_scale_with_the_period(
    period: timedelta, expected: list[tuple[int, int, float]]
) -> None:
    """Long and short in minutes, and the factor: share * period / long."""
    found = [(a.long / MINUTE, a.short / MINUTE, a.factor) for a in alerts_for(period, MINUTE)]
    assert found == expected


def test_the_workbooks_severities_stay_when_rows_fall_together() -> None:
    assert [a.severity for a in alerts_for(30 * DAY, MINUTE)] == ["page", "page"] + ["ticket"] * 2
    assert [a.severity for a in alerts_for(HOUR, MINUTE)] == ["page", "ticket"]


def test_alerts_can_be_written_in_the_file(tmp_path: Path) -> None:
    own = {"sentinel/alerts": "2h+10m@7.2=page, 1d+2h@3=ticket"}
    found = only(written(tmp_path, put(document(), "metadata.annotations", own)))
    assert found.alerts == (
        BurnAlert(long=2 * HOUR, short=10 * MINUTE, factor=7.2, severity="page"),
        BurnAlert(long=DAY, short=2 * HOUR, factor=3, severity="ticket"),
    )


@pytest.mark.parametrize(
    ("duration", "start", "zone", "now", "begin", "end"),
    [
        ("1M", "2025-01-01 00:00:00", "UTC", "2025-02-15", "2025-02-01T00", "2025-03-01T00"),
        ("1Q", "2025-01-01 00:00:00", "UTC", "2025-06-30", "2025-04-01T00", "2025-07-01T00"),
        ("1Y", "2024-01-01 00:00:00", "UTC", "2026-01-01", "2026-01-01T00", "2027-01-01T00"),
        ("1w", "2025-01-06 00:00:00", "UTC", "2025-01-19", "2025-01-13T00", "2025-01-20T00"),
        ("1d", "2025-01-06 00:00:00", "UTC", "2025-01-01", "2025-01-01T00", "2025-01-02T00"),
        # Berlin's summer time starts on 30 March 2025: that day has 23 hours
        ("1d", "2025-01-01 00:00:00", "Europe/Berlin", "2025-03-30", "2025-03-29T23", "2025-03-30T22"),
        ("1M", "2025-01-01 00:00:00", "Europe/Berlin", "2025-04-01", "2025-03-31T22", "2025-04-30T22"),
        ("1M", "2025-01-28 12:00:00", "UTC", "2025-03-01", "2025-02-28T12", "2025-03-28T12"),
    ],
)  # fmt: skip
def test_fixed_windows_turn_with_the_calendar_of_their_zone(
    tmp_path: Path, *, duration: str, start: str, zone: str, now: str, begin: str, end: str
) -> None:
    window = {"duration": duration, "calendar": {"startTime": start, "timeZone": zone}}
    found = only(written(tmp_path, put(document(), "spec.timeWindow", [window])))
    edges = found.period.bounds(datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert [f"{edge:%Y-%m-%dT%H}" for edge in edges] == [begin, end]
    assert not found.period.rolling


@pytest.mark.parametrize(
    ("start", "zone", "said"),
    [
        ("2025-01-31 00:00:00", "UTC", "February is short"),
        ("2025-01-01 00:00:00", "Mars/Olympus", "is no time zone"),
        ("tomorrow", "UTC", "Invalid isoformat"),
    ],
)
def test_a_wrong_calendar_is_refused(tmp_path: Path, start: str, zone: str, said: str) -> None:
    window = {"duration": "1M", "calendar": {"startTime": start, "timeZone": zone}}
    with pytest.raises(Rejected, match=said):
        load(written(tmp_path, put(document(), "spec.timeWindow", [window])))


def test_lengths_are_openslos() -> None:
    spelled = ["15s", "5m", "2h", "30d", "4w", "1M", "1Q", "1Y"]
    assert [length(text) / DAY for text in spelled[3:]] == [30, 28, 30, 90, 365]
    assert [length(text).total_seconds() for text in spelled[:3]] == [15, 300, 7200]
