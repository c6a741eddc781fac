"""The work queue's rules, without a clock or a process."""

import pytest

from streams.demo.shop.jobs import Full, Job, JobQueue


def queue(*, capacity: int = 10, parking: int = 10, visibility: float = 5) -> JobQueue:
    return JobQueue(capacity=capacity, parking=parking, visibility=visibility)


def offer(jobs: JobQueue, source: str, *, now: float = 0, ttl: float = 60) -> Job:
    return jobs.offer(source=source, kind="checkout", payload={}, now=now, ttl=ttl)


def drained(jobs: JobQueue) -> list[str]:
    """The sources of the waiting jobs, in the order in which workers get them."""
    leases = iter(lambda: jobs.take(now=1), None)
    return [lease.job.source for lease in leases if lease is not None]


def test_the_oldest_job_comes_first() -> None:
    jobs = queue()
    for source in ("a", "b", "c"):
        offer(jobs, source)
    assert drained(jobs) == ["a", "b", "c"]


def test_a_job_that_is_not_finished_in_time_is_offered_again_in_its_old_place() -> None:
    jobs = queue(visibility=5)
    offer(jobs, "a")
    offer(jobs, "b")
    jobs.take(now=0)
    assert jobs.redeliver(now=4.9) == []
    assert [job.source for job in jobs.redeliver(now=5)] == ["a"]
    assert drained(jobs) == ["a", "b"]
    assert jobs.redelivered == 1


def test_a_lease_that_ran_out_cannot_be_acknowledged() -> None:
    """The first worker's late result must not end the second worker's lease."""
    jobs = queue(visibility=5)
    offer(jobs, "a")
    late = jobs.take(now=0)
    jobs.redeliver(now=5)
    second = jobs.take(now=5)
    assert late is not None
    assert second is not None
    assert jobs.acknowledge(late.job.number, late.receipt) is None
    assert jobs.acknowledge(second.job.number, second.receipt) == second.job
    assert jobs.leased == 0


def test_a_job_nobody_waits_for_any_more_is_not_done() -> None:
    jobs = queue()
    offer(jobs, "a", now=0, ttl=1)
    offer(jobs, "b", now=0, ttl=2)
    lease = jobs.take(now=1)
    assert lease is not None
    assert lease.job.source == "b"
    assert jobs.expired == 1


def test_parking_takes_one_source_out_and_unparking_puts_every_job_back_in_its_place() -> None:
    jobs = queue()
    for source in ("batch", "checkout", "batch", "checkout", "batch"):
        offer(jobs, source)
    assert jobs.park("batch") == 3
    assert jobs.waiting_by_source() == {"checkout": 2}
    assert jobs.parked_by_source() == {"batch": 3}
    assert jobs.unpark("batch") == 3
    assert jobs.parked_by_source() == {}
    assert drained(jobs) == ["batch", "checkout", "batch", "checkout", "batch"]


def test_a_full_parking_lot_leaves_every_job_where_it_is() -> None:
    jobs = queue(parking=1)
    offer(jobs, "batch")
    offer(jobs, "batch")
    with pytest.raises(Full, match="parking lot full: 1 places free, 2 needed"):
        jobs.park("batch")
    assert (jobs.depth, jobs.parked_by_source()) == (2, {})


def test_unparking_into_a_full_queue_leaves_every_job_where_it_is() -> None:
    jobs = queue(capacity=2)
    offer(jobs, "batch")
    jobs.park("batch")
    offer(jobs, "checkout")
    offer(jobs, "checkout")
    with pytest.raises(Full, match="queue full: 0 places free, 1 needed"):
        jobs.unpark("batch")
    assert jobs.parked_by_source() == {"batch": 1}


def test_a_full_queue_refuses_the_next_job() -> None:
    jobs = queue(capacity=1)
    offer(jobs, "a")
    with pytest.raises(Full, match="the queue holds its 1 jobs"):
        offer(jobs, "b")
    assert jobs.depth == 1


def test_the_oldest_waiting_job_tells_how_far_behind_the_workers_are() -> None:
    jobs = queue()
    assert jobs.oldest(now=9) == 0
    offer(jobs, "a", now=2)
    offer(jobs, "b", now=8)
    assert jobs.oldest(now=9) == 7
