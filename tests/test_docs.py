"""What the pages say is what the code does: names, commands, links, numbers, the pod and the IAM statements."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sidecar import cli, config, metrics, remedies
from sidecar.authorization import MODE
from sidecar.config import SETTINGS
from sidecar.contract import BROKEN, Refusal
from sidecar.emulator import Account, Emulator, Kubelet, OidcProvider, RoleSpec, World
from sidecar.endpoint import PATHS
from sidecar.events import Event
from sidecar.heads import HEAD
from sidecar.http import Limits
from sidecar.kube import metrics as webhook
from sidecar.kube import webhook as injector
from sidecar.kube.annotations import ANNOTATIONS, PREFIX, ask
from sidecar.model import Kind
from sidecar.refresher import DEADLINE, POLL
from sidecar.schedule import CAPS, DUE_AT, FLOOR
from sidecar.values import unknown
from tests.builders import ACCOUNT_A, ACCOUNT_B, ROLE_A, ROLE_B
from tests.iam.scenarios import SAID, SCENARIOS, document
from tests.test_layers import FEATURES, LAYERS

ROOT = Path(__file__).parent.parent
PAGES = sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))
DEPLOY = sorted(str(page.relative_to(ROOT)) for page in (ROOT / "deploy").rglob("*.md"))
NAMES = ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", *DEPLOY, *PAGES)
# What SDKs are configured by: the workload's, and botocore where it reads something by itself.
SDKS = {
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_ACCOUNT_ID",
    "AWS_AUTH_SIGNING_NO_CREDENTIALS",  # the name of an error, on the page of what clients say
    "AWS_CA_BUNDLE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_JAVA_V1_DISABLE_DEPRECATION_ANNOUNCEMENT",
    "AWS_SDK_LOAD_CONFIG",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
}
ISSUER = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def blocks(name: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text(name), re.DOTALL | re.MULTILINE)


def rows(name: str, heading: str) -> Iterator[list[str]]:
    """The cells of the table rows below a heading, without the table's own head."""
    section = re.split(r"^## ", text(name).split(f"## {heading}\n")[1], flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return ([cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:])


def words(pattern: str, name: str) -> set[str]:
    """What the pattern finds on a page; `^` is the beginning of a line."""
    return set(re.findall(pattern, text(name), re.MULTILINE))


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_that_is_named_exists(name: str) -> None:
    given = dict.fromkeys(words(r"\bSIDECAR_[A-Z][A-Z_]*[A-Z]\b", name), "x")
    assert [str(problem) for problem in unknown(given, [setting.name for setting in SETTINGS])] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_of_aws_that_is_named_is_read_by_us_or_by_an_sdk(name: str) -> None:
    known = {each for setting in SETTINGS for each in (setting.name, setting.aws)} | SDKS
    assert words(r"\bAWS_[A-Z0-9_]*[A-Z0-9]\b", name) <= known


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_that_is_named_exists(name: str) -> None:
    known = {metrics.PREFIX + each.name for each in (*metrics.DEFINITIONS, *webhook.DEFINITIONS)}
    assert words(rf"\b{metrics.PREFIX}[a-z_]*[a-z]\b", name) <= known


@pytest.mark.parametrize("name", NAMES)
def test_every_command_that_is_shown_can_be_given(name: str) -> None:
    refused = []
    inline, pods = r"`credential-sidecar ([a-z-][^`]*)`", r"command: \[credential-sidecar, ([^\]]+)\]"
    for given in words(inline, name) | {each.replace(",", " ") for each in words(pods, name)}:
        try:
            cli.parser().parse_args(shlex.split(given))
        except SystemExit as end:
            refused += [given] if end.code else []
    assert refused == []


def test_the_readme_lists_every_command() -> None:
    listed = {cell[0].strip("`").split()[1] for cell in rows("README.md", "Commands")}
    assert listed == {command.name for command in cli.COMMANDS}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_looked_for_in_a_log_is_the_name_of_an_event_as_a_line_has_it(name: str) -> None:
    assert injector.WebhookStarted in Event.__subclasses__()  # whoever is imported is known
    names = {json.dumps(each.__name__) for each in Event.__subclasses__()}
    assert words(r"\blogs .*\| grep '([^']+)'", name) <= names


@pytest.mark.parametrize("name", NAMES)
def test_every_target_of_make_that_is_named_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), re.MULTILINE))
    assert words(r"(?:`|^ {4})make ([a-z]+)", name) <= targets


