"""Terraform: what `iam` prints and what deploy/iam holds, by python-hcl2 and, where they are, by terraform and tofu."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tests.house import ROOT
from tests.iam.hcl import Module
from tests.iam.inputs import CHAINS, Input, inputs, placed, plain
from tests.iam.scenarios import SAID, SCENARIOS, document, printed

FOLDER: Final = ROOT / "deploy" / "iam" / "terraform"
MODULES = sorted(path.name for path in FOLDER.iterdir())
COMMANDS = [name for name in ("terraform", "tofu") if shutil.which(name)]
LOCALS: Final = ("role", "trust_policy", "permission_policy")
deploy = pytest.mark.deploy


def run(command: str, *argv: str, cwd: Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """The command, which is not to ask whether there is a newer one of it, nor for any plugin."""
    quiet = {"CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": os.devnull, "TF_IN_AUTOMATION": "1"}
    environ = {"PATH": os.environ["PATH"], "HOME": str(cwd), **quiet}
    return subprocess.run(
        [command, *argv], cwd=cwd, env=environ, input=given, capture_output=True, text=True, check=False, timeout=50
    )


def by_hcl2(folder: Path, values: Mapping[str, Any], _: Path) -> dict[str, Any]:
    """The locals of a module, as python-hcl2 reads them and we reckon."""
    module = Module.of(folder, values)
    (found,) = [each for each in module.locals() if set(LOCALS) <= set(each)]
    return found


def by_itself(command: str, folder: Path, values: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """The locals of a module, as Terraform reckons; what needs AWS's provider is left at home."""
    for name in ("variables.tf", "policies.tf"):
        shutil.copy(folder / name, home)
    (home / "said.tf").write_text(
        "".join(f'output "{name}" {{ value = jsonencode(local.{name}) }}\n' for name in LOCALS)
    )
    (home / "said.auto.tfvars.json").write_text(json.dumps(values))
    for argv in (["init", "-backend=false"], ["apply", "-auto-approve"]):
        done = run(command, *argv, "-input=false", "-no-color", cwd=home)
        assert done.returncode == 0, done.stderr
    said = json.loads(run(command, "output", "-json", cwd=home).stdout)
    return {name: json.loads(said[name]["value"]) for name in LOCALS}


READERS: Mapping[str, Callable[[Path, Mapping[str, Any], Path], dict[str, Any]]] = {
    "python-hcl2": by_hcl2,
    **{command: partial(by_itself, command) for command in COMMANDS},
}


@deploy
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", CHAINS)
def test_the_modules_policies_are_what_is_printed_for_the_same_input(name: str, reader: str, tmp_path: Path) -> None:
    for number, one in enumerate(inputs(name)):
        home = tmp_path / str(number)
        home.mkdir()
        found = READERS[reader](FOLDER / one.file, one.values, home)
        assert plain(found["trust_policy"]) == plain(one.role["trust_policy"])
        assert tuple(found["role"]) == placed(one.role["arn"])
        if "permission_policy" in one.role:
            assert plain(found["permission_policy"]) == plain(one.role["permission_policy"])


def made(module: Module) -> tuple[list[Any], list[Any], list[Any]]:
    """Providers, roles and permission policies."""
    kinds = ("openid_connect_provider", "role", "role_policy")
    providers, roles, held = ([*module.resources(f"aws_iam_{kind}")] for kind in kinds)
    return providers, roles, held


@deploy
@pytest.mark.parametrize("name", CHAINS)
def test_the_modules_make_what_is_printed_for_the_same_input(name: str) -> None:
    for one in inputs(name):
        providers, (role,), held = made(Module.of(FOLDER / one.file, one.values))
        assert plain(json.loads(role["assume_role_policy"])) == plain(one.role["trust_policy"])
        assert (role["path"], role["name"]) == placed(one.role["arn"])[2:]
        assert role.get("max_session_duration", 3600) == one.role.get("max_session_duration", 3600)
        wanted = [one.role["permission_policy"]] if "permission_policy" in one.role else []
        assert [plain(json.loads(each["policy"])) for each in held] == [plain(each) for each in wanted]
        assert [each["role"] for each in held] == [role["name"]] * len(held)
        issuer = {"url": SAID.issuer, "client_id_list": [SAID.audience]}
        assert providers == ([issuer] if one.file == "account-a" else [])


@deploy
def test_the_provider_of_the_module_is_made_unless_it_is_there() -> None:
    first, _ = inputs("chained, aws")
    assert made(Module.of(FOLDER / first.file, {**first.values, "create_provider": False}))[0] == []


@deploy
@pytest.mark.parametrize("name", SCENARIOS)
def test_what_is_printed_makes_what_the_documents_say(name: str) -> None:
    for account in document(SCENARIOS[name])["accounts"]:
        text = printed(SCENARIOS[name], "terraform", account=account["account"])
        providers, roles, held = made(Module.read([text], {}))
        said = account["roles"]
        assert [json.loads(role["assume_role_policy"]) for role in roles] == [role["trust_policy"] for role in said]
        assert [(role["path"], role["name"]) for role in roles] == [placed(role["arn"])[2:] for role in said]
        longest = [role.get("max_session_duration") for role in roles]
        assert longest == [role.get("max_session_duration") for role in said]
        assert {each["role"]: json.loads(each["policy"]) for each in held} == {
            placed(role["arn"])[3]: role["permission_policy"] for role in said if "permission_policy" in role
        }
        wanted = [{"url": each["url"], "client_id_list": each["audiences"]} for each in account["providers"]]
        assert providers == wanted


@deploy
@pytest.mark.parametrize("folder", MODULES)
def test_the_modules_have_variables_and_outputs_with_a_description_and_ask_for_one_provider(folder: str) -> None:
    text = "".join(path.read_text() for path in sorted((FOLDER / folder).glob("*.tf")))
    declared = re.findall(r'^(?:variable|output) "\w+" \{\n  description = "', text, re.MULTILINE)
    assert len(declared) == len(re.findall(r"^(?:variable|output) ", text, re.MULTILINE)) > 5
    assert re.findall(r'source += "(.*)"', text) == ["hashicorp/aws"]


def _first(arn: str) -> Input:
    first, *_ = inputs("chained, aws")
    return Input(file=first.file, values={**first.values, "role_arn": arn}, role=first.role)


if COMMANDS:  # elsewhere there is nothing to run, and nothing is counted

    @deploy
    @pytest.mark.parametrize("command", COMMANDS)
    def test_the_modules_are_formatted_as_the_command_does(command: str) -> None:
        done = run(command, "fmt", "-check", "-diff", "-recursive", str(FOLDER), cwd=FOLDER)
        assert (done.returncode, done.stdout) == (0, "")

    @deploy
    @pytest.mark.parametrize("command", COMMANDS)
    @pytest.mark.parametrize("name", SCENARIOS)
    def test_what_is_printed_is_formatted_as_the_command_does(name: str, command: str, tmp_path: Path) -> None:
        text = printed(SCENARIOS[name], "terraform") + "\n"
        done = run(command, "fmt", "-", cwd=tmp_path, given=text)
        assert (done.returncode, done.stdout) == (0, text)

    @deploy
    @pytest.mark.parametrize("command", COMMANDS)
    def test_a_role_arn_that_is_none_is_refused_by_the_module(command: str, tmp_path: Path) -> None:
        one = _first("arn:aws:iam::111122223333:root")
        with pytest.raises(AssertionError, match="Write it as arn:aws:iam::111122223333:role/NAME"):
            by_itself(command, FOLDER / one.file, one.values, tmp_path)
