"""What docs/http.md says is so: addresses, statuses, settings."""

import re
from pathlib import Path

import yaml

from streams.bridge.app import TABLE
from streams.bridge.scrape import target
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
    settings, scraping = (part.split("\n\n")[0] for part in PAGE.split("# sentinel.yaml\n")[1:])
    for variable in ("SHOP_TOKEN", "OVEN_TOKEN"):
        settings = settings.replace(f"${{{variable}}}", variable.ljust(16, "x"))
    loaded = BridgeSettings.model_validate(yaml.safe_load(settings)["bridge"])
    assert loaded.tokens["shop"].tenant == "emea"
    loaded = BridgeSettings.model_validate(yaml.safe_load(scraping)["bridge"])
    assert [target(given).labels["job"] for given in loaded.scrape.targets] == [
        "checkout", "10.0.0.8:9100",
    ]  # fmt: skip
