"""Keys and signatures: whose word it is."""

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from schemas.errors import Rejected
from schemas.identity import Keyring, Signer, ring
from schemas.plans import Approval

AT = datetime(2026, 3, 4, 10, 0, 0, 123_456, tzinfo=UTC)
ALICE, BOB = Signer.generate(), Signer.generate()
RING = ring({"alice": ALICE, "bob": BOB})


def answer(signer: Signer = ALICE, by: str = "alice") -> Approval:
    return signer.approval(
        group="g", incident="inc-1", plan_hash="h", answer="approve", by=by, at=AT
    )


def test_a_signature_holds_for_its_own_person_and_text_only() -> None:
    said = answer()
    assert RING.check(by="alice", text=said.signed_text(), signature=said.signature).holds
    for by, text, signature in [
        ("bob", said.signed_text(), said.signature),
        ("carol", said.signed_text(), said.signature),
        ("Alice", said.signed_text(), said.signature),
        ("alice", said.signed_text() + b" ", said.signature),
        ("alice", said.signed_text(), answer(BOB).signature),
        ("alice", said.signed_text(), ""),
        ("alice", said.signed_text(), "no hex"),
        ("alice", said.signed_text(), "é"),
        ("alice", said.signed_text(), said.signature[:-2]),
    ]:
        proof = RING.check(by=by, text=text, signature=signature)
        assert not proof.holds
        assert proof.reason


@pytest.mark.parametrize(
    "change",
    [
        {"incident": "inc-2"}, {"plan_hash": "i"}, {"answer": "reject"}, {"by": "bob"},
        {"at": AT.replace(hour=11)},
    ],
)  # fmt: skip
def test_whatever_is_changed_in_a_signed_answer_breaks_it(change: dict[str, object]) -> None:
    edited = answer().model_copy(update=change)
    proof = RING.check(by=edited.by, text=edited.signed_text(), signature=edited.signature)
    assert not proof.holds


def test_a_signature_survives_the_wire_though_times_are_cut_to_milliseconds() -> None:
    said = answer()
    cut = said.model_copy(update={"at": AT.replace(microsecond=123_000)})
    assert RING.check(by="alice", text=cut.signed_text(), signature=said.signature).holds


def test_an_approval_cannot_be_passed_off_as_a_rollback() -> None:
    demand = ALICE.rollback(group="g", incident="inc-1", token="rb-1", by="alice", at=AT)  # noqa: S106 - no secret
    said = answer()
    assert RING.check(by="alice", text=demand.signed_text(), signature=demand.signature).holds
    assert not RING.check(by="alice", text=demand.signed_text(), signature=said.signature).holds


def test_nobody_is_known_by_default() -> None:
    said = answer()
    proof = Keyring().check(by="alice", text=said.signed_text(), signature=said.signature)
    assert not proof.holds
    assert proof.reason == "nobody called 'alice' is known"


def test_a_key_is_written_for_its_owner_alone_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "alice.pem"
    ALICE.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Signer.load(path).public == ALICE.public
    with pytest.raises(Rejected, match="never overwritten"):
        BOB.save(path)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "alice.pem"
    ALICE.save(path)
    path.chmod(0o640)
    with pytest.raises(Rejected, match="chmod 600"):
        Signer.load(path)


def test_openssl_makes_a_key_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(path)], check=True)
    os.chmod(path, 0o600)  # noqa: PTH101 - as a person would
    said = Signer.load(path).sign(b"x")
    assert ring({"me": Signer.load(path)}).check(by="me", text=b"x", signature=said).holds


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_file_that_is_no_key_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(Rejected, match="holds no"):
        Signer.load(path)


def test_a_missing_file_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="cannot read"):
        Signer.load(tmp_path / "none.pem")


@pytest.mark.parametrize(
    ("people", "reason"),
    [
        ({"alice": ALICE.public, "bob": ALICE.public}, "have the same key"),
        ({"alice": ALICE.public, "Alice": BOB.public}, "differ only in case"),
        ({"alice": "ssh-ed25519 AAAA"}, "a public key is written"),
        ({"alice": "ed25519:AAAA"}, "is no Ed25519 public key"),
        ({"alice": "ed25519:*"}, "is no Ed25519 public key"),
        ({"": ALICE.public}, "pattern"),
        ({"a\nb": ALICE.public}, "pattern"),
    ],
)
def test_a_keyring_in_which_one_person_could_count_twice_is_refused(
    people: dict[str, str], reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason):
        Keyring.model_validate_json(json.dumps({"people": people}))
