"""Writes docs/metrics.md from sidecar/metrics.txt, the tables of sidecar/metrics.py and `questions.txt`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from sidecar.contract import Refusal
from sidecar.errors import TokenTrouble
from sidecar.kube.metrics import BUCKETS as BUCKETS_OF_THE_WEBHOOK
from sidecar.kube.metrics import DEFINITIONS as OF_THE_WEBHOOK
from sidecar.kube.reviews import OUTCOMES
from sidecar.metrics import BUCKETS, DEFINITIONS, OTHER, PREFIX, STATUSES, Definition
from sidecar.model import Kind, Phase
from sidecar.remedies import known

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "metrics.md"
QUESTIONS: Final[Mapping[str, str]] = dict(
    line.split(" ", 1) for line in Path(__file__).with_name("questions.txt").read_text("utf-8").splitlines()
)
# The longest ending counts: what a name ends with is its unit.
UNITS: Final = {
    "_timestamp_seconds": "Unix seconds",
    "_seconds": "seconds",
    "_ratio": "ratio, 1 is all",
    "_failures": "failures",
    "_total": "count",
    "": "",
}
# Every value that a label, or that of one metric, can have, or by what it is bounded.
VALUES: Final[Mapping[str, Sequence[str] | str]] = {
    "code": [*sorted({*known(1), *known(2)}), OTHER],
    "hop": "1 for the hop that spends the token, 2 for the next …: the length of the chain bounds it",
    "outcome of refreshes_total": ["success", *Kind],
    "outcome of webhook_certificate_loads_total": ["success", "failure"],
    "outcome of webhook_reviews_total": OUTCOMES,
    "phase": [*Phase],
    "reason of refused_total": [*Refusal],
    "reason of token_errors_total": [*TokenTrouble],
    "region": "`AWS_REGION` and `SIDECAR_STS_FALLBACK_REGIONS`",
    "status": [str(status) for status in STATUSES],
    "target": "the names of the targets, at most 64 characters each: the configuration bounds them",
    "version": "one: that of the sidecar",
}
_HEAD = f"""\
# Metrics

Written by `make docs` from the program itself; a test compares the two. At `/metrics` of the status listener (9912), in
Prometheus' text format, or as OpenMetrics where the `Accept` header asks for it. Every name begins `{PREFIX}`.

Names, labels and units are stable: one that changes is a line in the changelog. Every series is there from the first
scrape, so that a rate has a zero to begin at and an absent series means an absent sidecar. Labels hold neither roles
nor accounts, and what bounds their values stands below: one target makes fewer than 150 series. Timestamps are Unix
seconds, 0 for what has not happened; subtract `time()` for what is left. Beside these there are Prometheus' own
`process_…` and `python_info`.
"""
_OF_THE_WEBHOOK = "At `/metrics` of the status listener of `credential-sidecar webhook`.\n"


def page() -> str:
    """The whole page."""
    named = {each.name for each in (*DEFINITIONS, *OF_THE_WEBHOOK)}
    assert QUESTIONS.keys() == named, "every metric answers a question, and none is left over"
    heads = ("metric", "type", "labels", "unit", "meaning", "the question it answers")
    labels = ((f"`{name.replace(' of ', '` of `')}`", _values(said)) for name, said in VALUES.items())
    buckets = {**BUCKETS, **BUCKETS_OF_THE_WEBHOOK}.items()
    edges = ((f"`{name}`", ", ".join(f"{edge:g}" for edge in said)) for name, said in buckets)
    parts = (
        *(_HEAD, "\n", *_table(heads, map(_row, DEFINITIONS))),
        *("\n## The webhook\n\n", _OF_THE_WEBHOOK, "\n", *_table(heads, map(_row, OF_THE_WEBHOOK))),
        *("\n## Values of labels\n\n", *_table(("label", "values"), labels)),
        *("\n## Buckets\n\n", *_table(("histogram", "upper edges in seconds"), edges)),
    )
    return "".join(parts)


def unit(name: str) -> str:
    """The unit that a metric's name ends with."""
    return next(said for ending, said in UNITS.items() if name.endswith(ending))


def _row(each: Definition) -> tuple[str, ...]:
    labels = ", ".join(f"`{label}`" for label in each.labels)
    return f"`{each.name}`", each.kind, labels, unit(each.name), each.meaning, QUESTIONS[each.name]


def _values(said: Sequence[str] | str) -> str:
    return said if isinstance(said, str) else ", ".join(f"`{value}`" for value in said)


def _table(heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield from (f"| {' | '.join(row)} |\n" for row in (heads, ("---",) * len(heads), *rows))


if __name__ == "__main__":
    PAGE.write_text(page())
