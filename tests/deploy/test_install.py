"""docs/install.md, pasted into a shell. Docker, kubectl and the AWS CLI are played; the image is this checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.builders import ACCOUNT_A, ACCOUNT_B, ROLE_A, ROLE_B
from tests.test_docs import ISSUER, ROOT, blocks

# Notes what it is called with, and answers what the page needs an answer to.
PLAYED: Final = f"""#!{sys.executable}
import json, os, subprocess, sys
name, words, profile = os.path.basename(sys.argv[0]), sys.argv[1:], os.environ.get("AWS_PROFILE")
with open("calls", "a") as calls:
    calls.write(json.dumps([profile, name, *words]) + "\\n")
match words[:2]:
    case ["run", "--rm"]:
        sys.exit(subprocess.call([sys.executable, "-m", "sidecar", *words[3:]], cwd={str(ROOT)!r}))
    case ["eks", "describe-cluster"]:
        print("https://{ISSUER}")
    case ["sts", "get-caller-identity"]:
        print({{"account-a": "{ACCOUNT_A}", "account-b": "{ACCOUNT_B}"}}[profile])
"""


@dataclass(frozen=True, slots=True)
class Pasted:
    """What became of it: where, and every call with the profile that it was made with."""

    place: Path
    calls: list[list[str | None]]

    def of(self, *words: str) -> list[list[str | None]]:
        """The calls that begin so."""
        return [call for call in self.calls if call[1 : len(words) + 1] == [*words]]


@pytest.fixture(scope="module")
def pasted(tmp_path_factory: pytest.TempPathFactory) -> Pasted:
    place = tmp_path_factory.mktemp("checkout")
    (place / "deploy").symlink_to(ROOT / "deploy")
    for name in ("docker", "kubectl", "aws"):
        program = place / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(PLAYED)
        program.chmod(0o755)
    environ = {"PATH": f"{place / 'bin'}:{os.environ['PATH']}"}
    page = "\n".join(blocks("docs/install.md", "sh"))
    subprocess.run(["bash", "-eu", "-c", page], cwd=place, env=environ, check=True, timeout=50)
    return Pasted(place, [json.loads(line) for line in (place / "calls").read_text().splitlines()])


def option(call: list[str | None], name: str) -> str | None:
    return call[call.index(name) + 1]


def test_each_account_gets_its_own_roles_and_account_a_is_the_first(pasted: Pasted) -> None:
    saved = pasted.of("aws", "iam", "update-assume-role-policy")
    made = [(call[0], option(call, "--role-name")) for call in saved]
    assert made == [("account-a", "account-a-role"), ("account-b", "account-b-role")]
    trust_a, trust_b = (json.loads(option(call, "--policy-document") or "")["Statement"][0] for call in saved)
    assert trust_a["Condition"]["StringEquals"] == {
        f"{ISSUER}:aud": "sts.amazonaws.com",
        f"{ISSUER}:sub": "system:serviceaccount:shop:orders",
    }
    assert trust_b["Principal"] == {"AWS": ROLE_A}
    assert [call[0] for call in pasted.of("aws", "iam", "create-open-id-connect-provider")] in ([], ["account-a"])


def test_the_pod_is_of_the_service_account_that_role_a_trusts(pasted: Pasted) -> None:
    (made,) = pasted.of("kubectl", "create", "serviceaccount")
    pod = yaml.safe_load((pasted.place / "first" / "pod.yaml").read_text())
    assert (made[4], option(made, "--namespace")) == (pod["spec"]["serviceAccountName"], pod["metadata"]["namespace"])
    assert {call[call.index("--namespace") + 1] for call in pasted.calls if "--namespace" in call} == {"shop"}


def test_what_was_made_goes_away_again(pasted: Pasted) -> None:
    (policy,) = pasted.of("aws", "iam", "put-role-policy")
    (gone,) = pasted.of("aws", "iam", "delete-role-policy")
    assert [option(policy, name) == option(gone, name) for name in ("--role-name", "--policy-name")] == [True, True]
    deleted = pasted.of("aws", "iam", "delete-role")
    roles = {(option(call, "--profile"), option(call, "--role-name")) for call in deleted}
    assert roles == {("account-a", "account-a-role"), ("account-b", "account-b-role")}


@pytest.mark.deploy
@pytest.mark.timeout(900)  # the first test builds Kustomize
def test_what_is_applied_is_the_published_pod_with_the_readers_names(pasted: Pasted, each_kustomize: Path) -> None:
    command = [str(each_kustomize), "build", str(pasted.place / "first")]
    made = yaml.safe_load(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    (sidecar,), (app,) = made["spec"]["initContainers"], made["spec"]["containers"]
    assert (sidecar["image"], sidecar["restartPolicy"]) == ("registry.example.com/credential-sidecar:0.1.0", "Always")
    assert environment(sidecar).items() >= {"AWS_ROLE_ARN": ROLE_A, "SIDECAR_TARGET_ROLE_ARN": ROLE_B}.items()
    published = yaml.safe_load((ROOT / "deploy" / "examples" / "pod.yaml").read_text())
    sidecar["image"], app["image"] = "credential-sidecar:0.1.0", "your-app"
    assert app.pop("command")[0] == "sh"
    assert app["securityContext"].pop("runAsUser") == 10001
    assert normal(made) == normal(published)


def environment(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["env"]}


def normal(pod: dict[str, Any]) -> dict[str, Any]:
    """The pod with its variables in the order of their names."""
    for container in (*pod["spec"]["initContainers"], *pod["spec"]["containers"]):
        container["env"] = sorted(container["env"], key=lambda each: each["name"])
    return pod
