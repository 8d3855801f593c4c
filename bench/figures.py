"""What was measured, as values, and the table they are shown in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


class CannotMeasureError(Exception):
    """Something other than the figure went wrong; says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured: rounds, walks, and the seconds of load and of idleness in each round."""

    runs: int
    walks: int
    load: float
    idle: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One round: ours and, of the same round, the baseline; None where the target is absolute.

    `work` is the same ratio by processor time, which other programs on the machine hardly disturb.
    """

    ours: float
    baseline: float | None = None
    work: float | None = None

    @property
    def value(self) -> float:
        """What is held against the target."""
        return self.ours if self.baseline is None else self.ours / self.baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Every round of one figure; `at_least` if more is better. `unit` is that of ours and of the baseline."""

    name: str
    unit: str
    target: float
    samples: Sequence[Sample]
    at_least: bool = False

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return median(sample.value for sample in self.samples)

    @property
    def is_reached(self) -> bool:
        """Whether the median keeps the target."""
        return self.value >= self.target if self.at_least else self.value <= self.target


HEAD = ("figure", "ours", "baseline", "ratio", "target", "reached (min–max of rounds)", "by processor time")


def table(figures: Sequence[Figure]) -> str:
    """The figures as people read them."""
    rows = [HEAD, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _row(figure: Figure) -> tuple[str, ...]:
    values = [sample.value for sample in figure.samples]
    baselines = [sample.baseline for sample in figure.samples if sample.baseline is not None]
    works = [sample.work for sample in figure.samples if sample.work is not None]
    reached = "yes" if figure.is_reached else f"not reached: {figure.value:.3g} of {figure.target:g}"
    return (
        figure.name,
        f"{median(sample.ours for sample in figure.samples):.4g} {figure.unit}",
        f"{median(baselines):.4g} {figure.unit}" if baselines else "",
        f"{figure.value:.3f}" if baselines else "",
        f"{'≥' if figure.at_least else '≤'} {figure.target:g}",
        f"{reached} ({min(values):.3g}–{max(values):.3g})",
        f"{median(works):.3f} ({min(works):.3g}–{max(works):.3g})" if works else "",
    )
