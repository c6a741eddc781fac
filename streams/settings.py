"""All settings, assembled from the parts that declare them.

In this order, later wins: defaults; `sentinel.yaml` (or the file that SENTINEL_CONFIG names),
where `${VAR}` takes a value from the environment and `${file:PATH}` what a file holds, as
secrets managers mount them; `.env`; the environment, in which SENTINEL_KAFKA__BROKERS is
`kafka.brokers`. A name that nothing knows is refused: a typing error that silently changes
nothing is worse than none.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, get_args

import yaml
from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from agents.approve import ApproveSettings
from agents.correlate import CorrelateSettings
from agents.detect_settings import DetectSettings
from agents.explain import ExplainSettings
from agents.forecast_settings import ForecastSettings
from agents.logs.settings import LogSettings
from agents.plan import PlanSettings
from agents.verdict_settings import VerdictSettings
from agents.verify import VerifySettings
from executors.execute import ExecuteSettings
from executors.off import OffSettings
from executors.registry import AnyExecutor
from runbooks.opa_settings import OpaSettings
from schemas.errors import Rejected
from schemas.identity import Keyring
from sinks.settings import AuditSettings, DatabaseSettings
from streams.bridge.settings import BridgeSettings
from streams.connection import KafkaSettings
from streams.intake.settings import IntakeSettings
from streams.metrics_settings import MetricsSettings

PREFIX = "SENTINEL_"
# Not settings of the pipeline: where its files are, and who is at the keyboard
APART = {"SENTINEL_CONFIG", "SENTINEL_CACHE", "SENTINEL_IDENTITY", "SENTINEL_IDENTITY_KEY"}
# Names that were promised with one underscore where our rule has two
PROMISED = {
    "SENTINEL_EXECUTOR_BACKEND": "executor.backend",
    "SENTINEL_EXECUTOR_DRY_RUN": "executor.dry_run",
}
# Where people look for a setting, and where it acts
ALIASES = {"executor.dry_run": "execute.dry_run"}
VARIABLE = re.compile(r"\$\{(file:[^}]+|[A-Za-z_][A-Za-z0-9_]*)\}")
# What a variable holds that is more than one value, by pydantic's name for what it is not
WRITTEN = {"dict_type": '{"name": "value"}', "list_type": '["a", "b"]', "tuple_type": '["a", "b"]'}
NEVER = FieldInfo(default=object())
SHIPPED = Path(__file__).parent.parent / "runbooks"


class Loader(yaml.SafeLoader):
    """YAML in which `off` is a word, as in 1.2: the executor's default is called so."""


Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in pairs if not tag.endswith(":bool")]
    for letter, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


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
    rules: Path | None = Field(
        default=None, description="static limits such as cpu > 90 for 3m, YAML; none: models alone"
    )


