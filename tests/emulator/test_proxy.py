"""The CONNECT proxy: public names of STS end in the emulator, under TLS, and nothing else gets through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import SSLError

from sidecar.emulator import Emulator, Fault, Kubelet, guide_world
from tests.emulator.stock import ROLE_A, ROLE_B, ask, first, refused, second
from tests.wire import until


@pytest.fixture
async def proxied() -> AsyncIterator[Emulator]:
    async with Emulator(guide_world, proxy=True) as running:
        yield running


def through(sts: Emulator, region: str = "eu-west-1", **config: Any) -> dict[str, Any]:
    """Client options that lead to STS's public name through the proxy."""
    config["proxies"] = {"https": sts.proxy_url}
    return {"endpoint_url": None, "region_name": region, "verify": str(sts.ca_file), "config": config}


@pytest.mark.parametrize(
    ("config", "host"),
    [
        ({}, "sts.eu-west-1.amazonaws.com"),
        ({"use_fips_endpoint": True}, "sts-fips.eu-west-1.amazonaws.com"),
        ({"use_dualstack_endpoint": True}, "sts.eu-west-1.api.aws"),
    ],
    ids=["plain", "fips", "dual"],
)
async def test_the_whole_chain_passes_through_the_proxy(
    config: dict[str, Any], host: str, proxied: Emulator, tmp_path: Path
) -> None:
    client = through(proxied, **config)
    token = Kubelet(tmp_path, proxied).mint()
    source = (await ask(proxied, "assume_role_with_web_identity", client=client, **first(token)))["Credentials"]
    await ask(proxied, "assume_role", source, client=through(proxied, **config), **second())
    assert [(call.host, call.region, call.code) for call in proxied.calls] == [(host, "eu-west-1", None)] * 2


@pytest.mark.parametrize(
    ("partition", "region"), [("aws", "eu-west-1"), ("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")]
)
async def test_each_partition_has_its_own_names_and_roles(partition: str, region: str, tmp_path: Path) -> None:
    async with Emulator(partial(guide_world, partition=partition), proxy=True) as sts:
        token = Kubelet(tmp_path, sts).mint()
        role_a, role_b = (arn.replace("arn:aws:", f"arn:{partition}:") for arn in (ROLE_A, ROLE_B))
        answer = await ask(
            sts, "assume_role_with_web_identity", client=through(sts, region), **first(token, RoleArn=role_a)
        )
        client = through(sts, region)
        answer = await ask(sts, "assume_role", answer["Credentials"], client=client, **second(RoleArn=role_b))
        assert answer["AssumedRoleUser"]["Arn"].startswith(f"arn:{partition}:sts::444455556666:assumed-role/")
        other = "cn-north-1" if partition == "aws" else "eu-west-1"
        no = await refused(
            sts, "assume_role_with_web_identity", client=through(sts, other), **first(token, RoleArn=role_a)
        )
        assert (no.code, no.message) == ("ValidationError", "Request ARN is invalid")


async def test_a_fault_of_one_region_leaves_the_other_alone(proxied: Emulator, tmp_path: Path) -> None:
    token = Kubelet(tmp_path, proxied).mint()
    proxied.fault = Fault.held().only(region="eu-west-1")
    asked = ask(proxied, "assume_role_with_web_identity", client=through(proxied), **first(token))
    waiting = asyncio.ensure_future(asked)
    await until(lambda: bool(proxied.calls))
    await ask(proxied, "assume_role_with_web_identity", client=through(proxied, "eu-central-1"), **first(token))
    assert [call.region for call in proxied.calls] == ["eu-west-1", "eu-central-1"]
    assert not waiting.done()
    proxied.fault = Fault.none()
    await waiting


async def test_a_client_that_does_not_know_the_authority_refuses_it(proxied: Emulator, tmp_path: Path) -> None:
    client = {**through(proxied), "verify": True}
    with pytest.raises(SSLError):
        await ask(proxied, "assume_role_with_web_identity", client=client, **first("xxxx"))
    assert not proxied.calls


@pytest.mark.parametrize(
    "line",
    [
        b"CONNECT s3.eu-west-1.amazonaws.com:443 HTTP/1.1",
        b"CONNECT sts.eu-west-1.amazonaws.com:80 HTTP/1.1",
        b"CONNECT 127.0.0.1:22 HTTP/1.1",
        b"GET http://sts.eu-west-1.amazonaws.com/ HTTP/1.1",
    ],
)
async def test_every_other_destination_is_forbidden(line: bytes, proxied: Emulator) -> None:
    address = proxied.proxy_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(*address)
    writer.write(line + b"\r\nHost: x\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 403 ")
    writer.close()
    await writer.wait_closed()
