"""A panel as a value, and what Grafana's foundation SDK makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models
from grafana_foundation_sdk.models import text as text_models

SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, YELLOW, ORANGE, RED, BLUE = "green", "yellow", "orange", "red", "blue"
# A colour has one meaning: green is well, red is not.
PHASES: Final = (("fresh", GREEN), ("stale", YELLOW), ("expired", RED), ("empty", BLUE))
# Of a session's life: a fresh one has half an hour, the page calls at 20 minutes.
LEFT: Final = ((ORANGE, 60.0), (YELLOW, 1200.0), (GREEN, 1740.0))
STATUSES: Final = (("200", GREEN), ("503", ORANGE), ("403", RED))
OUTCOMES: Final = (
    *(("success", GREEN), ("denied", RED), ("unavailable", ORANGE)),
    *(("source_gone", BLUE), ("token", YELLOW)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What a panel asks and how it shows it.

    `queries` are expressions and legends; `steps` colours and the values from which they hold, `base` the colour below;
    `names` the words for values that are states, with their colours; `colors` those of series, by name; `empty` what it
    says where there is no data.
    """

    title: str
    kind: Callable[[Panel], Any]
    description: str
    queries: tuple[tuple[str, str], ...] = ()
    unit: str = "short"
    base: str = GREEN
    steps: tuple[tuple[str, float], ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    colors: tuple[tuple[str, str], ...] = ()
    empty: str = "No data: is the sidecar scraped?"
    size: tuple[int, int] = (12, 8)
    decimals: int | None = None
    content: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and the panels below it."""

    title: str
    panels: tuple[Panel, ...]


def built(panel: Panel) -> Any:
    """The SDK's builder for `panel`."""
    made = panel.kind(panel)
    made.title(panel.title).description(panel.description).span(panel.size[0]).height(panel.size[1])
    if not panel.queries:
        return made
    made.datasource(SOURCE).unit(panel.unit).no_value(panel.empty).thresholds(_thresholds(panel))
    if panel.decimals is not None:
        made.decimals(panel.decimals)
    if panel.names:
        made.mappings([_mapping(panel.names)])
    for name, color in panel.colors:
        fixed = models.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color})
        made.override_by_name(name, [fixed])
    if panel.link:
        made.data_links([dashboard.DashboardLink("Show this pod").url(panel.link)])
    return made.targets(list(_targets(panel)))


def _targets(panel: Panel) -> Iterator[prometheus.Dataquery]:
    for letter, (expr, legend) in zip(ascii_uppercase, panel.queries, strict=False):
        query = prometheus.Dataquery().ref_id(letter).expr(expr).legend_format(legend).datasource(SOURCE)
        if panel.kind is listed:
            query.instant().format(prometheus_models.PromQueryFormat.TABLE)
        elif panel.kind is heat:
            query.range().format(prometheus_models.PromQueryFormat.HEATMAP)
        elif panel.kind is number:
            query.instant()
        else:
            query.range()
        yield query


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    assert all(a[1] < b[1] for a, b in pairwise(panel.steps)), f"{panel.title}: thresholds rise"
    steps = [models.Threshold(value=None, color=panel.base)]
    steps += [models.Threshold(value=value, color=color) for color, value in panel.steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _mapping(names: Sequence[tuple[str, str]]) -> models.ValueMap:
    found = {
        str(n): models.ValueMappingResult(text=word, color=color, index=n) for n, (word, color) in enumerate(names)
    }
    return models.ValueMap(options=found)


def _legend() -> common.VizLegendOptions:
    shown = common.VizLegendOptions().show_legend(True).placement(common_models.LegendPlacement.BOTTOM)
    return shown.display_mode(common_models.LegendDisplayMode.LIST)


def _tooltip() -> common.VizTooltipOptions:
    both = common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI)
    return both.sort(common_models.SortOrder.DESCENDING)


def lines(panel: Panel) -> timeseries.Panel:
    """Lines over time, with the first threshold drawn."""
    made = timeseries.Panel().legend(_legend()).tooltip(_tooltip()).line_width(1).fill_opacity(0)
    if panel.steps:
        style = common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED)
        made.thresholds_style(style)
    return made.show_points(common_models.VisibilityMode.NEVER)


def areas(panel: Panel) -> timeseries.Panel:
    """The same, one on top of the other."""
    stacked = common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A")
    return lines(panel).fill_opacity(40).stacking(stacked)


def number(panel: Panel) -> stat.Panel:
    """The last value, in its threshold's colour."""
    made = (
        stat.Panel().color_mode(common_models.BigValueColorMode.VALUE).graph_mode(common_models.BigValueGraphMode.NONE)
    )
    mode = common_models.BigValueTextMode.NAME if panel.queries[0][1] else common_models.BigValueTextMode.VALUE
    return made.text_mode(mode).reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))


def listed(panel: Panel) -> table.Panel:
    """A row for each series, with its labels."""
    hidden = dict.fromkeys(("Time", "__name__", "instance", "job", "container", "endpoint"), True)
    options = {"excludeByName": hidden, "renameByName": {"Value": panel.queries[0][1]}}
    tidy = models.DataTransformerConfig(id_val="organize", options=options)
    return table.Panel().show_header(True).with_transformation(tidy)


def heat(_: Panel) -> heatmap.Panel:
    """A histogram over time."""
    made = heatmap.Panel().calculate(False).cell_gap(1).show_legend()
    return made.color(heatmap.HeatmapColorOptions().scheme("Oranges").steps(64))


def timeline(_: Panel) -> statetimeline.Panel:
    """States over time."""
    shown = statetimeline.Panel().merge_values(True).show_value(common_models.VisibilityMode.AUTO)
    return shown.row_height(0.8).legend(_legend()).tooltip(_tooltip())


def words(panel: Panel) -> text.Panel:
    """Text in Markdown."""
    return text.Panel().mode(text_models.TextMode.MARKDOWN).content(panel.content)
