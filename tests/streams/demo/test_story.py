"""What the demo remembers of what it read."""

import numpy as np
import pytest

from schemas.frames import Samples
from streams.demo.story import P95, Point, StepEnd, Story
from tests.streams.demo.play import Play, fixed, quiet, rolled_back

SLOW = f'{P95}{{service="checkout"}}'
RATE = 'shop_batch_rate{service="shop-batch"}'


def frame(*samples: tuple[str, int, float]) -> Samples:
    names = sorted({name for name, _, _ in samples})
    code, at, value = zip(*((names.index(n), at, v) for n, at, v in samples), strict=True)
    return Samples(names, np.array(code, np.int32), np.array(at, np.int64), np.array(value))


def test_learning_is_as_far_as_the_service_that_has_sent_least() -> None:
    story = Story(["checkout", "shop-batch"])
    assert story.learned == 0
    story.sample(frame((SLOW, 1000, 0.1), (SLOW, 1250, 0.2), (RATE, 1000, 1.0)))
    assert story.learned == 1
    story.sample(frame((RATE, 1250, 1.0), ('other{service="elsewhere"}', 1, 1.0)))
    assert story.learned == 2
    assert story.series == 2


def test_what_is_drawn_is_kept_and_a_missing_value_is_not() -> None:
    story = Story(["checkout"])
    story.sample(frame((SLOW, 1000, 0.1), (SLOW, 1250, float("nan")), (SLOW, 1500, 0.3)))
    assert story.lines[P95] == [Point(1.0, 0.1), Point(1.5, 0.3)]


@pytest.mark.parametrize(
    ("play", "ends"),
    [
        (fixed, ["succeeded", "succeeded", "succeeded"]),
        (rolled_back, ["undone", "undone", "failed"]),
        (lambda: Play().found(), ["not reached", "not reached", "not reached"]),
        (lambda: Play().found().approved().stepped("succeeded"),
         ["succeeded", "not reached", "not reached"]),
        (quiet, []),
    ],
)  # fmt: skip
def test_every_step_of_the_plan_has_an_end(play: object, ends: list[str]) -> None:
    assert callable(play)
    assert [step.status for step in play().seen.story.steps] == ends


def test_a_precheck_that_refuses_is_the_steps_end() -> None:
    play = Play().found().approved()
    play.result(7, "precheck", "failed", 0)
    assert play.seen.story.steps[0] == StepEnd("scale-workers", "refused", "precheck failed")


def test_the_last_change_is_the_last_step_that_changed_something() -> None:
    change = rolled_back().seen.story.last_change
    assert change is not None
    assert (change.name, change.phase) == ("throttle-batch", "do")
    assert quiet().seen.story.last_change is None


def test_the_forecast_is_the_first_that_gives_minutes() -> None:
    play = fixed()
    story = play.seen.story
    timed = story.forecast
    assert timed is not None
    vague = timed.model_copy(
        update={"id": "early", "budget": timed.budget.model_copy(update={"minutes": None})}
    )
    play.script.said.insert(0, vague)
    assert play.seen.story.forecast == timed
    play.script.said = [vague]
    assert play.seen.story.forecast == vague
