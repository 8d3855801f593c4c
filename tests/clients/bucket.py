"""An S3 on loopback with one bucket of account B, for clients that know nothing of STS.

    async with Emulator(guide_world) as sts, Bucket(sts) as bucket: …

It lets in whom S3 would: a request signed, with Signature Version 4, by an unexpired session of account B's role that
`sts` issued. Paths are path-style. Of an aws-chunked body the head's signature is checked, those of the chunks are not.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Final, Self
from urllib.parse import quote
from xml.sax.saxutils import escape

from aiohttp import web

from sidecar.emulator import Emulator
from sidecar.emulator.refusals import Refusal
from sidecar.emulator.server import received
from sidecar.emulator.signature import HttpRequest, Signature
from tests.builders import REGION, ROLE_B

NAME: Final = "account-b-data"
# Bounds of what a client under test may leave here: the latest calls, the bytes of an object, objects.
MAX_CALLS, MAX_BODY, ROOM = 100_000, 8 * 2**20, 1000
PAGE: Final = 1000  # keys in one listing at most, as in S3
# S3 API reference, Error responses: codes of its own, and those it says otherwise than STS.
_STATUS: Final[Mapping[str, int]] = {
    "AccessDenied": 403,
    "AuthorizationHeaderMalformed": 400,
    "ExpiredToken": 400,
    "InvalidAccessKeyId": 403,
    "InvalidRange": 416,
    "InvalidToken": 400,
    "MethodNotAllowed": 405,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "NotImplemented": 501,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
}
_RENAMED: Final = {"IncompleteSignature": "AuthorizationHeaderMalformed"}
_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
_LISTING: Final = frozenset(
    "continuation-token delimiter encoding-type fetch-owner list-type marker max-keys prefix start-after".split()
)
_NOTE: Final = "x-id"  # SDKs of today note the operation here, for the logs


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request as the bucket saw it; `code` is None for a success."""

    method: str
    path: str
    access_key_id: str | None
    code: str | None


