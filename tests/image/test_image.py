"""What is in the image, and what is not; and that it runs alone with as little as a pod may give it."""

from __future__ import annotations

import asyncio
import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from sidecar import __version__
from sidecar.emulator import Kubelet
from sidecar.emulator.oidc import Issuer
from tests.builders import REGION, ROLE_A, ROLE_B
from tests.image.podman import HARD, MARKS, podman
from tools import image

pytestmark = MARKS

LIMIT = 45_000_000
SITE = re.compile(r"opt/credential-sidecar/lib/python3\.\d+/site-packages/(.+)")
DATA = re.compile(r".*/botocore/data/([^/]+)")


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """The files of our layers, those above the base, by name."""
    place = tmp_path_factory.mktemp("image") / "image.tar"
    image.run("podman", "save", "--quiet", "--format", "docker-archive", "--output", str(place), image.IMAGE)
    (base,) = json.loads(image.run("podman", "image", "inspect", image.BASE_IMAGE))
    found: dict[str, bytes] = {}
    with tarfile.open(place) as archive:
        listed = json.loads(_content(archive, "manifest.json"))[0]["Layers"]
        for name in listed[len(base["RootFS"]["Layers"]) :]:
            with tarfile.open(fileobj=io.BytesIO(_content(archive, name))) as layer:
                found |= {each.name: _content(layer, each.name) for each in layer if each.isfile()}
    return found


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def registries() -> set[str]:
    """The host names that this machine's package clients know, by default or by configuration."""
    said = [[sys.executable, "-m", "pip", *words] for words in (["config", "list"], ["install", "--help"])]
    said.append(["apt-get", "indextargets", "--format", "$(SITE)"])
    text = "".join(subprocess.run(each, check=True, capture_output=True, text=True).stdout for each in said)
    return set(re.findall(r"https?://(?:[^/\s@']*@)?([\w.-]+)", text))


def test_our_layers_weigh_at_most_45_mb() -> None:
    assert 0 < image.added() <= LIMIT


def test_nothing_but_the_environment_and_bytecode_was_added(layers: Mapping[str, bytes]) -> None:
    elsewhere = [name for name in layers if not name.startswith("opt/credential-sidecar/")]
    assert [name for name in elsewhere if not re.fullmatch(r"usr/.*/__pycache__/[\w.-]+\.pyc", name)] == []
    assert len(elsewhere) > 100


def test_there_is_no_installer_and_no_test(layers: Mapping[str, bytes]) -> None:
    packages = {path[1].split("/")[0] for name in layers if (path := SITE.match(name))}
    assert {"sidecar", "botocore", "aiohttp"} < packages
    foreign = re.compile("pip|setuptools|wheel|hatchling|pytest|boto3|cryptography")
    assert [each for each in packages if foreign.match(each)] == []
    assert [name for name in layers if "/tests/" in name or "/pip" in name or "cache/pip" in name] == []


def test_of_the_services_data_sts_is_left(layers: Mapping[str, bytes]) -> None:
    data = {path[1] for name in layers if (path := DATA.match(name))}
    assert data == {"sts", "partitions.json", "_retry.json", "sdk-default-configuration.json"}


def test_no_layer_knows_where_packages_came_from(layers: Mapping[str, bytes]) -> None:
    hosts = registries()
    assert hosts
    # A package's own description is its authors': it links to where they publish it.
    ours = {name: content for name, content in layers.items() if not name.endswith(".dist-info/METADATA")}
    assert [(name, host) for name, content in ours.items() for host in hosts if host.encode() in content] == []
    assert [name for name in layers if name.endswith(("direct_url.json", "pip.conf", "requirements.txt"))] == []
    history = image.run("podman", "history", "--no-trunc", "--format", "json", image.IMAGE)
    assert [host for host in hosts if host in history] == []


def test_every_python_file_has_its_bytecode(layers: Mapping[str, bytes]) -> None:
    files = [name for name in layers if SITE.match(name) and name.endswith(".py")]
    compiled = {re.sub(r"__pycache__/([^/]+)\.cpython-\d+\.pyc$", r"\1.py", name) for name in layers}
    assert [name for name in files if name not in compiled] == []


def test_the_image_says_what_it_is_and_how_it_runs() -> None:
    (found,) = json.loads(image.run("podman", "image", "inspect", image.IMAGE))
    config, labels = found["Config"], found["Labels"]
    assert (config["User"], config["Entrypoint"], config["Cmd"]) == ("59911:59911", ["credential-sidecar"], ["run"])
    assert found["HealthCheck" if "HealthCheck" in found else "Healthcheck"]["Test"] == [
        *("CMD", "credential-sidecar", "probe", "/livez")
    ]
    prefix = "org.opencontainers.image"
    assert labels[f"{prefix}.version"] == __version__
    assert labels[f"{prefix}.licenses"] == "Apache-2.0"


async def test_a_walk_compiles_nothing(tmp_path: Path) -> None:
    Kubelet(tmp_path / "projected", Issuer(url="http://127.0.0.1:9")).project()
    settings = {
        "AWS_REGION": REGION,
        "AWS_ROLE_ARN": ROLE_A,
        "SIDECAR_TARGET_ROLE_ARN": ROLE_B,
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/projected/token",
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9",  # nobody there
    }
    given = [f"--env={name}={value}" for name, value in settings.items()]
    process = await asyncio.create_subprocess_exec(
        *(
            "podman",
            "run",
            "--rm",
            "--network=none",
            *HARD,
            "--memory",
            "64m",
            f"--volume={tmp_path}/projected:/projected:ro",
            *given,
        ),
        *("--entrypoint", "python3", image.IMAGE, "-v", "/opt/credential-sidecar/bin/credential-sidecar", "once"),
        env=image.environment(),
        stderr=asyncio.subprocess.PIPE,
    )
    _, error = await process.communicate()
    assert b"ConnectionError" in error
    assert process.returncode == 1
    assert len(re.findall(rb"^# code object from '.*\.pyc'$", error, re.MULTILINE)) > 300
    # The program itself is no module; whatever else has the form of a source was compiled.
    assert re.findall(rb"^# code object from ('?/.*\.py'?)$", error, re.MULTILINE) == []


async def test_there_is_no_shell_in_the_base_that_it_was_tested_on() -> None:
    found = "import shutil; print([shutil.which(name) for name in ('sh', 'bash', 'dash', 'pip', 'python3')])"
    out = await podman("run", "--rm", "--network=none", *HARD, "--entrypoint", "python3", image.IMAGE, "-c", found)
    assert out == "[None, None, None, None, '/opt/credential-sidecar/bin/python3']"


def test_the_sbom_lists_what_is_locked() -> None:
    document = json.loads(image.SBOM.read_text())
    assert (document["bomFormat"], document["metadata"]["component"]["version"]) == ("CycloneDX", __version__)
    # PEP 503: as a lock has names.
    listed = {(re.sub(r"[-_.]+", "-", each["name"]).lower(), each["version"]) for each in document["components"]}
    locked = re.findall(r"^(\S+)==(\S+)", (image.ROOT / "requirements" / "runtime.txt").read_text(), re.MULTILINE)
    assert listed == set(locked)
