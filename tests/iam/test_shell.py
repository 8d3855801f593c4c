"""The commands to paste: read as a shell would, and held to the parameters that IAM's own model has."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from botocore.validate import ParamValidator

from tests.iam.scenarios import SCENARIOS, document, printed
from tests.iam.service import Service, served

MODEL = botocore.session.get_session().get_service_model("iam")
OPERATIONS = {xform_name(name, "-"): MODEL.operation_model(name) for name in MODEL.operation_names}


def commands(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each command of `aws iam` with its options, by the names that the API has."""
    for line in text.splitlines():
        words = shlex.split(line.replace(" >/dev/null 2>&1 ||", ""), comments=True)
        if words[:2] == ["aws", "iam"] and words[2] != "wait":
            yield words[2], _options(OPERATIONS[words[2]].input_shape, words[3:])


def _options(shape: Any, words: list[str]) -> dict[str, Any]:
    names = {f"--{xform_name(name, '-')}": name for name in shape.members}
    given: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            given[word] = []
        else:
            [*given.values()][-1].append(word)
    return {names[word]: _typed(shape.members[names[word]].type_name, values) for word, values in given.items()}


def _typed(kind: str, values: list[str]) -> Any:
    if kind == "list":
        return values
    (value,) = values
    return int(value) if kind == "integer" else value


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_command_has_the_parameters_of_iams_model(name: str) -> None:
    found = [*commands(printed(SCENARIOS[name], "cli"))]
    assert found
    for operation, options in found:
        shape = OPERATIONS[operation].input_shape
        assert not ParamValidator().validate(options, shape).has_errors(), (operation, options)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_shell_understands_it(name: str) -> None:
    subprocess.run(["sh", "-n"], input=printed(SCENARIOS[name], "cli"), text=True, check=True, timeout=10)


def said(text: str) -> dict[str, dict[str, Any]]:
    """What the commands make, as `iam` prints it as JSON; ARNs apart, which IAM makes from what it is given."""
    made: dict[str, dict[str, Any]] = {}
    for operation, options in commands(text):
        role = made.setdefault(options.get("RoleName", ""), {})
        match operation:
            case "update-assume-role-policy":
                role["trust_policy"] = json.loads(options["PolicyDocument"])
            case "put-role-policy":
                role["permission_policy"] = json.loads(options["PolicyDocument"])
            case "update-role":
                role["max_session_duration"] = options["MaxSessionDuration"]
            case "create-role":
                assert json.loads(options["AssumeRolePolicyDocument"])
                role["path"] = options["Path"]
            case _:
                pass
    return made


def _expected(role: Mapping[str, Any]) -> dict[str, Any]:
    path = role["arn"].split(":role")[1].rpartition("/")[0] + "/"
    return {**{name: value for name, value in role.items() if name != "arn"}, "path": path}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_commands_make_what_the_documents_say(name: str) -> None:
    roles = [role for account in document(SCENARIOS[name])["accounts"] for role in account["roles"]]
    found = said(printed(SCENARIOS[name], "cli"))
    found.pop("", None)
    assert found == {role["arn"].rpartition("/")[2]: _expected(role) for role in roles}


def test_a_shell_with_the_credentials_of_another_account_does_nothing() -> None:
    other = 'aws() { echo 999999999999; echo "$@" >&2; }\n'
    text = other + printed(SCENARIOS["chained, aws"], "cli", account="111122223333")
    done = subprocess.run(["sh"], input=text, text=True, capture_output=True, check=False, timeout=10)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "sts get-caller-identity --query Account --output text",
        "these are not the credentials of account 111122223333",
    ]


async def pasted(text: str, url: str, account: str, home: Path) -> tuple[int | None, str]:
    """The exit code and stderr of a shell into which the commands are pasted, with credentials of `account`."""
    keys = {"AWS_ACCESS_KEY_ID": f"AKIA{account}", "AWS_SECRET_ACCESS_KEY": "x" * 40, "AWS_REGION": "eu-west-1"}
    quiet = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_DEFAULT_REGION": "eu-west-1", "NO_PROXY": "127.0.0.1"}
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), **keys, **quiet}
    shell = await asyncio.create_subprocess_exec("sh", env=environ, stdin=PIPE, stdout=DEVNULL, stderr=PIPE)
    redirected = f'aws() {{ {Path(sys.executable).with_name("aws")} --endpoint-url {url} "$@"; }}\n'
    _, error = await shell.communicate(f"{redirected}{text}\n".encode())
    return shell.returncode, error.decode()


@pytest.mark.deploy
@pytest.mark.timeout(300)  # two dozen starts of a large program
@pytest.mark.parametrize("name", ["all at once, aws", "one account twice"])
async def test_pasted_twice_into_the_aws_cli_they_make_it_once(name: str, tmp_path: Path) -> None:
    service, accounts = Service(), document(SCENARIOS[name])["accounts"]
    async with served(service) as url:
        for _ in range(2):
            for account in accounts:
                text = printed(SCENARIOS[name], "cli", account=account["account"])
                assert await pasted(text, url, account["account"], tmp_path) == (0, "")
    roles = {role["arn"]: role for account in accounts for role in account["roles"]}
    assert service.roles == {arn: {key: role[key] for key in role if key != "arn"} for arn, role in roles.items()}
    assert service.providers == {
        each["arn"]: each["audiences"] for account in accounts for each in account["providers"]
    }
    assert service.asked.count("CreateRole") == len(roles)


@pytest.mark.deploy
async def test_an_account_before_the_one_that_it_trusts_is_refused(tmp_path: Path) -> None:
    service = Service()
    async with served(service) as url:
        text = printed(SCENARIOS["chained, aws"], "cli", account="444455556666")
        code, error = await pasted(text, url, "444455556666", tmp_path)
    assert code != 0
    assert "MalformedPolicyDocument" in error
    assert service.roles == {}
