"""The settings that are written: what they say, and that they load."""

from pathlib import Path

import pytest

from schemas.errors import Rejected
from streams.bridge.app import unread
from streams.connect.fragment import fragment, refuse_to_overwrite, save, scalar
from streams.connect.recognise import Found
from streams.intake.settings import IntakeSettings
from streams.settings import Settings

SURE = Found("beats", "sure", ("50 of 50 records have @metadata.beat",))
LIKELY = Found("text", "likely", ("they are text",), warnings=("3 are late",), service="nginx")
UNSURE = Found("", "unsure", ("nothing marks them",), ("vector", "json"))
AVRO = Found("avro@vector", "sure", ("the registry says so",))


def loaded(text: str, folder: Path) -> Settings:
    file = folder / "sentinel.yaml"
    file.write_text(text, encoding="utf-8")
    return Settings.load({}, file)


def test_what_is_certain_is_set_and_the_rest_is_a_comment(tmp_path: Path) -> None:
    text = fragment([("a", SURE), ("b", LIKELY), ("c", UNSURE)], ["Made by hand"])
    intake = loaded(text, tmp_path).intake
    assert intake.topics == {"a": "beats", "b": "text"}
    assert intake.services == {"b": "nginx"}
    assert "    # c: vector or json\n" in text
    assert "# unsure: nothing marks them" in text
    assert "# beware: 3 are late" in text


def test_putting_a_comment_right_is_taking_its_mark_away(tmp_path: Path) -> None:
    text = fragment([("a", SURE), ("c", UNSURE)], [])
    mended = text.replace("# c: vector or json", "c: vector")
    assert loaded(mended, tmp_path).intake.topics == {"a": "beats", "c": "vector"}


def test_what_the_bridge_writes_to_is_read_on(tmp_path: Path) -> None:
    """Also where its records are of several kinds, which their headers tell apart."""
    own = {"raw.logs": "json", "raw.metrics": "json"}
    text = fragment([("raw.logs", SURE), ("raw.metrics", UNSURE)], [], own=own)
    assert loaded(text, tmp_path).intake.topics == {"raw.logs": "beats", "raw.metrics": "json"}
    assert (
        unread(loaded(fragment([("a", SURE)], [], own=IntakeSettings().topics), tmp_path).intake)
        == set()
    )


def test_avro_takes_its_registry_along(tmp_path: Path) -> None:
    text = fragment([("a", AVRO)], [], "http://127.0.0.1:8081")
    assert loaded(text, tmp_path).intake.registry.url == "http://127.0.0.1:8081"


@pytest.mark.parametrize("name", ["a", "1.5", "null", "true", "2026-01-02", "1_0", "-", "yes", "~"])
def test_any_topics_name_stays_a_name(name: str, tmp_path: Path) -> None:
    text = fragment([(name, SURE)], [])
    assert loaded(text, tmp_path).intake.topics == {name: "beats"}


def test_a_name_is_in_quotes_only_where_it_must_be() -> None:
    assert (scalar("logs.nginx"), scalar("null")) == ("logs.nginx", '"null"')


@pytest.mark.parametrize("evil", ["x\nintake: {}", "x\r\n  topics: {}", "x\x85y: 1", "x\u2028y: 1"])
def test_what_records_hold_cannot_leave_its_comment(evil: str, tmp_path: Path) -> None:
    found = SURE._replace(reasons=(evil * 20,))
    assert loaded(fragment([("a", found)], [evil]), tmp_path).intake.topics == {"a": "beats"}


def test_nothing_recognised_is_nothing_to_write() -> None:
    with pytest.raises(Rejected, match="no topic was recognised"):
        fragment([("c", UNSURE)], [])


def test_a_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    file = tmp_path / "sentinel.yaml"
    refuse_to_overwrite(file, force=False)
    save(file, "a: 1\n")
    with pytest.raises(Rejected, match="--force replaces it"):
        refuse_to_overwrite(file, force=False)
    refuse_to_overwrite(file, force=True)
    save(file, "b: 2\n")
    assert [each.name for each in tmp_path.iterdir()] == ["sentinel.yaml"]
    assert file.read_text() == "b: 2\n"


@pytest.mark.parametrize("name", [".", "missing/sentinel.yaml"])
def test_where_no_file_can_be_is_said_before_anything_is_read(name: str, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="no file can be written there"):
        refuse_to_overwrite(tmp_path / name, force=True)
