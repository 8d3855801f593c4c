"""The other faces with real clients: instance metadata, `credential_process`, the credentials file, `exec`."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.clients import results
from tests.clients.callers import calling
from tests.clients.stage import LIFE, Stage, passes, stage
from tests.clients.table import Client, client
from tests.clients.test_clients import IDENTITY, goes_on, right
from tests.clients.toolchains import BUILT
from tests.process import PATIENCE, ROOT, environment

pytestmark = [pytest.mark.clients, pytest.mark.timeout(600)]

FIXED = "169.254.169.254"
REQUIRED, OPTIONAL = {"SIDECAR_IMDS_TOKENS": "required"}, {"SIDECAR_IMDS_TOKENS": "optional"}
# A program that takes its credentials from the environment once, when it starts, and calls on and on.
READS_ONCE = """
import os, time
import boto3
names = ("access_key_id", "secret_access_key", "session_token")
sts = boto3.client("sts", **{f"aws_{name}": os.environ[f"AWS_{name.upper()}"] for name in names})
print("began", os.environ["AWS_ACCESS_KEY_ID"], flush=True)
while True:
    print("ok", sts.get_caller_identity()["Arn"], flush=True)
    time.sleep(0.5)
"""


def _wanted(who: Client) -> None:
    if not who.tools.is_here:
        pytest.skip(f"no {who.tools.command}: {who.tools.install}")


# Instance metadata


@pytest.mark.parametrize("name", ["boto3", "SDK for Java v2"])
async def test_a_client_of_imdsv2_is_account_bs(name: str, tmp_path: Path) -> None:
    who = client(name)
    _wanted(who)
    # Of an hour: botocore signs on with what has less than 15 minutes left on this way.
    async with stage(tmp_path, REQUIRED, life=3600.0) as here, here.serving(), calling(who, here.instance) as caller:
        said = await caller.call()
        assert right(who, said), said


@pytest.mark.parametrize("name", ["boto 2", "s3cmd"])
async def test_a_client_that_asks_the_fixed_address_is_served_by_a_redirect(name: str, tmp_path: Path) -> None:
    _wanted(client(name))
    async with stage(tmp_path, OPTIONAL) as here, here.serving() as running, _redirected(here.imds):
        await goes_on(here, running, client(name), here.instance)
        results.note(client(name), face=True)


async def test_a_client_of_imdsv1_gets_nothing_where_tokens_are_required(tmp_path: Path) -> None:
    who = client("boto 2")
    _wanted(who)
    async with (
        stage(tmp_path, REQUIRED) as here,
        here.serving(),
        _redirected(here.imds),
        calling(who, here.instance) as caller,
    ):
        assert not (await caller.call()).is_ok
        assert here.keys() == []


@asynccontextmanager
async def _redirected(port: int) -> AsyncIterator[None]:
    """The fixed address leads to `port` of loopback, as the page of the faces says: in a network of our own alone."""
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout.splitlines()
    if os.geteuid() != 0 or len(links) != 1:
        pytest.skip("the fixed address is taken in a network namespace of its own only: run `make clients` as root")
    if not shutil.which("socat"):
        pytest.skip("no socat: apt install socat")
    subprocess.run(["ip", "address", "replace", f"{FIXED}/32", "dev", "lo"], check=True)
    with (BUILT / "the fixed address").open("w") as turn:  # there is one, for all the processes of a run
        await asyncio.to_thread(fcntl.flock, turn, fcntl.LOCK_EX)
        async with _forwarded(port):
            yield


@asynccontextmanager
async def _forwarded(port: int) -> AsyncIterator[None]:
    listen = f"TCP-LISTEN:80,bind={FIXED},fork,reuseaddr"
    command = ("socat", "-d", "-d", listen, f"TCP:127.0.0.1:{port}")
    process = await asyncio.create_subprocess_exec(*command, stderr=PIPE, start_new_session=True)
    assert process.stderr
    try:
        async with asyncio.timeout(PATIENCE):
            said = [await process.stderr.readline()]
            while b"listening on" not in said[-1]:
                assert said[-1], f"socat ended: {said}"
                said.append(await process.stderr.readline())
        draining = asyncio.create_task(process.stderr.read())
        yield
        draining.cancel()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # it forks for every connection
        await process.wait()


# credential_process


@pytest.mark.parametrize(("name", "by"), [("boto3", "curl"), ("boto3", "get"), ("SDK for Ruby", "curl")])
async def test_a_profile_of_the_workload_asks_the_daemon(name: str, by: str, tmp_path: Path) -> None:
    who = client(name)
    _wanted(who)
    if by == "curl" and not shutil.which("curl"):
        pytest.skip("no curl: apt install curl")
    async with stage(tmp_path) as here, here.serving() as running:
        (tmp_path / "config").write_text(f"[default]\ncredential_process = {_process(here)[by]}\n")
        told = {**here.place, "AWS_CONFIG_FILE": str(tmp_path / "config"), "PYTHONPATH": str(ROOT)}
        await goes_on(here, running, who, told)
        results.note(who, face=True)


def _process(here: Stage) -> dict[str, str]:
    """The two ways in which a profile asks: without a program of ours, and with it."""
    tokens, listen = here.home / "authorization", f"127.0.0.1:{here.credentials}"
    header = f'-H "Authorization: $(cat {tokens}/default/token)"'
    get = (sys.executable, "-m", "sidecar", "get", "--target", "default", "--listen", listen)
    return {
        "curl": f"sh -c 'curl -sSf {header} http://{listen}/v1/process/default'",
        "get": shlex.join([*get, "--authorization-dir", str(tokens)]),
    }


# The shared credentials file


async def test_what_reads_the_credentials_file_again_outlives_a_session(tmp_path: Path) -> None:
    who = client("AWS CLI v2")
    _wanted(who)
    path = tmp_path / "file" / "credentials"
    async with stage(tmp_path, {"SIDECAR_CREDENTIALS_FILE": str(path)}) as here, here.serving():
        began, first = time.monotonic(), _key(path)
        async with calling(who, {**here.place, "AWS_SHARED_CREDENTIALS_FILE": str(path)}) as caller:
            while time.monotonic() < began + LIFE + 5.0:
                before = _key(path)
                said = await caller.call()
                assert right(who, said), said
                assert here.keys()[-1] in {before, _key(path)}  # it may be replaced during the call
                await passes(5.0)
        assert first == here.keys()[0] != here.keys()[-1]


def _key(path: Path) -> str:
    return next(line.split()[-1] for line in path.read_text().splitlines() if line.startswith("aws_access_key_id"))


# exec


async def test_what_reads_its_environment_once_outlives_a_session(tmp_path: Path) -> None:
    async with stage(tmp_path) as here, here.serving(), _executed(here) as process:
        assert process.stdout
        began, lines = time.monotonic(), list[str]()
        async with asyncio.timeout(LIFE + PATIENCE):
            while time.monotonic() < began + LIFE + 5.0:
                lines.append((await process.stdout.readline()).decode().strip())
        keys = [line.split()[1] for line in lines if line.startswith("began")]
        assert len(keys) == len(set(keys)) >= 2
        assert {line for line in lines if not line.startswith("began")} == {f"ok {IDENTITY['STS']}"}
        process.send_signal(signal.SIGTERM)
        assert process.stderr
        said = (await process.stderr.read()).decode()
        assert await process.wait() == 128 + signal.SIGTERM
        assert "AWS_PROFILE" in said
        assert not [secret for secret in here.sts.secrets if secret in said]


@asynccontextmanager
async def _executed(here: Stage) -> AsyncIterator[Process]:
    ours = (
        "-m",
        "sidecar",
        "exec",
        "--restart-before-expiration",
        "--grace",
        "2",
        "--",
        sys.executable,
        "-c",
        READS_ONCE,
    )
    ask = {"SIDECAR_LISTEN": f"127.0.0.1:{here.credentials}", "SIDECAR_AUTHORIZATION_DIR": f"{here.home}/authorization"}
    told = environment({**here.place, **ask, "AWS_PROFILE": "nobody"})
    process = await asyncio.create_subprocess_exec(sys.executable, *ours, env=told, cwd=ROOT, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
