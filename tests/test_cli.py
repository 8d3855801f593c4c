"""The command line as a process: output, exit codes, what is imported, and the whole way with a real STS emulator."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidecar import __version__
from sidecar.cli import COMMANDS, main
from sidecar.emulator import Emulator, Kubelet, guide_world
from sidecar.settings import SETTINGS
from tests.builders import ACCOUNT_B, REGION, ROLE_A, ROLE_B
from tests.harness import usual_settings
from tests.house import ROOT
from tests.ports import free_port

PLAIN = {"AWS_ROLE_ARN": ROLE_A, "SIDECAR_TARGET_ROLE_ARN": ROLE_B, "AWS_REGION": REGION}
HEAVY = {"aiohttp", "aiobotocore", "botocore", "prometheus_client", "jwt"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A process that has ended."""

    code: int | None
    out: str
    err: str


def run(*argv: str, environ: Mapping[str, str] | None = None) -> Ended:
    """`credential-sidecar` with `argv`, in that environment alone."""
    command = [sys.executable, "-m", "sidecar", *argv]
    done = subprocess.run(
        command, env=dict(environ or {}), capture_output=True, text=True, check=False, cwd=ROOT, timeout=30
    )
    return Ended(code=done.returncode, out=done.stdout, err=done.stderr)