class Settings(BaseModel):
    """Everything that can be set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: str = Field(default="development", description="what policy calls this place")
    kafka: KafkaSettings = KafkaSettings()
    files: Folders = Folders()
    intake: IntakeSettings = IntakeSettings()
    bridge: BridgeSettings = BridgeSettings()
    detect: DetectSettings = DetectSettings()
    logs: LogSettings = LogSettings()
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
    verdicts: VerdictSettings = VerdictSettings()
    database: DatabaseSettings = DatabaseSettings()
    audit: AuditSettings = AuditSettings()
    metrics: MetricsSettings = MetricsSettings()

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
        written: dict[str, str] = {}  # place -> the variable that says it
        for name, value in sorted(values.items()):
            if name.startswith(PREFIX) and name not in APART:
                place = _place(name)
                if place in written and values[written[place]] != value:
                    raise Rejected(f"{written[place]} and {name} are one setting: say it once")
                written[place] = name
                _put(document, place, _meant(value), name)
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise Rejected(_said(error, path, written)) from error


def _read(path: Path, values: Mapping[str, str]) -> dict[str, Any]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader) or {}  # noqa: S506 - a safe one
    except OSError as error:
        raise Rejected(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:  # the line itself may hold a secret: its number
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise Rejected(f"{path}: {line}{getattr(error, 'problem', None) or 'not YAML'}") from error
    if not isinstance(document, dict):
        raise Rejected(f"{path}: a mapping of settings is expected")
    filled = {str(key): _filled(value, values, path) for key, value in document.items()}
    for alias, place in ALIASES.items():
        group, name = alias.split(".")
        held = filled.get(group)
        if isinstance(held, dict) and name in held:
            value = held.pop(name)
            if not held:
                del filled[group]
            if _put(filled, place, value, f"{path}: {alias}") not in (None, value):
                raise Rejected(f"{path}: {alias} and {place} are one setting: say it once")
    return filled


def _filled(value: Any, values: Mapping[str, str], path: Path) -> Any:
    """The value with every `${...}` in a string taken from where it says."""
    match value:
        case dict():
            return {str(key): _filled(inner, values, path) for key, inner in value.items()}
        case list():
            return [_filled(inner, values, path) for inner in value]
        case str():
            return VARIABLE.sub(lambda found: _taken(found[1], values, path), value)
    return value


def _taken(name: str, values: Mapping[str, str], path: Path) -> str:
    if name.startswith("file:"):
        try:
            return Path(name.removeprefix("file:")).read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise Rejected(f"{path}: ${{{name}}}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise Rejected(f"{path}: ${{{name}}}: not UTF-8") from error
    if name not in values:
        raise Rejected(f"{path}: ${{{name}}} is not in the environment")
    return values[name]


def _place(name: str) -> str:
    """Where a variable belongs, dotted."""
    dotted = PROMISED.get(name) or name.removeprefix(PREFIX).lower().replace("__", ".")
    return ALIASES.get(dotted, dotted)


def _meant(value: str) -> Any:
    """A variable's value: JSON where a list or a mapping is written, else text."""
    if value.startswith(("[", "{")):
        try:
            return json.loads(value)
        except ValueError:
            return value  # a password may look so
    return value


def _put(document: dict[str, Any], dotted: str, value: Any, name: str) -> Any:
    """Put a value in its place; what was there before."""
    *way, last = dotted.split(".")
    place = document
    for part in way:
        inner = place.setdefault(part, {})
        if not isinstance(inner, dict):
            raise Rejected(f"{name}: {part} is not a group of settings")
        place = inner
    before = place.get(last)
    place[last] = value
    return before


def _said(error: ValidationError, path: Path | None, written: Mapping[str, str]) -> str:
    """The first fault in one line, under the name that the user wrote; never its value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place, models = _walked(first["loc"])
    where = ".".join(place)
    variable = written.get(where) or next((n for at, n in written.items() if where in at), "")
    source = variable or str(path or f"{PREFIX}{where.upper().replace('.', '__')}")
    what = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        known = sorted({name for model in models for name in model.model_fields})
        what = f"unknown setting; known here: {', '.join(known)}"
    elif variable and first["type"] in WRITTEN:
        what = f"{what}: write it as JSON, {WRITTEN[first['type']]}"
    elif first["type"].startswith("union_tag"):
        tags = [model.model_fields["backend"].default for model in models]
        what = f"backend must be one of {', '.join(map(str, sorted(tags)))}"
    return f"{where} ({source}): {what}"


def _walked(location: tuple[int | str, ...]) -> tuple[list[str], list[type[BaseModel]]]:
    """A fault's place without the tags of unions, and the models among whose fields it lies."""
    place: list[str] = []
    models: list[type[BaseModel]] = [Settings]
    for part in map(str, location):
        fields = [m.model_fields[part] for m in models if part in m.model_fields]
        tagged = [m for m in models if m.model_fields.get("backend", NEVER).default == part]
        if tagged and len(models) > 1:
            models = tagged
            continue
        place.append(part)
        if fields:
            models = [m for field in fields for m in _models(field.annotation)] or models
    return place, models


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models of a field's type, one for each member of a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for inner in get_args(annotation) for m in _models(inner)]
