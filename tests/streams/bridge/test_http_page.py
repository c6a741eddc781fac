"""What docs/http.md says is so: addresses, statuses, settings."""

import re
from pathlib import Path

import yaml

from streams.bridge.app import TABLE
from streams.bridge.settings import BridgeSettings

PAGE = (Path(__file__).parents[3] / "docs" / "http.md").read_text(encoding="utf-8")


def test_every_address_and_status_is_on_the_page() -> None:
    for endpoint in TABLE:
        assert f"`{endpoint.path}`" in PAGE
        for status in endpoint.document.answers:
            assert re.search(rf"^\| (\d+, )?{status}\b", PAGE, re.MULTILINE), status


def test_its_settings_are_settings() -> None:
    named = set(re.findall(r"`bridge\.(\w+)", PAGE))
    assert named
    assert named <= BridgeSettings.model_fields.keys()
    block = PAGE.split("# sentinel.yaml\n")[1].split("\n\n")[0]
    for variable in ("SHOP_TOKEN", "OVEN_TOKEN"):
        block = block.replace(f"${{{variable}}}", variable.ljust(16, "x"))
    loaded = BridgeSettings.model_validate(yaml.safe_load(block)["bridge"])
    assert loaded.tokens["shop"].tenant == "emea"
