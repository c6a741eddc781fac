"""What is heard beside the scorer, through detect as it runs."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from schemas.anomalies import Anomaly
from schemas.errors import Rejected
from schemas.frames import Samples, canonical
from schemas.operations import Tick
from schemas.verdicts import Bar, BarStep
from streams.settings import Settings

T0 = 1_767_323_045  # epoch s
NAMES = [canonical(f"m{n}", {"service": "checkout", "pod": 'a"b'}) for n in range(4)]
GAUSS = {"name": "anomaly.GaussianScorer", "params": {"grace_period": 50}, "quantile": 0.999}
CRASHES = {  # a window that forgets huge values is left with a negative variance
    "name": "anomaly.GaussianScorer",
    "params": {"window_size": 5, "grace_period": 1},
}


def values(length: int = 400, seed: int = 4) -> Any:
    return np.random.default_rng(seed).normal(100, 3, (length, len(NAMES)))


def frames(table: Any, first: int = 0) -> list[Samples]:
    """Frames of ten seconds."""
    count = len(NAMES)
    return [
        Samples(
            NAMES,
            np.tile(np.arange(count, dtype=np.int32), len(part)),
            np.repeat(1000 * (T0 + np.arange(n, n + len(part), dtype=np.int64)), count),
            part.ravel(),
        )
        for n in range(first, first + len(table), 10)
        if len(part := table[n - first : n - first + 10])
    ]


def detect(**settings: Any) -> Detect:
    return Detect(DetectSettings.model_validate(settings), {"checkout": "shop"})


def run(by: Detect, some: list[Samples], first: int = 0) -> list[Anomaly]:
    return [a for n, frame in enumerate(some, first) for a in by.feed(frame, 0, n)]


def spiked(at: int, series: tuple[int, ...] = (0,), height: float = 60, length: int = 6) -> Any:
    table = values()
    for one in series:
        table[at : at + length, one] += height
    return table


def bar(at: float, factor: float, service: str = "checkout") -> Bar:
    moment = datetime.fromtimestamp(at, UTC)
    return Bar(
        at=moment, group=service, service=service, incident="inc-1", factor=factor,
        steps=(BarStep(at=moment, factor=factor),), counted=("v",), reason="",
    )  # fmt: skip


def opened(said: list[Anomaly]) -> list[str]:
    return [each.series for each in said if each.change == "opened"]


# ---- siblings


def test_an_anomaly_tells_how_many_siblings_moved_with_it() -> None:
    alone = run(detect(), frames(spiked(300)))[0]
    assert (alone.siblings, alone.siblings_moved) == (3, 0)
    together = run(detect(), frames(spiked(300, (0, 1, 3))))
    assert {(a.siblings, a.siblings_moved) for a in together if a.change == "opened"} == {(3, 2)}


def test_it_is_told_the_same_when_a_frame_is_read_twice() -> None:
    once, twice = detect(), detect()
    some = frames(spiked(300, (0, 1)))
    want = run(once, some)
    said = [a for n, frame in enumerate(some) for _ in range(2) for a in twice.feed(frame, 0, n)]
    assert said == want


# ---- bars


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (bar(T0, 2.0), 0),
        (bar(T0 + 299, 2.0), 0),
        (bar(T0 + 302, 2.0), 1),
        (bar(T0, 1.01), 1),
        (bar(T0, 2.0, "queue"), 1),
    ],
    ids=["from before", "just before", "only after", "barely higher", "another's"],
)
def test_a_bar_applies_to_its_service_from_its_time_on(of: Bar, said: int) -> None:
    hearing = detect()
    assert hearing.hear(of, 0) is not None
    assert hearing.hear(of, 0) is None, "a copy is no news"
    assert len(opened(run(hearing, frames(spiked(300))))) == said


def test_a_lower_bar_says_what_was_none() -> None:
    low = frames(spiked(300, height=22))
    assert opened(run(detect(), low)) == []
    hearing = detect()
    hearing.hear(bar(T0, 1 / 1.5), 0)
    assert opened(run(hearing, low)) == [NAMES[0]]


def test_after_a_restart_the_bars_are_as_they_were_kept() -> None:
    first, second = detect(), detect()
    kept = first.hear(bar(T0, 2.0), 0)
    assert kept is not None
    second.load(0, {})
    second.recall(0, kept)
    assert opened(run(second, frames(spiked(300)))) == []
    second.drop(0)
    second.load(0, {})
    assert opened(run(second, frames(spiked(300)))) == [NAMES[0]]


def test_another_event_is_none_of_its_business() -> None:
    other = Tick(at=datetime.fromtimestamp(T0, UTC), group="", number=1)
    with pytest.raises(Rejected, match="tick is nothing that detect hears"):
        detect().hear(other, 0)


# ---- River's detectors by name


def test_a_service_may_be_given_a_detector_of_rivers_by_name() -> None:
    said = run(detect(models={"checkout": GAUSS}), frames(spiked(300)))
    first = next(a for a in said if a.series == NAMES[0] and a.change == "opened")
    assert first.statistic == "river anomaly.GaussianScorer"
    assert first.since.timestamp() == T0 + 300
    others = run(detect(models={"queue": GAUSS}), frames(spiked(300)))
    assert not any("river" in a.statistic for a in others)


def test_only_the_metrics_that_are_meant_have_it_and_only_so_many() -> None:
    def modelled(**more: Any) -> tuple[int, list[str]]:
        by = detect(models={"checkout": GAUSS | more})
        run(by, frames(values(50)))
        return len(by.opinions(0)._models), by.notes()

    assert modelled() == (4, [])
    assert modelled(metrics="^m[12]$") == (2, [])
    count, notes = modelled(series=3)
    assert (count, len(notes)) == (3, 1)
    assert "more than 3 series a partition" in notes[0]


def test_a_crash_hands_the_series_back_loudly_and_once() -> None:
    table = values(400)
    table[:, :3] = 1e8 * (np.arange(400)[:, None] % 7) + 3e7
    table[200:, :3] = 0.1
    by = detect(models={"checkout": CRASHES | {"quantile": 0.99}})
    run(by, frames(table))
    notes = by.notes()
    assert len(notes) == 1
    assert notes[0].startswith("detect.models.checkout: GaussianScorer.score_one: ")
    assert notes[0].endswith("the vectorised scorer has the series now")
    assert by.opinions(0).faults.total() == 3
    assert by.notes() == []
    assert len(by.opinions(0)._models) == 4


def test_what_fell_is_scored_as_if_it_had_never_had_a_model() -> None:
    table = spiked(390)
    table[150:160, 0] = 1e9
    plain, by = detect(), detect(models={"checkout": GAUSS})
    run(by, frames(table[:200]))
    model = by.opinions(0)._models[0]
    model.fallen = "it crashed"
    after = run(by, frames(table[200:], 200), 20)
    run(plain, frames(table[:200]))
    want = run(plain, frames(table[200:], 200), 20)
    assert [a.id for a in after if a.series == NAMES[0]] == [
        a.id for a in want if a.series == NAMES[0]
    ]


def test_after_a_restart_a_model_is_learned_from_the_last_points() -> None:
    first = detect(models={"checkout": GAUSS})
    run(first, frames(values(300)))
    saved = {n: block.dump() for n, block in enumerate(first.blocks(0))}
    second = detect(models={"checkout": GAUSS})
    second.load(0, saved)
    run(second, frames(values(60, seed=9), 300), 30)
    models = [by.opinions(0)._models[0] for by in (first, second)]
    assert [len(model._past) for model in models] == [300, 60 + 60]
    assert [model.decides for model in models] == [True, True]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"name": "anomaly.Nothing"}, "river has no anomaly.Nothing"),
        ({"name": "os.system"}, "river has no os.system"),
        ({"name": "anomaly.LODA", "params": {"bins": 3}}, "river.anomaly.LODA cannot be built"),
        ({"name": "linear_model.LinearRegression"}, "does not score anomalies"),
        ({"name": "anomaly.LODA", "metrics": "("}, "not a regular expression"),
        ({"nam": "anomaly.LODA"}, "name"),
    ],
)
def test_a_model_that_cannot_be_is_refused_when_settings_are_read(
    model: dict[str, Any], words: str, tmp_path: Any
) -> None:
    file = tmp_path / "sentinel.yaml"
    file.write_text(f"detect: {{models: {{checkout: {model}}}}}", encoding="utf-8")
    with pytest.raises(Rejected, match=r"detect\.models\.checkout") as refused:
        Settings.load({}, file)
    assert words in str(refused.value)
