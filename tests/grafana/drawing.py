"""Panels as figures: what Prometheus answered, drawn in SVG for people who have no Grafana at hand.

Text is grey and the ground is clear, so that a figure reads on a dark page as on a light one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from tests.grafana.lives import LENGTH, MINUTE
from tests.grafana.panels import Panel
from tests.grafana.prometheus import Sample
from tests.harness import EPOCH

WIDTH, HEIGHT = 480, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 470, 30, 160
_GREY: Final = "#808890"
# Of the middle brightness, told apart by most eyes.
_COLORS: Final = ("#3b8bd4", "#d9822b", "#4f9e57", "#c2557a", "#8a6fd1", "#a58a2c", "#3aa3a0", "#98a0a8")
_STATES: Final = {"green": "#4f9e57", "yellow": "#d4b23a", "orange": "#d9822b", "red": "#cf4b45", "blue": "#3b8bd4"}
_MOST: Final = 8  # entries of a legend, rows of a table
_LINE: Final = 10  # the height of the smallest text
_PLACEHOLDER: Final = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Shown:
    """A series with the words of the legend."""

    name: str
    values: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, sample: Sample, legend: str) -> Shown:
        """As Grafana names it."""
        name = _PLACEHOLDER.sub(lambda found: sample.labels.get(found[1], ""), legend)
        return cls(name, tuple((at, value) for at, value in sample.values if math.isfinite(value)))


def figure(panel: Panel, answers: Mapping[str, Sequence[Sample]]) -> str:
    """The whole SVG of what the panel shows: `answers` by letter of the query."""
    found = [(sample, panel.queries[letter][1]) for letter, samples in answers.items() for sample in samples]
    height = HEIGHT // 2 if panel.kind == "stat" else HEIGHT
    body = [_text(WIDTH / 2, height / 2, panel.shown["fieldConfig"]["defaults"]["noValue"], "middle", 14)]
    if found:
        body = list(_KINDS[panel.kind](panel, [Shown.of(*each) for each in found], [each for each, _ in found]))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">'
    title = (f"<title>{escape(panel.title)}</title>", _text(8, 18, panel.title, size=13))
    return "\n".join([head, *title, *body, "</svg>\n"])


def colors(panel: Panel) -> dict[str, str]:
    """The series that have a colour of their own, by the words of the legend."""
    own = panel.shown["fieldConfig"].get("overrides", ())
    return {each["matcher"]["options"]: each["properties"][0]["value"]["fixedColor"] for each in own}


def _text(x: float, y: float, words: str, anchor: str = "start", size: int = 11, *, color: str = _GREY) -> str:
    place = f'x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}" fill="{color}"'
    return f"<text {place}>{escape(words)}</text>"


def said(value: float, unit: str) -> str:
    """A value in its unit, as a person reads it."""
    match unit:
        case "s" if abs(value) >= 120:
            return f"{value / 60:.0f} min"
        case "s" if value and abs(value) < 1:
            return f"{value * 1000:.3g} ms"
        case "s":
            return f"{value:.3g} s"
        case "percentunit":
            return f"{value * 100:.3g} %"
        case "cpm":
            return f"{value:.3g}/min"
        case "reqps":
            return f"{value:.3g}/s"
        case _:
            return f"{value:.3g}"


def _x(at: float) -> float:
    return _LEFT + (at - EPOCH) / LENGTH * (_RIGHT - _LEFT)


@dataclass(frozen=True, slots=True)
class _Axis:
    """The vertical one: from the least value to the greatest."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> _Axis:
        low, high = min([0.0, *values]), max([0.0, *values])
        return cls(low, high if high > low else low + 1)

    def y(self, value: float) -> float:
        return _BOTTOM - (value - self.low) / (self.high - self.low) * (_BOTTOM - _TOP)

    def drawn(self, unit: str) -> Iterator[str]:
        middle = (self.low + self.high) / 2
        worded: list[float] = []
        for value in [self.low, self.high, *([0.0] if self.low else [middle])]:
            y = self.y(value)
            yield f'<path d="M{_LEFT} {y:.0f}H{_RIGHT}" stroke="{_GREY}" stroke-opacity="0.3"/>'
            if all(abs(y - other) > _LINE for other in worded):  # else the words lie on each other
                yield _text(_LEFT - 4, y + 4, said(value, unit), "end", 9)
                worded.append(y)
        yield from _hours()


