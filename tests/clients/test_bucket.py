"""The bucket, asked by a stock boto3 and by hand: who is let in, and what S3's clients rely on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import boto3
import pytest
from botocore import UNSIGNED
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from sidecar.emulator import Emulator, Kubelet, guide_world
from tests.builders import REGION
from tests.clients import bucket as stand_in
from tests.clients.bucket import Bucket, Call
from tests.emulator.stock import ask, keys_of, second, source_of

Keys = Mapping[str, Any]
_BOTO3 = boto3.session.Session()  # one loader for all: reading the models is what takes time


@pytest.fixture
async def sts() -> AsyncIterator[Emulator]:
    async with Emulator(guide_world) as running:
        yield running


@pytest.fixture
async def bucket(sts: Emulator) -> AsyncIterator[Bucket]:
    async with Bucket(sts) as running:
        yield running


@pytest.fixture
async def source(sts: Emulator, tmp_path: Path) -> Keys:
    """A session of account A's role."""
    return await source_of(sts, Kubelet(tmp_path, sts).mint())


@pytest.fixture
async def keys(sts: Emulator, source: Keys) -> Keys:
    """A session of account B's role."""
    credentials: Keys = (await ask(sts, "assume_role", source, **second()))["Credentials"]
    return credentials


async def s3(bucket: Bucket, keys: Keys | None, call: Callable[[Any], Any]) -> Any:
    """What `call` makes of a stock client with these keys, or of an anonymous one."""
    once = {"retries": {"total_max_attempts": 1}}
    made = _BOTO3.client(
        "s3",
        endpoint_url=bucket.url,
        region_name=REGION,
        config=Config(**once) if keys else Config(signature_version=UNSIGNED, **once),
        **(keys_of(keys) if keys else {}),
    )
    try:
        return await asyncio.to_thread(call, made)
    finally:
        made.close()


async def refused(bucket: Bucket, keys: Keys | None, call: Callable[[Any], Any] | None = None) -> tuple[str, int]:
    """S3's code and status for `call`, a listing unless said otherwise."""
    with pytest.raises(ClientError) as no:
        await s3(bucket, keys, call or (lambda client: client.list_objects_v2(Bucket=bucket.name)))
    return no.value.response["Error"]["Code"], no.value.response["ResponseMetadata"]["HTTPStatusCode"]


async def test_a_session_of_account_b_lists_the_bucket_and_reads_what_is_in_it(bucket: Bucket, keys: Keys) -> None:
    listed = await s3(bucket, keys, lambda client: client.list_objects_v2(Bucket=bucket.name))
    assert [(each["Key"], each["Size"]) for each in listed["Contents"]] == [("hello.txt", 6)]
    assert await s3(bucket, keys, read("hello.txt")) == b"hello\n"
    known = {"access_key_id": keys["AccessKeyId"], "code": None}
    assert list(bucket.calls) == [
        Call(method="GET", path="/account-b-data", **known),
        Call(method="GET", path="/account-b-data/hello.txt", **known),
    ]


@pytest.mark.parametrize(
    ("changes", "code", "status"),
    [
        ({"SecretAccessKey": "x" * 40}, "SignatureDoesNotMatch", 403),
        ({"AccessKeyId": "ASIANOBODY"}, "InvalidAccessKeyId", 403),
        ({"SessionToken": "another"}, "InvalidToken", 400),
    ],
)
async def test_each_part_of_the_credentials_is_checked(
    changes: Keys, code: str, status: int, bucket: Bucket, keys: Keys
) -> None:
    assert await refused(bucket, {**keys, **changes}) == (code, status)
    assert bucket.calls[-1].code == code


async def test_anonymous_requests_are_refused(bucket: Bucket) -> None:
    assert await refused(bucket, None) == ("AccessDenied", 403)
    assert bucket.calls[-1].access_key_id is None


async def test_a_session_of_account_a_is_refused(bucket: Bucket, source: Keys) -> None:
    assert await refused(bucket, source) == ("AccessDenied", 403)


async def test_an_expired_session_is_refused(bucket: Bucket, sts: Emulator, source: Keys) -> None:
    sts.issued_life = 90
    short = (await ask(sts, "assume_role", source, **second()))["Credentials"]
    sts.skew = 91
    assert await refused(bucket, short) == ("ExpiredToken", 400)


async def test_a_malformed_authorization_is_refused(bucket: Bucket) -> None:
    status, body = await by_hand(bucket, "GET", "", {"Authorization": "AWS4-HMAC-SHA256 Credential=AKIA"})
    assert (status, "<Code>AuthorizationHeaderMalformed</Code>" in body) == (400, True)


async def test_an_object_is_put_found_read_in_part_and_deleted(bucket: Bucket, keys: Keys) -> None:
    name, body = "reports/ü ~+&=2026.txt", b"0123456789"
    put = await s3(bucket, keys, lambda client: client.put_object(Bucket=bucket.name, Key=name, Body=body))
    head = await s3(bucket, keys, lambda client: client.head_object(Bucket=bucket.name, Key=name))
    assert (head["ContentLength"], head["ETag"]) == (10, put["ETag"])
    assert await s3(bucket, keys, read(name)) == body
    assert await s3(bucket, keys, read(name, Range="bytes=2-4")) == b"234"
    assert await s3(bucket, keys, read(name, Range="bytes=-2")) == b"89"
    assert await refused(bucket, keys, read(name, Range="bytes=10-")) == ("InvalidRange", 416)
    await s3(bucket, keys, lambda client: client.delete_object(Bucket=bucket.name, Key=name))
    assert await refused(bucket, keys, read(name)) == ("NoSuchKey", 404)


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
async def test_a_listing_has_prefixes_folders_and_pages(operation: str, bucket: Bucket, keys: Keys) -> None:
    names = ["a/1", "a/b/2", "a/b/3", "a/z"]
    await s3(bucket, keys, lambda client: [client.put_object(Bucket=bucket.name, Key=name) for name in names])

    def listed(client: Any, **asked: Any) -> tuple[list[str], list[str]]:
        pages = list(client.get_paginator(operation).paginate(Bucket=bucket.name, **asked))
        objects = [each["Key"] for page in pages for each in page.get("Contents", [])]
        return objects, [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]

    paged = {"PaginationConfig": {"PageSize": 1}}
    assert await s3(bucket, keys, lambda client: listed(client, Prefix="a/")) == (names, [])
    assert await s3(bucket, keys, lambda client: listed(client, Delimiter="/", **paged)) == (["hello.txt"], ["a/"])
    inside = await s3(bucket, keys, lambda client: listed(client, Prefix="a/", Delimiter="/", **paged))
    assert inside == (["a/1", "a/z"], ["a/b/"])


