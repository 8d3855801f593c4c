"""The credential endpoint as a client finds it, and the workload that would pass it by."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sidecar import authorization, bypass
from sidecar.doctor import endpoint, workload
from sidecar.doctor.facts import Workload
from tests.doctor.clinic import MARKS, Clinic, Report, clinic
from tests.process import Sidecar, run
from tests.wire import ask, last
from tests.worlds import three_targets

pytestmark = MARKS

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}
TOKEN = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"
WEB = {"AWS_WEB_IDENTITY_TOKEN_FILE": TOKEN, "AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/account-a-role"}
URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
TOKEN_FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"


def asking(here: Clinic, target: str = "default", path: str = "") -> dict[str, str]:
    """What a workload of the target should have."""
    file = here.home / "authorization" / target / "token"
    return {URI: f"http://{here.settings['SIDECAR_LISTEN']}/v1/credentials{path}", TOKEN_FILE: str(file)}


async def shown(here: Clinic, environ: Mapping[str, str]) -> Report:
    """What doctor says with the workload's environment in a file."""
    return await here.examine("--environ", written(here, environ))


async def recovers(here: Clinic, environ: Mapping[str, str]) -> None:
    """With this environment nothing is wrong."""
    await here.recover("--environ", written(here, environ))


def written(here: Clinic, environ: Mapping[str, str]) -> str:
    """The file that has the environment."""
    file = here.home / "workload.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in environ.items()))
    return str(file)


@asynccontextmanager
async def running(home: Path) -> AsyncIterator[Clinic]:
    """A pod whose sidecar serves."""
    async with clinic(home) as here, here.daemon() as daemon:
        await daemon.served()
        yield here


