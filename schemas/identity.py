"""Who said it: Ed25519 signatures of answers and demands, and the keys they are checked with.

A name in a message proves nothing. A person holds a private key, the settings hold the public
key under the person's name, and an answer counts only when its signature fits both. The
private key is an ordinary PKCS #8 PEM file, so `openssl genpkey -algorithm ed25519` makes one
as well; the public key is one line, `ed25519:<base64 of 32 bytes>`.

Source: RFC 8032 (Ed25519).
"""

import base64
import binascii
import os
import stat
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self, TypeVar

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.errors import Rejected
from schemas.event import derive
from schemas.plans import Approval, Refusal
from schemas.results import Rollback
from schemas.verdicts import Verdict, Word

PREFIX = "ed25519:"
READABLE_BY_OTHERS = stat.S_IRWXG | stat.S_IRWXO

S = TypeVar("S", Approval, Rollback, Verdict)
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$")]


class Proof(NamedTuple):
    """Whether a signature is that person's, and why not."""

    holds: bool
    reason: str


class Keyring(BaseModel):
    """The people who may answer, and their public keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    people: dict[Name, str] = Field(
        default={},
        description="public key by name, `ed25519:<base64>`; nobody by default: no answer counts",
    )

    @model_validator(mode="after")
    def _one_key_a_person(self) -> Self:
        names: dict[str, str] = {}
        keys: dict[bytes, str] = {}
        for name, line in self.people.items():
            raw = _public(line)
            if name.casefold() in names:
                raise ValueError(f"{name} and {names[name.casefold()]} differ only in case")
            if raw in keys:
                raise ValueError(f"{name} and {keys[raw]} have the same key: nobody counts twice")
            names[name.casefold()], keys[raw] = name, name
        return self

    def check(self, *, by: str, text: bytes, signature: str) -> Proof:
        """Whether `by` signed `text`; `signature` is hex."""
        line = self.people.get(by)
        if line is None:
            return Proof(holds=False, reason=f"nobody called {by[:100]!r} is known")
        try:
            Ed25519PublicKey.from_public_bytes(_public(line)).verify(
                binascii.unhexlify(signature), text
            )
        except (InvalidSignature, ValueError):  # binascii.Error is a ValueError
            return Proof(holds=False, reason=f"the signature is not {by}'s over this text")
        return Proof(holds=True, reason=f"signed by {by}")


class Signer:
    """A person's private key, and what is signed with it."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> "Signer":
        """A new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> "Signer":
        """The key in a PEM file. Raises Rejected when it is none, or others may read it."""
        try:
            mode = path.stat().st_mode
            pem = path.read_bytes()
        except OSError as error:
            raise Rejected(f"cannot read the key {path}: {error.strerror}") from error
        if mode & READABLE_BY_OTHERS:
            raise Rejected(f"others may read the key {path}: run `chmod 600 {path}`")
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise Rejected(f"{path} holds no unencrypted private key in PEM") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise Rejected(f"{path} holds a key of another kind: Ed25519 is needed")
        return cls(key)

    def save(self, path: Path) -> None:
        """Write the key to a new file that only its owner may read. Raises Rejected."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        try:
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise Rejected(f"{path} exists: a key is never overwritten") from error
        except OSError as error:
            raise Rejected(f"cannot write the key {path}: {error.strerror}") from error
        with os.fdopen(number, "wb") as file:
            file.write(pem)

    @property
    def public(self) -> str:
        """The line for the settings."""
        raw = self._key.public_key().public_bytes_raw()
        return PREFIX + base64.b64encode(raw).decode()

    def sign(self, text: bytes) -> str:
        """The signature, hex."""
        return self._key.sign(text).hex()

    def approval(
        self,
        *,
        group: str,
        incident: str,
        plan_hash: str,
        answer: Literal["approve", "reject"],
        by: str,
        at: datetime,
        comment: str = "",
        channel: str = "cli",
    ) -> Approval:
        """A signed answer to exactly this plan."""
        said = Approval(
            at=at,
            group=group,
            incident=incident,
            plan_hash=plan_hash,
            answer=answer,
            by=by,
            comment=comment,
            channel=channel,
            signature="",
        )
        return self._signed(said)

    def rollback(
        self, *, group: str, incident: str, token: str, by: str, at: datetime, reason: str = ""
    ) -> Rollback:
        """A signed demand to take a run back."""
        said = Rollback(
            at=at, group=group, incident=incident, token=token, by=by, reason=reason, signature=""
        )
        return self._signed(said)

    def verdict(
        self,
        *,
        group: str,
        incident: str,
        service: str,
        says: Word,
        by: str,
        at: datetime,
        reason: str = "",
        undoes: str = "",
    ) -> Verdict:
        """A signed word on an incident, or on an earlier one's being taken back."""
        said = Verdict(
            at=at,
            group=group,
            incident=incident,
            service=service,
            says=says,
            undoes=undoes,
            by=by,
            reason=reason,
            signature="",
        )
        return self._signed(said)

    def _signed(self, said: S) -> S:
        """What was said, signed; its id follows from the signature."""
        signature = self.sign(said.signed_text())
        ident = derive(said.SUBJECT, signature)
        return said.model_copy(update={"signature": signature, "id": ident})


def refusal(said: Approval | Rollback | Verdict, reason: str, now: datetime) -> Refusal:
    """An answer, a demand or a verdict that does not count, said aloud."""
    return Refusal(
        at=now,
        group=said.group,
        cause=said.id,
        incident=said.incident,
        of=said.SUBJECT,  # type: ignore[arg-type] # of these three it is one of the three
        by=said.by[:100],
        channel="" if isinstance(said, Rollback) else said.channel,
        reason=reason,
    )


def ring(signers: Mapping[str, Signer]) -> Keyring:
    """The keyring of these people."""
    return Keyring(people={name: signer.public for name, signer in signers.items()})


def _public(line: str) -> bytes:
    if not line.startswith(PREFIX):
        raise ValueError(f"a public key is written {PREFIX}<base64 of 32 bytes>")
    try:
        raw = base64.b64decode(line.removeprefix(PREFIX), validate=True)
        Ed25519PublicKey.from_public_bytes(raw)
    except ValueError as error:
        raise ValueError(f"{line[:60]!r} is no Ed25519 public key: {error}") from error
    return raw
