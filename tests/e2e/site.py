"""The configuration folder of a pipeline under test: objectives, topology, one runbook, settings."""

import json
from collections.abc import Sequence
from pathlib import Path

from streams.settings import Settings
from tests.e2e.events import BUCKET_S
from tests.e2e.target import STEPS, TOKEN

TARGET = 0.95
# A fifth of 20 s lost pages: a burn of 4, where a total outage burns 20.
ALERTS = "20s+8s@4=page"
RUNBOOK = "relieve-shop"


def build(folder: Path, *, brokers: str, prefix: str, target: str, shops: Sequence[str]) -> Path:
    """Write the folder; the settings file in it, which the settings accept."""
    for name in ("slo", "runbooks"):
        (folder / name).mkdir()
    for shop in shops:
        _write(folder / "slo" / f"{shop}.yaml", objective(shop))
    services = {f"{shop}-shop": {"depends_on": [f"{shop}-queue"]} for shop in shops}
    _write(folder / "topology.yaml", {"services": services})
    _write(folder / "runbooks" / f"{RUNBOOK}.yaml", runbook())
    settings = folder / "sentinel.yaml"
    _write(
        settings,
        {
            "environment": "staging",
            "kafka": {"brokers": brokers, "prefix": prefix, "topic_prefix": prefix},
            "files": {
                "slo": str(folder / "slo"),
                "runbooks": str(folder / "runbooks"),
                "topology": str(folder / "topology.yaml"),
            },
            "intake": {"instance": "a"},
            "detect": {"save_s": 5},
            "executor": {
                "backend": "http",
                "targets": {
                    "site": {
                        "base_url": target,
                        "token": TOKEN,
                        "operations_path": "/operations/{key}",
                    }
                },
            },
            "database": {"url": f"sqlite:///{folder / 'sentinel.db'}"},
            "audit": {"checkpoint": str(folder / "audit.checkpoint"), "key": "of this test"},
        },
    )
    Settings.load({}, settings)
    return settings


def objective(shop: str) -> dict[str, object]:
    """The OpenSLO document of a shop: 95 % of its requests are answered."""
    counted = [("good", "requests_good_total"), ("total", "requests_total")]
    sources = {
        role: {"metricSource": {"type": "Sentinel", "spec": {"series": {"metric": metric}}}}
        for role, metric in counted
    }
    return {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {
            "name": f"{shop}-answers",
            "annotations": {"sentinel/bucket": f"{BUCKET_S}s", "sentinel/alerts": ALERTS},
        },
        "spec": {
            "service": f"{shop}-shop",
            "budgetingMethod": "Occurrences",
            "timeWindow": [{"duration": "1h", "isRolling": True}],
            "indicator": {"spec": {"ratioMetric": {"counter": True, **sources}}},
            "objectives": [{"target": TARGET}],
        },
    }


def runbook() -> dict[str, object]:
    """Three steps, each with its undo; needs the burn and the queue, of two services."""
    return {
        "apiVersion": "sentinel/v1",
        "kind": "Runbook",
        "name": RUNBOOK,
        "version": 1,
        "owner": "shop-team",
        "description": "Drains the queue of a shop that does not answer any more.",
        "services": ["*-shop"],
        "risk": "low",
        "blast_radius": ["{{incident.service}}"],
        "environments": ["staging"],
        "when": {
            "severity": "medium",
            "all": [
                {"source": "slo", "direction": "up"},
                {"source": "metric", "name": "queue_depth", "direction": "up"},
            ],
        },
        "steps": [_step(name) for name in STEPS],
        "verification": {"within": "60s", "stable": "2s"},
    }


def _step(name: str) -> dict[str, object]:
    service = "{{incident.service}}"
    look = {"target": "site", "method": "GET", "path": f"/services/{service}"}
    change = {"target": "site", "method": "POST", "path": f"/services/{service}/{name}"}
    return {
        "name": name,
        "summary": f"{name} the queue of {service}",
        "touches": service,
        "use": "http",
        "precheck": {"call": look, "expect": f"not {name}"},
        "observe": look,
        "do": {**change, "json": {"on": True}},
        "undo": {**change, "json": {"on": "{{before." + name + "}}"}},
        "timeout": "20s",
    }


def _write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, indent=1))  # JSON is YAML, and has no aliases
