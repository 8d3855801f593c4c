"""The product on real input: a projected token, a strict STS, the daemon as a process, and a stock boto3."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sidecar.emulator import Emulator, Fault, Kubelet, World, guide_world
from tests.builders import ACCOUNT_B, REGION, ROLE_A, ROLE_B, TOKEN_FILE
from tests.harness import usual_settings
from tests.ports import free_port
from tests.process import Sidecar, identity, run, sidecar
from tests.wire import ask, last
from tests.worlds import ROLE_C, three_hops, three_targets

SESSION_NAME = "shop.orders-7d4b9c-xk2lp"
IDENTITY_B = f"arn:aws:sts::{ACCOUNT_B}:assumed-role/account-b-role/{SESSION_NAME}"
GUIDE = """\
[profile account_b_role]
source_profile = account_a_role
role_arn=arn:aws:iam::444455556666:role/account-b-role
[profile account_a_role]
web_identity_token_file = /var/run/secrets/eks.amazonaws.com/serviceaccount/token
role_arn=arn:aws:iam::111122223333:role/account-a-role
"""
UNSET = {"AWS_ROLE_ARN": "", "AWS_WEB_IDENTITY_TOKEN_FILE": "", "SIDECAR_TARGET_ROLE_ARN": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """STS with its world, a pod's projected token, and the settings of a sidecar in it."""

    sts: Emulator
    kubelet: Kubelet
    home: Path
    settings: dict[str, str]

    def token_file(self, target: str = "default") -> Path:
        return self.home / "authorization" / target / "token"

    async def identity(self, running: Sidecar, target: str = "default") -> str:
        """Who a workload of `target` is."""
        place = {"AWS_ENDPOINT_URL_STS": self.sts.url, "AWS_DEFAULT_REGION": REGION}
        path = f"/v1/credentials/{target}"
        return await identity(running.port("credentials"), self.token_file(target), place, path)

    async def status(self, port: int) -> int:
        """What the credential endpoint answers to the one who knows the authorization token."""
        line = f"Authorization: {self.token_file('default').read_text()}"
        return (await ask(port, last("/v1/credentials/default", line))).status


@asynccontextmanager
async def cluster(
    home: Path,
    universe: Callable[[str], World] = guide_world,
    settings: Mapping[str, str] | None = None,
    *,
    is_proxied: bool = False,
) -> AsyncIterator[Cluster]:
    async with Emulator(universe, proxy=is_proxied) as sts:
        kubelet = Kubelet(home / "projected", sts)
        kubelet.project()
        usual = usual_settings(home, sts.url, kubelet.path)
        if is_proxied:
            reach = {"HTTPS_PROXY": sts.proxy_url, "AWS_CA_BUNDLE": str(sts.ca_file), "AWS_ENDPOINT_URL_STS": ""}
            usual = {**usual, **reach}
        yield Cluster(sts=sts, kubelet=kubelet, home=home, settings={**usual, **(settings or {})})


def profile_file(home: Path, text: str) -> dict[str, str]:
    """The settings that name an AWS config file, instead of the plain chain's."""
    (home / "config").write_text(text)
    return {**UNSET, "AWS_CONFIG_FILE": str(home / "config")}


async def test_boto3_gets_bs_identity_by_what_the_eks_webhook_injects_and_the_target(tmp_path: Path) -> None:
    async with cluster(tmp_path) as here, sidecar(here.settings) as running:
        await running.served()
        assert await here.identity(running) == IDENTITY_B
        first, second, _ = here.sts.calls
        assert (first.action, first.signed_by) == ("AssumeRoleWithWebIdentity", None)
        session_a = next(line for line in running.log if line.get("hop") == 1)
        assert (second.action, second.signed_by) == ("AssumeRole", session_a["access_key_id"])
        assert second.duration is not None
        assert second.duration <= 3600
        assert {first.session_name, second.session_name} == {SESSION_NAME}
        assert [first.code, second.code] == [None, None]


