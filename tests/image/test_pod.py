"""The image in a pod that is published: beside a stock client of another user, with little memory, and killed."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from sidecar.emulator import Emulator, Fault, Kubelet, guide_world
from tests.builders import ACCOUNT_B, ROLE_A, ROLE_B, TOKEN_FILE
from tests.image.pod import ADDRESS, Pod, pod
from tests.image.podman import MARKS, facts, inspected, log, memory, podman, process_id, says
from tests.leaks import leaks
from tests.process import CLIENT, ROOT
from tests.test_end_to_end import IDENTITY_B, PLACES, Place
from tools.image import IMAGE

pytestmark = [*MARKS, pytest.mark.asyncio(loop_scope="module")]  # one pod for all

KEY = "import boto3; print(boto3.Session().get_credentials().access_key)"
MiB = 2**20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pod]:
    """The pod, started as kubelet starts it: the workload when the sidecar's startup probe has passed."""
    async with pod(tmp_path_factory.mktemp("pod")) as made:
        async with made.serving():
            await made.start("app")
        yield made


def authorization(here: Pod) -> str:
    return f"Authorization: {(here.folders / 'credential-sidecar-authorization' / 'token').read_text()}"


async def test_an_unmodified_program_of_another_user_is_account_b(here: Pod) -> None:
    assert await says(here.container("app")) == IDENTITY_B
    sidecar, app = [await facts(here.container(name)) for name in ("credential-sidecar", "app")]
    assert (sidecar["Uid"], app["Uid"]) == ("59911 59911 59911 59911", "10001 10001 10001 10001")
    assert sidecar["Gid"] == "59911 59911 59911 59911"


async def test_it_has_no_privilege_and_no_writable_root(here: Pod) -> None:
    name = here.container("credential-sidecar")
    found = await facts(name)
    assert [found[each] for each in ("CapEff", "CapPrm", "CapBnd")] == ["0" * 16] * 3
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    mounts = Path(f"/proc/{await process_id(name)}/mounts").read_text().splitlines()
    (root,) = (options for _, place, _, options, *_ in map(str.split, mounts) if place == "/")
    assert "ro" in root.split(",")


async def test_64_mib_are_enough_and_for_a_health_check_too(here: Pod) -> None:
    name = here.container("credential-sidecar")
    await _fits(name)
    await podman("exec", name, "credential-sidecar", "probe", "/livez")
    await _fits(name)


async def _fits(name: str) -> None:
    found, resident = await memory(name), Path(f"/proc/{await process_id(name)}/smaps_rollup").read_text()
    said = [
        f"{each} {kib} KiB" for each, kib in re.findall(r"^(Rss|Pss|Anonymous): +(\d+) kB$", resident, re.MULTILINE)
    ]
    print(f"\n{name}: cgroup {found.now // 1024} KiB, at most {found.peak // 1024} KiB; {', '.join(said)}")
    assert found.limit == 64 * MiB
    assert found.kills == 0


async def test_64_mib_are_enough_for_a_hundred_refreshes(here: Pod) -> None:
    settings = {
        "PYTHONPATH": "/srv",
        "SIDECAR_AUTHORIZATION": "none",
        "SIDECAR_LISTEN": "127.0.0.1:9921",
        "SIDECAR_STATE_DIR": "",
        "SIDECAR_STATUS_LISTEN": "127.0.0.1:9922",
    }
    program = (f"--volume={ROOT / 'bench'}:/srv/bench:ro", "--entrypoint=python3", IMAGE, "-m", "bench.walks", "101")
    await here.beside(settings, here.kubelet.directory, "--detach", "--name=walks", *program)
    assert await says("walks") == "100"
    await _fits("walks")


@pytest.mark.parametrize("place", PLACES, ids=[place.host for place in PLACES])
async def test_what_is_left_of_botocores_data_finds_every_sts(here: Pod, place: Place, tmp_path: Path) -> None:
    universe = partial(guide_world, partition=place.partition)
    # All of it inside: the proxy opens connections of its own.
    with here.network.entered():
        async with Emulator(universe, proxy=True) as sts:
            Kubelet(tmp_path / "token", sts).project()
            (tmp_path / "token" / "ca.pem").write_bytes(sts.ca_file.read_bytes())
            settings = {
                "AWS_REGION": place.region,
                "AWS_ENDPOINT_URL_STS": "",
                "AWS_ROLE_ARN": ROLE_A.replace(":aws:", f":{place.partition}:"),
                "SIDECAR_TARGET_ROLE_ARN": ROLE_B.replace(":aws:", f":{place.partition}:"),
                "HTTPS_PROXY": sts.proxy_url,
                "AWS_CA_BUNDLE": f"{Path(TOKEN_FILE).parent}/ca.pem",
                **({place.variable: "true"} if place.variable else {}),
            }
            out = await here.beside(settings, tmp_path / "token", "--rm", IMAGE, "once")
            assert json.loads(out)["AccountId"] == ACCOUNT_B
            assert [(call.host, call.region) for call in sts.calls] == [(place.host, place.region)] * 2


async def test_probes_come_from_outside_and_credentials_stay_inside(here: Pod) -> None:
    assert (await here.probe("livenessProbe")).status == 200
    assert (await here.ask(9911, "/v1/credentials", authorization(here))).status == 200
    with pytest.raises(ConnectionRefusedError):
        await here.ask(9911, "/v1/credentials", authorization(here), host=ADDRESS)


async def test_a_sidecar_that_is_killed_while_sts_is_away_serves_again_what_it_held(here: Pod) -> None:
    name = here.container("credential-sidecar")
    before = (await here.ask(9911, "/v1/credentials", authorization(here))).document
    here.sts.fault, calls = Fault.hang(), len(here.sts.calls)
    await podman("kill", "--signal", "KILL", name)
    assert await podman("wait", name) == "137"
    await here.start("credential-sidecar")
    async with log(name) as running:
        await running.event("StateRestored", hops=2)
        await running.event("Listening", face="status")
        assert (await here.ask(9911, "/v1/credentials", authorization(here))).document == before
        assert (await here.probe("startupProbe")).status == 200
    assert await podman("exec", here.container("app"), "python3", "-c", KEY) == before["AccessKeyId"]
    assert len(here.sts.calls) == calls
    here.sts.fault = Fault.none()
    assert await podman("exec", here.container("app"), "python3", "-c", CLIENT) == IDENTITY_B


async def test_nobody_who_inspects_the_pod_finds_a_secret(here: Pod) -> None:
    names = [here.container(each) for each in ("credential-sidecar", "app")]
    found = [await inspected(name) for name in names]
    seen = [json.dumps(found), *(Path(each["HostConfig"]["LogConfig"]["Path"]).read_text() for each in found)]
    assert "HopSucceeded" in seen[1]
    seen += [await podman("diff", name) for name in names]
    seen += [await podman(word, IMAGE) for word in ("inspect", "history")]
    secrets = {*here.sts.secrets, here.kubelet.path.read_text(), authorization(here).split()[1]}
    assert len(secrets) >= 6  # of two sessions each the key and the token, and two more
    assert leaks("\n".join(seen), secrets) == []
