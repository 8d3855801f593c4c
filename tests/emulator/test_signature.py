"""SigV4: the secret, the date, the scope, the session token and the body, each flipped alone."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sidecar.emulator import Emulator, Kubelet
from sidecar.emulator.refusals import Refusal
from sidecar.emulator.signature import TOLERANCE, HttpRequest, Signature
from tests.emulator.stock import REGION, ROLE_B, SESSION, ask, first, post, refused, second, signed, source_of

WHO = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}


@pytest.fixture
async def source(sts: Emulator, kubelet: Kubelet) -> dict[str, Any]:
    return await source_of(sts, kubelet.mint())


async def test_a_request_signed_by_hand_is_accepted(sts: Emulator, source: dict[str, Any]) -> None:
    status, body = await post(sts.url, WHO, signed(sts.url, source, WHO))
    assert status == 200
    assert f"<Arn>arn:aws:sts::111122223333:assumed-role/account-a-role/{SESSION}</Arn>" in body


async def test_another_secret_does_not_match(sts: Emulator, source: dict[str, Any]) -> None:
    no = await refused(sts, "assume_role", {**source, "SecretAccessKey": "x" * 40}, **second())
    assert (no.code, no.status) == ("SignatureDoesNotMatch", 403)
    assert "does not match the signature you provided" in no.message


@pytest.mark.parametrize("part", ["SessionToken", "AccessKeyId"])
async def test_another_session_token_or_key_is_unknown(part: str, sts: Emulator, source: dict[str, Any]) -> None:
    no = await refused(sts, "assume_role", {**source, part: source[part][:-1] + "!"}, **second())
    assert (no.code, no.status) == ("InvalidClientTokenId", 403)
    assert no.message == "The security token included in the request is invalid."


async def test_the_session_token_of_another_session_is_refused(
    sts: Emulator, kubelet: Kubelet, source: dict[str, Any]
) -> None:
    other = await source_of(sts, kubelet.mint())
    no = await refused(sts, "assume_role", {**source, "SessionToken": other["SessionToken"]}, **second())
    assert no.code == "InvalidClientTokenId"


@pytest.mark.parametrize(
    ("skew", "words"), [(TOLERANCE + 30, "Signature expired: "), (-TOLERANCE - 30, "Signature not yet current: ")]
)
async def test_a_clock_more_than_five_minutes_off_is_refused(
    skew: float, words: str, sts: Emulator, source: dict[str, Any]
) -> None:
    sts.skew = skew
    no = await refused(sts, "assume_role", source, **second())
    assert no.code == "SignatureDoesNotMatch"
    assert no.message.startswith(words)
    assert "5 min.)" in no.message


@pytest.mark.parametrize("skew", [TOLERANCE - 30, -TOLERANCE + 30])
async def test_a_clock_less_than_five_minutes_off_is_tolerated(
    skew: float, sts: Emulator, source: dict[str, Any]
) -> None:
    sts.skew = skew
    assert (await ask(sts, "assume_role", source, **second()))["Credentials"]


async def test_expired_source_credentials_are_refused(sts: Emulator, kubelet: Kubelet) -> None:
    sts.issued_life = 90
    short = await source_of(sts, kubelet.mint())
    sts.skew = 91
    no = await refused(sts, "assume_role", short, **second())
    assert (no.code, no.status) == ("ExpiredToken", 403)


async def test_an_unsigned_assume_role_is_refused(sts: Emulator) -> None:
    asked = {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": ROLE_B, "RoleSessionName": SESSION}
    status, body = await post(sts.url, asked)
    assert status == 403
    assert "<Code>MissingAuthenticationToken</Code>" in body


async def test_a_malformed_authorization_is_refused(sts: Emulator) -> None:
    status, body = await post(sts.url, WHO, {"Authorization": "AWS4-HMAC-SHA256 Credential=AKIA"})
    assert status == 400
    assert "<Code>IncompleteSignature</Code>" in body


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ({"service": "s3"}, "correct service"),
        ({"region": "nowhere"}, "valid region"),
        ({"region": "cn-north-1"}, "region"),
    ],
    ids=["service", "no region", "another partition's region"],
)
async def test_another_scope_is_refused(
    scope: dict[str, str], words: str, sts: Emulator, source: dict[str, Any]
) -> None:
    status, body = await post(sts.url, WHO, signed(sts.url, source, WHO, **scope))
    assert status == 403
    assert "<Code>SignatureDoesNotMatch</Code>" in body
    assert words in body


async def test_a_body_that_was_changed_after_signing_is_refused(sts: Emulator, source: dict[str, Any]) -> None:
    status, body = await post(sts.url, {**WHO, "More": "1"}, signed(sts.url, source, WHO))
    assert status == 403
    assert "<Code>SignatureDoesNotMatch</Code>" in body


@pytest.mark.parametrize("header", ["Authorization", "X-Amz-Date"])
async def test_a_scope_of_another_day_or_an_illegible_date_is_refused(
    header: str, sts: Emulator, source: dict[str, Any]
) -> None:
    headers = signed(sts.url, source, WHO)
    day = headers["X-Amz-Date"][:8]
    headers[header] = headers[header].replace(f"/{day}/", "/20200101/") if header == "Authorization" else f"{day}T1"
    status, body = await post(sts.url, WHO, headers)
    assert status in (400, 403)
    assert "<Code>SignatureDoesNotMatch</Code>" in body or "<Code>IncompleteSignature</Code>" in body


async def test_the_session_token_must_be_among_the_signed_headers(sts: Emulator, source: dict[str, Any]) -> None:
    headers = signed(sts.url, source, WHO)
    headers["Authorization"] = headers["Authorization"].replace(";x-amz-security-token", "")
    status, body = await post(sts.url, WHO, headers)
    assert status == 403
    assert "must be signed" in body


async def test_a_get_with_a_signed_header_is_accepted(sts: Emulator, source: dict[str, Any]) -> None:
    request = AWSRequest(method="GET", url=f"{sts.url}/", params=WHO)
    keys = Credentials(source["AccessKeyId"], source["SecretAccessKey"], source["SessionToken"])
    SigV4Auth(keys, "sts", "eu-west-1").add_auth(request)
    async with aiohttp.ClientSession() as session:
        answer = await session.get(f"{sts.url}/", params=WHO, headers=dict(request.headers.items()))
        assert answer.status == 200


def put(source: dict[str, Any], said: str | None = None, body: bytes = b"a body") -> HttpRequest:
    """A request to S3 as botocore signs it: for the body, or for what is said in place of its hash."""
    request = AWSRequest(method="PUT", url="http://127.0.0.1/bucket/a%20%C3%BC//~%2Bb", data=b"a body")
    keys = Credentials(source["AccessKeyId"], source["SecretAccessKey"], source["SessionToken"])
    auth = S3SigV4Auth(keys, "s3", REGION)
    auth.payload = (lambda _: said) if said else auth.payload
    auth.add_auth(request)
    headers = {name.lower(): value for name, value in request.headers.items()} | {"host": "127.0.0.1"}
    return HttpRequest(method="PUT", path="/bucket/a%20%C3%BC//~+b", query="", headers=headers, body=body)


def verify(sts: Emulator, request: HttpRequest, service: str = "s3") -> None:
    signature = Signature.read(request)
    assert signature is not None
    session = sts.session(signature.key)
    assert session is not None
    signature.verify(request, session, sts.now, service)


async def test_s3_encodes_a_path_once(sts: Emulator, source: dict[str, Any]) -> None:
    verify(sts, put(source))


@pytest.mark.parametrize("said", ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"])
async def test_s3_takes_a_word_for_a_body_that_is_not_hashed(said: str, sts: Emulator, source: dict[str, Any]) -> None:
    verify(sts, put(source, said, b"another body"))


async def test_a_hash_is_no_such_word(sts: Emulator, source: dict[str, Any]) -> None:
    with pytest.raises(Refusal, match="does not match the signature"):
        verify(sts, put(source, body=b"another body"))


async def test_what_is_signed_for_s3_is_not_signed_for_sts(sts: Emulator, source: dict[str, Any]) -> None:
    with pytest.raises(Refusal, match="correct service: 'sts'"):
        verify(sts, put(source), "sts")


async def test_a_signed_web_identity_call_is_recorded_as_signed(
    sts: Emulator, kubelet: Kubelet, source: dict[str, Any]
) -> None:
    asked = {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", **first(kubelet.mint())}
    status, _ = await post(sts.url, asked, signed(sts.url, source, asked))
    assert status == 200
    assert sts.calls[-1].signed_by == source["AccessKeyId"]


@pytest.mark.parametrize(
    "asked",
    [{**WHO, "Action": "GetSessionToken"}, {**WHO, "Version": "2010-05-08"}, {"Action": "GetCallerIdentity"}, {}],
)
async def test_another_action_or_version_is_no_action(asked: dict[str, str], sts: Emulator) -> None:
    status, body = await post(sts.url, asked)
    assert status == 400
    assert "<Code>InvalidAction</Code>" in body
