"""The command: what it prints in each language, for whom, and what it says of what it cannot do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from sidecar import cli, iam
from sidecar.config import resolve
from sidecar.errors import ConfigError
from tests.builders import ISSUER, SUBJECT, write_token
from tests.house import ROOT
from tests.iam.scenarios import SAID, SCENARIOS, A, B, C, Scenario, arn, document, printed

FLAGS = ["--issuer", str(SAID.issuer), "--audience", str(SAID.audience), "--subject", str(SAID.subject)]
CHAINED = SCENARIOS["chained, aws"]


def run(*argv: str, environ: Mapping[str, str]) -> tuple[int, str, str]:
    """The command's exit code, stdout and stderr."""
    command = [sys.executable, "-m", "sidecar", "iam", *argv]
    done = subprocess.run(command, env=dict(environ), cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    return done.returncode, done.stdout, done.stderr


def test_in_the_pod_the_token_says_whom_to_trust(tmp_path: Path) -> None:
    write_token(tmp_path / "token")
    code, out, err = run(environ=CHAINED.environ(tmp_path, tmp_path / "token"))
    assert (code, err) == (0, "")
    (first, _) = json.loads(out)["accounts"]
    assert first["providers"][0]["url"] == ISSUER
    assert SUBJECT in out


def test_outside_the_pod_the_flags_do(tmp_path: Path) -> None:
    code, out, err = run(*FLAGS, environ=CHAINED.environ(tmp_path, tmp_path / "token"))
    assert (code, err, json.loads(out)) == (0, "", document(CHAINED))


@pytest.mark.parametrize("form", iam.FORMATS)
def test_the_command_prints_every_language(form: str, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CHAINED.environ(tmp_path, tmp_path / "token").items():
            patch.setenv(name, value)
        assert cli.main(["iam", *FLAGS, "--format", form]) == 0
    assert capfd.readouterr().out == printed(CHAINED, form) + "\n"


def test_the_command_line_knows_every_language() -> None:
    (command,) = [each for each in cli.COMMANDS if each.name == "iam"]
    assert [*dict(command.arguments)["--format"]["choices"]] == [*iam.FORMATS]


def test_without_token_and_flags_the_remedy_is_said(tmp_path: Path) -> None:
    code, out, err = run(environ=CHAINED.environ(tmp_path, tmp_path / "token"))
    assert (code, out) == (1, "")
    assert "no such file" in err
    assert "give --issuer, --audience, --subject" in err


def test_a_wrong_flag_a_wrong_target_and_a_wrong_account_end_with_2(tmp_path: Path) -> None:
    environ = CHAINED.environ(tmp_path, tmp_path / "token")
    for argv, said in (
        (["--subject", "*"], "--subject='*' (from flag --subject): not one subject. Write one service account"),
        ([*FLAGS, "--target", "x"], "--target='x' (from flag --target): no such target. The targets are default."),
        ([*FLAGS, "--account", C], f"no role of the chain is in this account. The chain is in {A}, {B}."),
    ):
        code, out, err = run(*argv, environ=environ)
        assert (code, out) == (2, "")
        assert said in err


def test_a_target_may_be_chosen_and_an_account() -> None:
    two = SCENARIOS["two targets"]
    assert [each["account"] for each in json.loads(printed(two))["accounts"]] == [A, B, C]
    assert [each["account"] for each in json.loads(printed(two, target="b"))["accounts"]] == [A, B]
    assert [each["account"] for each in json.loads(printed(two, account=C))["accounts"]] == [C]


def test_neither_event_loop_nor_sts_client_is_imported(tmp_path: Path) -> None:
    script = "import sys; from sidecar.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    environ = CHAINED.environ(tmp_path, tmp_path / "token")
    command = [sys.executable, "-c", script, "iam", *FLAGS]
    done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    assert "sidecar.iam.documents" in done.stderr.split()
    assert not {*done.stderr.split()} & {"asyncio", "aiohttp", "botocore", "sidecar.daemon", "sidecar.emulator"}


def _notes(scenario: Scenario) -> tuple[str, ...]:
    with scenario.resolved() as resolved:
        return iam.describe(resolved, "json", SAID)[1]


def test_a_session_policy_on_the_way_is_noted() -> None:
    text = SCENARIOS["three hops"].profiles.replace(
        "source_profile = a", 'source_profile = a\nsidecar_policy = {"x": 1}'
    )
    (note,) = _notes(Scenario(settings={"SIDECAR_PROFILES": "c"}, profiles=text))
    what = f"sts:AssumeRole (and what stands beside it) on {arn(C, 'data/lake/account-c-role')}"
    assert note == f"hop 2 has a session policy, which must itself allow {what}"


def test_a_session_policy_on_the_last_hop_is_nothing_to_note() -> None:
    assert _notes(CHAINED.but(SIDECAR_POLICY='{"x": 1}')) == ()


def test_an_issuer_that_iam_would_not_take_is_noted(tmp_path: Path) -> None:
    write_token(tmp_path / "token", iss="http://127.0.0.1/oidc")
    resolved = resolve({}, CHAINED.environ(tmp_path, tmp_path / "token"))
    assert iam.describe(resolved, "json", iam.Said())[1] == (
        "IAM takes no provider for the issuer http://127.0.0.1/oidc: it is no https URL",
    )


def test_a_path_that_a_policy_would_read_as_a_pattern_is_refused() -> None:
    wild = CHAINED.but(SIDECAR_TARGET_ROLE_ARN=arn(B, "team*/account-b-role"))
    with wild.resolved() as resolved, pytest.raises(ConfigError, match=r"a policy would read its path as a pattern"):
        iam.describe(resolved, "json", SAID)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_language_names_every_role_and_every_action(name: str) -> None:
    said = document(SCENARIOS[name])
    arns = {role["arn"] for account in said["accounts"] for role in account["roles"]}
    actions = {*re.findall(r"sts:(?!ExternalId)\w+", json.dumps(said))}
    for form in iam.FORMATS:
        text = printed(SCENARIOS[name], form)
        assert {*re.findall(r"sts:(?!ExternalId)\w+", text)} == actions
        assert all(one.rpartition("/")[2] in text for one in arns)
