"""The panels of the committed dashboards: what they ask, and what they say in a recorded life."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.grafana.lives import CLUSTER, MINUTE
from tests.grafana.prometheus import Prometheus, Sample
from tests.harness import EPOCH
from tests.house import ROOT

DASHBOARDS: Final = ROOT / "grafana" / "dashboards"
NAMES: Final = ("fleet", "pod")
_CHOSEN: Final = {"$workload": ".*", "$target": ".*", "$pod": "orders-0", "$__range": "3h"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel: its dashboard, its title, its kind of picture, its queries by letter with their legends."""

    dashboard: str
    title: str
    kind: str
    queries: Mapping[str, tuple[str, str]]
    shown: Mapping[str, Any]

    @property
    def unit(self) -> str:
        """As Grafana names it."""
        return str(self.shown["fieldConfig"]["defaults"]["unit"])

    def asked(self, letter: str, life: str) -> str:
        """The query with Grafana's variables as they are for that life."""
        return filled(self.queries[letter][0], life)

    def at(self, server: Prometheus, letter: str, life: str, minute: float) -> list[Sample]:
        """What it shows in that minute of the life."""
        return server.at(self.asked(letter, life), EPOCH + minute * MINUTE)


def filled(query: str, life: str, cluster: str = CLUSTER) -> str:
    """`query` with Grafana's variables as they are for that life."""
    for name, value in {**_CHOSEN, "$namespace": life, "$cluster": cluster}.items():
        query = query.replace(name, value)
    assert "$" not in query, query
    return query


def variables(name: str) -> Iterator[tuple[str, str, str]]:
    """Those of a dashboard that Prometheus has: their names, a selector, and the label whose values they are."""
    for each in document(name)["templating"]["list"]:
        if each["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", each["query"])
            assert found is not None, each["query"]
            yield each["name"], *found.groups()


def document(name: str) -> dict[str, Any]:
    """The dashboard of that name, as it is committed."""
    found: dict[str, Any] = json.loads((DASHBOARDS / f"{name}.json").read_text())
    return found


def panels() -> Iterator[Panel]:
    """All panels that ask something."""
    for name in NAMES:
        for shown in document(name)["panels"]:
            queries = {each["refId"]: (each["expr"], each["legendFormat"]) for each in shown.get("targets", ())}
            if queries:
                yield Panel(dashboard=name, title=shown["title"], kind=shown["type"], queries=queries, shown=shown)
