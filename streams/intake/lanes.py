"""Whose records are worked on next, when there are more than one batch holds.

Records that were read stand in a lane a partition, in their order, which is never changed. Lanes
belong to tenants. While all that waits fits into a batch, all of it goes; beyond that the tenant
that has had the least of what it may goes first, a few hundred records at a time, its partitions
in turn. What a tenant has had is counted in the seconds that its records took, so one whose
records are costly (all refused, say) pays for them itself.

A tenant with a rate gets no more than that; and one of which a whole batch stands in line while
another's records still wait in Kafka takes no part in fetching. Both leave records in Kafka, where
nothing is lost, and only their own lag grows.

Source: Goyal, Vin and Cheng, "Start-time Fair Queueing", SIGCOMM 1996.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

Place = tuple[str, int]  # topic, partition

DEFAULT = "default"  # the tenant of all that nothing gives to another
TURNS = 16  # into which a batch is divided while tenants compete for it
BURST_S = 1.0  # of its rate that a tenant may save up
WORTH_S = 0.25  # of its rate that it waits for: to stop and go costs what was fetched ahead
LEARN = 0.2  # weight of the newest batch in what a tenant's byte costs


class Share(NamedTuple):
    """What a tenant may have."""

    weight: float = 1.0
    bytes_per_s: float = 0.0  # 0: any


class Lane:
    """Records of a partition, in order."""

    def __init__(self) -> None:
        self._records: list[Any] = []
        self._first = 0

    def __len__(self) -> int:
        return len(self._records) - self._first

    def put(self, records: list[Any]) -> None:
        """Add what comes after."""
        if len(self):
            del self._records[: self._first]
            self._records += records
        else:
            self._records = records
        self._first = 0

    def take(self, most: int) -> list[Any]:
        """The next ones."""
        if not self._first and most >= len(self._records):
            taken, self._records = self._records, []
            return taken
        taken = self._records[self._first : self._first + most]
        self._first += len(taken)
        if not len(self):
            self._records, self._first = [], 0
        return taken


class Tenant:
    """What a tenant has waiting and what it has had."""

    def __init__(self, share: Share) -> None:
        self.share = share
        self.lanes: dict[Place, Lane] = {}
        self.turn: deque[Place] = deque()  # its partitions with records, the next one first
        self.had = 0.0  # virtual time: cost of what it was given, over its weight
        self.per_byte = 0.0  # seconds; 0: not known yet
        self.saved = share.bytes_per_s * BURST_S  # bytes that it may have now
        self.held = False  # by its rate
        self._at: float | None = None  # monotonic; when `saved` was so

    @property
    def waiting(self) -> int:
        """Records in line."""
        return sum(map(len, self.lanes.values()))

    def refilled(self, now: float) -> None:
        """Let time pass for its rate."""
        rate = self.share.bytes_per_s
        if rate and self._at is not None:
            self.saved = min(self.saved + (now - self._at) * rate, rate * BURST_S)
        self._at = now
        self.held = bool(rate) and self.saved < (rate * WORTH_S if self.held else 1.0)

    def free_in(self) -> float:
        """Seconds until it may go on; 0 when it may now."""
        rate = self.share.bytes_per_s
        return (rate * WORTH_S - self.saved) / rate if self.held else 0.0

    def take(self, most: int) -> tuple[Place, list[Any]]:
        """Up to `most` records of the partition whose turn it is."""
        place = self.turn.popleft()
        lane = self.lanes[place]
        records = lane.take(most)
        if len(lane):
            self.turn.append(place)
        if self.share.bytes_per_s:
            self.saved -= sum(map(len, records))
            self.held = self.saved < 1.0
        return place, records


class Lanes:
    """The lanes of one worker. `tenants` says whose a topic is, `shares` what each may have."""

    def __init__(
        self,
        tenants: Mapping[str, str] | None = None,
        shares: Mapping[str, Share] | None = None,
    ) -> None:
        self._tenant_of = dict(tenants or {})
        self._tenants: dict[str, Tenant] = {}
        self._shares = dict(shares or {})
        self._rates = any(share.bytes_per_s for share in self._shares.values())

    def put(self, place: Place, records: list[Any]) -> None:
        """Let the next records of a partition stand in line."""
        tenant = self._tenant(place[0])
        lane = tenant.lanes.setdefault(place, Lane())
        if not len(lane):
            if not tenant.turn:  # it comes back: what it did not use meanwhile is not saved up
                others = [t.had for t in self._tenants.values() if t.turn]
                tenant.had = max([tenant.had, *([min(others)] if others else [])])
            tenant.turn.append(place)
        lane.put(records)

    def waiting(self) -> int:
        """Records that may be taken now."""
        return sum(t.waiting for t in self._tenants.values() if not t.held)

    def free_in(self) -> float | None:
        """Seconds until a tenant that its rate holds may go on; None when none is held."""
        return min((t.free_in() for t in self._tenants.values() if t.held), default=None)

    def take(self, most: int, now: float) -> dict[Place, list[Any]]:
        """Up to `most` records, those of each partition in their order; `now` is monotonic, s."""
        if self._rates:
            for tenant in self._tenants.values():
                tenant.refilled(now)
        taken: dict[Place, list[Any]] = {}
        everything = not self._rates and self.waiting() <= most
        turn = most if everything else max(1, most // TURNS)
        while most > 0 and (ready := [t for t in self._tenants.values() if t.turn and not t.held]):
            tenant = min(ready, key=lambda t: t.had)
            place, records = tenant.take(min(turn, most))
            if not everything and len(ready) > 1:  # who is alone takes nothing from anybody
                cost = sum(map(len, records)) * (tenant.per_byte or self._usual())
                tenant.had += (cost or 1e-9) / tenant.share.weight
            most -= len(records)
            if place in taken:
                taken[place] += records
            else:
                taken[place] = records
        return taken

    def cost(self, topic: str, size: int, seconds: float) -> None:
        """Learn what a tenant's records cost; `size` in bytes."""
        if size > 0:
            tenant, new = self._tenant(topic), seconds / size
            tenant.per_byte += (new - tenant.per_byte) * (LEARN if tenant.per_byte else 1.0)

    def crowding(self, behind: Mapping[Place, int], most: int) -> set[Place]:
        """Partitions that should not be fetched now; `behind` has all of ours.

        It says how many records are known to wait in Kafka; `most` is a batch.
        """
        found = {place for place in behind if self._tenant(place[0]).held}
        waits: dict[str, int] = {}
        for place, records in behind.items():
            name = self._name(place[0])
            waits[name] = waits.get(name, 0) + records
        enough = max(1, most // TURNS)
        hungry = {
            name
            for name, records in waits.items()
            if records >= enough and not self._tenants[name].held
            and self._tenants[name].waiting < enough
        }  # fmt: skip
        for place in behind:
            name = self._name(place[0])
            if hungry - {name} and self._tenants[name].waiting >= most // 2:
                found.add(place)
        return found

    def competing(self) -> bool:
        """Whether `crowding` may have something to say: else a turn need not ask."""
        return self._rates or any(t.turn for t in self._tenants.values())

    def drop(self, places: Collection[Place]) -> None:
        """Forget partitions that were given away."""
        for place in places:
            tenant = self._tenant(place[0])
            tenant.lanes.pop(place, None)
            if place in tenant.turn:
                tenant.turn.remove(place)

    def clear(self) -> None:
        """Forget all records; what each tenant has had stays."""
        for tenant in self._tenants.values():
            tenant.lanes.clear()
            tenant.turn.clear()

    def held(self) -> Sequence[str]:
        """Tenants that their rate holds back just now."""
        return [name for name, tenant in self._tenants.items() if tenant.held]

    def _usual(self) -> float:
        """What a byte costs of a tenant of whom that is not known yet."""
        known = [t.per_byte for t in self._tenants.values() if t.per_byte]
        return sum(known) / len(known) if known else 1e-9

    def _name(self, topic: str) -> str:
        return self._tenant_of.get(topic, DEFAULT)

    def _tenant(self, topic: str) -> Tenant:
        name = self._name(topic)
        found = self._tenants.get(name)
        if found is None:
            found = self._tenants[name] = Tenant(self._shares.get(name, Share()))
        return found