BYPASSES: dict[str, tuple[str, dict[str, str]]] = {
    "static keys": ("static-keys", KEYS),
    "web identity": ("web-identity", WEB),
    "RELATIVE_URI": ("relative-uri", {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/1"}),
    "a Pod Identity association": ("pod-identity", {URI: "http://169.254.170.23/v1/credentials"}),
    "another host": ("uri-elsewhere", {URI: "http://sidecar.shop:9911/v1/credentials"}),
    "another port": ("uri-elsewhere", {URI: "http://127.0.0.1:1/v1/credentials"}),
    "another scheme": ("uri-elsewhere", {URI: "https://127.0.0.1:9911/v1/credentials"}),
    "no number for a port": ("uri-elsewhere", {URI: "http://127.0.0.1:http/v1/credentials"}),
    "another path": ("uri-elsewhere", {URI: "http://127.0.0.1:1/v1/credential"}),
    "empty variables": ("empty-variables", {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "", "AWS_PROFILE": ""}),
    "a proxy": ("proxied", {"HTTP_PROXY": "http://proxy.shop:3128"}),
    "a profile": ("profile-set", {"AWS_PROFILE": "orders"}),
}


@pytest.mark.parametrize("name", BYPASSES)
async def test_24_a_workload_that_would_pass_the_sidecar_by(name: str, tmp_path: Path) -> None:
    code, variables = BYPASSES[name]
    async with running(tmp_path) as here:
        report = await shown(here, {**asking(here), **variables})
        assert report.cause["code"] == code, report.text
        assert report.code == 8
        assert not {value for value in KEYS.values() if value in report.text + report.said()}
        assert report.pastes or report.cause["fix"]
        await recovers(here, asking(here))


# A sidecar with these is a sign that its neighbours have them; what is its own setting is none.
OWN = {
    "static keys": ("static-keys", KEYS),
    "what the EKS webhook injects": ("web-identity", {**WEB, "AWS_STS_REGIONAL_ENDPOINTS": "regional"}),
    "RELATIVE_URI": BYPASSES["RELATIVE_URI"],
    "a Pod Identity association": BYPASSES["a Pod Identity association"],
    "an empty variable": ("empty-variables", {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": ""}),
}


@pytest.mark.parametrize("name", OWN)
def test_24_what_is_in_the_sidecars_own_environment_is_said_in_the_daemons_words(name: str) -> None:
    code, environ = OWN[name]
    (found,) = [each for each in workload.findings(environ, None) if each.fix]
    assert found.code == code
    sentences = bypass.in_sight(environ)
    assert [f"{found.seen}. {found.fix[0].says}"] == [f"{each}." for each in sentences] or not sentences


def test_every_way_past_the_endpoint_has_a_code() -> None:
    assert {way.names[0] for way in bypass.WAYS} == set(workload.CODES)


@pytest.mark.parametrize("name", ["static keys", "RELATIVE_URI", "a profile"])
def test_24_what_has_to_go_is_taken_out_by_a_command(name: str) -> None:
    code, variables = BYPASSES[name]
    environ = {**variables, URI: "http://127.0.0.1:9911/v1/credentials"}
    (found,) = workload.findings({}, Workload(environ=environ))
    assert (found.code, found.fix[0].says) == (code, "Unset it there.")
    command, gone = re.split(" (?=AWS_)", found.fix[0].paste, maxsplit=1)
    assert command == "kubectl set env deployment/NAME --containers WORKLOAD"
    assert {f"{each}-" for each in variables} <= {*gone.split()}


async def test_24_a_workload_without_the_variables(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        report = await shown(here, {"PATH": "/bin"})
        assert (report.code, report.cause["code"]) == (8, "uri-missing")
        given = dict(re.findall(r"\{name: (AWS_\w+), value: (\S+)\}", "\n".join(report.pastes)))
        assert given == asking(here)
        await recovers(here, given)
        report = await shown(here, {URI: asking(here)[URI]})
        assert (report.code, report.cause["code"]) == (7, "authorization-missing")


async def test_24_a_running_workload_is_looked_at_by_its_pid(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        for extra, code in ((KEYS, "static-keys"), ({}, None)):
            program = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", "print(flush=True); input()"),
                env={**asking(here), **extra},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            assert program.stdout is not None
            await program.stdout.readline()  # it has become the program
            report = await here.examine("--pid", str(program.pid))
            await program.communicate(b"\n")
            assert [each["code"] for each in report.problems] == ([code] if code else []), report.text


# The daemon cannot know 25: modes and copies are the container's of whoever asks, and who shows nothing or something
# else may be anybody. It counts whom it refuses, which is the alert RequestsRefused, and that is no trouble of its own.
async def refused(here: Clinic, daemon: Sidecar, reason: str, *lines: str, path: str = "") -> None:
    """Whoever sends these header lines gets a word; that is counted, and the status stays as it was."""
    before = await counted(daemon, reason), await told(daemon)
    response = await ask(int(here.settings["SIDECAR_LISTEN"].partition(":")[2]), last(f"/v1/credentials{path}", *lines))
    assert response.code == {"authorization": "Unauthorized", "malformed": "BadRequest"}[reason]
    assert (TOKEN_FILE in response.document["message"]) is (reason == "authorization")
    after = await counted(daemon, reason), await told(daemon)
    assert after == (before[0] + 1, before[1])


async def counted(daemon: Sidecar, reason: str) -> float:
    """How many were refused for it."""
    metrics = (await ask(daemon.port("status"), last("/metrics"))).body.decode()
    (value,) = re.findall(rf'^credential_sidecar_refused_total{{reason="{reason}"}} (\S+)$', metrics, re.MULTILINE)
    return float(value)


async def told(daemon: Sidecar) -> list[object]:
    """The events of the status, where nothing is wrong with any target."""
    document: Any = (await ask(daemon.port("status"), last("/status"))).document
    assert [(each["phase"], each["error"]) for each in document["targets"]] == [("fresh", None)] * len(
        document["targets"]
    )
    return list(document["events"])


@pytest.mark.parametrize("mode", [0o400, 0o700], ids=["the file", "the directory"])
async def test_25_a_token_that_the_workloads_uid_may_not_read(mode: int, tmp_path: Path) -> None:
    async with clinic(tmp_path) as here, here.daemon() as daemon:
        await daemon.served()
        await refused(here, daemon, "authorization")  # who cannot read it shows none
        file = here.home / "authorization" / "default" / "token"
        (file if mode == 0o400 else file.parent).chmod(mode)
        report = await here.examine()
        assert (report.code, report.cause["code"]) == (7, "authorization-unreadable"), report.text
        subprocess.run(report.pastes[0], shell=True, check=True)  # noqa: S602 -- it is what people do with it
        await here.recover()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts a process of another uid")
async def test_25_the_uid_is_the_workloads_own(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        (here.home / "authorization" / "default" / "token").chmod(0o440)
        program = await asyncio.create_subprocess_exec(
            *("setpriv", "--reuid=59912", "--regid=59912", "--clear-groups", "sh", "-c", "echo; read line"),
            env={"PATH": os.environ["PATH"], **asking(here)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert program.stdout is not None
        await program.stdout.readline()
        report = await here.examine("--pid", str(program.pid))
        await program.communicate(b"\n")
        assert report.cause["code"] == "authorization-unreadable"
        assert "not uid 59912 may" in report.cause["seen"]


async def test_25_a_token_that_was_written_with_a_newline(tmp_path: Path) -> None:
    async with clinic(tmp_path) as here, here.daemon() as daemon:
        await daemon.served()
        copied = tmp_path / "copied"
        copied.mkdir(mode=0o755)
        file = copied / "token"
        token = (here.home / "authorization" / "default" / "token").read_text()
        file.write_text(f"{token}\n")
        await refused(here, daemon, "malformed", f"Authorization: {token}\n")
        report = await shown(here, {**asking(here), TOKEN_FILE: str(file)})
        assert (report.code, report.cause["code"]) == (7, "authorization-newline"), report.text
        subprocess.run(report.pastes[0], shell=True, check=True)  # noqa: S602 -- it is what people do with it
        assert file.read_text() == token
        await recovers(here, {**asking(here), TOKEN_FILE: str(file)})


async def test_25_a_newline_in_the_sidecars_own_file_is_an_error_of_its_start(tmp_path: Path) -> None:
    async with clinic(tmp_path) as here:
        folder = here.home / "authorization" / "default"
        folder.mkdir(parents=True)
        (folder / "token").write_text("an-authorization-token\n")
        report = await here.examine()
        assert (report.code, report.cause["code"]) == (7, "authorization-newline"), report.text
        async with here.daemon(is_listening=False) as daemon:
            assert await daemon.ended() == 2
        path, _, said = report.cause["seen"].partition(" ends with a newline: ")
        assert (path, said) == (f"{folder}/token", authorization.NONE)
        assert said in "".join(daemon.lines)
        subprocess.run(report.pastes[0], shell=True, check=True)  # noqa: S602 -- it is what people do with it
        await here.recover()
        async with here.daemon() as daemon:
            await daemon.served()


async def test_25_another_targets_token(tmp_path: Path) -> None:
    names = [f"data-{number}" for number in range(2)]
    roles = "".join(
        f"[profile {name}]\nsource_profile = a\nrole_arn = arn:aws:iam::444455556666:role/account-b-role-{name[-1]}\n"
        for name in names
    )
    first = f"[profile a]\nrole_arn = {WEB['AWS_ROLE_ARN']}\nweb_identity_token_file = {tmp_path}/projected/token\n"
    (tmp_path / "config").write_text(first + roles)
    unset = dict.fromkeys(("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "SIDECAR_TARGET_ROLE_ARN"), "")
    settings = {**unset, "AWS_CONFIG_FILE": f"{tmp_path}/config", "SIDECAR_PROFILES": ",".join(names)}
    async with clinic(tmp_path, settings, three_targets) as here, here.daemon() as daemon:
        for _ in names:
            await daemon.event("PhaseChanged", after="fresh")
        wrong = {**asking(here, "data-0", "/data-1")}
        await refused(
            here, daemon, "authorization", f"Authorization: {Path(wrong[TOKEN_FILE]).read_text()}", path="/data-1"
        )
        report = await shown(here, wrong)
        assert (report.code, report.cause["code"]) == (7, "authorization-of-another-target"), report.text
        assert "holds target data-0's token" in report.cause["seen"]
        assert str(here.home / "authorization" / "data-1" / "token") in report.pastes[0]
        await recovers(here, asking(here, "data-1", "/data-1"))


async def test_26_a_port_that_another_process_has(tmp_path: Path) -> None:
    async with clinic(tmp_path) as here:
        host, _, port = here.settings["SIDECAR_LISTEN"].partition(":")
        with socket.create_server((host, int(port))):
            report = await here.examine()
            code, _, error = await run("-m", "sidecar", "run", settings=here.settings)
        assert (report.code, report.cause["code"]) == (7, "port-taken"), report.text
        assert code == 2
        assert report.cause["seen"] in error
        assert report.cause["fix"][0]["says"] in error
        await here.recover()


async def test_26_another_http_server_there_is_no_sidecar(tmp_path: Path) -> None:
    async with clinic(tmp_path) as here:
        taken = {**here.settings, "SIDECAR_LISTEN": here.sts.url.removeprefix("http://")}
        here.settings = taken
        report = await here.examine()
        code, _, error = await run("-m", "sidecar", "run", settings=here.settings)
        assert (report.code, report.cause["code"], code) == (7, "port-taken", 2)
        assert report.cause["seen"] in error


async def test_what_waits_for_its_next_attempt_is_told_from_what_cannot(tmp_path: Path) -> None:
    async with clinic(tmp_path) as here:
        walkable = here.settings
        here.settings = {**walkable, "SIDECAR_TARGET_ROLE_ARN": "arn:aws:iam::444455556666:role/absent"}
        async with here.daemon(is_listening=False) as daemon:
            await daemon.event("HopFailed", hop=2)
            here.settings = walkable
            report = await here.examine()
    assert [each["code"] for each in report.problems] == ["not-served"], report.text
    assert "waits for its next attempt" in report.cause["why"]


async def test_the_command_that_has_it_try_now_wants_no_program_that_the_image_lacks(tmp_path: Path) -> None:
    *_, program, flag, code = shlex.split(endpoint.SIGHUP)
    assert (program, flag) == ("python3", "-c")
    async with clinic(tmp_path) as here, here.daemon() as daemon:
        await daemon.served()
        here_it_is = code.replace("kill(1,", f"kill({daemon.process.pid},")
        await (await asyncio.create_subprocess_exec(sys.executable, flag, here_it_is)).wait()
        await daemon.event("RefreshAsked", granted=True)


async def test_sessions_that_lie_inside_the_sdks_windows(tmp_path: Path) -> None:
    async with clinic(tmp_path, {"SIDECAR_DURATION": "900"}) as here:
        report = await here.examine()
        assert (report.code, report.cause["code"]) == (7, "sessions-short")
        here.apply(report.pastes)
        await here.recover()


async def test_what_is_served_is_nearly_over(tmp_path: Path) -> None:
    async with clinic(tmp_path) as here:
        here.sts.issued_life = 600
        async with here.daemon() as daemon:
            await daemon.served()
            report = await here.examine()
        assert (report.code, report.cause["code"]) == (7, "nearly-expired")
        assert "min left" in report.cause["seen"]
