"""The work queue's rules: oldest job first, leased while it is being done, parked when told.

A taken job is invisible for a while; if its worker does not acknowledge it in time, it is offered
again, in its old place. A job may expire: nobody waits for it any more. Parked jobs keep their
place too, so that taking them out and putting them back changes nothing but the time that passed.

Times are seconds on any clock that does not go backwards.
"""

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


class Full(Exception):  # noqa: N818 - a state of the queue, not a fault of the job
    """There is no place left for this many jobs."""


@dataclass(frozen=True, order=True)
class Job:
    """Something to do. Jobs compare by `number`, which is their order of arrival."""

    number: int
    source: str = field(compare=False)
    kind: str = field(compare=False)
    payload: Mapping[str, object] = field(compare=False)
    offered_at: float = field(compare=False)
    expires_at: float = field(compare=False, default=float("inf"))


@dataclass(frozen=True)
class Lease:
    """A job in a worker's hands until `until`; the receipt proves whose hands."""

    job: Job
    receipt: str
    until: float


class JobQueue:
    """Jobs by order of arrival, at most `capacity` waiting and `parking` parked."""

    def __init__(self, *, capacity: int, parking: int, visibility: float) -> None:
        self.capacity = capacity
        self.parking = parking
        self._visibility = visibility
        self._waiting: list[Job] = []  # a heap by number
        self._leases: dict[int, Lease] = {}
        self._parked: list[Job] = []
        self._offered = 0
        self._leased = 0
        self.expired = 0
        self.redelivered = 0

    def offer(
        self,
        *,
        source: str,
        kind: str,
        payload: Mapping[str, object],
        now: float,
        ttl: float = float("inf"),
    ) -> Job:
        """Put a job at the end; `Full` when `capacity` jobs are waiting already."""
        if len(self._waiting) >= self.capacity:
            raise Full(f"the queue holds its {self.capacity} jobs")
        self._offered += 1
        job = Job(self._offered, source, kind, payload, now, now + ttl)
        heapq.heappush(self._waiting, job)
        return job

    def take(self, now: float) -> Lease | None:
        """Lease the oldest job that somebody still waits for."""
        while self._waiting:
            job = heapq.heappop(self._waiting)
            if job.expires_at <= now:
                self.expired += 1
                continue
            self._leased += 1
            lease = Lease(job, f"{job.number}-{self._leased}", now + self._visibility)
            self._leases[job.number] = lease
            return lease
        return None

    def acknowledge(self, number: int, receipt: str) -> Job | None:
        """End a lease, the job is done; None when the lease has run out."""
        lease = self._leases.get(number)
        if lease is None or lease.receipt != receipt:
            return None
        return self._leases.pop(number).job

    def redeliver(self, now: float) -> list[Job]:
        """Offer again what was taken and not acknowledged in time."""
        overdue = [lease.job for lease in self._leases.values() if lease.until <= now]
        for job in overdue:
            del self._leases[job.number]
            heapq.heappush(self._waiting, job)
        self.redelivered += len(overdue)
        return overdue

    def park(self, source: str) -> int:
        """Take the waiting jobs of `source` out of the queue, all or none; gives how many."""
        stuck = [job for job in self._waiting if job.source == source]
        free = self.parking - len(self._parked)
        if len(stuck) > free:
            raise Full(f"parking lot full: {free} places free, {len(stuck)} needed")
        self._parked += stuck
        self._waiting = [job for job in self._waiting if job.source != source]
        heapq.heapify(self._waiting)
        return len(stuck)

    def unpark(self, source: str) -> int:
        """Put the parked jobs of `source` back in their places, all or none; gives how many."""
        back = [job for job in self._parked if job.source == source]
        free = self.capacity - len(self._waiting)
        if len(back) > free:
            raise Full(f"queue full: {free} places free, {len(back)} needed")
        self._parked = [job for job in self._parked if job.source != source]
        self._waiting += back
        heapq.heapify(self._waiting)
        return len(back)

    @property
    def depth(self) -> int:
        """Jobs that wait."""
        return len(self._waiting)

    @property
    def leased(self) -> int:
        """Jobs that are being done."""
        return len(self._leases)

    def waiting_by_source(self) -> dict[str, int]:
        """Waiting jobs of each source that has any."""
        return dict(Counter(job.source for job in self._waiting))

    def parked_by_source(self) -> dict[str, int]:
        """Parked jobs of each source that has any."""
        return dict(Counter(job.source for job in self._parked))

    def oldest(self, now: float) -> float:
        """Seconds that the oldest waiting job has been waiting; 0 when none is."""
        return now - self._waiting[0].offered_at if self._waiting else 0.0
