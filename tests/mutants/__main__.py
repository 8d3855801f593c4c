"""Plants every mutant in a copy of the tree, and shows the test that sees it.

    python -m tests.mutants [NAME …]        all, or those whose name begins so

Exits 0 if every named test passes on the tree as it is and fails, for its own reason, on its mutant. One that skips,
for a tool that is not here, says nothing of its mutant.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.table import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
TREE = ("sidecar", "tests", "tools", "docs", "grafana", "pyproject.toml")
# Two cores are what the whole suite is made for.
AT_ONCE = 2
GREEN, RED = 0, 1


def main(prefixes: Sequence[str]) -> int:
    """Runs the chosen mutants, two at a time."""
    chosen = [mutant for mutant in MUTANTS if not prefixes or mutant.name.startswith(tuple(prefixes))]
    if not chosen:
        print(f"no mutant's name begins with {' or '.join(prefixes)}")
        return 1
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        unharmed = pool.submit(run_in_copy, sorted({mutant.test for mutant in chosen}), None)
        said = [report(*outcome) for outcome in zip(chosen, pool.map(verdict, chosen), strict=True)]
        status, output = unharmed.result()
    passed, skipped = said.count("killed"), said.count("skipped")
    failed = len(said) - passed - skipped
    if status != GREEN:
        print(f"on the tree as it is, not every named test passes:\n{output}")
        failed += 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped in {time.monotonic() - began:.1f}s")
    return 1 if failed else 0


def report(mutant: Mutant, said: str) -> str:
    """One line for a mutant, and what became of it."""
    print(f"{said:9} {mutant.name}  <- {mutant.test}", flush=True)
    return said


def verdict(mutant: Mutant) -> str:
    """What became of a mutant: `killed`, `skipped`, `SURVIVED`, `STALE` where it does not apply, else `BROKEN`."""
    if (ROOT / mutant.file).read_text().count(mutant.old) != 1:
        return "STALE"
    status, output = run_in_copy([mutant.test], mutant)
    if status == RED and "error" not in output.splitlines()[-1]:
        return "killed"
    if status == GREEN and "passed" not in output.splitlines()[-1]:
        return "skipped"
    return "SURVIVED" if status == GREEN else "BROKEN"


def run_in_copy(tests: Iterable[str], mutant: Mutant | None) -> tuple[int, str]:
    """pytest's exit status and output for `tests` in a copy of the tree, with `mutant` planted."""
    with tempfile.TemporaryDirectory() as folder:
        for name in TREE:
            copied(ROOT / name, Path(folder) / name)
        if mutant:
            file = Path(folder) / mutant.file
            file.write_text(file.read_text().replace(mutant.old, mutant.new))
        words = ("-q", "-x", "-m", "", "--tb=line", "--hypothesis-profile=mutants")  # "": whatever tools a test wants
        command = [sys.executable, "-m", "pytest", *words, *tests]
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout.strip()


def copied(source: Path, target: Path) -> None:
    """Copies a file or a directory, without what Python compiled."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
