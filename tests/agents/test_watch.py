"""The life of an anomaly, sample by sample."""

import pytest

from agents.watch import Sample, Verdict, Watch, WatchSettings, bounded, open_watch, step

SETTINGS = WatchSettings(clear_samples=3, adapt_samples=20, update_s=10)


def opened(direction: int = 1) -> Watch:
    return open_watch(
        "anm-1", Sample(100.0, 50.0, 1.5), kind=1, direction=direction, low=0.0, high=10.0
    )


def told(watch: Watch, *samples: tuple[float, float], start: float = 100.0) -> list[Verdict]:
    """Verdicts on (value, raw) samples, one a second."""
    out = []
    for n, (value, raw) in enumerate(samples, 1):
        verdict = step(watch, Sample(start + n, value, raw), SETTINGS)
        watch = verdict.watch
        out.append(verdict)
        if verdict.change == "cleared":
            break
    return out


def test_a_calm_score_at_a_bad_level_is_no_recovery() -> None:
    """The scorer learns the new level long before the service is well."""
    assert all(v.change != "cleared" for v in told(opened(), *[(50.0, 0.0)] * 15))


def test_it_recovers_when_it_is_back_for_some_samples() -> None:
    verdicts = told(opened(), *[(5.0, 0.0)] * 30)
    assert (verdicts[-1].change, verdicts[-1].ending) == ("cleared", "recovered")
    assert len(verdicts) > SETTINGS.clear_samples  # the smoothed value takes its time


def test_one_good_sample_between_bad_ones_is_no_recovery() -> None:
    assert all(v.change != "cleared" for v in told(opened(), *[(5.0, 0.0), (50.0, 0.0)] * 8))


def test_back_in_range_but_restless_is_no_recovery() -> None:
    assert all(v.change != "cleared" for v in told(opened(), *[(5.0, 1.2)] * 15))


def test_a_level_that_stays_becomes_the_normal_one() -> None:
    verdicts = told(opened(), *[(50.0, 0.0)] * 30)
    assert (verdicts[-1].change, verdicts[-1].ending) == ("cleared", "adapted")
    assert len(verdicts) == SETTINGS.adapt_samples


@pytest.mark.parametrize(
    ("direction", "value", "recovers"),
    [(1, -5.0, True), (1, 50.0, False), (-1, 50.0, True), (-1, -5.0, False), (0, 5.0, True), (0, 50.0, False)],
)  # fmt: skip
def test_the_side_that_it_left_by_is_the_one_that_counts(
    direction: int, value: float, *, recovers: bool
) -> None:
    verdicts = told(opened(direction), *[(value, 0.0)] * 19)
    assert (verdicts[-1].change == "cleared") is recovers


def test_updates_come_at_most_once_in_their_time_unless_it_gets_worse() -> None:
    verdicts = told(opened(), *[(50.0, 1.0)] * 12)
    assert [n for n, v in enumerate(verdicts, 1) if v.change == "updated"] == [10]
    worse = told(opened(), (90.0, 3.0))
    assert worse[0].change == "updated"
    assert worse[0].watch.score == 3.0


def test_an_infinite_range_can_be_written_down() -> None:
    assert bounded(float("inf")) == 1e300
    assert bounded(float("nan")) == 0.0
