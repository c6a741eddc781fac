"""Settings of redaction: what leaves a record before intake writes anything of it."""

import re
from fnmatch import translate
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from schemas.masking import KINDS

SHORTEST_KEY = 16  # characters


class RedactionSettings(BaseModel):
    """What leaves a record before intake writes anything of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    email: bool = Field(default=True, description="mask e-mail addresses; false leaves them")
    card: bool = Field(
        default=True,
        description="mask numbers of payment cards: 14 to 19 digits that begin as a brand's and "
        "have Luhn's check digit, which one order number of ten of that length has by chance; "
        "false leaves them",
    )
    token: bool = Field(
        default=True,
        description="mask secrets: password=, token:, --password x, API keys, pins and one-time "
        "codes, cookies, authorisation, JWTs, tokens of AWS, GitHub, Slack and others, private "
        "keys, user and password in URLs and connection strings, long base64; false leaves them",
    )
    iban: bool = Field(default=True, description="mask IBANs, by their check digits")
    phone: bool = Field(
        default=True, description="mask telephone numbers with their country, as +49 30 901820"
    )
    person: bool = Field(
        default=True, description="mask numbers of persons as 078-05-1120 (US social security)"
    )
    ip: bool = Field(
        default=False,
        description="mask IPv4 and IPv6 addresses, in labels, too: series that differ only in "
        "their instance's address become one",
    )
    drop_labels: tuple[str, ...] = Field(
        default=(),
        description="labels that are left out, by name; * and ? as in file names, case ignored; "
        "series that differ only in them become one; empty: none",
    )
    hash_labels: tuple[str, ...] = Field(
        default=(),
        description="labels whose value becomes a keyed hash of 16 hex digits, by name, as "
        "drop_labels: equal values stay equal, so series stay apart; empty: none",
    )
    hash_key: SecretStr = Field(
        default=SecretStr(""),
        description="secret of hash_labels, 16 characters or more, and only with them; "
        "another one makes other series",
    )

    @property
    def kinds(self) -> frozenset[str]:
        """What is masked, as masking calls it."""
        return frozenset(kind for kind in KINDS if getattr(self, kind))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.hash_labels and len(self.hash_key.get_secret_value()) < SHORTEST_KEY:
            raise ValueError(f"hash_labels needs a hash_key of {SHORTEST_KEY} characters or more")
        if self.hash_key.get_secret_value() and not self.hash_labels:
            raise ValueError(
                "hash_key does nothing without hash_labels: name the labels, or leave it out"
            )
        if any_of(self.drop_labels).fullmatch("service"):
            raise ValueError(
                "drop_labels covers `service`, which every series needs: put it into hash_labels"
            )
        return self


def any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """What matches any of the names of labels that a setting gives; nothing for none."""
    return re.compile("|".join(map(translate, patterns)) or r"(?!)", re.IGNORECASE)
