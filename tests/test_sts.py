"""The STS room against the emulator: every answer becomes one of our errors, by one table."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import replace
from itertools import product
from time import time
from urllib.parse import parse_qs, urlsplit

import botocore.session
import pytest
from botocore.config import Config
from botocore.httpsession import get_cert_path
from botocore.loaders import Loader
from botocore.retries.standard import ThrottledRetryableChecker

from sidecar.contract import Answer
from sidecar.emulator import Emulator, Fault, Kubelet, guide_world
from sidecar.errors import HopDenied, HopError, HopUnavailable, SourceGone, TokenError, TokenTrouble
from sidecar.http import Limits
from sidecar.model import Secret
from sidecar.sts import THROTTLED, Call, Grant, Sts
from tests.builders import ACCOUNT_A, REGION, ROLE_A, ROLE_B, chain, hop
from tests.harness import surroundings
from tests.wire import serving
from tests.worlds import three_targets

FIRST, SECOND = chain(1), chain(2)
NAME = "shop.orders-0"


def environment(**variables: str) -> AbstractContextManager[None]:
    """These of AWS's names, which botocore reads itself, and no files."""
    return surroundings({**variables, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull})


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(guide_world) as sts:
        with environment(AWS_ENDPOINT_URL_STS=sts.url):
            yield sts


@asynccontextmanager
async def room() -> AsyncIterator[Sts]:
    async with Sts(time) as sts:
        yield sts


def first_call(emulator: Emulator) -> Call:
    """Hop 1, paid for with a token that is good."""
    token = Kubelet("/nonexistent", emulator).mint()
    return Call(hop=FIRST, region=REGION, session_name=NAME, token=Secret(token))


async def second_call(sts: Sts, emulator: Emulator) -> Call:
    """Hop 2, signed by a session of hop 1."""
    granted = await sts.assume(first_call(emulator))
    return Call(hop=SECOND, region=REGION, session_name=NAME, source=granted.session.credentials)


async def refused(sts: Sts, call: Call) -> HopError:
    """How the call fails."""
    with pytest.raises(HopError) as caught:
        await sts.assume(call)
    return caught.value


async def test_a_grant_has_the_session_its_life_by_stss_own_clock_and_the_request_id(emulator: Emulator) -> None:
    emulator.skew = 3600.0
    token = Kubelet("/nonexistent", emulator, wall=lambda: emulator.now).mint()
    async with room() as sts:
        grant = await sts.assume(replace(first_call(emulator), token=Secret(token)))
    assert grant.session.identity.is_of(FIRST.role)
    assert grant.session.identity.session_name == NAME
    assert 3598 <= grant.lifetime <= 3600
    assert abs(grant.date - emulator.calls[0].at) < 5
    assert grant.request_id == emulator.calls[0].request_id


@pytest.mark.parametrize("empty", ["", " "], ids=["empty", "a space"])
async def test_a_variable_for_the_file_of_authorities_that_is_empty_is_none(empty: str, emulator: Emulator) -> None:
    os.environ["AWS_CA_BUNDLE"] = empty
    async with room() as sts:
        assert (await sts.assume(first_call(emulator))).session.identity.is_of(FIRST.role)
        assert await sts.place(REGION) == (emulator.url, get_cert_path(True))


UNAVAILABLE = {
    "500 without XML": (Fault.http(500), "BadAnswer"),
    "503": (Fault.error("ServiceUnavailable", 503), "ServiceUnavailable"),
    "403 without XML": (Fault.http(403), "BadAnswer"),
    "429": (Fault.error("SlowDown", 429), "SlowDown"),
    "provider silent": (Fault.error("IDPCommunicationError"), "IDPCommunicationError"),
    "verification key": (
        Fault.error("InvalidIdentityToken", message="Couldn't retrieve verification key"),
        "InvalidIdentityToken",
    ),
    "signature expired": (Fault.error("SignatureDoesNotMatch", 403, "Signature expired: …"), "SignatureDoesNotMatch"),
    "signature not yet current": (
        Fault.error("SignatureDoesNotMatch", 403, "Signature not yet current: …"),
        "SignatureDoesNotMatch",
    ),
    "garbage": (Fault.garbage(), "BadAnswer"),
    "empty": (Fault.empty(), "BadAnswer"),
    "truncated": (Fault.truncated(), "ConnectionError"),
    "reset": (Fault.reset(), "ConnectionError"),
}


@pytest.mark.parametrize(("fault", "code"), UNAVAILABLE.values(), ids=UNAVAILABLE)
async def test_what_another_attempt_may_cure_is_unavailable(fault: Fault, code: str, emulator: Emulator) -> None:
    async with room() as sts:
        call = await second_call(sts, emulator)
        emulator.fault = fault
        error = await refused(sts, call)
    assert (type(error), error.code) == (HopUnavailable, code)
    assert len(emulator.calls) == 2  # botocore tried once