class No(Exception):
    """S3's refusal."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message or code, _STATUS[code]


@dataclass(frozen=True, slots=True)
class _Object:
    body: bytes
    modified: float

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.body, usedforsecurity=False).hexdigest()}"'


class Bucket:
    """The bucket `account-b-data` with `hello.txt` in it, and room for so many objects.

    Sessions and time are those of `sts`, a running emulator.
    """

    name = NAME

    def __init__(self, sts: Emulator, room: int = ROOM) -> None:
        self.calls: deque[Call] = deque(maxlen=MAX_CALLS)
        self._sts, self._room = sts, room
        self._objects = {"hello.txt": _Object(b"hello\n", sts.now)}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        async with AsyncExitStack() as stack:
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = "http://{}:{}".format(*runner.addresses[0][:2])
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _answer(self, request: web.Request) -> web.Response:
        http = await received(request)
        signature, code = None, None
        try:
            signature = _read(http)
            self._admit(http, signature)
            return self._perform(request, http)
        except No as no:
            code = no.code
            return _xml("Error", [("Code", code), ("Message", no.message), ("Resource", request.path)], no.status)
        finally:
            key = signature.key if signature else None
            self.calls.append(Call(method=request.method, path=request.path, access_key_id=key, code=code))

    def _admit(self, http: HttpRequest, signature: Signature | None) -> None:
        """Raise unless an unexpired session of account B's role signed the request."""
        if signature is None:
            raise No("AccessDenied", "Access Denied")
        session = self._sts.session(signature.key)
        if session is None:
            raise No("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
        if http.headers.get("x-amz-security-token") != session.session_token:
            raise No("InvalidToken", "The provided token is malformed or otherwise invalid.")
        try:
            signature.verify(http, session, self._sts.now, "s3")
        except Refusal as refusal:
            raise _translated(refusal) from None
        if str(session.role) != ROLE_B:
            raise No("AccessDenied", f"User: {session.arn} is not authorized to perform this")

    def _perform(self, request: web.Request, http: HttpRequest) -> web.Response:
        bucket, _, key = request.path.removeprefix("/").partition("/")
        if not bucket and request.method == "GET":
            return _buckets(self._sts.now)
        if bucket != NAME:
            raise No("NoSuchBucket", "The specified bucket does not exist")
        if not key:
            return self._of_the_bucket(request)
        if set(request.query) - {_NOTE}:
            raise No("NotImplemented", f"no {request.query_string}")
        return self._of_an_object(request, http, key)

    def _of_the_bucket(self, request: web.Request) -> web.Response:
        asked = set(request.query) - {_NOTE}
        if request.method == "HEAD":
            return web.Response(headers={"x-amz-bucket-region": REGION})
        if request.method != "GET":
            raise No("MethodNotAllowed")
        if asked == {"location"}:
            return _document(f'<LocationConstraint xmlns="{_NAMESPACE}">{REGION}</LocationConstraint>')
        if asked - _LISTING:
            raise No("NotImplemented", f"no {request.query_string}")
        return self._list(request.query)

    def _of_an_object(self, request: web.Request, http: HttpRequest, key: str) -> web.Response:
        match request.method:
            case "GET" | "HEAD":
                return _object(request, self._found(key))
            case "PUT":
                return self._put(http, key)
            case "DELETE":
                self._objects.pop(key, None)
                return web.Response(status=204)
            case _:
                raise No("MethodNotAllowed")

    def _found(self, key: str) -> _Object:
        try:
            return self._objects[key]
        except KeyError:
            raise No("NoSuchKey", "The specified key does not exist.") from None

    def _put(self, http: HttpRequest, key: str) -> web.Response:
        if len(self._objects) >= self._room:
            raise No("ServiceUnavailable", f"{self._room} objects are all that there is room for")
        is_chunked = http.headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
        put = _Object(b"".join(_chunks(http.body)) if is_chunked else http.body, self._sts.now)
        self._objects[key] = put
        return web.Response(headers={"ETag": put.etag})

    def _list(self, query: Mapping[str, str]) -> web.Response:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = max(query.get(name, "") for name in ("marker", "start-after", "continuation-token"))
        names = {_rolled_up(key, prefix, delimiter) for key in self._objects if key.startswith(prefix)}
        left = sorted(name for name in names if name > after)
        page = left[: min(int(query.get("max-keys", PAGE)), PAGE)]
        encode = quote if query.get("encoding-type") == "url" else str
        fields = [
            ("Name", NAME),
            ("Prefix", encode(prefix)),
            ("Delimiter", encode(delimiter)),
            ("MaxKeys", query.get("max-keys", str(PAGE))),
            ("KeyCount", str(len(page))),
            ("IsTruncated", str(len(page) < len(left)).lower()),
            *([("EncodingType", "url")] if encode is quote else []),
        ]
        if page and len(page) < len(left):
            fields.append(("NextContinuationToken" if "list-type" in query else "NextMarker", page[-1]))
        entries = "".join(self._entry(name, encode(name)) for name in page)
        return _xml("ListBucketResult", fields, more=entries)

    def _entry(self, name: str, encoded: str) -> str:
        held = self._objects.get(name)
        if held is None:
            return f"<CommonPrefixes>{_leaves([('Prefix', encoded)])}</CommonPrefixes>"
        fields = [("Key", encoded), ("LastModified", _instant(held.modified)), ("ETag", held.etag)]
        return f"<Contents>{_leaves([*fields, ('Size', str(len(held.body))), ('StorageClass', 'STANDARD')])}</Contents>"


def _read(http: HttpRequest) -> Signature | None:
    try:
        return Signature.read(http)
    except Refusal as refusal:
        raise _translated(refusal) from None


def _translated(refusal: Refusal) -> No:
    return No(_RENAMED.get(refusal.code, refusal.code), refusal.message)


def _rolled_up(key: str, prefix: str, delimiter: str) -> str:
    """The key, or what it has in common with others up to the delimiter after the prefix."""
    if not delimiter:
        return key
    head, found, _ = key.removeprefix(prefix).partition(delimiter)
    return f"{prefix}{head}{found}"


def _chunks(body: bytes) -> Iterator[bytes]:
    """The content of an aws-chunked body: lines of `SIZE;chunk-signature=…`, each before a chunk, the last empty."""
    while body:
        line, _, body = body.partition(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        if not size:  # what may follow are trailing checksums
            return
        yield body[:size]
        body = body[size:].removeprefix(b"\r\n")


def _object(request: web.Request, held: _Object) -> web.Response:
    headers = {"ETag": held.etag, "Last-Modified": formatdate(held.modified, usegmt=True), "Accept-Ranges": "bytes"}
    whole = len(held.body)
    start, stop, _ = request.http_range.indices(whole)
    if "Range" not in request.headers:
        return web.Response(body=held.body, headers=headers)
    if start >= stop:
        raise No("InvalidRange", "The requested range is not satisfiable")
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{whole}"
    return web.Response(status=206, body=held.body[start:stop], headers=headers)


def _buckets(now: float) -> web.Response:
    owner = f"<Owner>{_leaves([('ID', '444455556666'), ('DisplayName', 'account-b')])}</Owner>"
    bucket = f"<Bucket>{_leaves([('Name', NAME), ('CreationDate', _instant(now))])}</Bucket>"
    return _xml("ListAllMyBucketsResult", [], more=f"{owner}<Buckets>{bucket}</Buckets>")


def _xml(root: str, fields: list[tuple[str, str]], status: int = 200, more: str = "") -> web.Response:
    space = f' xmlns="{_NAMESPACE}"' if root != "Error" else ""
    return _document(f"<{root}{space}>{_leaves(fields)}{more}</{root}>", status)


def _document(text: str, status: int = 200) -> web.Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
    return web.Response(status=status, body=body, content_type="application/xml")


def _leaves(fields: list[tuple[str, str]]) -> str:
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields)


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
