"""What is wrong with the projected token: on disk, by mount and by mode, and what the daemon says of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.doctor import disk
from tests.builders import write_token
from tests.doctor.clinic import MARKS, Clinic, Report, clinic

pytestmark = MARKS

HOUR = 3600
# Who is bound by file modes: root is not.
NOBODY = ("setpriv", "--reuid=59911", "--regid=59911", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all")


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that every uid may look into, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="doctor-") as made:
        Path(made).chmod(0o755)
        (Path(made) / "authorization").mkdir(mode=0o777)
        (Path(made) / "authorization").chmod(0o777)
        yield Path(made)


async def named(here: Clinic, code: str, logged: str) -> Report:
    """Doctor names it first, and the daemon's log and status say the same words."""
    async with here.daemon() as running:
        line = await running.event("HopFailed", code=logged)
        error = await here.error(running)
        report = await here.examine()
    assert (report.code, report.cause["code"]) == (3, code), report.text
    assert line["hint"] == error["message"]
    assert line["hint"] in report.cause["why"]
    assert [each["code"] for each in report.problems] == [code], report.text
    return report


async def test_1_a_token_that_is_not_there(tmp_path: Path) -> None:
    async with clinic(tmp_path) as here:
        there = here.settings["AWS_WEB_IDENTITY_TOKEN_FILE"]
        here.settings["AWS_WEB_IDENTITY_TOKEN_FILE"] = str(tmp_path / "nowhere" / "token")
        async with here.daemon() as running:
            line = await running.event("TokenFailed")
            report = await here.examine()
        assert line["message"] == report.cause["seen"]
        report = await named(here, "tokenmissing", "TokenMissing")
        assert f"mountPath: {tmp_path}/nowhere" in report.pastes[0]
        here.settings["AWS_WEB_IDENTITY_TOKEN_FILE"] = there
        await here.recover()


async def test_1_the_directory_in_place_of_the_file(tmp_path: Path) -> None:
    async with clinic(tmp_path) as here:
        here.settings["AWS_WEB_IDENTITY_TOKEN_FILE"] = str(here.kubelet.directory)
        report = await named(here, "tokenunreadable", "TokenUnreadable")
        assert "it is a directory; name the token's file in it" in report.cause["seen"]
        here.apply(report.pastes)
        await here.recover()


async def test_1_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    async with clinic(tmp_path) as here:
        data = here.kubelet.directory / "..data"
        data.rename(tmp_path / "elsewhere")
        report = await named(here, "token-dangling", "TokenMissing")
        assert "..data/token, which is not there" in report.cause["seen"]
        (tmp_path / "elsewhere").rename(data)
        await here.recover()


