"""When a whole partition falls silent, pulses tell: once, of what was live, whatever crashes."""

from collections.abc import Callable, Iterable
from itertools import count

import numpy as np
import pytest

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from agents.pulses import KEEP_S
from schemas.anomalies import Anomaly
from schemas.frames import COUNTED, Samples, canonical, pulse, read_samples, write_samples

T0 = 1_767_323_040_000  # ms, of samples
CPU = canonical("cpu", {"service": "checkout"})
PULSE_S = 5.0
HOURS = 3600.0

Word = tuple[float, float, str]  # second of arrival, second of the sample, series
Words = list[Word]


def every(name: str, seconds: float, begin: float, end: float, *, behind: float = 1.0) -> Words:
    """Samples that come `behind` seconds after their time."""
    return [(float(t) + behind, float(t), name) for t in np.arange(begin, end, seconds)]


def batches(name: str, begin: int, end: int, minute: int = 60) -> Words:
    """A shipper sends each minute what it saw each second."""
    return [(float(-(-(t + 1) // minute) * minute), float(t), name) for t in range(begin, end)]


def beats(begin: float, end: float, seconds: float = PULSE_S) -> list[float]:
    return [float(t) for t in np.arange(begin, end, seconds)]


def stream(words: Words, pulses: Iterable[float], *, ahead: float = 0.0) -> list[Samples]:
    """Frames as they would come; pulses have their moment `ahead` of the samples' clocks."""
    arriving: list[tuple[float, Word | None]] = [(word[0], word) for word in sorted(words)]
    arriving += [(at, None) for at in pulses]
    out: list[Samples] = []
    together: Words = []

    def cut() -> None:
        out.extend(frame(together[n : n + 500]) for n in range(0, len(together), 500))
        together.clear()

    for at, word in sorted(arriving, key=lambda one: (one[0], one[1] is None)):
        if word is not None:
            together.append(word)
        else:
            cut()
            out.append(pulse(T0 + round((at + ahead) * 1000)))
    cut()
    return out


def frame(words: Words) -> Samples:
    names = sorted({name for *_, name in words})
    code = np.array([names.index(name) for *_, name in words], np.int32)
    at = np.array([T0 + round(t * 1000) for _, t, _ in words], np.int64)
    return Samples(names, code, at, np.full(len(words), 5.0))


def new(**more: object) -> Detect:
    return Detect(DetectSettings.model_validate(more), {})


def said(detect: Detect, frames: Iterable[Samples], first: int = 0) -> list[Anomaly]:
    return [a for n, f in zip(count(first), frames, strict=False) for a in detect.feed(f, 0, n)]


def lives(events: Iterable[Anomaly]) -> list[tuple[str, float, str]]:
    """Changes in seconds since the beginning, in the time of samples."""
    return [(a.change, round(a.at.timestamp() - T0 / 1000, 3), a.ending) for a in events]


def test_a_service_alone_in_its_partition_is_missed_and_is_back_with_its_next_word() -> None:
    words = every(CPU, 10, 0, 600) + every(CPU, 10, 800, 900)
    out = said(new(), stream(words, beats(0, 900)))
    assert lives(out) == [("opened", 630.0, ""), ("cleared", 800.0, "recovered")]
    assert out[0].reason == "cpu has sent nothing for 40 s, came every 10 s"


def told_at(frames: list[Samples]) -> float:
    """As of when the first anomaly was told, in seconds since the beginning."""
    detect, last = new(), 0.0
    for n, one in enumerate(frames):
        last = max(last, one.as_of / 1000 - T0 / 1000)
        if detect.feed(one, 0, n):
            return last
    raise AssertionError("nothing was told")


def test_it_is_told_within_its_rhythm_and_some_pulses() -> None:
    """One until its last word is known for the last, and one until its time is over."""
    assert 591 + 40 <= told_at(stream(every(CPU, 10, 0, 600), beats(0, 900))) <= 591 + 55


def test_a_time_without_pulses_is_not_learned_as_silence() -> None:
    """It spoke all the while; what was missing was our reading."""
    pulses = beats(0, 500) + beats(900, 2000)
    assert 991 + 40 <= told_at(stream(every(CPU, 10, 0, 1000), pulses)) <= 991 + 55


def test_without_pulses_nobody_moves_its_clock() -> None:
    assert said(new(), stream(every(CPU, 10, 0, 600), [])) == []


def test_what_stays_away_is_gone_after_a_while() -> None:
    out = said(new(ended_s=120.0), stream(every(CPU, 10, 0, 600), beats(0, 3000)))
    assert lives(out) == [("opened", 630.0, ""), ("cleared", 750.0, "ended")]


def test_when_everything_stops_each_service_is_one_anomaly() -> None:
    """The bridge has died: 20 services of 8 series each, in one partition."""
    names = [
        canonical("cpu", {"service": f"s{n}", "host": str(host)})
        for n in range(20)
        for host in range(8)
    ]
    words = [word for name in names for word in every(name, 15, 0, 600)]
    out = said(new(), stream(words, beats(0, 900)))
    opened = [a for a in out if a.change == "opened"]
    assert sorted({a.service for a in opened}) == sorted(a.service for a in opened)
    assert len(opened) == 20
    last = {a.service: a.reason for a in out if a.change != "cleared"}
    assert all(reason.startswith("8 of 8 series of") for reason in last.values())


def test_an_open_anomaly_of_a_partition_that_falls_silent_ends() -> None:
    words = every(CPU, 2, 0, 800)
    frames = stream(words, beats(0, 1500))
    draw = np.random.default_rng(1)
    jumps = [
        Samples(f.names, f.code, f.at, draw.normal(100, 3, len(f)) + 90 * (f.at > T0 + 780_000), f.as_of)
        for f in frames
    ]  # fmt: skip
    out = [a for a in said(new(), jumps) if a.kind != "missing" and a.change != "weak"]
    assert (out[0].change, out[-1].change, out[-1].ending) == ("opened", "cleared", "ended")


QUIET: list[Callable[[], list[Samples]]] = []


def quiet(story: Callable[[], list[Samples]]) -> Callable[[], list[Samples]]:
    QUIET.append(story)
    return story


@quiet
def who_speaks_on() -> list[Samples]:
    return stream(every(CPU, 10, 0, 2000), beats(0, 2000))


@quiet
def a_restart_of_what_ships_the_samples() -> list[Samples]:
    """Of a second each, from five services."""
    names = [canonical("cpu", {"service": f"s{n}"}) for n in range(5)]
    words = [word for name in names for word in every(name, 1, 0, 1000)]
    return stream([w for w in words if not 800 <= w[0] < 828], beats(0, 1000))


@quiet
def batches_by_the_minute() -> list[Samples]:
    """Whose series have a rhythm of a second, in their own time."""
    return stream(batches(CPU, 0, 3600), beats(0, 3600))


@quiet
def batches_known_before_there_were_pulses() -> list[Samples]:
    """The version before had learned the rhythm of a second, and nothing of the minutes."""
    return stream(batches(CPU, 0, 7200), beats(3600, 7200))


@quiet
def pulses_that_come_again_after_an_hour() -> list[Samples]:
    """Intake lagged: what it read meanwhile came in one go."""
    return stream(batches(CPU, 0, 9000), beats(0, 1800) + beats(5400, 9000))


@quiet
def producers_hours_behind() -> list[Samples]:
    return stream(every(CPU, 10, 0, 2000, behind=5 * HOURS), beats(5 * HOURS, 5 * HOURS + 2000))


@quiet
def producers_ahead() -> list[Samples]:
    return stream(every(CPU, 10, 600, 2600, behind=-600), beats(0, 2000))


@quiet
def a_history_read_in_at_once() -> list[Samples]:
    day = [(1000.0 + n / 5000, t, CPU) for n, (_, t, _) in enumerate(every(CPU, 10, -9e4, -3600))]
    return stream(day, beats(0, 5000))


@quiet
def a_history_read_in_over_half_an_hour() -> list[Samples]:
    """A month of it; its rhythm is known, in its own time, when it is over."""
    month = every(CPU, 60, -30 * 24 * HOURS, -3600)
    paced = [(n * 1800 / len(month), t, name) for n, (_, t, name) in enumerate(month)]
    return stream(paced, beats(0, 4000))


@quiet
def a_replay_of_the_topic_of_frames() -> list[Samples]:
    """Detect begins at the beginning: pulses and samples are as old as one another."""
    return stream(every(CPU, 10, 0, 3000), beats(0, 3000), ahead=-24 * HOURS)


@quiet
def a_live_partition_into_which_history_is_read() -> list[Samples]:
    history = [(700 + n / 100, t, CPU) for n, (_, t, _) in enumerate(every(CPU, 10, -9e4, -8e4))]
    return stream(every(CPU, 10, 0, 2000) + history, beats(0, 2000))


@quiet
def an_intake_that_was_away() -> list[Samples]:
    """Its records of three minutes come in one go, then pulses again."""
    words = [
        (max(t, 1180.0) if 1000 < t < 1180 else t, s, n) for t, s, n in every(CPU, 10, 0, 2000)
    ]
    return stream(words, beats(0, 1000) + beats(1182, 2000))


@quiet
def a_broker_that_was_away() -> list[Samples]:
    """Nobody could write for three minutes; the first pulse comes before the first sample."""
    words = [word for word in every(CPU, 10, 0, 2000) if not 1000 <= word[0] < 1200]
    return stream(words, beats(0, 1000) + beats(1181, 2000))


@quiet
def a_broker_that_was_away_for_seconds() -> list[Samples]:
    words = [word for word in every(CPU, 1, 0, 2000) if not 1000 <= word[0] < 1032]
    return stream(words, beats(0, 1000) + beats(1025, 2000))


@quiet
def a_clock_set_forward_by_an_hour() -> list[Samples]:
    """That of the worker who sends pulses."""
    words = every(CPU, 10, 0, 1000) + every(CPU, 10, 1000, 2000)
    first, then = (
        stream(words[:100], beats(0, 1001)),
        stream(words[100:], beats(1001, 2000), ahead=HOURS),
    )
    return first + then


@quiet
def pulses_of_two_workers_with_clocks_apart() -> list[Samples]:
    frames = stream(every(CPU, 10, 0, 2000), beats(0, 2000))
    return [pulse(f.as_of - n % 2 * 20_000) if f.as_of else f for n, f in enumerate(frames)]


@quiet
def a_partition_that_has_never_spoken() -> list[Samples]:
    return stream([], beats(0, 2000))


@quiet
def lines_counted_by_us() -> list[Samples]:
    """Which stage counts them is another one than intake, and may be away by itself."""
    counted = canonical(COUNTED, {"service": "checkout"})
    return stream(every(counted, 10, 0, 600), beats(0, 2000))


@pytest.mark.parametrize("story", QUIET, ids=lambda story: story.__name__)
def test_nothing_is_told_of(story: Callable[[], list[Samples]]) -> None:
    """Stories in which nobody has died, or in which that cannot be known."""
    assert lives(said(new(), story())) == []


def test_after_a_return_from_its_backlog_it_is_missed_again_at_once() -> None:
    """The second silence comes before it has been live for as long as a rhythm takes to learn."""
    outage = [(1300 + t / 1000, s, n) for t, s, n in every(CPU, 10, 900, 1300)]
    words = every(CPU, 10, 0, 900) + outage + every(CPU, 10, 1300, 1500)
    out = said(new(ended_s=1000.0), stream(words, beats(0, 1800)))
    assert [change for change, *_ in lives(out)] == ["opened", "cleared", "opened"]


def test_silence_every_night_is_soon_no_news() -> None:
    day = 24 * HOURS
    words = [w for n in range(8) for w in every(CPU, 60, n * day, n * day + HOURS)]
    pulses = [t for n in range(8) for t in beats(n * day, n * day + 3 * HOURS, 10)]
    out = said(new(), stream(words, pulses))
    opened = [a.at.timestamp() - T0 / 1000 for a in out if a.change == "opened"]
    assert 1 <= len(opened) <= 6
    assert opened[-1] < 7 * day


# ---- crashes


SERIES = 260  # so two blocks


def story() -> list[Samples]:
    """A service alone; it dies, comes back but for one series, and dies again for good."""
    names = [canonical("cpu", {"service": "checkout", "host": str(n)}) for n in range(SERIES)]
    words = [w for name in names for w in every(name, 30, 0, 600)]
    words += [w for name in names[:-1] for w in every(name, 30, 900, 1200)]
    return stream(words, beats(0, 2800, 10))


STORY = story()


@pytest.fixture(scope="module")
def whole() -> list[Anomaly]:
    """What is said of it when nothing happens."""
    return said(new(), STORY)


def test_the_story_has_both_deaths(whole: list[Anomaly]) -> None:
    ends = [change for change in lives(whole) if change[0] != "updated"]
    assert [(change, ending) for change, _, ending in ends] == [
        ("opened", ""), ("cleared", "ended"), ("opened", ""), ("cleared", "ended"),
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_after_a_crash_blocks_as_of_different_frames_say_the_same(
    seed: int, whole: list[Anomaly]
) -> None:
    """Each block was saved at another frame; what came since is read again."""
    draw = np.random.default_rng(seed)
    crash = int(draw.integers(60, len(STORY)))
    back = draw.integers(crash - 40, crash, 2).tolist()
    first, before = new(), list[Anomaly]()
    saved: dict[int, bytes] = {}
    for n, one in enumerate(STORY[:crash]):
        before += first.feed(one, 0, n)
        saved |= {k: first.blocks(0)[k].dump() for k, at in enumerate(back) if n == at}
    second = new()
    second.load(0, saved)
    after = said(second, STORY[min(back) + 1 :], min(back) + 1)
    assert list(dict.fromkeys(a.id for a in before + after)) == [a.id for a in whole]
    want = {a.id: (a.at, a.cause, a.change) for a in whole}
    assert {(a.id, (a.at, a.cause, a.change)) for a in before + after} == set(want.items())


def test_a_frame_that_is_read_twice_is_heard_once(whole: list[Anomaly]) -> None:
    once, twice = new(), new()
    said(once, STORY)
    again = [a for n, f in enumerate(STORY) for _ in range(2) for a in twice.feed(f, 0, n)]
    assert [a.id for a in again] == [a.id for a in whole]
    assert [b.dump() for b in twice.blocks(0)] == [b.dump() for b in once.blocks(0)]


def test_what_is_kept_of_a_long_silence_is_bounded() -> None:
    detect = new()
    said(detect, stream(every(CPU, 10, 0, 600), beats(0, 5000)))
    kept = detect.blocks(0)[0].pulses
    assert kept is not None
    assert len(kept.moves) <= KEEP_S / PULSE_S + 1


def test_a_pulse_travels_as_an_empty_frame() -> None:
    back = read_samples(write_samples(pulse(T0)))
    assert (len(back), back.as_of) == (0, T0)
    assert read_samples(write_samples(frame([(0.0, 0.0, CPU)]))).as_of == 0