async def test_the_bucket_is_found_with_its_region(bucket: Bucket, keys: Keys) -> None:
    found = await s3(bucket, keys, lambda client: client.list_buckets())
    assert [each["Name"] for each in found["Buckets"]] == [bucket.name]
    location = await s3(bucket, keys, lambda client: client.get_bucket_location(Bucket=bucket.name))
    assert location["LocationConstraint"] == REGION
    assert (await s3(bucket, keys, lambda client: client.head_bucket(Bucket=bucket.name)))["BucketRegion"] == REGION


@pytest.mark.parametrize(
    ("call", "no"),
    [
        (lambda client: client.list_objects_v2(Bucket="another"), ("NoSuchBucket", 404)),
        (lambda client: client.get_bucket_acl(Bucket=stand_in.NAME), ("NotImplemented", 501)),
        (lambda client: client.delete_bucket(Bucket=stand_in.NAME), ("MethodNotAllowed", 405)),
        (lambda client: client.get_object_tagging(Bucket=stand_in.NAME, Key="hello.txt"), ("NotImplemented", 501)),
    ],
    ids=["another bucket", "access list", "its end", "tags"],
)
async def test_what_the_bucket_cannot_do_it_refuses(
    call: Callable[[Any], Any], no: tuple[str, int], bucket: Bucket, keys: Keys
) -> None:
    assert await refused(bucket, keys, call) == no


async def test_there_is_an_end_to_the_room(sts: Emulator, keys: Keys) -> None:
    async with Bucket(sts, room=1) as full:
        no = await refused(full, keys, lambda client: client.put_object(Bucket=full.name, Key="second"))
    assert no == ("ServiceUnavailable", 503)


async def test_a_post_of_an_object_is_not_allowed(bucket: Bucket, keys: Keys) -> None:
    status, body = await by_hand(bucket, "POST", "hello.txt", signed(bucket, keys, "POST", "hello.txt"))
    assert (status, "<Code>MethodNotAllowed</Code>" in body) == (405, True)


@pytest.mark.parametrize("trailer", ["", "x-amz-checksum-crc32:AAAAAA==\r\n"])
async def test_an_upload_in_signed_chunks_is_put_together(trailer: str, bucket: Bucket, keys: Keys) -> None:
    said = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if trailer else "")
    sizes = ("5", "c", "0")
    first, second, last = (f"{size};chunk-signature={'0' * 64}\r\n" for size in sizes)
    body = f"{first}hello\r\n{second}, \r\nworld;5\n\r\n{last}{trailer}\r\n"
    headers = signed(bucket, keys, "PUT", "streamed", said) | {"Content-Encoding": "aws-chunked"}
    assert (await by_hand(bucket, "PUT", "streamed", headers, body))[0] == 200
    assert await s3(bucket, keys, read("streamed")) == b"hello, \r\nworld;5\n"


async def test_a_body_that_is_not_hashed_is_taken_as_it_is(bucket: Bucket, keys: Keys) -> None:
    headers = signed(bucket, keys, "PUT", "unsigned", "UNSIGNED-PAYLOAD")
    assert (await by_hand(bucket, "PUT", "unsigned", headers, "as it is"))[0] == 200
    assert await s3(bucket, keys, read("unsigned")) == b"as it is"


async def test_a_body_that_was_changed_after_signing_is_refused(bucket: Bucket, keys: Keys) -> None:
    status, body = await by_hand(bucket, "PUT", "changed", signed(bucket, keys, "PUT", "changed"), "changed")
    assert (status, "<Code>SignatureDoesNotMatch</Code>" in body) == (403, True)


def read(key: str, **more: str) -> Callable[[Any], bytes]:
    """A client's call that reads an object."""

    def body(client: Any) -> bytes:
        content: bytes = client.get_object(Bucket=stand_in.NAME, Key=key, **more)["Body"].read()
        return content

    return body


def signed(bucket: Bucket, keys: Keys, method: str, key: str, payload: str = "") -> dict[str, str]:
    """The headers of a request without a body, or with what is said in place of its hash, as botocore signs it."""
    request = AWSRequest(method=method, url=f"{bucket.url}/{bucket.name}/{quote(key)}")
    auth = S3SigV4Auth(Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]), "s3", REGION)
    if payload:
        auth.payload = lambda _: payload
    auth.add_auth(request)
    return dict(request.headers.items())


async def by_hand(
    bucket: Bucket, method: str, key: str, headers: Mapping[str, str], body: str | None = None
) -> tuple[int, str]:
    """Status and body of the answer to a request as it stands."""
    url = f"{bucket.url}/{bucket.name}/{quote(key)}"
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers, data=body) as answer:
        return answer.status, await answer.text()
