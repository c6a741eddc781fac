"""A whole pipeline on a broker: its target, its data, its workers, and a witness."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from schemas.budgets import Budget
from schemas.topics import BY_EVENT
from streams.connection import KafkaSettings
from streams.settings import Settings
from streams.topics import create
from tests.e2e import proofs, site
from tests.e2e.events import Feeder, Shop
from tests.e2e.target import Target, serving
from tests.e2e.witness import Record, Witness
from tests.e2e.workers import Workers

RESOLVED_S = 90.0  # an incident takes about 12 s; longer when everything is killed at once


@dataclass(frozen=True)
class World:
    """What a test has in its hands."""

    settings: Settings
    target: Target
    feeder: Feeder
    witness: Witness
    workers: Workers
    kept: proofs.Kept

    @property
    def kafka(self) -> KafkaSettings:
        """How to reach the broker."""
        return self.settings.kafka

    def wait(self, condition: Callable[[], bool], shop: Shop, what: str, seconds: float) -> None:
        """Wait for something of a shop, for as long as there is news of it every `seconds`.

        On a machine that others use, too, an incident among kills takes minutes; one that
        stands still is stuck. Raises AssertionError with how far it has come.
        """
        while True:
            known = self._news(shop)
            try:
                self.witness.wait(condition, seconds, what)
            except AssertionError as error:
                self.workers.require_alive()
                if self._news(shop) == known:
                    so_far = proofs.progress(self.witness, shop)
                    raise AssertionError(f"{error}\n{so_far}") from None
            else:
                return

    def _news(self, shop: Shop) -> int:
        """How many events of the shop there are, but for those that its mere data make."""
        kinds = [kind for kind in BY_EVENT if kind is not Budget]
        return sum(len(self.witness.said(kind, shop.group)) for kind in kinds)

    def resolve(self, shop: Shop, seconds: float = RESOLVED_S) -> None:
        """Wait until the shop's incident is over and told."""
        self.wait(lambda: proofs.over(self.witness, shop), shop, "a report", seconds)

    def feed_no_more(self) -> None:
        """No news of any shop: if of one alone, its series would be missing among the others."""
        self.feeder.close()

    def require_proofs(self, shop: Shop) -> None:
        """All that must be true of an incident that was resolved by its runbook."""
        proofs.require_resolved_once(self.witness, shop)
        proofs.require_each_step_once(self.witness, self.target, shop)
        proofs.require_every_request_counted(self.witness, shop)
        proofs.require_whole_lives(self.witness, shop)
        proofs.require_causes(self.witness, shop)
        proofs.require_kept(self.witness, self.kept, shop)


@contextmanager
def running(
    folder: Path,
    *,
    brokers: str,
    prefix: str,
    shops: Sequence[str],
    layout: Mapping[str, Sequence[str]],
    later: Collection[str] = (),
    copies: int = 1,
    heard: Callable[[Record], None] | None = None,
) -> Iterator[World]:
    """A pipeline that has joined all its groups; `layout` names its processes and their stages.

    Processes in `later` are not started; each raw record is fed `copies` times.
    """
    with serving() as target:
        path = site.build(folder, brokers=brokers, prefix=prefix, target=target.url, shops=shops)
        settings = Settings.load({}, path)
        kafka = settings.kafka
        assert not create(kafka).differing
        with (
            Workers(layout, path, folder / "logs", later=later) as workers,
            Witness(kafka, heard) as witness,
            Feeder(kafka, target.repaired, copies=copies) as feeder,
        ):
            yield World(settings, target, feeder, witness, workers, proofs.Kept(folder))
            workers.require_alive()
