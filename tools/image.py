"""`make image` on a Debian machine that can pull no image: base images of Debian's packages, the build, and its weight.

A workstation needs none of this: `docker build .` is all. What is made is kept below .image/, in a storage of its own,
so that no setting and no image of the machine's changes; base images are made once.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from tools import pip_configuration

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".image"
BUILD_IMAGE, BASE_IMAGE = "localhost/python-build", "localhost/python-base"
IMAGE, WORKLOAD = "localhost/credential-sidecar", "localhost/stock-boto3"
SBOM = HOME / "credential-sidecar.cdx.json"
# Debian's packages, and their programs; catatonit holds a pod's namespaces open.
TOOLS = ("buildah", "catatonit", "debootstrap", "podman", "runc")

_RELEASE = "bookworm"
_PACKAGES = "ca-certificates,python3,python3-venv"
_NEVER = ("./var/cache/*", "./var/lib/apt/*", "./etc/apt/*")
# As lean as a base may be: no shell, no pip; and no bytecode, as in the public Python images.
_LEAN = ("./usr/bin/*sh", "./usr/share/python-wheels", "./usr/lib/python3*/ensurepip", "*.pyc")
# A machine without systemd, and perhaps with the first form of cgroups.
_CONTAINERS = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "{run}/libpod"
"""
_STORAGE = """\
[storage]
driver = "{driver}"
graphroot = "{home}/storage"
runroot = "{run}/storage"
"""


def environment() -> dict[str, str]:
    """What podman and buildah are started with, so that they use the storage below .image/."""
    places = {"CONTAINERS_CONF": HOME / "containers.conf", "CONTAINERS_STORAGE_CONF": HOME / "storage.conf"}
    return {**os.environ, **{name: str(path) for name, path in places.items()}}


def run(*command: str, stdin: int | None = None) -> str:
    """The output of a program that must succeed; what it complains of is shown."""
    pipe = subprocess.PIPE
    done = subprocess.run(command, env=environment(), cwd=ROOT, stdin=stdin, stdout=pipe, text=True, check=True)
    return done.stdout.strip()


def main() -> None:
    """Builds the image, the workload's and the SBOM, and says what ours weighs."""
    if missing := " ".join(tool for tool in TOOLS if shutil.which(tool) is None):
        sys.exit(f"This wants more of Debian's packages: apt install {missing}")
    if os.geteuid() != 0:
        sys.exit("Run it as root: debootstrap makes device files, and pods have a memory limit.")
    _configure()
    if not all(_exists(image) for image in (BUILD_IMAGE, BASE_IMAGE)):
        _make_bases()
    build(IMAGE)
    build(WORKLOAD, "--file", "tests/image/workload/Dockerfile")
    build(f"{IMAGE}-sbom", "--target", "sbom", "--output", f"type=local,dest={HOME}")
    run("podman", "image", "prune", "--force")
    print(f"{IMAGE}: {added() / 1e6:.1f} MB above {BASE_IMAGE}; {SBOM.relative_to(ROOT)}")


def build(tag: str, *options: str) -> None:
    """Builds from the checkout; this machine's pip configuration is mounted meanwhile, and is in no layer."""
    settings = HOME / "pip.conf"
    mounts = [f"{settings}:/etc/pip.conf:ro", *(f"{path}:{path}:ro" for path in pip_configuration.write(settings))]
    arguments = {"BUILD_IMAGE": BUILD_IMAGE, "BASE_IMAGE": BASE_IMAGE, **_commit()}
    # OCI's own format knows no HEALTHCHECK.
    command = ["buildah", "bud", "--quiet", "--format", "docker", "--isolation", "chroot", "--tag", tag, *options]
    command += [f"--volume={mount}" for mount in mounts]
    command += [f"--build-arg={name}={value}" for name, value in arguments.items()]
    if epoch := arguments.get("SOURCE_DATE_EPOCH"):
        command += ["--timestamp", epoch]
    print(f"Building {tag}", flush=True)
    run(*command, ".")


def is_built() -> bool:
    """Whether `main` has run to its end."""
    return SBOM.is_file()


def added() -> int:
    """Bytes of the layers above the base image, as they lie on the disk of a node."""
    ours, base = (json.loads(run("podman", "image", "inspect", image))[0]["Size"] for image in (IMAGE, BASE_IMAGE))
    return int(ours) - int(base)


def _commit() -> dict[str, str]:
    """The arguments that an archive without git goes without."""
    names, command = ("REVISION", "SOURCE_DATE_EPOCH"), ["git", "log", "-1", "--format=%H %ct"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return dict(zip(names, said.split(), strict=False))


def _exists(image: str) -> bool:
    return subprocess.run(["podman", "image", "exists", image], env=environment(), check=False).returncode == 0


def _configure() -> None:
    if (HOME / "storage.conf").exists():
        return  # a storage keeps the driver that it was made with
    HOME.mkdir(exist_ok=True)
    # Podman takes no path that is longer than 50 characters; two checkouts must not share it.
    places = {"home": HOME, "run": f"/run/credential-sidecar-{sha256(bytes(ROOT)).hexdigest()[:8]}"}
    for name, text in (("containers.conf", _CONTAINERS), ("storage.conf", _STORAGE)):
        (HOME / name).write_text(text.format(**places, driver=_driver()))


def _driver() -> str:
    """The storage driver: `vfs` works everywhere, but copies a whole root for each container."""
    with TemporaryDirectory(dir=HOME) as name:
        lower, upper, work, merged = parts = [Path(name, part) for part in ("lower", "upper", "work", "merged")]
        for part in parts:
            part.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        command = ["mount", "-t", "overlay", "-o", options, "overlay", str(merged)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return "vfs"
        run("umount", str(merged))
    return "overlay"


def _make_bases() -> None:
    print(f"Making {BUILD_IMAGE} and {BASE_IMAGE} of Debian's packages (once)", flush=True)
    with TemporaryDirectory(dir=HOME) as root, (HOME / "debootstrap.log").open("w") as log:
        Path(root).chmod(0o755)  # it becomes `/`, which everybody enters
        command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _RELEASE, root, *_mirror()]
        if subprocess.run(command, stdout=log, check=False).returncode:
            sys.exit(f"debootstrap failed: {log.name} says why")
        _pack(root, BUILD_IMAGE, _NEVER)
        _pack(root, BASE_IMAGE, (*_NEVER, *_LEAN))


def _mirror() -> list[str]:
    """Where this machine's own apt takes the release from; debootstrap knows a default."""
    indexes = ("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Component: main")
    return run(*indexes, f"Codename: {_RELEASE}").splitlines()[:1]


def _pack(root: str, image: str, without: Sequence[str]) -> None:
    excluded = [f"--exclude={pattern}" for pattern in without]
    with subprocess.Popen(["tar", "--create", *excluded, "--directory", root, "."], stdout=subprocess.PIPE) as tar:
        assert tar.stdout is not None
        run("podman", "import", "--quiet", "-", image, stdin=tar.stdout.fileno())
    if tar.returncode:
        sys.exit(f"tar of {root} failed")


if __name__ == "__main__":
    main()
