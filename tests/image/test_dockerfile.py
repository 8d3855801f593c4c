"""What the Dockerfile says, where no image is built; and that nothing but what is said becomes of the published pod."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from sidecar import __version__
from tests.image.pod import LIMIT, PORT, SIDECAR, STS, for_podman, published
from tests.process import ROOT
from tools.image import IMAGE, WORKLOAD

TEXT = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
# What podman cannot read, and the tests do instead.
KUBELETS = ("startupProbe", "livenessProbe", "restartPolicy", "ports")


def test_the_label_is_the_programs_version() -> None:
    assert re.findall(r'image\.version="([^"]+)"', TEXT) == [__version__]


def test_whatever_is_installed_is_locked_or_our_own() -> None:
    installs = re.findall(r"pip (?:--python \S+ )?(?:install|wheel)[^&\n]*", TEXT)
    assert len(installs) == 5
    assert [each for each in installs if "${LOCKED}" not in each and "--no-index --no-deps" not in each] == []
    (locked,) = re.findall(r'LOCKED="([^"]+)"', TEXT)
    assert "--require-hashes --only-binary :all:" in locked


def test_base_images_are_arguments_with_public_defaults() -> None:
    assert re.findall(r"^ARG (\w+)=(\S+)$", TEXT, re.MULTILINE) == [
        ("BUILD_IMAGE", "python:3.13-slim"),
        ("BASE_IMAGE", "python:3.13-slim"),
    ]
    assert re.findall(r"^FROM (\S+)", TEXT, re.MULTILINE) == ["${BUILD_IMAGE}", "build", "scratch", "${BASE_IMAGE}"]


def test_the_last_stage_runs_nothing() -> None:
    last = TEXT[TEXT.index("FROM ${BASE_IMAGE}") :]
    assert "\nRUN" not in last
    assert re.findall(r"^(?:ENTRYPOINT|CMD|HEALTHCHECK .*CMD) (.)", last, re.MULTILINE) == ["["] * 3


def test_the_context_is_what_is_copied_and_nothing_else() -> None:
    first, *allowed = re.findall(r"^[^#\n].*$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert first == "*"
    kept = [each.removeprefix("!") for each in allowed if each.startswith("!")]
    copied = {word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", TEXT, re.MULTILINE) for word in line.split()}
    assert [name for name in copied if not any(fnmatch(name, pattern) for pattern in kept)] == []
    assert [pattern for pattern in kept if not any(fnmatch(name, pattern) for name in copied)] == []


@pytest.mark.parametrize("example", ["pod", "job", "direct", "two-targets"])
def test_a_pod_has_other_images_another_sts_and_less_memory_and_is_else_the_published_one(
    example: str, tmp_path: Path
) -> None:
    before, after = published(example), for_podman(published(example), tmp_path)
    (sidecar,) = before["spec"]["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    containers = [sidecar, *before["spec"]["containers"]]
    assert [_undone(each, now) for each, now in zip(containers, after["spec"]["containers"], strict=True)] == [
        {key: value for key, value in each.items() if key not in KUBELETS} for each in containers
    ]
    for each in (before, after):
        for key in ("initContainers", "containers"):
            each["spec"].pop(key, None)
        each["spec"]["volumes"] = [volume["name"] for volume in each["spec"]["volumes"]]
    assert after == before


def _undone(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The container with its image, its STS and its memory as they were."""
    assert after["image"] == (IMAGE if after["name"] == SIDECAR else WORKLOAD)
    assert after["env"][-1] == {"name": "AWS_ENDPOINT_URL_STS", "value": f"http://{STS}:{PORT}"}
    undone = {**after, "image": before["image"], "env": after["env"][:-1]}
    if "resources" in before:
        assert after["resources"]["limits"] == {"memory": LIMIT}
        undone["resources"] = before["resources"]
    return undone
