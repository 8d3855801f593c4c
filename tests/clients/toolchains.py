"""What builds the programs: `python -m tests.clients.toolchains` builds all that can be built here, into `.clients/`.

A toolchain whose command is missing is left out, and its clients are skipped with the line that installs it. What was
built from the same sources before is not built again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PROGRAMS: Final = Path(__file__).parent / "programs"
BUILT: Final = ROOT / ".clients"
_PIP: Final = "-m pip install --quiet --disable-pip-version-check --no-input --require-hashes --only-binary :all:"
_NPM: Final = "npm install --silent --no-package-lock --no-audit --no-fund --ignore-scripts"
_MAVEN: Final = "mvn --quiet --batch-mode compile dependency:copy-dependencies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """A way to make programs: a command that must be there, how it is installed, and what is run in the build folder.

    `sources` is the folder below `programs` that is copied there first; none is a tool that comes ready-made.
    """

    command: str
    install: str
    sources: str = ""
    steps: tuple[str, ...] = ()

    @property
    def is_here(self) -> bool:
        """Whether this machine has it."""
        return self.path is not None

    @property
    def path(self) -> str | None:
        """Where its command is: Debian's own, where there are two."""
        if self.command.startswith("/"):
            return self.command if Path(self.command).exists() else None
        return shutil.which(self.command, path=f"/usr/bin{os.pathsep}{os.environ['PATH']}")


def _python(name: str) -> Toolchain:
    steps = (f"{sys.executable} -m venv .", f"bin/python {_PIP} --requirement {name}.txt")
    return Toolchain(command="python3", install="apt install python3-venv", sources="python", steps=steps)


def _debian(command: str, package: str) -> Toolchain:
    return Toolchain(command=command, install=f"apt install {package}")


TOOLCHAINS: Final = {
    "python-modern": _python("modern"),
    "python-old": _python("old"),
    "javascript": Toolchain(command="npm", install="apt install nodejs npm", sources="javascript", steps=(_NPM,)),
    "go": Toolchain(
        command="go",
        install="apt install golang-go (1.26 or later)",
        sources="go",
        steps=tuple(f"go build -o {name} ./cmd/{name}" for name in ("v1", "v2", "minio")),
    ),
    "java": Toolchain(command="mvn", install="apt install maven default-jdk-headless", sources="java", steps=(_MAVEN,)),
    "s3a": Toolchain(command="mvn", install="apt install maven default-jdk-headless", sources="s3a", steps=(_MAVEN,)),
    "rust": Toolchain(
        command="cargo", install="apt install cargo (1.94.1 or later)", sources="rust", steps=("cargo build --quiet",)
    ),
    "ruby": _debian("ruby", "ruby ruby-aws-sdk-core"),
    "aws": _debian("aws", "awscli"),
    "rclone": _debian("rclone", "rclone"),
    "restic": _debian("restic", "restic"),
    "s3cmd": _debian("s3cmd", "s3cmd"),
    "python3-boto": _debian("/usr/lib/python3/dist-packages/boto", "python3-boto"),
}


def build(name: str) -> bool:
    """Builds what `name` needs, if that was not done before; whether there was anything to do."""
    toolchain, folder = TOOLCHAINS[name], BUILT / name
    stamp, digest = folder / "built", _digest(toolchain)
    if not toolchain.steps or (stamp.is_file() and stamp.read_text() == digest):
        return False
    stamp.unlink(missing_ok=True)
    shutil.copytree(PROGRAMS / toolchain.sources, folder, dirs_exist_ok=True)
    for step in toolchain.steps:
        subprocess.run(step.split(), cwd=folder, check=True)
    stamp.write_text(digest)
    return True


def _digest(toolchain: Toolchain) -> str:
    """Of all that the build depends on: the sources and the steps."""
    said = hashlib.sha256(repr(toolchain).encode())
    for path in sorted((PROGRAMS / toolchain.sources).rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            said.update(path.read_bytes())
    return said.hexdigest()


def main(names: Sequence[str]) -> int:
    """Builds the named toolchains' programs, or all that can be built here."""
    failed = []
    for name in names or TOOLCHAINS:
        began = time.monotonic()
        if not TOOLCHAINS[name].is_here:
            print(f"{name:14} not here: {TOOLCHAINS[name].install}", flush=True)
            continue
        try:
            done = "built" if build(name) else "is there"
        except (OSError, subprocess.CalledProcessError) as error:
            done = f"FAILED: {error}"
            failed.append(name)
        print(f"{name:14} {done} ({time.monotonic() - began:.0f} s)", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