async def running(*argv: str, environ: Mapping[str, str]) -> Ended:
    """The same, while this process serves."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar", *argv, env=environ, stdout=pipe, stderr=pipe, cwd=ROOT
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return Ended(code=process.returncode, out=out.decode(), err=err.decode())


def test_help_lists_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert all(f" {command.name} {command.help.split('. ')[0].rstrip('.')}" in printed for command in COMMANDS)
    assert "exit codes: 0 it worked; 1 it failed while running; 2 the configuration cannot work" in printed


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_help_of_a_command_has_its_settings(command: object, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = [each for each in COMMANDS if each is command]
    with pytest.raises(SystemExit, match="0"):
        main([row.name, "--help"])
    printed = capsys.readouterr().out
    assert {each.flag for each in row.settings if each.flag} <= {*re.findall(r"--[a-z-]+", printed)}
    assert "--authorization-token" not in printed


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"credential-sidecar {__version__}\n"


@pytest.mark.parametrize("argv", [[], ["walk"], ["run", "--authorization-token", "x"], ["once", "--dura", "900"]])
def test_a_command_line_that_is_not_understood_ends_with_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(argv)


@pytest.mark.parametrize("command", ["run", "once", "config"])
def test_configuration_errors_are_all_told_on_stderr_with_exit_2(command: str) -> None:
    ended = run(command, "--duration", "899", environ={**PLAIN, "SIDECAR_LISTEN": "*:9911", "SIDECAR_LOGLEVEL": "x"})
    assert ended.code == 2
    lines = ended.err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["credential-sidecar"] * 3
    for words in ("flag --duration", "loopback only", "Did you mean SIDECAR_LOG_LEVEL?"):
        assert words in ended.err


def test_config_shows_every_setting_with_its_value_and_source() -> None:
    ended = run("config", "--drain", "5", environ=PLAIN)
    rows = {name: rest for name, *rest in (re.split(r"  +", line) for line in ended.out.splitlines())}
    assert (ended.code, ended.err) == (0, "")
    assert rows.keys() == {setting.name for setting in SETTINGS}
    assert rows["AWS_ROLE_ARN"] == ["environment", ROLE_A]
    assert rows["SIDECAR_DRAIN"] == ["flag --drain", "5"]
    assert rows["SIDECAR_LISTEN"] == ["default", "127.0.0.1:9911"]
    assert rows["SIDECAR_STATE_DIR"] == ["nowhere"]


def test_config_as_text_is_one_line_per_setting_and_warns_on_stderr() -> None:
    policy = '{"Version": "2012-10-17",\n "Statement": []}'
    ended = run("config", environ={**PLAIN, "SIDECAR_DURATION": "900", "SIDECAR_POLICY": policy})
    assert [line.split()[0] for line in ended.out.splitlines()] == [setting.name for setting in SETTINGS]
    assert ended.code == 0
    assert "900 s" in ended.err


def test_d16_config_says_of_a_secret_only_whether_it_is_set() -> None:
    secret = "0123456789abcdef-hunter2"
    ended = run("config", environ={**PLAIN, "SIDECAR_AUTHORIZATION_TOKEN": secret})
    assert ended.code == 0
    assert secret not in ended.out + ended.err
    assert re.search(r"SIDECAR_AUTHORIZATION_TOKEN.*\bset\b", ended.out, re.DOTALL)


def test_config_shows_what_is_wrong_beside_what_is_there() -> None:
    ended = run("config", environ={**PLAIN, "AWS_ROLE_ARN": "role-a"})
    assert ended.code == 2
    assert "role-a" in ended.out
    assert "not the ARN of an IAM role" in ended.err


@pytest.mark.parametrize("argv", [["config"], ["doctor", "--explain", "HopDenied"]], ids=" ".join)
@pytest.mark.parametrize(("place", "said"), [("/dev/full", "No space left on device"), (None, "Bad file descriptor")])
def test_an_output_that_takes_nothing_is_one_sentence(argv: list[str], place: str | None, said: str) -> None:
    command = [sys.executable, "-m", "sidecar", *argv]
    to = f">{place}" if place else ">&-"
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {to}', "sh", *command],
        env=PLAIN,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, f"credential-sidecar: standard output cannot be written: {said}\n")


def test_who_reads_a_line_alone_is_told_nothing() -> None:
    command = [sys.executable, "-m", "sidecar", "config"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, env=PLAIN, stdout=write, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8:strict"])
def test_what_the_terminal_cannot_say_is_said_all_the_same(encoding: str) -> None:
    environ = {**os.environb, **{os.fsencode(k): os.fsencode(v) for k, v in PLAIN.items()}}
    environ |= {b"PYTHONIOENCODING": encoding.encode(), b"SIDECAR_SESSION_NAME": b"caf\xe9"}
    command = [sys.executable, "-m", "sidecar", "config"]
    done = subprocess.run(command, env=environ, capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert rb"caf\udce9" in done.stdout
    assert b"not a legal role session name" in done.stderr


def imported(*argv: str) -> set[str]:
    """The modules that a command imports."""
    ended = run(*argv, environ={"PYTHONPROFILEIMPORTTIME": "1", "SIDECAR_AUTHORIZATION_DIR": "/none"})
    names = {line.rpartition("|")[2].strip() for line in ended.err.splitlines() if line.startswith("import time:")}
    assert ended.code == 1
    assert "sidecar.cli" in names
    return {name.partition(".")[0] for name in names} | names


def test_d27_probe_imports_nothing_heavy() -> None:
    names = imported("probe", "--seconds", "0", "--status-listen", f"127.0.0.1:{free_port()}")
    assert "sidecar.probe" in names
    assert not names & (HEAVY | {"asyncio", "http.client", "ssl", "logging", "sidecar.daemon"})


def test_get_imports_nothing_heavy() -> None:
    names = imported("get")
    assert "sidecar.client" in names
    assert not names & (HEAVY | {"asyncio", "sidecar.daemon"})


@pytest.fixture
async def environ(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """The environment of a sidecar for the guide's two accounts, as the emulator plays them."""
    async with Emulator(lambda issuer: guide_world(issuer, "chained")) as sts:
        kubelet = Kubelet(tmp_path / "projected", sts)
        kubelet.project()
        ports = {f"SIDECAR_{name}LISTEN": f"127.0.0.1:{free_port()}" for name in ("", "STATUS_")}
        yield {**usual_settings(tmp_path, sts.url, kubelet.path), **ports, "HOME": str(tmp_path)}


