"""What the endurance bench makes of what it saw."""

import pytest

from benchmarks.endurance import Look, Phase, Seen, failed, figures, growth
from benchmarks.pace import Sums


def looks(seconds: int) -> list[Look]:
    """Memory fills in the first ten seconds, then grows by 3 MiB a minute."""
    return [
        Look(
            float(at),
            at % 7,
            at % 3,
            {"detect": 300.0 + min(at, 10) * 20 + at / 20},
            {"detect": at / 2},
        )
        for at in range(seconds)
    ]


def test_growth_is_that_of_the_time_after_the_caches_are_full() -> None:
    assert growth(looks(100))["detect"] == pytest.approx(3.0)


def phases() -> dict[str, Phase]:
    return {
        "warm": Phase(0, 10, Sums(100)),
        "steady": Phase(10, 70, Sums(700, jumps=4)),
        "burst": Phase(70, 100, Sums(3700, jumps=5)),
        "after": Phase(100, 160, Sums(4300, jumps=6)),
    }


def test_latency_is_of_the_steady_time_alone() -> None:
    said = [(20.0, 100.0), (30.0, 200.0), (40.1, 300.0), (90.0, 5000.0)]
    found = figures(Seen(looks(160), said), phases(), burst=10)
    assert (found["anomalies"], found["p50_ms"], found["jumps"]) == (3, 200.0, 4)
    assert found["cpu_cores"]["detect"] == pytest.approx(0.5)
    assert found["burst"]["p99_ms"] == 5000.0


def test_a_burst_is_caught_up_with_when_less_than_a_second_is_left() -> None:
    behind = [look._replace(intake=50 if 70 <= look.at < 112 else 5) for look in looks(160)]
    found = figures(Seen(behind, [(20.0, 1.0), (21.0, 1.0)]), phases(), burst=10)
    assert found["burst"]["caught_up_s"] == 11.0
    assert found["burst"]["lag_records_most"] == 50


def test_a_bench_without_anomalies_measures_nothing() -> None:
    with pytest.raises(RuntimeError, match="only 1 of 4 jumps"):
        figures(Seen(looks(160), [(20.0, 1.0)]), phases(), burst=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("lost", 1), ("lost", -1), ("sums_agree", False), ("detect_reached_the_end", False)],
)
def test_a_loss_fails_the_bench(name: str, value: object) -> None:
    fine = {"lost": 0, "sums_agree": True, "detect_reached_the_end": True}
    assert not failed({f"endurance_{key}_at_10k": given for key, given in fine.items()})
    assert failed(
        {f"endurance_{key}_at_10k": given for key, given in (fine | {name: value}).items()}
    )
