"""What every test shares: hypothesis that finds the same things on every machine, and no skip where CI counts."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings

# Two busy cores make single examples slow without making them wrong; a proof must be as red tomorrow as today.
settings.register_profile(
    "proofs",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
# A mutant is killed by the first example that fails: nobody reads a smaller one.
settings.register_profile(
    "mutants",
    parent=settings.get_profile("proofs"),
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
)
settings.load_profile("proofs")

# CI installs every tool that a test may want: what skips there has not been tested at all.
_EVERY_TOOL_IS_THERE = os.environ.get("CI") == "true"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turns a skipped test into a failed one under `CI=true`; an expected failure stays what it is."""
    report = yield
    if _EVERY_TOOL_IS_THERE and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped under CI=true: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips as a whole."""
    report = yield
    if _EVERY_TOOL_IS_THERE and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped under CI=true: {report.longrepr}"
    return report


@pytest.fixture
def _logging() -> Iterator[None]:
    """The process's log as it was, afterwards: the daemon sets it up for itself."""
    root, ours = logging.getLogger(), logging.getLogger("sidecar")
    before, hook = (root.handlers[:], root.level, ours.level), sys.excepthook
    yield
    sys.excepthook = hook
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
