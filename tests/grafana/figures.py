"""Writes the figures of docs/grafana.md, and the part of that page which shows them.

    python -m tests.grafana.figures          records the lives, asks a real Prometheus, draws
    python -m tests.grafana.figures --page   the page alone

The fleet is all lives at once, twenty pods in ten namespaces; the pod is one whose STS is away.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.grafana.drawing import figure
from tests.grafana.lives import LENGTH, MINUTE, SCRAPE, write_all
from tests.grafana.panels import NAMES, Panel, document, panels
from tests.grafana.prometheus import Prometheus, Sample, load, prometheus
from tests.harness import EPOCH
from tests.house import ROOT

PAGE: Final = ROOT / "docs" / "grafana.md"
FIGURES: Final = ROOT / "docs" / "grafana"
WHOSE: Final = {"fleet": ".*", "pod": "outage"}
INSTANT: Final = 110  # minutes: for what shows one moment, when most goes wrong
_BEGIN, _END = "<!-- figures -->\n", "<!-- end of figures -->\n"


def name(panel: Panel) -> str:
    """The file of its figure."""
    return f"{panel.dashboard}-{re.sub(r'[^a-z]+', '-', panel.title.lower()).strip('-')}.svg"


def drawn(server: Prometheus) -> Iterator[tuple[str, str]]:
    """Name and text of every figure."""
    for panel in panels():
        yield name(panel), figure(panel, {letter: _answer(server, panel, letter) for letter in panel.queries})


def _answer(server: Prometheus, panel: Panel, letter: str) -> list[Sample]:
    life = WHOSE[panel.dashboard]
    if panel.kind in {"stat", "table"}:
        return panel.at(server, letter, life, INSTANT)
    return server.over(panel.asked(letter, life), EPOCH + SCRAPE, EPOCH + LENGTH, MINUTE)


def page() -> str:
    """The page with the part between the marks as the dashboards want it."""
    before, rest = PAGE.read_text().split(_BEGIN)
    return before + _BEGIN + "\n".join(_gallery()) + "\n" + _END + rest.split(_END)[1]


def _gallery() -> Iterator[str]:
    asks = {(each.dashboard, each.title): each for each in panels()}
    for dashboard in NAMES:
        found = document(dashboard)
        yield f"\n### {found['title']}\n\n{found['description']}"
        for shown in found["panels"]:
            panel = asks.get((dashboard, shown["title"]))
            if shown["type"] == "row":
                yield f"\n#### {dashboard.capitalize()}: {shown['title']}"
            elif panel:
                yield f"\n**{panel.title}.** {shown['description']}\n\n![{panel.title}](grafana/{name(panel)})"


def main(argv: list[str]) -> int:
    """Writes figures and page."""
    if argv != ["--page"]:
        with TemporaryDirectory() as folder:
            home = Path(folder)
            write_all(home)
            load(home / "prometheus", sorted(home.glob("*.om")))
            with prometheus(home / "prometheus") as server:
                FIGURES.mkdir(exist_ok=True)
                for file, text in drawn(server):
                    (FIGURES / file).write_text(text)
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
