"""The demo's configuration folder: what an operator would have written for this shop.

Everything is generated at the start, because ports, tokens and the objective's calendar are of
this one run. Two things differ from what is shipped, and the demo says so: the objective's
period is one hour that begins now, so that minutes of an outage show in the budget; and the
runbook's verification is shortened from minutes to seconds.
"""

import re
import secrets
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from runbooks.loader import SHIPPED as CATALOGUE
from schemas.errors import Rejected
from schemas.identity import Signer
from streams.demo.mode import Mode

OBJECTIVE = "checkout-fast-enough"
TARGET = 0.95
PERIOD = "1h"
BUCKET = "2s"
# A fifth of all checkouts lost over 16 s pages: a burn of 4, where a total outage burns 20.
ALERTS = "16s+4s@4=page"
RUNBOOK = "relieve-queue"
VERIFICATION = "verification: {within: 40s, stable: 4s}"
SHIPPED_VERIFICATION = re.compile(r"^verification:.*$", re.MULTILINE)
APPROVER = "you"
# Half an hour at four samples a second: a fault of minutes is not to become the normal state
ADAPT_SAMPLES = 7200
# Who calls whom. The batch job floods the queue that checkout waits for: one group.
TOPOLOGY = {
    "checkout": {"depends_on": ["shop-queue"]},
    "shop-queue": {"depends_on": ["shop-worker"]},
    "shop-batch": {"depends_on": ["shop-queue"]},
}


class Controls(NamedTuple):
    """Where the shop can be changed, by the targets' names in the runbooks, and with what token."""

    urls: Mapping[str, str]
    token: str


class Site(NamedTuple):
    """The folder and what is in it."""

    folder: Path
    settings: Path
    key: Path | None  # the private key of `you`, where a person must approve

    @property
    def logs(self) -> Path:
        """Where the processes write."""
        return self.folder / "logs"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to be of this demo."""
        return {"SENTINEL_CONFIG": str(self.settings), "TMPDIR": str(self.folder / "tmp")}


def build(folder: Path, *, brokers: str, controls: Controls, mode: Mode, now: datetime) -> Site:
    """Write the folder. Raises Rejected when the shipped runbook is not as it is known here."""
    for name in ("slo", "runbooks", "logs", "tmp"):
        (folder / name).mkdir()
    (folder / "slo" / "checkout.yaml").write_text(_yaml(objective(now)))
    (folder / "topology.yaml").write_text(_yaml({"services": TOPOLOGY}))
    for file in sorted(CATALOGUE.glob("*.yaml")):
        text = file.read_text(encoding="utf-8")
        if file.stem == RUNBOOK:
            text = shortened(text, file)
        (folder / "runbooks" / file.name).write_text(text, encoding="utf-8")
    people, key = {}, None
    if mode is Mode.manual:
        key = folder / f"{APPROVER}.pem"
        signer = Signer.generate()
        signer.save(key)
        people[APPROVER] = signer.public
    settings = folder / "sentinel.yaml"
    settings.touch(mode=0o600)  # it holds the shop's token
    settings.write_text(
        _yaml(
            {
                "environment": mode.environment,
                "kafka": {"brokers": brokers},
                "files": {
                    "slo": str(folder / "slo"),
                    "runbooks": str(folder / "runbooks"),
                    "topology": str(folder / "topology.yaml"),
                },
                "detect": {"watch": {"adapt_samples": ADAPT_SAMPLES}},
                "executor": _executor(controls, dry_run=mode is Mode.dry_run),
                "identity": {"people": people},
                "database": {"url": f"sqlite:///{folder / 'sentinel.db'}"},
                "audit": {
                    "checkpoint": str(folder / "audit.checkpoint"),
                    "key": secrets.token_hex(32),
                },
            }
        )
    )
    return Site(folder, settings, key)


def objective(now: datetime) -> dict[str, Any]:
    """The OpenSLO document: 95 % of checkouts answered well within 0.4 s, for one hour from now.

    A fixed hour, so that the allowance is a share of what the hour will hold: at 12 checkouts a
    second 2160 may fail, and a total outage spends that in three minutes.
    """
    start = now.replace(microsecond=0)
    counted = [("good", "checkout_good_total"), ("total", "checkout_requests_total")]
    sources = {
        role: {"metricSource": {"type": "Sentinel", "spec": {"series": {"metric": metric}}}}
        for role, metric in counted
    }
    return {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {
            "name": OBJECTIVE,
            "annotations": {"sentinel/bucket": BUCKET, "sentinel/alerts": ALERTS},
        },
        "spec": {
            "description": "Of all checkouts, 95 % are answered well within 0.4 s.",
            "service": "checkout",
            "budgetingMethod": "Occurrences",
            "timeWindow": [
                {
                    "duration": PERIOD,
                    "isRolling": False,
                    "calendar": {"startTime": f"{start:%Y-%m-%d %H:%M:%S}", "timeZone": "UTC"},
                }
            ],
            "indicator": {"spec": {"ratioMetric": {"counter": True, **sources}}},
            "objectives": [{"displayName": "Fast enough", "target": TARGET}],
        },
    }


def shortened(text: str, file: Path) -> str:
    """The runbook with the demo's verification, all else as shipped."""
    changed, count = SHIPPED_VERIFICATION.subn(VERIFICATION, text)
    if count != 1:
        raise Rejected(f"{file}: has {count} lines `verification:`, the demo replaces exactly one")
    return changed


def approve_command(site: Site, *, incident: str) -> str:
    """What a person types in another terminal to approve the plan that waits."""
    python = Path(sys.executable)
    return (
        f"SENTINEL_CONFIG={site.settings} SENTINEL_IDENTITY={APPROVER} "
        f"SENTINEL_IDENTITY_KEY={site.key} {python.with_name('sentinel')} approve {incident}"
    )


def _executor(controls: Controls, *, dry_run: bool) -> dict[str, Any]:
    targets = {
        name: {
            "base_url": url,
            "token": controls.token,
            "operations_path": "/control/operations/{key}",
        }
        for name, url in sorted(controls.urls.items())
    }
    return {"backend": "http", "dry_run": dry_run, "targets": targets}


def _yaml(document: object) -> str:
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
