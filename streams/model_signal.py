"""What River's models in detect do, for an operator: metrics, and a line for each kind of fault."""

import logging
from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from prometheus_client import CollectorRegistry, Counter, Gauge

log = logging.getLogger(__name__)


@runtime_checkable
class Modelling(Protocol):
    """A consumer of frames that has models beside its own scorer."""

    def models(self) -> Mapping[str, int]:
        """How many there are, by what they look at: a series or a service."""

    def faults(self) -> Mapping[str, int]:
        """How often models failed, by kind, in the partitions that are held now."""

    def notes(self) -> Sequence[str]:
        """What an operator should be told, each once."""


class ModelSignal:
    """Tells of one consumer; to be looked at about once a second."""

    def __init__(self, stage: str, consumer: Modelling, registry: CollectorRegistry) -> None:
        self._stage, self._consumer = stage, consumer
        self._models = Gauge(f"sentinel_{stage}_models", "River models", ("of",), registry=registry)
        self._faults = Counter(
            f"sentinel_{stage}_model_faults", "Failures of models", ("fault",), registry=registry
        )
        self._counted: Tally[str] = Tally()

    def look(self) -> None:
        """Set the metrics, and say what there is to say."""
        for of, count in self._consumer.models().items():
            self._models.labels(of).set(count)
        faults = Tally(self._consumer.faults())
        for fault, count in (faults - self._counted).items():
            self._faults.labels(fault).inc(count)
        self._counted = faults  # fewer when a partition has gone: what it counted was told
        for note in self._consumer.notes():
            log.warning("%s: %s", self._stage, note)
