"""All settings, assembled from the parts that declare them.

In this order, later wins: defaults; `sentinel.yaml` (or the file that SENTINEL_CONFIG names),
where `${VAR}` takes a value from the environment; `.env`; the environment, in which
SENTINEL_KAFKA__BROKERS is `kafka.brokers`. A name that nothing knows is refused: a typing
error that silently changes nothing is worse than none.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agents.approve import ApproveSettings
from agents.correlate import CorrelateSettings
from agents.detect_settings import DetectSettings
from agents.explain import ExplainSettings
from agents.forecast import ForecastSettings
from agents.plan import PlanSettings
from agents.verify import VerifySettings
from executors.execute import ExecuteSettings
from executors.off import OffSettings
from executors.registry import AnyExecutor
from runbooks.opa_settings import OpaSettings
from schemas.errors import Rejected
from schemas.identity import Keyring
from sinks.settings import AuditSettings, DatabaseSettings
from streams.bridge_settings import BridgeSettings
from streams.connection import KafkaSettings
from streams.intake_settings import IntakeSettings

PREFIX = "SENTINEL_"
# Not settings of the pipeline: where its files are, and who is at the keyboard
APART = {"SENTINEL_CONFIG", "SENTINEL_CACHE", "SENTINEL_IDENTITY", "SENTINEL_IDENTITY_KEY"}
# Names that were promised with one underscore where our rule has two
PROMISED = {
    "SENTINEL_EXECUTOR_BACKEND": "executor.backend",
    "SENTINEL_EXECUTOR_DRY_RUN": "executor.dry_run",
}
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
SHIPPED = Path(__file__).parent.parent / "runbooks"


class Folders(BaseModel):
    """Where the files are that say what may be done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runbooks: Path = Field(default=SHIPPED / "catalogue", description="folder of runbooks, YAML")
    policies: Path = Field(default=SHIPPED / "policies", description="folder of policies, Rego")
    slo: Path = Field(default=SHIPPED / "slo", description="folder of objectives, OpenSLO YAML")
    topology: Path | None = Field(
        default=None, description="which service calls which, YAML; none: each is on its own"
    )
    rates: Path = Field(default=SHIPPED / "rates.yaml", description="rate card, YAML")


class Settings(BaseModel):
    """Everything that can be set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: str = Field(default="development", description="what policy calls this place")
    kafka: KafkaSettings = KafkaSettings()
    files: Folders = Folders()
    intake: IntakeSettings = IntakeSettings()
    bridge: BridgeSettings = BridgeSettings()
    detect: DetectSettings = DetectSettings()
    correlate: CorrelateSettings = CorrelateSettings()
    forecast: ForecastSettings = ForecastSettings()
    plan: PlanSettings = PlanSettings()
    opa: OpaSettings = Field(
        default=OpaSettings(), description="an OPA server; without a URL policies run in process"
    )
    approve: ApproveSettings = ApproveSettings()
    identity: Keyring = Field(default=Keyring(), description="who may approve and roll back")
    executor: AnyExecutor = Field(default=OffSettings(), description="what may be changed, and how")
    execute: ExecuteSettings = ExecuteSettings()
    verify: VerifySettings = VerifySettings()
    explain: ExplainSettings = ExplainSettings()
    database: DatabaseSettings = DatabaseSettings()
    audit: AuditSettings = AuditSettings()

    @model_validator(mode="before")
    @classmethod
    def _dry_run_of_the_executor(cls, data: Any) -> Any:
        """`executor.dry_run` is where people look for it; runs are where it acts."""
        executor = data.get("executor") if isinstance(data, dict) else None
        if not isinstance(executor, dict) or "dry_run" not in executor:
            return data
        rest = {name: value for name, value in executor.items() if name != "dry_run"}
        execute = {"dry_run": executor["dry_run"], **data.get("execute", {})}
        return {**data, "executor": rest or {"backend": "off"}, "execute": execute}

    @property
    def dry_run(self) -> bool:
        """Whether nothing is to be changed, whatever is planned."""
        return self.execute.dry_run

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, file: Path | None = None) -> Self:
        """The settings in force. Raises Rejected, naming the place, for a bad one."""
        given = dict(os.environ if environment is None else environment)
        values = {k: v for k, v in dotenv_values(".env").items() if v is not None} | given
        path = file or (Path(values["SENTINEL_CONFIG"]) if "SENTINEL_CONFIG" in values else None)
        if path is None and Path("sentinel.yaml").is_file():
            path = Path("sentinel.yaml")
        document = _read(path, values) if path else {}
        for name, value in sorted(values.items()):
            if name.startswith(PREFIX) and name not in APART:
                _set(document, name, value)
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise Rejected(_said(error, path)) from error


def _read(path: Path, values: Mapping[str, str]) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise Rejected(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise Rejected(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise Rejected(f"{path}: a mapping of settings is expected")
    return {key: _filled(value, values, path) for key, value in document.items()}


def _filled(value: Any, values: Mapping[str, str], path: Path) -> Any:
    """The value with every `${VAR}` in a string taken from the environment."""
    match value:
        case dict():
            return {key: _filled(inner, values, path) for key, inner in value.items()}
        case list():
            return [_filled(inner, values, path) for inner in value]
        case str():
            return VARIABLE.sub(lambda found: _taken(found[1], values, path), value)
    return value


def _taken(name: str, values: Mapping[str, str], path: Path) -> str:
    if name not in values:
        raise Rejected(f"{path}: ${{{name}}} is not in the environment")
    return values[name]


def _set(document: dict[str, Any], name: str, value: str) -> None:
    """Put an environment variable in its place; JSON where a list or a mapping is meant."""
    dotted = PROMISED.get(name) or name.removeprefix(PREFIX).lower().replace("__", ".")
    *way, last = dotted.split(".")
    place = document
    for part in way:
        inner = place.setdefault(part, {})
        if not isinstance(inner, dict):
            raise Rejected(f"{name}: {part} is not a group of settings")
        place = inner
    place[last] = yaml.safe_load(value) if value[:1] in "[{" else value


def _said(error: ValidationError, path: Path | None) -> str:
    """The first fault in one line, under the names that the user wrote."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    variable = f"{PREFIX}{where.upper().replace('.', '__')}"
    known = "; known here: " + ", ".join(_known(first["loc"])) if _unknown(first) else ""
    what = "unknown setting" if _unknown(first) else first["msg"]
    return f"{where} ({variable}{f' or {path}' if path else ''}): {what}{known}"


def _unknown(error: Mapping[str, Any]) -> bool:
    return bool(error["type"] == "extra_forbidden")


def _known(place: tuple[int | str, ...]) -> list[str]:
    """The names that are known beside a wrong one."""
    model: Any = Settings
    for part in place[:-1]:
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        model = field.annotation if field else None
    return sorted(model.model_fields) if hasattr(model, "model_fields") else []
