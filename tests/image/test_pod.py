"""The image in a pod that is published: beside a stock client of another user, with little memory, and killed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.emulator import Fault
from tests.builders import ACCOUNT_B
from tests.image.pod import ADDRESS, Pod, pod
from tests.image.podman import MARKS, facts, inspected, memory, podman, process_id, says
from tests.leaks import leaks
from tests.process import CLIENT

pytestmark = MARKS

IDENTITY_B = f"arn:aws:sts::{ACCOUNT_B}:assumed-role/account-b-role/shop.orders-7d4b9c-xk2lp"
KEY = "import boto3; print(boto3.Session().get_credentials().access_key)"
MiB = 2**20


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Pod]:
    async with pod(tmp_path) as made:
        yield made


def authorization(here: Pod) -> str:
    return f"Authorization: {(here.folders / 'authorization' / 'token').read_text()}"


async def test_an_unmodified_program_of_another_user_is_account_b(here: Pod) -> None:
    async with here.serving():
        await here.start("app")
        assert await says(here.container("app")) == IDENTITY_B
        sidecar, app = [await facts(here.container(name)) for name in ("credential-sidecar", "app")]
        assert (sidecar["Uid"], app["Uid"]) == ("59911 59911 59911 59911", "10001 10001 10001 10001")
        assert (sidecar["Gid"], sidecar["Groups"]) == ("59911 59911 59911 59911", "")
        assert [sidecar[name] for name in ("CapEff", "CapPrm", "CapBnd")] == ["0" * 16] * 3
        assert (sidecar["NoNewPrivs"], sidecar["Seccomp"]) == ("1", "2")
        root = Path(f"/proc/{await process_id(here.container('credential-sidecar'))}/mounts").read_text().splitlines()[0]
        assert root.split()[1] == "/"
        assert "ro" in root.split()[3].split(",")


async def test_64_mib_are_enough(here: Pod) -> None:
    async with here.serving() as running:
        await running.event("Listening", face="status")
        found = await memory(here.container("credential-sidecar"))
        print(f"\nin the pod, with the first credentials: {found}")
        assert found.limit == 64 * MiB
        assert found.kills == 0
        assert found.peak < found.limit


async def test_probes_come_from_outside_and_credentials_stay_inside(here: Pod) -> None:
    async with here.serving():
        assert (await here.probe("livenessProbe")).status == 200
        assert (await here.ask(9911, "/v1/credentials", authorization(here))).status == 200
        with pytest.raises(ConnectionRefusedError):
            await here.ask(9911, "/v1/credentials", authorization(here), host=ADDRESS)


async def test_a_sidecar_that_is_killed_while_sts_is_away_serves_again_what_it_held(here: Pod) -> None:
    name = here.container("credential-sidecar")
    async with here.serving() as running:
        await here.start("app")
        assert await says(here.container("app")) == IDENTITY_B
        before = (await here.ask(9911, "/v1/credentials", authorization(here))).document
        here.sts.fault, calls = Fault.hang(), len(here.sts.calls)
        await podman("kill", "--signal", "KILL", name)
        assert await podman("wait", name) == "137"
        await here.start("credential-sidecar")
    async with here.serving() as running:
        await running.event("StateRestored", hops=2)
        await running.event("Listening", face="credentials")
        assert (await here.ask(9911, "/v1/credentials", authorization(here))).document == before
        assert await podman("exec", here.container("app"), "python3", "-c", KEY) == before["AccessKeyId"]
        assert len(here.sts.calls) == calls
        here.sts.fault = Fault.none()
        assert await podman("exec", here.container("app"), "python3", "-c", CLIENT) == IDENTITY_B


async def test_nobody_who_inspects_the_pod_finds_a_secret(here: Pod) -> None:
    async with here.serving() as running:
        await here.start("app")
        assert await says(here.container("app")) == IDENTITY_B
        names = [here.container(each) for each in ("credential-sidecar", "app")]
        seen = [json.dumps([await inspected(name) for name in names])]
        seen += [await podman("logs", name) for name in names]
        seen += running.lines
        seen.append(await podman("diff", names[0]))
        secrets = {*here.sts.secrets, here.kubelet.path.read_text(), authorization(here).split()[1]}
        assert len(secrets) > 4
        assert leaks("\n".join(seen), secrets) == []
