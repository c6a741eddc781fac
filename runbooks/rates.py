"""The rate card: what a bad event costs, and how long repair by hand takes.

Figures of money are only as good as these, so each is a range, every figure of a report names
the card's version, and a card that is not understood is refused.

    currency: EUR
    default:
      cost_per_bad_event: {low: 0.01, mid: 0.05, high: 0.20}
      manual_repair_minutes: {low: 20, mid: 45, high: 90}
    services:
      checkout:
        cost_per_bad_event: {low: 0.40, mid: 1.20, high: 3.00}
"""

import hashlib
from pathlib import Path
from typing import Self

import orjson
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import Rejected

DEFAULT = "default"


class Strict(BaseModel):
    """Frozen, and refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Range(Strict):
    """A figure with its range, 0 or more, low to high."""

    low: float = Field(ge=0)
    mid: float = Field(ge=0)
    high: float = Field(ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.mid <= self.high:
            raise ValueError("low, mid and high must not fall")
        return self


class Rate(Strict):
    """What holds for a service."""

    cost_per_bad_event: Range = Field(description="in the card's currency")
    manual_repair_minutes: Range


class ServiceRate(Strict):
    """What differs from the default for a service."""

    cost_per_bad_event: Range | None = None
    manual_repair_minutes: Range | None = None


class RateCard(Strict):
    """Rates by service; a service that is not named has the default."""

    currency: str = Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")
    default: Rate
    services: dict[str, ServiceRate] = {}

    def rate(self, service: str) -> Rate:
        """What holds for a service."""
        own = self.services.get(service, ServiceRate())
        return Rate(
            cost_per_bad_event=own.cost_per_bad_event or self.default.cost_per_bad_event,
            manual_repair_minutes=own.manual_repair_minutes or self.default.manual_repair_minutes,
        )

    @property
    def version(self) -> str:
        """SHA-256 of all figures."""
        return hashlib.sha256(
            orjson.dumps(self.model_dump(), option=orjson.OPT_SORT_KEYS)
        ).hexdigest()


def load_rates(path: Path) -> RateCard:
    """The rate card in a YAML file. Raises Rejected, with file and field, when it is none."""
    try:
        return RateCard.model_validate(yaml.safe_load(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Rejected(f"{path}: no rate card: {error}") from error
    except ValidationError as error:
        lines = [
            f"{path}: {'.'.join(map(str, fault['loc'])) or 'top level'}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise Rejected("\n".join(lines)) from error