def subpath(source: Path, point: Path) -> tuple[str, ...]:
    """A command that runs another where the file at `source` is mounted at `point`, as kubelet does for a subPath."""
    private = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--mount")
    if subprocess.run([*private, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespace here: run as root, or allow unprivileged user namespaces")
    return (*private, "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', str(source), str(point))


@pytest.mark.parametrize("is_expired", [False, True], ids=["alive yet", "and stale"])
async def test_2_a_token_that_is_mounted_by_subpath(tmp_path: Path, is_expired: bool) -> None:
    async with clinic(tmp_path) as here:
        now = int(here.sts.wall())
        if is_expired:
            here.kubelet.project(here.kubelet.mint(exp=now - HOUR, iat=now - 2 * HOUR, nbf=now - 2 * HOUR))
        old = tmp_path / "first-hour"
        shutil.copy(here.kubelet.path, old)
        here.kubelet.project()  # the rotation, which the mount does not follow
        point = tmp_path / "mounted"
        point.touch()
        there = here.settings["AWS_WEB_IDENTITY_TOKEN_FILE"]
        here.settings["AWS_WEB_IDENTITY_TOKEN_FILE"] = str(point)
        here.prefix = subpath(old, point)
        report = await named(here, "token-by-subpath", "TokenExpired") if is_expired else await here.examine()
        assert (report.code, report.cause["code"]) == (3, "token-by-subpath")
        assert str(old) in report.cause["seen"]
        here.prefix = ()  # the whole directory
        here.settings["AWS_WEB_IDENTITY_TOKEN_FILE"] = there
        await here.recover()


async def test_3_a_token_that_this_uid_may_not_read(home: Path) -> None:
    async with clinic(home) as here:
        here.kubelet.mode = 0o600
        here.kubelet.project()
        here.prefix = NOBODY if os.geteuid() == 0 else ()
        if not here.prefix:
            here.kubelet.path.chmod(0o000)
        report = await named(here, "tokenunreadable", "TokenUnreadable")
        assert "mode 0600" in report.cause["seen"] or "mode 0000" in report.cause["seen"]
        assert "fsGroup" in report.pastes[0]
        here.kubelet.mode = 0o644  # what an fsGroup comes to
        here.kubelet.project()
        await here.recover()


@pytest.mark.parametrize("text", ["", "not a token", "a.b.c", "{}"], ids=["empty", "words", "dots", "json"])
async def test_4_what_is_no_token(tmp_path: Path, text: str) -> None:
    async with clinic(tmp_path) as here:
        here.kubelet.project(text)
        report = await named(here, "tokenmalformed", "TokenMalformed")
        assert str(here.kubelet.path) in report.cause["seen"]
        here.kubelet.project()
        await here.recover()


POD = ("shop", "orders-7d4b9c-xk2lp")


async def test_5_a_token_that_has_ended_still_says_whose_pod_it_is(tmp_path: Path) -> None:
    async with clinic(tmp_path) as here:
        now = int(here.sts.wall())
        here.kubelet.project(here.kubelet.mint(exp=now - HOUR, iat=now - 2 * HOUR, nbf=now - 2 * HOUR))
        report = await here.examine()
        namespace, pod = POD
        assert report.pastes[0].splitlines() == [
            f"kubectl -n {namespace} describe pod {pod}",
            f"kubectl -n {namespace} get events --field-selector involvedObject.name={pod}",
            f"kubectl -n {namespace} delete pod {pod}",
        ]


@pytest.mark.parametrize(
    ("claims", "pod"),
    [
        ({"namespace": "shop", "pod": {"name": "orders-7d4b9c-xk2lp"}}, POD),
        ({"namespace": "shop", "pod": {"name": "$(reboot)"}}, None),
        ({"namespace": "shop", "pod": {}}, None),
        ({"namespace": 1, "pod": {"name": "orders"}}, None),
        ("shop", None),
    ],
)
def test_no_command_is_filled_in_with_what_no_pod_is_called(
    tmp_path: Path, claims: Any, pod: tuple[str, str] | None
) -> None:
    write_token(tmp_path / "token", **{"kubernetes.io": claims})
    assert disk.token_file(str(tmp_path / "token")).pod == pod


async def test_4_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert str(disk.token_file(str(tmp_path / "pipe")).reading.error).endswith("it is no regular file")


async def test_5_a_token_that_kubelet_does_not_rotate(tmp_path: Path) -> None:
    async with clinic(tmp_path) as here:
        now = int(here.sts.wall())
        here.kubelet.project(here.kubelet.mint(exp=now - HOUR, iat=now - 2 * HOUR, nbf=now - 2 * HOUR))
        report = await named(here, "tokenexpired", "TokenExpired")
        assert re.search("for 6[0-9] min", report.cause["seen"])  # that is ten of ours
        assert "kubelet" in report.cause["why"]
        here.kubelet.project()
        await here.recover()


@pytest.mark.parametrize(
    ("issued", "ends"), [(-3500, 100), (-30 * HOUR, 30 * HOUR)], ids=["at the end of its life", "older than a day"]
)
async def test_5_a_token_that_should_have_been_rotated_by_now(tmp_path: Path, issued: int, ends: int) -> None:
    async with clinic(tmp_path) as here:
        now = int(here.sts.wall())
        claims: dict[str, Any] = {"iat": now + issued, "nbf": now + issued, "exp": now + ends}
        here.kubelet.project(here.kubelet.mint(**claims))
        report = await here.examine()
        assert (report.code, report.cause["code"]) == (3, "token-not-rotated")
        here.kubelet.project()
        await here.recover()


MOUNTS = """\
22 1 8:1 / / rw - ext4 /dev/sda rw
30 22 0:25 / /var/run/secrets/eks.amazonaws.com/serviceaccount ro - tmpfs tmpfs rw
31 22 0:26 /..2026_01_31_12_00_00.123456789/tokens /with\\040space/tokens ro - tmpfs tmpfs rw
32 22 0:26 /..data/token /one/token ro - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "pinned"),
    [
        ("/var/run/secrets/eks.amazonaws.com/serviceaccount/token", None),
        ("/with space/tokens/token", "/..2026_01_31_12_00_00.123456789/tokens"),
        ("/one/token", "/..data/token"),
        ("/elsewhere/token", None),
    ],
)
def test_what_pins_a_file_is_read_off_the_mount_table(tmp_path: Path, path: str, pinned: str | None) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    assert disk.token_file(path, str(tmp_path / "mountinfo")).pinned == pinned
