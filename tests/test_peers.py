"""Every defect that was found in comparable programs, and every rule of the contract with clients, has a test named
after it and a mutant that it kills.

Most of these tests stand with the module that keeps the promise; here are those that belong to no single one.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from sidecar.contract import answer, entry
from sidecar.emulator import Fault
from sidecar.ledger import Ledger
from sidecar.metrics import DEFINITIONS
from tests.builders import HOUR, session, target
from tests.harness import Life, in_virtual_time
from tests.mutants.table import MUTANTS, Mutant

TESTS = Path(__file__).parent
DEFECTS = [f"D{number}" for number in (*range(1, 21), 30, 31, 32)]
# The rules of the contract with clients that are the server's.
RULES = [f"R{number}" for number in (2, *range(8, 22), *range(23, 26), *range(27, 30))]
INVARIANTS = [f"I{number}" for number in range(1, 7)]


def functions() -> dict[str, str]:
    """Every test function below `tests/`, and the file that holds it."""
    return {
        node.name: f"tests/{path.relative_to(TESTS)}"
        for path in sorted(TESTS.rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("number", DEFECTS)
def test_every_defect_has_a_test_and_a_mutant(number: str) -> None:
    named = re.compile(rf"test_(d\d+_)*{number.lower()}_")
    assert [name for name in functions() if named.match(name)]
    assert [mutant for mutant in MUTANTS if mutant.number == number]


@pytest.mark.parametrize("number", RULES)
def test_every_rule_of_the_server_has_a_test_and_a_mutant(number: str) -> None:
    named = re.compile(rf"test_([dr]\d+_)*{number.lower()}_")
    assert [name for name in functions() if named.match(name)]
    assert [mutant for mutant in MUTANTS if mutant.number == number]


@pytest.mark.parametrize("number", INVARIANTS)
def test_every_invariant_has_a_test_and_two_mutants(number: str) -> None:
    assert [name for name in functions() if name.startswith(f"test_invariant_{number[1:]}_")]
    assert len([mutant for mutant in MUTANTS if mutant.number == number]) >= 2


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_applies_and_names_a_test_that_is_there(mutant: Mutant) -> None:
    file, _, name = mutant.test.partition("::")
    assert f"def {name.partition('[')[0]}(" in (TESTS.parent / file).read_text()
    assert (TESTS.parent / mutant.file).read_text().count(mutant.old) == 1


@in_virtual_time
async def test_d6_a_hanging_sts_keeps_no_reader_waiting(tmp_path: Path) -> None:
    async with Life(tmp_path) as life:
        await life.until(lambda: life.is_served)
        life.sts.fault = Fault.hang()
        await life.comes(life.schedule().due + 3.0)  # in the middle of a call that will not return
        before = life.clock()
        for _ in range(20):
            assert (await life.request()).status == 200
        assert life.clock() == before


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=9, minutes=30)), timezone(-timedelta(hours=8))])
def test_d15_an_expiration_is_served_in_whole_seconds_of_utc(zone: timezone) -> None:
    told = datetime(2033, 5, 18, 3, 33, 20, 999_999, tzinfo=UTC).astimezone(zone)
    got = session(target().hop)
    got = replace(got, credentials=replace(got.credentials, expiration=told))
    ledger = Ledger().succeeded(target().hop, got, lifetime=HOUR, now=0.0, chance=0.0)
    assert json.loads(answer(entry(ledger, target()), 0.0).body)["Expiration"] == "2033-05-18T03:33:20Z"


def test_d17_metrics_have_base_units_and_no_label_that_names_a_role() -> None:
    units = {"counter": r"_total", "histogram": r"_seconds", "gauge": r"_(seconds|ratio|info|failures)|phase"}
    for each in DEFINITIONS:
        assert re.search(rf"({units[each.kind]})$", each.name), each.name
        bounded = {"target", "hop", "phase", "code", "outcome", "reason", "region", "status", "version"}
        assert set(each.labels) <= bounded, each.name


@in_virtual_time
async def test_d19_a_sidecar_that_is_told_to_end_serves_for_its_drain(tmp_path: Path) -> None:
    async with Life(tmp_path, {"SIDECAR_DRAIN": "25"}) as life:
        await life.until(lambda: life.is_served)
        life.stop.set()
        await life.passes(1)
        assert (await life.status("/readyz")).status == 503
        await life.passes(23)
        assert (await life.request()).status == 200
        await life.passes(2)
        assert life.serving.done()
