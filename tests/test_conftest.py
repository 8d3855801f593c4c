"""The rules of the test run itself, tried in a run of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import ROOT

_SKIPS_A_TEST = "import pytest\n\ndef test_a() -> None:\n    pytest.skip('no tool')\n"
_SKIPS_ITSELF = "import pytest\npytest.skip('no tool', allow_module_level=True)\n"
_EXPECTS_FAILURE = "import pytest\n\n@pytest.mark.xfail\ndef test_a() -> None:\n    assert False\n"
_LEAKS_A_SOCKET = "import socket\n\ndef test_a() -> None:\n    socket.socket()\n"
_NEVER_AWAITS = "async def f() -> None: ...\n\ndef test_a() -> None:\n    f()\n"


def _run(folder: Path, text: str, *, ci: str = "") -> int:
    (folder / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (folder / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)]
    environment = {"CI": ci, "PATH": os.environ["PATH"]}
    return subprocess.run([*command, str(folder)], env=environment, cwd=folder, check=False).returncode


@pytest.mark.parametrize("text", [_SKIPS_A_TEST, _SKIPS_ITSELF], ids=["test", "module"])
def test_a_skip_fails_in_ci_and_nowhere_else(tmp_path: Path, text: str) -> None:
    assert _run(tmp_path, text) in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert _run(tmp_path, text, ci="true") in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED)


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    assert _run(tmp_path, _EXPECTS_FAILURE, ci="true") == pytest.ExitCode.OK


@pytest.mark.parametrize("text", [_LEAKS_A_SOCKET, _NEVER_AWAITS], ids=["socket", "coroutine"])
def test_a_leak_fails_the_run(tmp_path: Path, text: str) -> None:
    assert _run(tmp_path, text) == pytest.ExitCode.TESTS_FAILED
