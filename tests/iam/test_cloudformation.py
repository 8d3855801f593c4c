"""CloudFormation: what `iam` prints and what deploy/iam holds, by cfn-lint and by what the policies come to."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.house import ROOT
from tests.iam.inputs import CHAINS, Input, inputs, placed, plain
from tests.iam.intrinsic import Stack, load
from tests.iam.scenarios import SAID, SCENARIOS, document, printed

FOLDER = ROOT / "deploy" / "iam" / "cloudformation"
deploy = pytest.mark.deploy


def linted(*paths: Path) -> str:
    """What cfn-lint has to say of templates, warnings and information included."""
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--include-checks", "I", "--", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=50).stdout


def generated(name: str) -> list[str]:
    """The templates that `iam` prints for a scenario."""
    return printed(SCENARIOS[name], "cloudformation").split("---\n")


def named(properties: dict[str, Any]) -> tuple[str, str]:
    return properties["Path"], properties["RoleName"]


def policies(properties: dict[str, Any]) -> list[Any]:
    """The trust policy, and the permission policy or None."""
    trust = properties["AssumeRolePolicyDocument"]
    held = [each["PolicyDocument"] for each in properties.get("Policies", [])]
    return [plain(json.loads(trust) if isinstance(trust, str) else trust), plain(held[0]) if held else None]


def expected(role: Any) -> list[Any]:
    return [plain(role["trust_policy"]), plain(role.get("permission_policy"))]


@deploy
def test_what_is_printed_passes_cfn_lint(tmp_path: Path) -> None:
    texts = [text for name in SCENARIOS for text in generated(name)]
    paths = [tmp_path / f"{number}.yaml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    assert linted(*paths) == ""


@deploy
def test_the_files_pass_cfn_lint() -> None:
    assert linted(*FOLDER.glob("*.yaml")) == ""


@deploy
def test_cfn_lint_would_have_said_something(tmp_path: Path) -> None:
    wrong = (FOLDER / "account-b.yaml").read_text().replace("RoleName: !Ref RoleName", "RoleNam: !Ref RoleName")
    (tmp_path / "wrong.yaml").write_text(wrong)
    assert "E3002" in linted(tmp_path / "wrong.yaml")


@deploy
@pytest.mark.parametrize("name", SCENARIOS)
def test_what_is_printed_makes_what_the_documents_say(name: str) -> None:
    for account, text in zip(document(SCENARIOS[name])["accounts"], generated(name), strict=True):
        found = Stack(template=load(text), given={}).resources().values()
        roles = [each["Properties"] for each in found if each["Type"] == "AWS::IAM::Role"]
        assert [policies(each) for each in roles] == [expected(role) for role in account["roles"]]
        assert [named(each) for each in roles] == [placed(role["arn"])[2:] for role in account["roles"]]
        longest = [each.get("MaxSessionDuration") for each in roles]
        assert longest == [role.get("max_session_duration") for role in account["roles"]]
        providers = [each["Properties"] for each in found if each["Type"] == "AWS::IAM::OIDCProvider"]
        wanted = [{"Url": each["url"], "ClientIdList": each["audiences"]} for each in account["providers"]]
        assert providers == wanted


def stack(one: Input, **more: str) -> Stack:
    """The stack of a file of deploy/iam, with that input."""
    partition, account, path, name = placed(one.role["arn"])
    place = {"AWS::Partition": partition, "AWS::AccountId": account, "RolePath": path, "RoleName": name}
    values = {key: value for key, value in one.values.items() if key not in ("role_arn", "policy_arns")}
    given = {"".join(map(str.capitalize, key.split("_"))): _text(value) for key, value in values.items()}
    return Stack(template=load((FOLDER / f"{one.file}.yaml").read_text()), given={**place, **given, **more})


def _text(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@deploy
@pytest.mark.parametrize("name", CHAINS)
def test_the_files_make_what_is_printed_for_the_same_input(name: str) -> None:
    for one in inputs(name):
        made = stack(one)
        properties = made.resources()["Role"]["Properties"]
        assert policies(properties) == expected(one.role)
        assert int(properties.get("MaxSessionDuration", 3600)) == one.role.get("max_session_duration", 3600)
        assert "ManagedPolicyArns" not in properties
        for parameter, value in made.given.items():
            declared = made.template["Parameters"].get(parameter, {})
            assert re.fullmatch(declared.get("AllowedPattern", ".*"), value), parameter


@deploy
def test_the_provider_of_the_file_is_made_unless_it_is_there() -> None:
    first, _ = inputs("chained, aws")
    assert stack(first).resources()["Provider"]["Properties"] == {"Url": SAID.issuer, "ClientIdList": [SAID.audience]}
    assert "Provider" not in stack(first, CreateProvider="false").resources()
