"""Run the benches and write `benchmarks/results.json`: `python -m benchmarks [NAME...]`.

Names are throughput, wires, latency, scorer, logs and opinions; all of them by default. Apart from
these stands `python -m benchmarks endurance --rate 10000 --minutes 30`: it takes as long as it
says (`--help` tells what it prints), and fails when an event is lost. Figures of this machine
are written beside the results, because ratios travel and rates do not.
"""

import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import endurance, latency, logs, opinions, scorer, throughput, wires

BENCHES: dict[str, Callable[[Callable[[str], None]], dict[str, Any]]] = {
    "throughput": throughput.run,
    "wires": wires.run,
    "latency": latency.run,
    "scorer": scorer.run,
    "logs": logs.run,
    "opinions": opinions.run,
}
RESULTS = Path(__file__).parent / "results.json"


def main(names: list[str]) -> int:
    """Run what is named; exit status 2 for an unknown name."""
    console = Console(stderr=True)
    if names[:1] == ["endurance"]:
        found = endurance.main(names[1:], console.print)
        _write(_kept() | found)
        Console().print(table(found))
        return int(endurance.failed(found))
    unknown = set(names) - BENCHES.keys()
    if unknown:
        console.print(
            f"unknown bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}, endurance"
        )
        return 2
    results = _kept() if names else {n: v for n, v in _kept().items() if n.startswith("endurance")}
    for name in names or BENCHES:
        console.rule(name)
        results |= BENCHES[name](console.print)
    results["machine"] = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
    }
    results |= ratios(results)
    _write(results)
    Console().print(table(results))
    return 0


def _kept() -> dict[str, Any]:
    """What was measured before."""
    return json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}


def _write(results: dict[str, Any]) -> None:
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")


def ratios(results: dict[str, Any]) -> dict[str, float]:
    """Ours over each peer's and over the plain consumer's rate."""
    ours = results.get("raw_json_events_per_s")
    others = {
        "of_plain_consume_orjson": "plain_consume_orjson_per_s",
        "times_faust_per_event": "faust_per_event_per_s",
        "times_quix": "quix_per_s",
    }
    return {name: ours / results[peer] for name, peer in others.items() if ours and peer in results}


def table(results: dict[str, Any]) -> Table:
    """The figures for a person."""
    shown = Table("figure", "value", title="benchmarks/results.json")
    for name, value in sorted(results.items()):
        if isinstance(value, dict):
            for part, inner in value.items():
                shown.add_row(f"{name} {part}", _text(inner))
        else:
            shown.add_row(name, _text(value))
    return shown


def _text(value: Any) -> str:
    return f"{value:,.3f}" if isinstance(value, float) and value < 100 else f"{value:,.0f}" if isinstance(value, float) else str(value)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
