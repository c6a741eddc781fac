"""What is heard beside the scorer before an anomaly is said: siblings, models, people.

The scorer knows one series. Beside it stand, for each partition: how many siblings moved
(siblings.py), the service's multivariate model (service_model.py), a River detector where the
settings name one (river_calibrated.py), and the bar that people's verdicts gave the service
(bars.py). Detect asks this file and knows none of them.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agents.bars import Bars
from agents.detect_settings import DetectSettings
from agents.model_settings import SeriesModel
from agents.river_calibrated import Calibrated, calibrated
from agents.river_models import kind_of
from agents.scorer.block import CAPACITY
from agents.scorer.kind import Kind
from agents.scorer.scorer import Scores
from agents.series_block import Block
from agents.series_index import SeriesIndex
from agents.service_model import ServiceModels
from agents.siblings import Siblings
from schemas.anomalies import Anomaly
from schemas.frames import service_of

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int32]
SPIKE, NONE = int(Kind.SPIKE), int(Kind.NONE)


class _Named(NamedTuple):
    """A model of the settings, and which metrics it is for."""

    spec: SeriesModel
    metric: re.Pattern[str]


class Opinions:
    """All of one partition."""

    def __init__(self, settings: DetectSettings) -> None:
        self.siblings = Siblings()
        self.services = ServiceModels(settings.service_model, self.siblings)
        self.bars = Bars()
        self.faults: Counter[str] = Counter()  # of models of one series, by their words
        self._named = {
            service: _Named(spec, re.compile(spec.metrics))
            for service, spec in settings.models.items()
        }
        self._models: dict[int, Calibrated] = {}  # by place
        self._modelled = np.zeros(0, np.bool_)
        self._count: Counter[str] = Counter()  # models by service
        self._scored = False  # whether anything of this frame was
        self._notes: list[str] = []
        self._noted: set[str] = set()

    # ---- while a frame is scored

    def scored(
        self, number: int, block: Block, rows: Rows, at: Floats, value: Floats, scores: Scores
    ) -> Scores:
        """A block's share of a frame, `value` as it was scored: the scores that count."""
        self._scored = True
        places = rows.astype(np.int64) + number * CAPACITY
        self._meet(number, block, places)
        if self._models:
            scores = self._by_river(places, at, value, scores)
        self.siblings.learn(places, at, scores.raw)
        self.services.collect(places, at, value)
        return self._by_people(places, at, scores)

    def told(self, index: SeriesIndex, said: Sequence[Anomaly]) -> list[Anomaly]:
        """The frame is over: its anomalies with what is known beside them."""
        if self._scored:  # else all blocks include the frame: it is read again
            self.services.turn(index.blocks)
        self._scored = False
        if not said:
            return []
        opened = np.array(
            [(n, row) for n, b in enumerate(index.blocks) for row in b.open], np.int64
        )
        return [self._with_opinions(anomaly, index, opened) for anomaly in said]

    def left(self, number: int, row: int) -> None:
        """The row has been given to another series."""
        place = number * CAPACITY + row
        self.siblings.forget(number, row)
        self.services.forget(place)
        if self._models.pop(place, None) is not None:
            self._modelled[place] = False

    def models(self) -> dict[str, int]:
        """How many models there are, by what they look at."""
        return {"series": len(self._models), "service": len(self.services)}

    def failed(self) -> Counter[str]:
        """How often they failed, by kind."""
        return self.faults + self.services.faults

    def notes(self) -> list[str]:
        """What an operator should hear, once each."""
        for words in self.services.faults:
            self._note(f"a service's model failed: {words}", words)
        notes, self._notes = self._notes, []
        return notes

    # ---- each of them

    def _meet(self, number: int, block: Block, places: npt.NDArray[np.int64]) -> None:
        """Series that are here for the first time since this worker has the partition."""
        known = self.siblings.service_of
        if len(known) >= (number + 1) * CAPACITY and (known[places] >= 0).all():
            return
        for place in np.unique(places).tolist():
            row = place - number * CAPACITY
            if not self.siblings.knows(place):
                name = block.names[row]
                service = _service(name)
                self.siblings.add(number, row, service)
                self._model(place, name, service, block, row)

    def _model(self, place: int, name: str, service: str, block: Block, row: int) -> None:
        """The series' own model, where the settings name one for it."""
        named = self._named.get(service)
        if named is None or not named.metric.search(name.partition("{")[0]):
            return
        spec = named.spec
        if self._count[service] >= spec.series:
            self._note(
                f"detect.models.{service}: more than {spec.series} series a partition:"
                " the rest is left to the vectorised scorer",
                f"full {service}",
            )
            return
        self._count[service] += 1
        model = calibrated(spec.name, spec.params, spec.args, spec.quantile)
        model.relearn(*block.evidence(row))
        self._models[place] = model
        if place >= len(self._modelled):
            more = max(place + 1, len(self.siblings.service_of)) - len(self._modelled)
            self._modelled = np.append(self._modelled, np.zeros(more, np.bool_))
        self._modelled[place] = True

    def _by_river(
        self, places: npt.NDArray[np.int64], at: Floats, value: Floats, scores: Scores
    ) -> Scores:
        inside = places < len(self._modelled)
        mine = np.flatnonzero(
            inside & self._modelled[np.where(inside, places, 0)] & np.isfinite(value)
        )
        if not len(mine):
            return scores
        emitted, raw = scores.emitted.copy(), scores.raw.copy()
        direction, kind = scores.direction.copy(), scores.kind.copy()
        for i in mine.tolist():
            model = self._models[int(places[i])]
            decides = model.decides
            said, evidence = model.step(float(at[i]), float(value[i]), float(scores.raw[i]))
            if decides:
                emitted[i], raw[i] = said, evidence
                if said >= 1 and kind[i] == NONE:
                    kind[i] = SPIKE
                    direction[i] = 1 if 2 * value[i] >= scores.low[i] + scores.high[i] else -1
            if decides and model.fallen:
                emitted[i], raw[i] = scores.emitted[i], scores.raw[i]
                self._fell(int(places[i]), model)
        return scores._replace(emitted=emitted, raw=raw, direction=direction, kind=kind)

    def _fell(self, place: int, model: Calibrated) -> None:
        """A crash after the model had learned: said once, counted always."""
        self.faults[kind_of(model.fallen)] += 1
        self._modelled[place] = False
        service = self.siblings.services[int(self.siblings.service_of[place])]
        self._note(
            f"detect.models.{service}: {model.fallen}: the vectorised scorer has the series now",
            f"{service} {kind_of(model.fallen)}",
        )

    def _by_people(self, places: npt.NDArray[np.int64], at: Floats, scores: Scores) -> Scores:
        if not self.bars:
            return scores
        codes = self.siblings.service_of[places]
        emitted = scores.emitted.copy()
        for code in np.unique(codes).tolist():
            mine = codes == code
            emitted[mine] /= self.bars.factors(self.siblings.services[code], at[mine])
        return scores._replace(emitted=emitted)

    def _with_opinions(
        self, anomaly: Anomaly, index: SeriesIndex, opened: npt.NDArray[np.int64]
    ) -> Anomaly:
        place = index.find(anomaly.series)
        if place is None:
            return anomaly
        moved = self.siblings.count(
            anomaly.service, anomaly.at.timestamp(), (place.block, place.row), opened
        )
        model = self._models.get(place.block * CAPACITY + place.row)
        rivers = model is not None and model.decides and anomaly.change != "cleared"
        return anomaly.model_copy(
            update={
                "siblings": moved.siblings,
                "siblings_moved": moved.moved,
                "service_score": self.services.rank(anomaly.service),
                **({"statistic": f"river {model.name}"} if model and rivers else {}),
            }
        )

    def _note(self, text: str, about: str) -> None:
        if about not in self._noted:
            self._noted.add(about)
            self._notes.append(text)


def _service(name: str) -> str:
    r"""The service of a canonical label string, without parsing all of it.

    >>> _service('cpu{host="a",service="checkout"}'), _service('cpu{a="\\"",service="q"}')
    ('checkout', 'q')
    """
    if "\\" in name:
        return service_of(name)
    for before in ("{", ","):
        _, found, rest = name.partition(f'{before}service="')
        if found:
            return rest.partition('"')[0]
    return ""
