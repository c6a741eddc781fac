"""What siblings and the service's model are worth, and what they cost.

Services of twelve series under one load, each with noise of its own, meet faults (half of the
series move), glitches (one sample of one series) and faults of one series alone. Every world
goes through detect and correlate, once with the second opinions and once without. Simulated:
it shows what the rules do, not how often the world is so.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from agents.correlate import Correlate, CorrelateSettings, Group
from agents.detect import Detect
from agents.detect_settings import DetectSettings
from agents.support import SupportSettings
from runbooks.topology import Topology
from schemas.anomalies import Anomaly
from schemas.frames import Samples, canonical
from schemas.operations import Tick

STEP = 15  # s, between two scrapes
LENGTH, CALM, APART = 3600, 2000, 80  # scrapes: of a world, before and between what happens
SERIES, LASTS = 12, 12
WORLDS = 5
T0 = 1_767_323_045
DEAF = SupportSettings(share=1.0, least=1_000_000, informative=1_000_000)


class Event(NamedTuple):
    """What happened, and at which scrape."""

    at: int
    kind: str


def world(seed: int) -> tuple[Any, list[Event]]:
    """Values [scrapes, series], and what happened."""
    draw = np.random.default_rng(seed)
    load = np.cumsum(draw.normal(0, 0.05, LENGTH)) * 0.6
    values = 100 + np.outer(load, draw.normal(0, 1, SERIES))
    values += draw.normal(0, 1, values.shape) * draw.choice([1, 2, 3], SERIES)
    unit, events = values.std(0), []
    for at in range(CALM, LENGTH - LASTS, APART):
        kind = str(draw.choice(["fault", "glitch", "alone"]))
        one = draw.integers(SERIES)
        if kind == "fault":
            some = draw.choice(SERIES, SERIES // 2, replace=False)
            shift = draw.choice([-1, 1], len(some)) * draw.uniform(6, 15, len(some))
            values[at : at + LASTS, some] += shift * unit[some]
        elif kind == "glitch":
            values[at, one] += 60 * unit[one]
        else:
            values[at : at + LASTS, one] += 20 * unit[one]
        events.append(Event(at, kind))
    return values, events


def said(values: Any, seed: int, settings: DetectSettings) -> list[list[Anomaly]]:
    """What detect says, scrape by scrape."""
    names = [canonical(f"m{n}", {"service": f"s{seed}"}) for n in range(SERIES)]
    detect, code = Detect(settings, {}), np.arange(SERIES, dtype=np.int32)
    at = 1000 * (T0 + STEP * np.arange(LENGTH, dtype=np.int64))
    return [
        detect.feed(Samples(names, code, np.full(SERIES, at[n]), values[n]), 0, n)
        for n in range(LENGTH)
    ]


def opened(scrapes: list[list[Anomaly]], correlate: Correlate) -> Iterator[float]:
    """When incidents were opened, in scrapes; one that is quiet counts as over."""
    state: Group | None = None
    for n, anomalies in enumerate(scrapes):
        for second in range(STEP):
            now = datetime.fromtimestamp(T0 + n * STEP + second, UTC)
            heard = [*(anomalies if second == 0 else ()), Tick(at=now, group="", number=0)]
            for event in heard:
                if state is None and isinstance(event, Tick):
                    continue
                turn = correlate.run(event, state, now)
                state = turn.state
                if any(getattr(each, "change", "") == "opened" for each in turn.events):
                    yield n + second / STEP
        if state and state.open and all(each.incident.quiet_since for each in state.open):
            state = None


def run(say: Callable[[str], None]) -> dict[str, Any]:
    """Incidents by what happened, with and without; and the cost of a service's bucket."""
    results: dict[str, Any] = {}
    worlds = [(*world(seed), seed) for seed in range(WORLDS)]
    started = time.process_time()
    heard = [said(values, seed, DetectSettings()) for values, _, seed in worlds]
    spent = time.process_time() - started
    started = time.process_time()
    plain = DetectSettings.model_validate({"service_model": {"services": 0}})
    for values, _, seed in worlds:
        said(values, seed, plain)
    spent -= time.process_time() - started
    results["service_model_us_a_bucket"] = round(spent / (WORLDS * LENGTH) * 1e6, 1)
    say(f"a service's model: {results['service_model_us_a_bucket']} us a bucket")
    for name, support in (("without", DEAF), ("with", SupportSettings())):
        for kind, (found, all_of, delay) in outcome(worlds, heard, support).items():
            results[f"incidents_{name}_opinions_{kind}"] = f"{found} of {all_of}"
            results[f"incidents_{name}_opinions_{kind}_s"] = delay
            say(f"{name} second opinions, {kind}: {found} of {all_of}, after {delay} s")
    return results


def outcome(
    worlds: list[Any], heard: list[list[list[Anomaly]]], support: SupportSettings
) -> dict[str, tuple[int, int, float]]:
    """By what happened: how often an incident was opened, of how many, mean delay in seconds."""
    correlate = Correlate(CorrelateSettings(support=support), Topology())
    delays: dict[str, list[float]] = {"fault": [], "glitch": [], "alone": []}
    count = dict.fromkeys(delays, 0)
    for (_, events, _), scrapes in zip(worlds, heard, strict=True):
        incidents = list(opened(scrapes, correlate))
        for event in events:
            count[event.kind] += 1
            mine = [at for at in incidents if event.at <= at <= event.at + LASTS]
            delays[event.kind] += [(mine[0] - event.at) * STEP] if mine else []
    return {
        kind: (len(found), count[kind], round(fmean(found), 1) if found else 0.0)
        for kind, found in delays.items()
    }
