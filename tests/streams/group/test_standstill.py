"""A member that has work and does none is found, and nobody else is."""

import pytest

from streams.group.standstill import Mark, Place, Standstill, Unmoved

A, B = ("samples.v1", 0), ("samples.v1", 1)
PATIENCE_S, EVERY_S = 60.0, 15.0
IDLE = Mark(given=99, next=100, end=100, acknowledged=100)
UNREAD = Mark(given=99, next=100, end=176, acknowledged=100)
NEVER_READ = Mark(given=-1, next=0, end=5, acknowledged=0)
UNACKNOWLEDGED = Mark(given=175, next=176, end=176, acknowledged=100)
MARKS_ONLY = Mark(given=99, next=104, end=104, acknowledged=100)  # a transaction's, behind it
Look = tuple[dict[Place, Mark], bool]


def looks(*marks: Mark, worked: bool = False) -> list[Look]:
    """One partition at looks that follow each other."""
    return [({A: mark}, worked) for mark in marks]


def said(looks: list[Look]) -> list[str | None]:
    """What is said at each."""
    watch = Standstill()
    return [
        watch.look(EVERY_S * n, marks, worked=worked, patience_s=PATIENCE_S)
        for n, (marks, worked) in enumerate(looks)
    ]


def growing(mark: Mark, count: int) -> list[Mark]:
    """The same, while others go on writing."""
    return [mark._replace(end=mark.end + 10 * n) for n in range(count)]


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        pytest.param(
            looks(*[UNREAD] * 5), "76 records behind offset 100 are not read", id="unread"
        ),
        pytest.param(looks(*growing(UNREAD, 5)), "116 records behind offset 100", id="and growing"),
        pytest.param(looks(*[NEVER_READ] * 5), "5 records behind offset 0", id="never read"),
        pytest.param(looks(*[UNREAD] * 5, worked=True), "are not read", id="others are read"),
        pytest.param(
            looks(*[UNACKNOWLEDGED] * 5),
            "76 records from offset 100 on are not acknowledged",
            id="unacknowledged",
        ),
        pytest.param(
            looks(*[IDLE] * 9, *[UNREAD] * 5), "are not read", id="after it had been idle"
        ),
        pytest.param(
            [({A: UNREAD, B: UNREAD}, False)] * 5, "and 1 more partitions", id="two of them"
        ),
        pytest.param([({A: IDLE, B: UNREAD}, True)] * 5, "samples.v1/1: 76", id="one of two"),
    ],
)
def test_a_standstill_is_told_when_it_has_lasted(scene: list[Look], words: str) -> None:
    """At the look that ends a minute of it and not before, in one line."""
    *before, last = said(scene)
    assert before == [None] * len(before)
    assert last is not None
    assert words in last
    assert "\n" not in last


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(looks(*[IDLE] * 20), id="an idle topic"),
        pytest.param(looks(*[MARKS_ONLY] * 20), id="marks of transactions behind the last record"),
        pytest.param(looks(*[UNACKNOWLEDGED] * 20, worked=True), id="blocks are saved meanwhile"),
        pytest.param(looks(*[IDLE] * 20, UNREAD), id="idle for long, then a record"),
        pytest.param(
            looks(*(UNREAD._replace(next=100 + n, end=900) for n in range(20))), id="slow, and on"
        ),
        pytest.param(
            looks(*(UNACKNOWLEDGED._replace(acknowledged=100 + n) for n in range(20))),
            id="acknowledged little by little",
        ),
        pytest.param(looks(*[UNREAD, UNREAD, UNREAD, IDLE] * 5), id="late again and again"),
        pytest.param([({}, False)] * 20, id="a worker without partitions"),
    ],
)
def test_who_works_or_has_nothing_to_do_is_left_alone(scene: list[Look]) -> None:
    assert said(scene) == [None] * len(scene)


def test_what_nobody_looked_at_is_no_standstill() -> None:
    """A broker that was away, or a batch that lasted, for an hour: the time before is gone."""
    watch = Standstill()
    for now in (0.0, 15.0, 30.0, 45.0):
        assert watch.look(now, {A: UNREAD}, patience_s=PATIENCE_S) is None
    watch.forget()
    assert watch.look(3600.0, {A: UNREAD}, patience_s=PATIENCE_S) is None
    assert watch.look(3660.0, {A: UNREAD}, patience_s=PATIENCE_S) is not None


def test_a_value_is_unmoved_from_the_look_at_which_it_came() -> None:
    watch = Unmoved(0.0)
    seen = [
        (1.0, None),
        (2.0, (7, 30)),
        (9.0, (7, 30)),
        (10.0, (7, 20)),
        (30.0, (7, 20)),
        (31.0, None),
    ]
    assert [watch.look(now, value) for now, value in seen] == [0.0, 0.0, 7.0, 0.0, 20.0, 0.0]
