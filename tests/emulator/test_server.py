"""The server: discovery, clock, faults that are switched on while it runs, and bounds."""

from __future__ import annotations

import asyncio
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from sidecar.emulator import Emulator, Fault, Kubelet, guide_world
from sidecar.emulator.refusals import COMMON, MODELLED, status_of
from tests.emulator.stock import ROLE_A, ask, first, post, refused, second, source_of
from tests.wire import until

WEB = "assume_role_with_web_identity"


async def test_a_token_verifies_by_discovery_alone(sts: Emulator, kubelet: Kubelet) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{sts.issuer}/.well-known/openid-configuration") as answer:
            discovery = await answer.json()
        async with session.get(discovery["jwks_uri"]) as answer:
            keys = jwt.PyJWKSet.from_dict(await answer.json())
    token = kubelet.mint()
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["RS256"], audience="sts.amazonaws.com", issuer=discovery["issuer"])
    assert claims["iss"] == sts.issuer


async def test_the_injected_clock_drives_dates_tokens_and_sessions(tmp_path: Path) -> None:
    clock = [2_000_000_000.0]
    async with Emulator(guide_world, wall=lambda: clock[0]) as sts:
        kubelet = Kubelet(tmp_path, sts, lifetime=600)
        token = kubelet.mint()
        answer = await ask(sts, WEB, **first(token))
        assert answer["Credentials"]["Expiration"].timestamp() == clock[0] + 3600
        sts.skew = 30.0
        answer = await ask(sts, WEB, **first(token))
        date = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        assert date.timestamp() == sts.now == sts.calls[-1].at == clock[0] + 30
        sts.skew, clock[0] = 0.0, clock[0] + 600
        assert (await refused(sts, WEB, **first(token))).code == "ExpiredTokenException"


@pytest.mark.parametrize("code", sorted({*MODELLED, *COMMON}))
async def test_every_code_can_be_switched_on_and_off(code: str, sts: Emulator, kubelet: Kubelet) -> None:
    token = kubelet.mint()
    sts.fault = Fault.error(code, status_of(code))
    no = await refused(sts, WEB, **first(token))
    assert (no.code, no.status) == (code, status_of(code))
    assert sts.calls[-1].code == code
    sts.fault = Fault.none()
    await ask(sts, WEB, **first(token))


BROKEN: dict[str, tuple[Fault, type[Exception]]] = {
    "500": (Fault.http(500), ClientError),
    "503": (Fault.http(503), ClientError),
    "garbage": (Fault.garbage(), ResponseParserError),
    "empty": (Fault.empty(), ResponseParserError),
    "truncated": (Fault.truncated(), ResponseParserError),
    "reset": (Fault.reset(), ConnectionClosedError),
}


@pytest.mark.parametrize("how", BROKEN)
async def test_a_broken_answer_is_broken_for_a_stock_client(how: str, sts: Emulator, kubelet: Kubelet) -> None:
    fault, error = BROKEN[how]
    sts.fault = fault.only(calls=1)
    with pytest.raises(error):
        await ask(sts, WEB, **first(kubelet.mint()))
    assert sts.calls[-1].code == how
    await ask(sts, WEB, **first(kubelet.mint()))


async def test_a_hanging_sts_never_answers_and_does_not_stop_the_emulator_from_closing(tmp_path: Path) -> None:
    async with Emulator(guide_world) as sts:
        sts.fault = Fault.hang()
        with pytest.raises(ReadTimeoutError):
            await ask(sts, WEB, client={"config": {"read_timeout": 0.3}}, **first(Kubelet(tmp_path, sts).mint()))
        waiting = asyncio.ensure_future(post(sts.url, {"Action": "GetCallerIdentity"}))
        await until(lambda: bool(sts.calls) and sts.calls[-1].action == "GetCallerIdentity")
    with pytest.raises(aiohttp.ClientError):
        await waiting


async def test_a_held_call_is_answered_truly_once_the_fault_is_lifted(sts: Emulator, kubelet: Kubelet) -> None:
    sts.fault = Fault.held()
    waiting = asyncio.ensure_future(ask(sts, WEB, **first(kubelet.mint())))
    await until(lambda: bool(sts.calls))
    assert not waiting.done()
    sts.fault = Fault.none()
    assert "Credentials" in await waiting


async def test_a_slow_answer_dribbles_in_and_is_whole(sts: Emulator, kubelet: Kubelet) -> None:
    sts.fault = Fault.slow(0.2)
    started = time.monotonic()
    await ask(sts, WEB, **first(kubelet.mint()))
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize(("fault", "left"), [(Fault.expired_session(), -60), (Fault.short(10), 10)])
async def test_a_session_may_be_expired_or_short(fault: Fault, left: float, sts: Emulator, kubelet: Kubelet) -> None:
    sts.fault = fault
    source = await source_of(sts, kubelet.mint())
    assert abs(source["Expiration"].timestamp() - sts.calls[-1].at - left) < 5


async def test_an_impostor_names_another_role(sts: Emulator, kubelet: Kubelet) -> None:
    arn = "arn:aws:sts::999988887777:assumed-role/else/session"
    sts.fault = Fault.impostor(arn)
    assert (await ask(sts, WEB, **first(kubelet.mint())))["AssumedRoleUser"]["Arn"] == arn


async def test_a_fault_strikes_only_the_action_and_region_and_calls_it_is_meant_for(
    sts: Emulator, kubelet: Kubelet
) -> None:
    sts.fault = Fault.error("Throttling").only(action="AssumeRole", region="eu-west-1", calls=2)
    source = await source_of(sts, kubelet.mint())
    await ask(sts, "assume_role", source, client={"region_name": "eu-central-1"}, **second())
    for _ in range(2):
        no = await refused(sts, "assume_role", source, **second())
        assert (no.code, no.message) == ("Throttling", "Rate exceeded")
    await ask(sts, "assume_role", source, **second())


async def test_the_record_holds_the_request_id_that_the_client_saw(sts: Emulator, kubelet: Kubelet) -> None:
    answer = await ask(sts, WEB, **first(kubelet.mint()))
    assert answer["ResponseMetadata"]["RequestId"] == sts.calls[-1].request_id


async def test_no_secret_is_in_a_record_or_a_repr(sts: Emulator, kubelet: Kubelet) -> None:
    token = kubelet.mint()
    source = await source_of(sts, token)
    await ask(sts, "assume_role", source, **second())
    shown = repr([*sts.calls, sts.world, sts.fault, sts.oidc, sts._vault.find(source["AccessKeyId"])])
    assert not [secret for secret in (*sts.secrets, token) if secret in shown]


async def test_a_world_can_be_given_as_a_value_and_edited_while_it_runs(sts: Emulator, kubelet: Kubelet) -> None:
    async with Emulator(sts.world) as other:
        other.oidc = sts.oidc
        token = kubelet.mint()
        await ask(other, WEB, **first(token))
        other.world = other.world.without_role(ROLE_A)
        assert (await refused(other, WEB, **first(token))).code == "AccessDenied"


async def test_a_call_costs_at_most_ten_milliseconds_of_cpu(sts: Emulator, kubelet: Kubelet) -> None:
    asyncio.get_running_loop().set_debug(False)  # its bookkeeping costs more than the call
    asked: dict[str, Any] = {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", **first(kubelet.mint())}
    async with aiohttp.ClientSession() as session:
        started = time.process_time()
        for _ in range(100):
            async with session.post(sts.url, data=asked) as answer:
                assert answer.status == 200
        spent = (time.process_time() - started) / 100
    print(f"one call, client included: {spent * 1000:.2f} ms of CPU")
    assert spent < 0.01
