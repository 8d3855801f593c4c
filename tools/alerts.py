"""Writes grafana/alerts/prometheusrule.yaml, the rules of rules.yaml as the Prometheus operator takes them.

`python -m tools.alerts` writes it. `--runbook URL --output DIR` writes both files to another place, whose alerts link
to wherever the runbook is published.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent

ALERTS = Path(__file__).parent.parent / "grafana" / "alerts"
RULES, RESOURCE = "rules.yaml", "prometheusrule.yaml"
RUNBOOK = "docs/runbook-alerts.md"
_HEAD = """\
# Written by `make docs` from rules.yaml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: credential-sidecar
spec:
"""


def rules(runbook: str = RUNBOOK) -> str:
    """The plain rules, their links based on `runbook`."""
    return (ALERTS / RULES).read_text().replace(f"runbook_url: {RUNBOOK}#", f"runbook_url: {runbook}#")


def resource(runbook: str = RUNBOOK) -> str:
    """The same as a custom resource."""
    text = rules(runbook)
    return _HEAD + indent(text[text.index("groups:\n") :], "  ")


def main(argv: Sequence[str]) -> int:
    """Writes the files."""
    parser = ArgumentParser(prog="python -m tools.alerts", description="Writes the alerts of grafana/alerts.")
    parser.add_argument("--runbook", default=RUNBOOK, help=f"where the page is that alerts link to ({RUNBOOK})")
    parser.add_argument("--output", type=Path, default=ALERTS, help="the directory to write to (grafana/alerts)")
    chosen = parser.parse_args(argv)
    if chosen.output.resolve() == ALERTS and chosen.runbook != RUNBOOK:
        parser.error("--runbook wants another --output: rules.yaml is what is written from")
    chosen.output.mkdir(parents=True, exist_ok=True)
    if chosen.output.resolve() != ALERTS:
        (chosen.output / RULES).write_text(rules(chosen.runbook))
    (chosen.output / RESOURCE).write_text(resource(chosen.runbook))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
