"""`python -m tools.dashboards` writes grafana/dashboards; `--runbook URL --output DIR` for another place."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.alerts import RUNBOOK
from tools.dashboards.fleet import fleet
from tools.dashboards.pod import pod

DASHBOARDS = Path(__file__).parents[2] / "grafana" / "dashboards"


def written(runbook: str = RUNBOOK) -> dict[str, str]:
    """The text of every file, by its name."""
    built = {"fleet.json": fleet(runbook), "pod.json": pod(runbook)}
    return {name: through(encoded(each.build())) for name, each in built.items()}


def encoded(each: Dashboard) -> str:
    """A dashboard as text."""
    text: str = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(each)
    return text + "\n"


def through(text: str) -> str:
    """The same, with what the schema says of what is not said: no reader adds anything more."""
    register_default_plugins()
    return encoded(Dashboard.from_json(json.loads(text)))


def main(argv: Sequence[str]) -> int:
    """Writes the files."""
    parser = ArgumentParser(
        prog="python -m tools.dashboards", description="Writes the dashboards of grafana/dashboards."
    )
    parser.add_argument("--runbook", default=RUNBOOK, help=f"where the page is that they link to ({RUNBOOK})")
    parser.add_argument(
        "--output", type=Path, default=DASHBOARDS, help="the directory to write to (grafana/dashboards)"
    )
    chosen = parser.parse_args(argv)
    chosen.output.mkdir(parents=True, exist_ok=True)
    for name, text in written(chosen.runbook).items():
        (chosen.output / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
