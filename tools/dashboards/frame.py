"""What both dashboards have around their panels: variables, links and annotations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models

from tools.dashboards.panels import SOURCE, Row, built

FLEET, POD = "credential-sidecar-fleet", "credential-sidecar-pod"
# Whose page a reader opens from a table: of the pod in that row.
OPEN_POD: Final = f"/d/{POD}?" + "&".join(
    [
        "${__url_time_range}",
        *(f"var-{name}=${{__data.fields.{name}}}" for name in ("cluster", "namespace", "pod", "target")),
    ]
)
_INFO: Final = "credential_sidecar_build_info"
# Recorded: a few series for each namespace, where pods are thousands.
_KNOWN: Final = "credential_sidecar:targets:all"
_PLACE: Final = 'cluster=~"$cluster",namespace=~"$namespace"'


def frame(title: str, uid: str, description: str, rows: Sequence[Row], runbook: str) -> dashboard.Dashboard:
    """A dashboard of these rows, without variables of its own; `runbook` is where its link leads."""
    made = dashboard.Dashboard(title).uid(uid).description(description).tags(["credential-sidecar"])
    made.time("now-3h", "now").refresh("1m").timezone("browser").tooltip(
        models.DashboardCursorSync.CROSSHAIR
    ).readonly()
    made.link(_link("Fleet", f"/d/{FLEET}")).link(_link("Pod", f"/d/{POD}"))
    made.link(dashboard.DashboardLink("Runbook").type(models.DashboardLinkType.LINK).url(runbook).target_blank(True))
    made.with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    numbers = count(1)
    for row in rows:
        made.with_row(dashboard.Row(row.title).id(next(numbers)))
        for panel in row.panels:
            made.with_panel(built(panel).id(next(numbers)))
    return made


def _link(title: str, url: str) -> dashboard.DashboardLink:
    link = dashboard.DashboardLink(title).type(models.DashboardLinkType.LINK).url(url)
    return link.keep_time(True).include_vars(True).icon("dashboard")


def places() -> list[dashboard.QueryVariable]:
    """Cluster and namespace; a Prometheus of one cluster has no label `cluster`, and `All` holds there."""
    namespace = f'label_values({_KNOWN}{{cluster=~"$cluster"}}, namespace)'
    return [
        choice("cluster", "Cluster", f"label_values({_KNOWN}, cluster)"),
        choice("namespace", "Namespace", namespace),
    ]


def workload() -> dashboard.TextBoxVariable:
    """A regular expression for the names of pods."""
    return dashboard.TextBoxVariable("workload").label("Workload (pods)").default_value(".*")


def pod() -> dashboard.QueryVariable:
    """One of the pods of the workload."""
    query = f'label_values({_INFO}{{{_PLACE},pod=~"$workload"}}, pod)'
    return _asked("pod", "Pod", query).multi(False).include_all(False)


def target() -> dashboard.QueryVariable:
    """What is served."""
    return choice("target", "Target", f"label_values({_KNOWN}{{{_PLACE}}}, target)")


def choice(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """Some of the values that a label has, at first all of them."""
    everything = models.VariableOption(text="All", value="$__all", selected=True)
    return _asked(name, label, query).multi(True).include_all(True).all_value(".*").current(everything)


def _asked(name: str, label: str, query: str) -> dashboard.QueryVariable:
    asked = dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(query)
    return asked.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)


def mark(name: str, color: str, expr: str) -> dashboard.AnnotationQuery:
    """A mark in every panel where `expr` is above 0."""
    return dashboard.AnnotationQuery().name(name).icon_color(color).datasource(SOURCE).enable(True).expr(expr)