@pytest.mark.parametrize("name", NAMES)
def test_every_relative_link_leads_somewhere(name: str) -> None:
    for link in words(r"\]\((?!https?:)([^)]+)\)", name) | words(r'\bsrc="([^"]+)"', name):
        path, _, anchor = link.partition("#")
        place = (ROOT / name).parent / path if path else ROOT / name
        assert place.is_file(), link
        if not anchor:
            continue
        headings = re.findall(r"^#+ (.*)$", place.read_text("utf-8"), re.MULTILINE)
        slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in slugs, link


@pytest.mark.parametrize("name", NAMES)
def test_every_file_of_the_repository_that_is_named_exists(name: str) -> None:
    for path in words(r"`((?:sidecar|tests|docs|tools)/[\w/.-]+\.\w+)`", name):
        assert (ROOT / path).is_file(), path


def test_the_map_has_every_room_in_its_layer() -> None:
    cells = list(rows("CONTRIBUTING.md", "The map"))
    listed = [room for cell in cells for room in re.findall(r"`(\w+)`", cell[1])]
    assert len(listed) == len(set(listed))
    assert set(listed) == FEATURES.union(*LAYERS.values())


def test_the_readmes_settings_have_the_defaults_that_it_says() -> None:
    defaults = {setting.name: setting.default for setting in SETTINGS}
    for setting, _, default in rows("README.md", "Settings"):
        if default.isdigit():
            assert defaults[setting.strip("`")] == default
        elif default in ("", "off"):
            assert defaults[setting.strip("`")] == ""


def test_the_guides_profiles_are_a_chain_of_two_hops(tmp_path: Path) -> None:
    (block,) = blocks("README.md", "ini")
    (tmp_path / "config").write_text(block)
    environ = {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "SIDECAR_PROFILES": "account_b_role",
        "AWS_REGION": "eu-west-1",
    }
    (target,) = config.resolve({}, environ).targets
    assert [hop.role.arn for hop in target.hop.chain] == [ROLE_A, ROLE_B]


def pod() -> tuple[str, str, str]:
    """The README's pod, taken apart where no YAML parser is: sidecar, workload, volumes."""
    (block,) = blocks("README.md", "yaml")
    _, sidecar = block.split("  initContainers:\n")
    sidecar, rest = sidecar.split("  containers:\n")
    workload, volumes = rest.split("  volumes:\n")
    return sidecar, workload, volumes


def environment(container: str) -> dict[str, str]:
    return dict(re.findall(r'\{name: (\w+), value: "?([^"}]+)"?\}', container))


def mounts(container: str) -> dict[str, str]:
    return dict(re.findall(r"\{name: ([\w-]+), mountPath: ([^,}]+)", container))


def test_the_readmes_sidecar_is_configured_without_a_complaint() -> None:
    sidecar, _, _ = pod()
    found = config.resolve({}, environment(sidecar))
    assert [hop.role.arn for hop in found.targets[0].hop.chain] == [ROLE_A, ROLE_B]
    assert found.warnings == ()
    assert found.targets[0].hop.chain[0].token_file == f"{mounts(sidecar)['credential-sidecar-projected-token']}/token"
    assert found.state_dir == mounts(sidecar)["credential-sidecar-state"]