async def test_once_walks_and_prints(environ: dict[str, str]) -> None:
    ended = await running("once", "--target", "default", "--format", "env", environ=environ)
    assert ended.code == 0, ended.err
    assert re.fullmatch(r"(export AWS_[A-Z_]+=\S+\n){4}", ended.out)


async def test_once_that_fails_says_hop_and_reason_with_exit_1(environ: dict[str, str]) -> None:
    ended = await running("once", "--target-role-arn", f"{ROLE_B}-other", environ=environ)
    assert (ended.code, ended.out) == (1, "")
    assert f"hop 2 to {ROLE_B}-other failed: AccessDenied" in ended.err


def test_an_unknown_target_is_a_configuration_error() -> None:
    ended = run("once", "--target", "other", environ=PLAIN)
    assert ended.code == 2
    assert "--target='other' (from flag --target): no such target. The targets are default." in ended.err


async def test_run_serves_what_probe_and_get_ask_for_until_sigterm(environ: dict[str, str]) -> None:
    command = [sys.executable, "-m", "sidecar", "run", "--log-format", "json"]
    daemon = await asyncio.create_subprocess_exec(*command, env=environ, cwd=ROOT, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(30):
            while (await running("probe", environ=environ)).code:
                assert daemon.returncode is None, "the daemon ended before it served"
        assert (await running("probe", "/livez", environ=environ)).code == 0
        ended = await running("probe", "/readyz/other", environ=environ)
        assert ended.code == 1
        assert "answers /readyz/other with 404: /status there says why" in ended.err
        ended = await running("get", environ={**environ, "AWS_PROFILE": "of-the-workload"})
        assert (ended.code, ended.err) == (0, "")
        assert (json.loads(ended.out)["Version"], json.loads(ended.out)["AccountId"]) == (1, ACCOUNT_B)
        ended = await running("get", "--target", "other", environ=environ)
        assert ended.code == 1
        assert "other/token cannot be read: No such file or directory; are --target and" in ended.err
        daemon.send_signal(signal.SIGTERM)
        _, rest = await asyncio.wait_for(daemon.communicate(), 30)
        assert daemon.returncode == 0, rest
    finally:
        if daemon.returncode is None:
            daemon.kill()
            await daemon.communicate()
    ended = await running("probe", "--seconds", "0.1", environ=environ)
    assert (ended.code, ended.out) == (1, "")
    assert "answers /readyz not at all: has the daemon this SIDECAR_STATUS_LISTEN?" in ended.err
    ended = await running("get", environ=environ)
    assert ended.code == 1
    assert "SIDECAR_LISTEN" in ended.err


def test_r28_get_fails_with_one_line_on_stderr_and_reads_nothing(tmp_path: Path) -> None:
    settings = {"SIDECAR_LISTEN": f"127.0.0.1:{free_port()}", "SIDECAR_AUTHORIZATION_DIR": str(tmp_path)}
    for more in ({}, {"SIDECAR_AUTHORIZATION": "none"}):
        ended = run("get", "--target", "default", environ={**settings, **more})
        assert (ended.code, ended.out, len(ended.err.splitlines())) == (1, "", 1)


async def test_ctrl_c_ends_once_as_shells_expect(environ: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sidecar", "once"),
            env={**environ, "AWS_ENDPOINT_URL_STS": f"http://127.0.0.1:{silent.getsockname()[1]}"},
            cwd=ROOT,
            stderr=asyncio.subprocess.PIPE,
        )
        called, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(silent), 30)
        with called:
            process.send_signal(signal.SIGINT)
            _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 130
    assert b"Traceback" not in err


def test_the_demo_without_its_extra_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "cryptography.py").write_text("raise ModuleNotFoundError(name='cryptography')\n")
    ended = run("demo", "--once", environ={"PYTHONPATH": str(tmp_path), "PATH": os.defpath})
    assert ended.code == 1
    assert "the demo needs the package cryptography: pip install 'credential-sidecar[demo]'" in ended.err
