"""Which services hang together, and what a topology file may say."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.topology import Service, Topology, load_topology
from schemas.errors import Rejected


def topology(**calls: tuple[str, ...]) -> Topology:
    return Topology(services={name: Service(depends_on=called) for name, called in calls.items()})


SHOP = topology(web=("checkout",), checkout=("queue",), worker=("queue",), mail=())


def test_what_hangs_together_is_one_group_named_by_its_first_service() -> None:
    assert SHOP.groups() == {
        "checkout": "checkout", "queue": "checkout", "web": "checkout", "worker": "checkout",
        "mail": "mail",
    }  # fmt: skip
    assert Topology().groups() == {}


@pytest.mark.parametrize(
    ("one", "other", "related"),
    [
        ("web", "web", True),
        ("web", "checkout", True),
        ("web", "queue", True),  # over checkout
        ("queue", "web", True),  # the other way
        ("checkout", "worker", False),  # both call the queue, neither the other
        ("web", "mail", False),
        ("unknown", "web", False),
        ("unknown", "unknown", True),
    ],
)
def test_a_service_is_related_to_what_it_calls_and_what_calls_it(
    one: str, other: str, *, related: bool
) -> None:
    assert SHOP.related(one, other) is related
    assert SHOP.related(other, one) is related


def test_a_circle_of_calls_is_one_group_and_ends() -> None:
    circle = topology(a=("b",), b=("c",), c=("a",), d=("d",))
    assert circle.groups() == {"a": "a", "b": "a", "c": "a", "d": "d"}
    assert circle.related("a", "c")
    assert not circle.related("a", "d")


NAMES = st.sampled_from([f"s{n}" for n in range(8)])
GRAPHS = st.dictionaries(NAMES, st.lists(NAMES, max_size=4).map(tuple), max_size=8)


@given(GRAPHS)
def test_a_call_never_leaves_its_group_and_related_services_share_one(
    calls: dict[str, tuple[str, ...]],
) -> None:
    drawn = topology(**calls)
    groups = drawn.groups()
    for name, called in calls.items():
        assert all(groups[name] == groups[other] for other in called)
    for one in groups:
        assert groups[groups[one]] == groups[one] <= one
        assert all(groups[one] == groups[o] for o in groups if drawn.related(one, o))


@given(GRAPHS, st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_the_order_of_the_file(
    calls: dict[str, tuple[str, ...]], random: object
) -> None:
    names = sorted(calls, key=lambda _: random.random())  # type: ignore[attr-defined] # hypothesis's Random
    assert topology(**{name: calls[name] for name in names}).groups() == topology(**calls).groups()


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "topology.yaml"
    path.write_text("services:\n  checkout: {depends_on: [queue]}\n  mail: {}\n")
    assert load_topology(path) == topology(checkout=("queue",), mail=())
    path.write_text("")
    assert load_topology(path) == Topology()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services: [a]", "services: Input should be a valid dictionary"),
        (
            "services: {a: {depends: [b]}}",
            "services.a.depends: unknown key; known here: depends_on",
        ),
        ("service: {}", "service: unknown key; known here: services"),
        ("services: {a: {depends_on: b}}", "services.a.depends_on: Input should be a valid tuple"),
        ("services: {a: }", "services.a: Input should be a valid dictionary"),
        ("services: {a: {depends_on: [b]", "not YAML: "),
        ("[]x", "not YAML: "),
        ("- a", "a mapping of services is expected"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_with_its_place(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "topology.yaml"
    path.write_text(text)
    with pytest.raises(Rejected) as error:
        load_topology(path)
    assert str(error.value).startswith(f"{path}: {said}")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="No such file"):
        load_topology(tmp_path / "nowhere.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Rejected, match="not YAML"):
        load_topology(tmp_path / "binary.yaml")
