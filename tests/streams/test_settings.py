"""Settings: which source wins, what is refused, and what an error never shows."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import Rejected
from streams.settings import Settings

HEAVY = (
    "sqlalchemy",
    "alembic",
    "numba",
    "prophet",
    "pandas",
    "fastapi",
    "httpx",
    "confluent_kafka",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of one's own: `.env` and `sentinel.yaml` are read from it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder: Path, text: str) -> Path:
    path = folder / "sentinel.yaml"
    path.write_text(text)
    return path


def refusal(environment: dict[str, str] | None = None) -> str:
    with pytest.raises(Rejected) as error:
        Settings.load(environment or {})
    assert "\n" not in str(error.value)
    return str(error.value)


def test_without_anything_the_defaults_hold_and_nothing_may_be_changed(folder: Path) -> None:
    settings = Settings.load({})
    assert settings == Settings()
    assert settings.executor.backend == "off"


def test_the_environment_wins_over_the_env_file_over_yaml_over_defaults(folder: Path) -> None:
    written(folder, "kafka: {brokers: yaml:1, prefix: yaml-, topic_prefix: yaml.}")
    (folder / ".env").write_text("SENTINEL_KAFKA__BROKERS=env:1\nSENTINEL_KAFKA__PREFIX=env-\n")
    kafka = Settings.load({"SENTINEL_KAFKA__BROKERS": "real:1"}).kafka
    assert (kafka.brokers, kafka.prefix, kafka.topic_prefix) == ("real:1", "env-", "yaml.")
    assert kafka.protocol == "PLAINTEXT"


def test_another_file_is_read_when_it_is_named(folder: Path) -> None:
    other = folder / "other.yaml"
    other.write_text("environment: production")
    written(folder, "environment: staging")
    assert Settings.load({}).environment == "staging"
    assert Settings.load({"SENTINEL_CONFIG": str(other)}).environment == "production"
    assert Settings.load({}, other).environment == "production"


def test_variables_in_the_file_come_from_the_environment(folder: Path) -> None:
    written(folder, "kafka: {sasl_password: 'a${ONE}b${TWO}'}\nidentity: {people: {}}")
    settings = Settings.load({"ONE": "1", "TWO": "2"})
    assert settings.kafka.sasl_password.get_secret_value() == "a1b2"
    assert "${TWO} is not in the environment" in refusal({"ONE": "1"})


def test_secrets_in_the_file_come_from_files_that_are_mounted(folder: Path) -> None:
    """As Kubernetes, Vault's agent and Docker put them, an end of line behind them or none."""
    (folder / "password").write_text("hunter2 ${NOT}\n")
    (folder / "bytes").write_bytes(b"\xff")
    written(folder, f"kafka: {{sasl_password: '${{file:{folder}/password}}'}}")
    assert Settings.load({}).kafka.sasl_password.get_secret_value() == "hunter2 ${NOT}"
    for name, why in (("nowhere", "No such file or directory"), ("bytes", "not UTF-8")):
        written(folder, f"kafka: {{sasl_password: '${{file:{folder}/{name}}}'}}")
        assert refusal().endswith(f"${{file:{folder}/{name}}}: {why}")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("kafka: {brokrs: a:1}", "kafka.brokrs (FILE): unknown setting; known here: brokers, ca_file"),
        ("kafkas: {}", "kafkas (FILE): unknown setting; known here: approve, audit, bridge"),
        ("executor: {backend: off, targets: {}}", "unknown setting; known here: backend"),
        ("executor: {backend: http, target: {}}", "executor.target (FILE): unknown setting; known here: backend, targets"),
        ("executor: {backend: ssh}", "executor (FILE): backend must be one of http, off"),
        ("executor: {targets: {}}", "executor (FILE): backend must be one of http, off"),
        ("detect: {max_series: many}", "detect.max_series (FILE): Input should be a valid integer"),
        ("detect: {save_s: 0}", "detect.save_s (FILE): Input should be greater than 0"),
        ("detect: 7", "detect (FILE): Input should be a valid dictionary"),
        ("[1, 2]", "a mapping of settings is expected"),
        ("a: [1", "FILE: line 1: expected ',' or ']'"),
        ("executor: {dry_run: true}\nexecute: {dry_run: false}", "executor.dry_run and execute.dry_run are one setting"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_file_is_said_in_one_line(folder: Path, text: str, line: str) -> None:
    path = written(folder, text)
    said = refusal({"SENTINEL_CONFIG": str(path)})
    assert line.replace("FILE", str(path)) in said


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"SENTINEL_KAFKA__BROKRS": "a:1"}, "kafka.brokrs (SENTINEL_KAFKA__BROKRS): unknown setting; known here: brokers"),
        ({"SENTINEL_BROKERS": "a:1"}, "brokers (SENTINEL_BROKERS): unknown setting"),
        ({"SENTINEL_KAFKA": "a:1"}, "kafka (SENTINEL_KAFKA): Input should be a valid dictionary"),
        ({"SENTINEL_KAFKA": "x", "SENTINEL_KAFKA__PREFIX": "a"}, "SENTINEL_KAFKA__PREFIX: kafka is not a group"),
        ({"SENTINEL_EXECUTOR_DRY_RUN": "perhaps"}, "execute.dry_run (SENTINEL_EXECUTOR_DRY_RUN): Input should be a valid boolean"),
        ({"SENTINEL_EXECUTOR_BACKEND": "ssh"}, "executor (SENTINEL_EXECUTOR_BACKEND): backend must be one of http, off"),
        ({"SENTINEL_EXECUTOR_DRY_RUN": "1", "SENTINEL_EXECUTE__DRY_RUN": "0"}, "are one setting: say it once"),
        ({"SENTINEL_INTAKE__TOPICS": '{"a":"json"'}, """(SENTINEL_INTAKE__TOPICS): Input should be a valid dictionary: write it as JSON, {"name": "value"}"""),
        ({"SENTINEL_BRIDGE__SCRAPE__TARGETS": "a=http://b"}, """valid tuple: write it as JSON, ["a", "b"]"""),
        ({"SENTINEL_CONFIG": "nowhere.yaml"}, "nowhere.yaml: No such file"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_environment_is_said_by_its_name(
    folder: Path, environment: dict[str, str], line: str
) -> None:
    assert line in refusal(environment)


@pytest.mark.parametrize(
    ("yaml", "environment", "dry"),
    [
        ("", {}, False),
        ("executor: {dry_run: true}", {}, True),
        ("executor: {backend: off, dry_run: true}", {}, True),
        ("execute: {dry_run: true}", {}, True),
        ("executor: {dry_run: true}", {"SENTINEL_EXECUTOR_DRY_RUN": "false"}, False),
        ("execute: {dry_run: false}", {"SENTINEL_EXECUTOR_DRY_RUN": "true"}, True),
        ("execute: {dry_run: true}", {"SENTINEL_EXECUTE__DRY_RUN": "false"}, False),
        ("", {"SENTINEL_EXECUTOR__DRY_RUN": "true"}, True),
    ],
)
def test_a_dry_run_is_set_where_people_look_for_it(
    folder: Path, yaml: str, environment: dict[str, str], dry: Any
) -> None:
    written(folder, yaml)
    assert Settings.load(environment).dry_run is dry


def test_the_backend_and_its_targets_come_from_either_place(folder: Path) -> None:
    target = '{"shop": {"base_url": "http://127.0.0.1:1"}}'
    settings = Settings.load(
        {"SENTINEL_EXECUTOR_BACKEND": "http", "SENTINEL_EXECUTOR__TARGETS": target}
    )
    assert settings.executor.backend == "http"
    written(folder, f"executor: {{backend: http, targets: {target}}}")
    assert Settings.load({}) == settings


@pytest.mark.parametrize("secret", ["hunter2", "[hunter2", "{hunter2}", "", "0012", "${HOME}"])
def test_a_secret_arrives_as_it_was_written_and_is_never_shown(folder: Path, secret: str) -> None:
    given = {"SENTINEL_KAFKA__SASL_PASSWORD": secret, "SENTINEL_DATABASE__URL": f"x{secret}"}
    settings = Settings.load(given)
    assert settings.kafka.sasl_password.get_secret_value() == secret
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert "hunter2" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "kafka: {sasl_password: [hunter2]}",
        "kafka: {sasl_password: hunter2, brokrs: a}",
        "kafka: {sasl_password: hunter2",
        "kafka:\n  sasl_password: 'hunter2\n  brokers: a",
        "audit: {key: {hunter2: 1}}",
        "database: hunter2",
    ],
)
def test_an_error_shows_no_value(folder: Path, text: str) -> None:
    written(folder, text)
    assert "hunter2" not in refusal()


def test_reading_settings_loads_no_database_compiler_or_client() -> None:
    program = (
        f"import sys, streams.settings; print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