def _hours() -> Iterator[str]:
    for minute in range(0, LENGTH // MINUTE + 1, 30):
        yield _text(_x(EPOCH + minute * MINUTE), _BOTTOM + 13, f"{minute // 60}:{minute % 60:02d}", "middle", 9)


def _legend(names: Sequence[str], colors: Sequence[str] = _COLORS) -> Iterator[str]:
    x, y = float(_LEFT), _BOTTOM + 30
    for name, color in zip(names[:_MOST], colors, strict=False):
        wide = 24 + 6.2 * len(name)  # of the widest fonts that a browser takes for sans-serif
        if x + wide > _RIGHT:
            x, y = float(_LEFT), y + 14
        yield f'<rect x="{x:.0f}" y="{y - 8}" width="9" height="9" fill="{color}"/>' + _text(x + 13, y, name, size=10)
        x += wide


def _path(axis: _Axis, values: Sequence[tuple[float, float]]) -> str:
    """A line through the values that breaks where there are none, without points that lie on it anyway."""
    parts, before = [], -math.inf
    for number, (at, value) in enumerate(values):
        neighbours = values[number - 1 : number + 2]
        if 0 < number < len(values) - 1 and len({each for _, each in neighbours}) == 1 and at - before < 2 * MINUTE:
            before = at
            continue
        letter = "L" if at - before < 2 * MINUTE + 1 else "M"
        parts.append(f"{letter}{_x(at):.0f} {axis.y(value):.1f}")
        before = at
    return "".join(parts)


def _lines(panel: Panel, shown: Sequence[Shown], _: object) -> Iterator[str]:
    kept = [each for each in shown if any(value for _, value in each.values)] or list(shown[:1])
    axis = _Axis.of([value for each in kept for _, value in each.values])
    yield from axis.drawn(panel.unit)
    own = colors(panel)
    used = [_STATES[own[each.name]] if each.name in own else color for each, color in zip(kept, _COLORS, strict=False)]
    for each, color in zip(kept, used, strict=False):
        yield f'<path d="{_path(axis, each.values)}" fill="none" stroke="{color}" stroke-width="1.5"/>'
    yield from _legend([each.name for each in kept], used)


def _number(panel: Panel, shown: Sequence[Shown], _: object) -> Iterator[str]:
    value = shown[0].values[-1][1]
    words, color = said(value, panel.unit), _color(panel, value)
    for each in panel.shown["fieldConfig"]["defaults"].get("mappings", ()):
        words, color = each["options"][f"{value:.0f}"]["text"], _STATES[each["options"][f"{value:.0f}"]["color"]]
    yield _text(WIDTH / 2, 76, words, "middle", 40, color=color)


def _color(panel: Panel, value: float) -> str:
    steps = panel.shown["fieldConfig"]["defaults"]["thresholds"]["steps"]
    held = [step["color"] for step in steps if step["value"] is None or step["value"] <= value]
    return _STATES[held[-1]]


def _table(panel: Panel, shown: Sequence[Shown], samples: Sequence[Sample]) -> Iterator[str]:
    names, columns = ("namespace", "pod", "target"), (12, 150, 270)
    yield from (_text(x, 42, name, size=10) for name, x in zip(names, columns, strict=True))
    yield _text(_RIGHT, 42, panel.queries["A"][1], "end", 10)
    for number, (each, sample) in enumerate(list(zip(shown, samples, strict=True))[:_MOST]):
        y, value = 62 + number * 19, each.values[-1][1]
        yield from (_text(x, y, sample.labels.get(name, "")) for name, x in zip(names, columns, strict=True))
        yield _text(_RIGHT, y, said(value, panel.unit), "end", color=_color(panel, value))


def _heat(panel: Panel, _: object, samples: Sequence[Sample]) -> Iterator[str]:
    """Buckets are cumulative: a cell is what one has and the one below it has not."""
    bounds = sorted({float(each.labels["le"]) for each in samples})
    by_bound = {float(each.labels["le"]): dict(each.values) for each in samples}
    tall = (_BOTTOM - _TOP) / len(bounds)
    most = max((value for each in samples for _, value in each.values), default=0.0) or 1.0
    for number, bound in enumerate(bounds):
        y = _BOTTOM - (number + 1) * tall
        yield _text(_LEFT - 4, y + tall / 2 + 3, "more" if math.isinf(bound) else said(bound, panel.unit), "end", 9)
        below = by_bound[bounds[number - 1]] if number else {}
        yield from _cells({at: value - below.get(at, 0.0) for at, value in by_bound[bound].items()}, most, y, tall)
    yield from _hours()


def _cells(values: Mapping[float, float], most: float, y: float, tall: float) -> Iterator[str]:
    wide = (_RIGHT - _LEFT) * (2 * MINUTE) / LENGTH
    for at, value in values.items():
        if (at - EPOCH) % (2 * MINUTE) < MINUTE and value > most / 100:
            place = f'x="{_x(at):.0f}" y="{y:.1f}" width="{wide:.1f}" height="{tall - 1:.1f}"'
            yield f'<rect {place} fill="#d9822b" fill-opacity="{0.15 + 0.85 * value / most:.2f}"/>'


def _states(panel: Panel, shown: Sequence[Shown], _: object) -> Iterator[str]:
    options = panel.shown["fieldConfig"]["defaults"]["mappings"][0]["options"]
    for each in shown:
        yield _text(_LEFT, _TOP + 14, each.name)
        for start, end, value in _runs(each.values):
            color, wide = _STATES[options[f"{value:.0f}"]["color"]], _x(end) - _x(start)
            yield f'<rect x="{_x(start):.0f}" y="{_TOP + 20}" width="{wide:.1f}" height="80" fill="{color}"/>'
    yield from _hours()
    yield from _legend(
        [each["text"] for each in options.values()], [_STATES[each["color"]] for each in options.values()]
    )


def _runs(values: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float, float]]:
    start = 0
    for number, (_, value) in enumerate(values):
        if number + 1 == len(values) or values[number + 1][1] != value:
            yield values[start][0], values[min(number + 1, len(values) - 1)][0], value
            start = number + 1


_KINDS: Final[Mapping[str, Callable[[Panel, Sequence[Shown], Sequence[Sample]], Iterator[str]]]] = {
    "timeseries": _lines,
    "stat": _number,
    "table": _table,
    "heatmap": _heat,
    "state-timeline": _states,
}