def test_the_readmes_workload_asks_where_the_sidecar_answers() -> None:
    sidecar, workload, _ = pod()
    found, asked = config.resolve({}, environment(sidecar)), environment(workload)
    assert asked["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == f"http://{found.listen}/v1/credentials"
    token = f"{found.authorization_dir}/{found.targets[0].name}/token"
    assert asked["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] == token
    assert mounts(workload) == {"credential-sidecar-authorization": str(Path(token).parent)}
    assert mounts(workload).items() <= mounts(sidecar).items()
    assert "readOnly: true" in workload
    assert asked["AWS_EC2_METADATA_DISABLED"] == "true"


@pytest.mark.parametrize("name", PAGES)
def test_the_variables_of_a_page_are_those_of_the_readmes_pod(name: str) -> None:
    sidecar, workload, _ = pod()
    elsewhere = environment(sidecar + workload)
    found = dict[str, str]()
    for block in blocks(name, "yaml"):
        found |= environment(block)
    assert {key: value for key, value in found.items() if elsewhere.get(key, value) != value} == {}
    own = {key: value for key, value in found.items() if key.startswith("SIDECAR_")}
    config.resolve({}, environment(sidecar) | own)


def test_the_page_of_the_faces_says_where_instance_metadata_is_served() -> None:
    (sidecar, workload, *_) = (environment(block) for block in blocks("docs/faces.md", "yaml"))
    found = config.resolve({}, environment(pod()[0]) | sidecar)
    assert workload == {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{found.imds_listen}"}
    assert f"TCP:{found.imds_listen}" in text("docs/faces.md")
    assert "SIDECAR_IMDS_LISTEN serves target default to the whole pod" in found.warnings[0]


def test_the_profiles_of_the_faces_ask_the_daemon_for_what_it_serves() -> None:
    curl, get = (block.partition("= ")[2] for block in blocks("docs/faces.md", "ini"))
    _, workload, _ = pod()
    name, listen, _ = config.resolve_client({}, {}, cli.parser().parse_args(shlex.split(get)[1:]).target)
    assert f"http://{listen}/v1/process/{name}'" in curl
    assert "/v1/process" in PATHS
    assert f"$(cat {environment(workload)['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE']})" in curl


def test_the_readmes_pod_keeps_what_experience_has_taught() -> None:
    (block,) = blocks("README.md", "yaml")
    sidecar, workload, volumes = pod()
    for needed in (
        "restartPolicy: Always",
        "failureThreshold: 3600",
        "periodSeconds: 1",
        "runAsUser: 59911",
        "readOnlyRootFilesystem: true",
        "httpGet: {path: /readyz, port: 9912}",
        "httpGet: {path: /livez, port: 9912}",
    ):
        assert needed in sidecar
    assert "audience: sts.amazonaws.com, expirationSeconds: 86400" in volumes
    assert volumes.count("medium: Memory") == 2
    assert "enableServiceLinks: false" in block
    assert "  readinessProbe:" not in block
    assert "projected-token" not in workload


def documented_annotations() -> dict[str, tuple[str, str]]:
    """The annotations of the page by name: the default and the example."""
    cells = list(rows("docs/injection.md", "Annotations"))
    assert len(cells) == len({cell[0] for cell in cells})
    return {cell[0].strip("`"): (cell[2].strip("`"), cell[3].strip("`")) for cell in cells}


def test_the_page_of_injection_has_every_annotation_and_its_default() -> None:
    said = {name: default for name, (default, _) in documented_annotations().items()}
    assert [*said] == [*ANNOTATIONS]
    assert {name: said[name] for name, each in ANNOTATIONS.items() if each.default} == {
        name: each.default for name, each in ANNOTATIONS.items() if each.default
    }


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_the_example_of_an_annotation_can_be_given(name: str) -> None:
    examples = {each: example for each, (_, example) in documented_annotations().items()}
    together = {"profiles", "config-map", "containers"}
    beside = together if name in together else {"source-role-arn", "target-role-arn"}
    ask({PREFIX + each: examples[each] for each in beside | {name, "region"}}, {})


def test_the_pod_of_the_page_of_injection_says_all_that_is_needed() -> None:
    (block,) = blocks("docs/injection.md", "yaml")
    annotations = dict(re.findall(rf"^ +({re.escape(PREFIX)}[a-z-]+): ([^# \n]+)$", block, re.MULTILINE))
    assert ask(annotations, {}).is_plain


@pytest.mark.parametrize("heading", ["What is denied", "What is warned of"])
def test_what_the_page_of_injection_quotes_is_what_is_said(heading: str) -> None:
    rooms = sorted((ROOT / "sidecar" / "kube").glob("*.py"))
    source = "".join(text(str(path)) for path in (*rooms, *(f"sidecar/{name}.py" for name in ("bypass", "settings"))))
    quoted = [each for cell in rows("docs/injection.md", heading) for each in re.findall('"(.+?)"', cell[0])]
    assert len(quoted) >= 8
    assert [each for each in quoted if each not in source] == []


def documented_codes() -> set[str]:
    """The codes that the troubleshooting page has a row for."""
    tables = ("Codes of a hop", "Answers of the credential endpoint")
    first = (cell[0] for title in tables for cell in rows("docs/troubleshooting.md", title))
    return set(re.findall(r"`(\w+)`", " ".join(first)))


def test_every_code_that_is_shown_has_a_row_and_every_row_a_code() -> None:
    hops = {*remedies.known(1), *remedies.known(2)}
    answers = {json.loads(answer.body)["code"] for answer in (*(each.answer for each in Refusal), BROKEN)}
    assert documented_codes() == hops | answers | {"NotReady", "Expired"}


def test_the_numbers_are_those_of_the_code() -> None:
    checked = 0
    for _, seconds, where in rows("docs/how-it-works.md", "The numbers"):
        module, name = where.strip("`").split(".")
        assert getattr(importlib.import_module(f"sidecar.{module}"), name) == float(seconds), where
        checked += 1
    assert checked > 10


def test_the_outages_follow_from_lifetime_floor_and_backoff() -> None:
    attempt = 2 * DEADLINE  # two hops, before the outage ends and after it
    unavailable, denied = (2 * attempt + CAPS[kind] + POLL + FLOOR for kind in (Kind.UNAVAILABLE, Kind.DENIED))
    assert (unavailable, denied) == (112, 352)
    for lifetime, *minutes in rows("docs/how-it-works.md", "Outages"):
        half = int(lifetime.removesuffix(" s")) * DUE_AT
        assert minutes == [f"{(half - recovery) // 60:.0f} min" for recovery in (120, denied)]


def test_the_limits_of_the_pages_are_those_of_the_server() -> None:
    page = text("docs/troubleshooting.md")
    assert f"more than {Limits(connections=1).head:.0f} s, or more than {HEAD // 1024} KiB" in page
    assert f"mode {MODE:04o}" in text("SECURITY.md")


def documented_world(issuer: str) -> World:
    """The two accounts with the statements of the page, for the emulator's issuer instead of the cluster's."""
    bare = issuer.split("://")[1]
    documents: list[Mapping[str, Any]] = [
        json.loads(block.replace(ISSUER, bare)) for block in blocks("docs/troubleshooting.md", "json")
    ]
    trust_a, permissions_a, trust_b = documents
    role_a = RoleSpec(arn=ROLE_A, trust=trust_a, permissions=(permissions_a,))
    account_a = Account(id=ACCOUNT_A, roles=(role_a,), providers=(OidcProvider(issuer=issuer),))
    return World(accounts=(account_a, Account(id=ACCOUNT_B, roles=(RoleSpec(arn=ROLE_B, trust=trust_b),))))


def test_the_iam_statements_are_what_iam_prints() -> None:
    first, second = (account["roles"][0] for account in document(SCENARIOS["all at once, aws"])["accounts"])
    expected = [first["trust_policy"], first["permission_policy"], second["trust_policy"]]
    assert [json.loads(block) for block in blocks("docs/troubleshooting.md", "json")] == expected
    assert (first["arn"], second["arn"], SAID.issuer) == (ROLE_A, ROLE_B, f"https://{ISSUER}")


@pytest.mark.parametrize(
    ("external_id", "code", "said"),
    [("orders-2026", 0, ACCOUNT_B), ("orders-1999", 1, "hop 2 to " + ROLE_B + " failed: AccessDenied")],
    ids=["as documented", "another external id"],
)
async def test_the_iam_statements_grant_what_they_say_and_no_more(
    external_id: str, code: int, said: str, tmp_path: Path
) -> None:
    async with Emulator(documented_world) as sts:
        kubelet = Kubelet(tmp_path, sts)
        kubelet.project()
        environ = {
            "PATH": os.environ["PATH"],
            "AWS_ROLE_ARN": ROLE_A,
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(kubelet.path),
            "AWS_ENDPOINT_URL_STS": sts.url,
            "AWS_REGION": "eu-west-1",
            "SIDECAR_TARGET_ROLE_ARN": ROLE_B,
            "SIDECAR_EXTERNAL_ID": external_id,
            "SIDECAR_SESSION_TAGS": "team=orders",
            "SIDECAR_SOURCE_IDENTITY": "orders",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sidecar", "once"),
            env=environ,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, error = await process.communicate()
    assert process.returncode == code
    assert said in (out + error).decode()