async def test_boto3_gets_bs_identity_directly_where_b_hosts_the_provider(tmp_path: Path) -> None:
    direct = {"AWS_ROLE_ARN": ROLE_B, "SIDECAR_TARGET_ROLE_ARN": "direct"}
    universe = partial(guide_world, mode="direct")
    async with cluster(tmp_path, universe, direct) as here, sidecar(here.settings) as running:
        await running.served()
        assert await here.identity(running) == IDENTITY_B
        assert [call.signed_by is None for call in here.sts.calls] == [True, False]  # the hop, and the client


async def test_boto3_gets_the_third_roles_identity_through_three_hops_one_with_a_path(tmp_path: Path) -> None:
    token = tmp_path / "projected" / "token"
    text = GUIDE.replace(TOKEN_FILE, str(token))
    text += f"[profile account_c_role]\nsource_profile = account_b_role\nrole_arn = {ROLE_C}\n"
    settings = {**profile_file(tmp_path, text), "SIDECAR_PROFILES": "account_c_role"}
    async with cluster(tmp_path, three_hops, settings) as here, sidecar(here.settings) as running:
        await running.served("account_c_role")
        arn = await here.identity(running, "account_c_role")
        assert arn == f"arn:aws:sts::777788889999:assumed-role/account-c-role/{SESSION_NAME}"
        assert [call.hop for call in here.sts.calls] == [1, 2, 3, 4]  # the fourth is the client's own


async def test_boto3_gets_bs_identity_by_the_guides_own_file_unchanged(tmp_path: Path) -> None:
    settings = {**profile_file(tmp_path, GUIDE), "SIDECAR_PROFILES": "account_b_role"}
    async with cluster(tmp_path, settings=settings) as here:
        prefix = _mounted(tmp_path / "projected")
        async with sidecar(here.settings, *prefix) as running:
            await running.served("account_b_role")
            assert await here.identity(running, "account_b_role") == IDENTITY_B