@pytest.mark.parametrize("code", sorted(THROTTLED))
async def test_every_throttling_code_is_unavailable(code: str, emulator: Emulator) -> None:
    emulator.fault = Fault.error(code, 400)
    async with room() as sts:
        error = await refused(sts, first_call(emulator))
    assert (type(error), error.code) == (HopUnavailable, code)


def test_the_throttling_codes_are_botocores_own() -> None:
    assert sorted(ThrottledRetryableChecker()._throttled_error_codes) == sorted(THROTTLED)


DENIED = (
    ("AccessDenied", 403),
    ("IDPRejectedClaim", 403),
    ("InvalidIdentityToken", 400),
    ("ValidationError", 400),
    ("MalformedPolicyDocument", 400),
    ("PackedPolicyTooLarge", 400),
    ("RegionDisabledException", 403),
    ("SignatureDoesNotMatch", 403),
    ("NobodyKnowsThisOne", 418),
)


@pytest.mark.parametrize(("code", "status"), DENIED, ids=[code for code, _ in DENIED])
async def test_what_iam_must_change_is_denied(code: str, status: int, emulator: Emulator) -> None:
    emulator.fault = Fault.error(code, status)
    async with room() as sts:
        error = await refused(sts, first_call(emulator))
    assert (type(error), error.code) == (HopDenied, code)
    assert error.request_id == emulator.calls[0].request_id
    assert error.date is not None


async def test_what_botocore_will_not_even_send_is_denied(emulator: Emulator) -> None:
    async with room() as sts:
        error = await refused(sts, replace(first_call(emulator), session_name="x"))
    assert (type(error), error.code) == (HopDenied, "ValidationError")
    assert not emulator.calls


@pytest.mark.parametrize("code", ["ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId"])
async def test_a_source_that_sts_no_longer_knows_is_gone(code: str, emulator: Emulator) -> None:
    async with room() as sts:
        call = await second_call(sts, emulator)
        emulator.fault = Fault.error(code, 403)
        error = await refused(sts, call)
    assert (type(error), error.code) == (SourceGone, code)


async def test_an_expired_token_on_the_first_hop_is_the_tokens_trouble(emulator: Emulator) -> None:
    token = Kubelet("/nonexistent", emulator).mint(exp=int(time()) - 1)
    async with room() as sts:
        with pytest.raises(TokenError) as caught:
            await sts.assume(replace(first_call(emulator), token=Secret(token)))
    assert caught.value.reason is TokenTrouble.EXPIRED
    assert caught.value.date is not None


async def test_an_answer_without_a_whole_session_is_a_bad_one(emulator: Emulator) -> None:
    emulator.fault = Fault.impostor("arn:aws:iam::111122223333:user/somebody")
    async with room() as sts:
        error = await refused(sts, first_call(emulator))
    assert (type(error), error.code) == (HopUnavailable, "BadAnswer")


def success(**changes: str) -> str:
    """STS's answer to hop 1, some of it changed."""
    said = {
        "AccessKeyId": "ASIAEXAMPLE",
        "SecretAccessKey": "s",
        "SessionToken": "t",
        "Expiration": "2033-05-18T03:33:20Z",
    }
    fields = "".join(f"<{name}>{text}</{name}>" for name, text in {**said, **changes}.items())
    user = f"<Arn>arn:aws:sts::{ACCOUNT_A}:assumed-role/{FIRST.role.name}/{NAME}</Arn>"
    result = f"<Credentials>{fields}</Credentials><AssumedRoleUser>{user}</AssumedRoleUser>"
    action = "AssumeRoleWithWebIdentity"
    return f"<{action}Response><{action}Result>{result}</{action}Result></{action}Response>"


@asynccontextmanager
async def answered(status: int, body: str, fields: str = "") -> AsyncIterator[Sts]:
    """The room, and in STS's place somebody who answers this to everything."""
    answer = Answer.of(status, body.encode(), fields, content_type="text/xml")
    async with serving(lambda _: answer, Limits(connections=1, body=65_536)) as stranger:
        with environment(AWS_ENDPOINT_URL_STS=f"http://127.0.0.1:{stranger.port}"):
            async with room() as sts:
                yield sts


HANDED = Call(hop=FIRST, region=REGION, session_name=NAME, token=Secret("a.b.c"))
_PACKED = f"<PackedPolicySize>{10**400}</PackedPolicySize>"
NOT_STS = {
    "a page": (200, "<html><body>Sign in</body></html>"),
    "another's error": (403, "<fault><Error>denied</Error></fault>"),
    "an error with two codes": (400, "<E><Error><Code>A</Code><Code>B</Code></Error></E>"),
    "no expiration": (200, success(Expiration="soon")),
    "an expiration that no calendar has": (200, success(Expiration="9999-12-31T23:59:59-01:00")),
    "a session token that no header takes": (200, success(SessionToken="t\u00e9")),
    "an access key id of two lines": (200, success(AccessKeyId="ASIA\nEXAMPLE")),
    "more than all of the room for policies": (
        200,
        success().replace("<AssumedRoleUser>", f"{_PACKED}<AssumedRoleUser>"),
    ),
}


