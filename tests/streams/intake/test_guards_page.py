"""What docs/intake-guards.md says is so: its settings load, its rules and limits exist."""

import re
from pathlib import Path

import yaml

from streams.formats.limits import Limits
from streams.intake.advice import ADVICE
from streams.intake.settings import IntakeSettings

PAGE = (Path(__file__).parents[3] / "docs" / "intake-guards.md").read_text()
ROWS = [
    [re.findall(r"`([^`]+)`", cell) for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| `")
]


def test_the_settings_load_and_mean_what_is_said() -> None:
    written = yaml.safe_load(PAGE.split("```yaml")[1].split("```")[0])
    settings = IntakeSettings.model_validate(written["intake"])
    pay = settings.tenants["pay"]
    assert (pay.weight, pay.bytes_per_s, settings.tenant_label) == (2, 5_000_000, "team")
    own = pay.over(settings.limits)
    assert (own.series, own.late_s, own.future_s) == (20_000, 60, settings.limits.future_s)


def test_rules_and_limits_are_those_that_there_are() -> None:
    assert len(ROWS) > 4
    for rules, _, limits in ROWS:
        assert set(rules) <= ADVICE.keys()
        assert set(limits) <= Limits.model_fields.keys()


def test_advice_names_settings_that_there_are() -> None:
    for rule, advice in ADVICE.items():
        for group, name in re.findall(r"intake\.(limits\.)?([a-z_]+)", advice):
            known = Limits.model_fields if group else IntakeSettings.model_fields
            assert name in known, (rule, name)