def _mounted(projected: Path) -> tuple[str, ...]:
    """A command that runs another with `projected` where EKS projects the token."""
    private = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--mount")
    if subprocess.run([*private, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespace here: run as root, or allow unprivileged user namespaces")
    folder = Path(TOKEN_FILE).parent
    mount = f'mount -t tmpfs none /var/run && mkdir -p {folder} && mount --bind "$0" {folder} && exec "$@"'
    return (*private, "sh", "-c", mount, str(projected))


async def test_three_targets_share_one_first_hop_and_no_token(tmp_path: Path) -> None:
    names = [f"data-{number}" for number in range(3)]
    text = GUIDE.replace(TOKEN_FILE, str(tmp_path / "projected" / "token"))
    for number, name in enumerate(names):
        text += f"[profile {name}]\nsource_profile = account_a_role\nrole_arn = {ROLE_B}-{number}\n"
    settings = {**profile_file(tmp_path, text), "SIDECAR_PROFILES": ",".join(names)}
    async with cluster(tmp_path, three_targets, settings) as here, sidecar(here.settings) as running:
        for _ in names:
            await running.event("PhaseChanged", after="fresh")
        assert [call.hop for call in here.sts.calls] == [1, 2, 2, 2]
        port = running.port("credentials")
        for name in names:
            for other in names:
                line = f"Authorization: {here.token_file(other).read_text()}"
                response = await ask(port, last(f"/v1/credentials/{name}", line))
                assert response.status == (200 if name == other else 401)
        arns = await asyncio.gather(*(here.identity(running, name) for name in names))
        assert arns == [IDENTITY_B.replace("b-role", f"b-role-{number}") for number in range(3)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where STS is asked, and by which name."""

    region: str
    host: str
    partition: str = "aws"
    variable: str = ""


PLACES = (
    Place(region="eu-west-1", host="sts.eu-west-1.amazonaws.com"),
    Place(region="cn-north-1", host="sts.cn-north-1.amazonaws.com.cn", partition="aws-cn"),
    Place(region="us-gov-west-1", host="sts.us-gov-west-1.amazonaws.com", partition="aws-us-gov"),
    Place(region="us-east-2", host="sts-fips.us-east-2.amazonaws.com", variable="AWS_USE_FIPS_ENDPOINT"),
    Place(region="eu-west-1", host="sts.eu-west-1.api.aws", variable="AWS_USE_DUALSTACK_ENDPOINT"),
)


@pytest.mark.parametrize("place", PLACES, ids=[place.host for place in PLACES])
async def test_sts_is_asked_by_its_public_name_through_a_proxy(place: Place, tmp_path: Path) -> None:
    universe = partial(guide_world, partition=place.partition)
    settings = {
        "AWS_REGION": place.region,
        "AWS_ROLE_ARN": ROLE_A.replace(":aws:", f":{place.partition}:"),
        "SIDECAR_TARGET_ROLE_ARN": ROLE_B.replace(":aws:", f":{place.partition}:"),
        **({place.variable: "true"} if place.variable else {}),
    }
    async with cluster(tmp_path, universe, settings, is_proxied=True) as here:
        code, out, error = await run("-m", "sidecar", "once", settings=here.settings)
        assert code == 0, error
        assert json.loads(out)["AccountId"] == ACCOUNT_B
        assert [(call.host, call.region) for call in here.sts.calls] == [(place.host, place.region)] * 2


async def test_a_fallback_region_is_asked_where_the_primary_is_down(tmp_path: Path) -> None:
    settings = {"SIDECAR_STS_FALLBACK_REGIONS": "eu-central-1"}
    async with cluster(tmp_path, settings=settings, is_proxied=True) as here:
        here.sts.fault = Fault.http(500).only(region=REGION)
        async with sidecar(here.settings) as running:
            await running.served()
            hosts = [(call.hop, call.host) for call in here.sts.calls]
            assert hosts == [
                (hop, f"sts.{region}.amazonaws.com") for hop in (1, 2) for region in (REGION, "eu-central-1")
            ]


async def test_sighup_refreshes_now(tmp_path: Path) -> None:
    async with cluster(tmp_path) as here, sidecar(here.settings) as running:
        await running.served()
        running.signal(signal.SIGHUP)
        assert (await running.event("RefreshAsked"))["granted"]
        await running.event("HopSucceeded", hop=2)
        assert [call.hop for call in here.sts.calls] == [1, 2, 2]  # A's session is young enough to sign again


async def test_once_and_get_print_every_format_and_get_prints_what_is_served(tmp_path: Path) -> None:
    async with cluster(tmp_path) as here, sidecar(here.settings) as running:
        await running.served()
        served = {**here.settings, "SIDECAR_LISTEN": f"127.0.0.1:{running.port('credentials')}"}
        forms = ("json", "credential-process", "env")
        commands = [(name, form) for name in ("once", "get") for form in forms]
        ended = await asyncio.gather(
            *(run("-m", "sidecar", name, "--format", form, settings=served) for name, form in commands)
        )
        assert [code for code, _, _ in ended] == [0] * 6
        printed = {command: out for command, (_, out, _) in zip(commands, ended, strict=True)}
        for name in ("once", "get"):
            document, process = (json.loads(printed[name, form]) for form in ("json", "credential-process"))
            assert list(document) == ["AccessKeyId", "SecretAccessKey", "Token", "Expiration", "AccountId"]
            assert process["Version"] == 1
            assert {"SessionToken", "Expiration"} < process.keys()
            shell = ["sh", "-c", f'{printed[name, "env"]}printf %s "$AWS_SESSION_TOKEN"']
            assert subprocess.run(shell, check=True, capture_output=True, text=True).stdout in here.sts.secrets
        assert (
            json.loads(printed["get", "json"])["Token"]
            == json.loads(printed["get", "credential-process"])["SessionToken"]
        )


# What stands in the token file (claims of a signed token, or text), the code, and words that name the cause.
TOKENS: dict[str, tuple[dict[str, Any] | str, str, str]] = {
    "no token": ("not a token", "TokenMalformed", "is it the projected service-account token?"),
    "an empty file": ("", "TokenMalformed", "the file is empty"),
    "one that has expired": ({"exp": 1_000_000_000}, "TokenExpired", "kubelet should have rotated it"),
    "one for another audience": ({"aud": ["vault"]}, "InvalidIdentityToken", "audience vault"),
    "one of another subject": (
        {"sub": "system:serviceaccount:shop:till"},
        "AccessDenied",
        "subject system:serviceaccount:shop:till",
    ),
}


@pytest.mark.parametrize("case", TOKENS)
async def test_a_token_that_buys_nothing_is_named_with_its_cause(case: str, tmp_path: Path) -> None:
    held, code, words = TOKENS[case]
    async with cluster(tmp_path) as here:
        here.kubelet.project(held if isinstance(held, str) else here.kubelet.mint(**held))
        status, out, error = await run("-m", "sidecar", "once", settings=here.settings)
    assert (status, out) == (1, "")
    assert code in error
    assert words in error


async def test_a_token_file_that_is_not_there_is_named_with_its_path(tmp_path: Path) -> None:
    async with cluster(tmp_path) as here:
        settings = {**here.settings, "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "nowhere")}
        status, _, error = await run("-m", "sidecar", "once", settings=settings)
        assert not here.sts.calls
    assert status == 1
    assert f"{tmp_path / 'nowhere'} is missing: no such file" in error


async def test_a_sidecar_killed_in_an_outage_serves_again_as_soon_as_it_listens(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    port = free_port()
    settings = {"SIDECAR_STATE_DIR": str(tmp_path / "state"), "SIDECAR_LISTEN": f"127.0.0.1:{port}"}
    async with cluster(tmp_path, settings=settings) as here:
        async with sidecar(here.settings) as running:
            await running.served()
            here.sts.fault = Fault.hang()
            running.signal(signal.SIGKILL)
            assert await running.ended() == -signal.SIGKILL
        made = len(here.sts.calls)
        async with sidecar(here.settings, is_listening=False) as running:
            await running.event("StateRestored", hops=2)
            await running.event("Listening", face="credentials")
            assert await here.status(port) == 200
            assert len(here.sts.calls) == made


async def test_a_second_sidecar_on_the_port_ends_with_exit_2_and_says_who_may_hold_it(tmp_path: Path) -> None:
    async with cluster(tmp_path) as here, sidecar(here.settings) as running:
        await running.served()
        taken = {**here.settings, "SIDECAR_LISTEN": f"127.0.0.1:{running.port('credentials')}"}
        code, _, error = await run("-m", "sidecar", "run", settings=taken)
        assert code == 2
        assert "SIDECAR_LISTEN" in error
        assert "a second sidecar in this pod" in error


async def test_sigterm_turns_readiness_red_and_serves_on(tmp_path: Path) -> None:
    settings = {"SIDECAR_DRAIN": "600"}
    async with cluster(tmp_path, settings=settings) as here, sidecar(here.settings) as running:
        await running.served()
        ready = partial(ask, running.port("status"), last("/readyz"))
        assert (await ready()).status == 200
        running.signal(signal.SIGTERM)
        assert (await running.event("Stopping"))["drain"] == 600
        response = await ready()
        assert (response.status, response.code) == (503, "Stopping")
        assert await here.status(running.port("credentials")) == 200
        running.signal(signal.SIGKILL)  # nobody waits for the rest of the drain


async def test_sigterm_ends_it_with_0_and_its_listener_with_it(tmp_path: Path) -> None:
    settings = {"SIDECAR_LISTEN": f"127.0.0.1:{free_port()}"}
    async with cluster(tmp_path, settings=settings) as here, sidecar(here.settings) as running:
        await running.served()
        running.signal(signal.SIGTERM)
        assert await running.ended() == 0
        with pytest.raises(ConnectionRefusedError):
            await here.status(running.port("credentials"))