@pytest.mark.parametrize(("status", "body"), NOT_STS.values(), ids=NOT_STS)
async def test_what_is_no_answer_of_stss_is_a_bad_one_whatever_it_is(status: int, body: str) -> None:
    async with answered(status, body) as sts:
        error = await refused(sts, HANDED)
    assert (type(error), error.code) == (HopUnavailable, "BadAnswer")


@pytest.mark.parametrize("date", ["", "Date: Thu, 01 Jan 2026 00:00:00 +99999999999999\r\n"], ids=["none", "no date"])
async def test_an_answer_like_stss_is_a_grant_whatever_its_date(date: str) -> None:
    async with answered(200, success(), date) as sts:
        grant = await sts.assume(HANDED)
    assert grant.session.identity.is_of(FIRST.role)


async def test_nobody_there_is_a_connection_error() -> None:
    with environment(AWS_ENDPOINT_URL_STS="http://127.0.0.1:9"):
        async with room() as sts:
            error = await refused(sts, HANDED)
    assert (type(error), error.code) == (HopUnavailable, "ConnectionError")


async def test_two_hops_at_once_are_signed_with_their_own_credentials() -> None:
    async with Emulator(three_targets) as emulator:
        with environment(AWS_ENDPOINT_URL_STS=emulator.url):
            async with room() as sts:
                sources = [await sts.assume(first_call(emulator)) for _ in range(3)]
                hops = [hop(f"{ROLE_B}-{number}", source=hop(ROLE_A)) for number in range(3)]
                calls = [
                    Call(hop=each, region=REGION, session_name=NAME, source=source.session.credentials)
                    for each, source in zip(hops, sources, strict=True)
                ]
                grants: list[Grant] = await asyncio.gather(*(sts.assume(call) for call in calls))
        signed = {call.role_arn: call.signed_by for call in list(emulator.calls)[3:]}
    assert signed == {
        each.role.arn: source.session.credentials.access_key_id for each, source in zip(hops, sources, strict=True)
    }
    assert all(grant.session.identity.is_of(each.role) for grant, each in zip(grants, hops, strict=True))


async def test_the_workloads_own_credentials_never_sign(emulator: Emulator) -> None:
    with environment(AWS_ENDPOINT_URL_STS=emulator.url, AWS_ACCESS_KEY_ID="AKIAEXAMPLE", AWS_SECRET_ACCESS_KEY="x"):
        async with room() as sts:
            await sts.assume(await second_call(sts, emulator))
    first, second = emulator.calls
    assert first.signed_by is None
    assert second.signed_by not in (None, "AKIAEXAMPLE")


REGIONS = (
    "eu-west-1",
    "us-east-1",
    "us-east-2",
    "ap-southeast-5",
    "cn-north-1",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-isob-east-1",
    "eusc-de-east-1",
)


@pytest.mark.parametrize("region", REGIONS)
async def test_endpoints_and_signing_regions_are_those_of_a_stock_botocore(region: str) -> None:
    for fips, dual in product((False, True), repeat=2):
        flags = {"AWS_USE_FIPS_ENDPOINT": str(fips).lower(), "AWS_USE_DUALSTACK_ENDPOINT": str(dual).lower()}
        with environment(**flags):
            session = botocore.session.Session()
            session.set_credentials("", "", None)
            stock = session.create_client("sts", region_name=region, config=Config(signature_version="v4"))
            async with room() as sts:
                ours = await sts._client(region)
                url = await ours.generate_presigned_url("get_caller_identity")
            assert _place(url) == _place(stock.generate_presigned_url("get_caller_identity")), (fips, dual)


def _place(url: str) -> tuple[str, str]:
    """The host that a presigned URL asks, and the region that it is signed for."""
    parts = urlsplit(url)
    return parts.netloc, parse_qs(parts.query)["X-Amz-Credential"][0].split("/")[2]


async def test_a_region_has_one_client(emulator: Emulator) -> None:
    async with room() as sts:
        clients = await asyncio.gather(*(sts._client(region) for region in (REGION, REGION, "eu-central-1")))
    assert len({id(client) for client in clients}) == 2


async def test_the_large_endpoints_file_is_never_read(emulator: Emulator) -> None:
    async with room() as sts:
        await sts.assume(first_call(emulator))
        loader: Loader = sts._session.get_component("data_loader")
        assert len(str(loader.load_data("endpoints"))) < 20_000 < len(str(Loader().load_data("endpoints")))
