"""Signature Version 4: is this request signed, by whom, and was it signed with the secret that was issued?

Source: IAM user guide, "Create a signed AWS API request". The signature is computed again from the request as it came
in; query-string ("presigned") authentication is not covered and counts as unsigned.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

from sidecar.emulator.refusals import Refusal
from sidecar.emulator.sessions import RoleSession

TOLERANCE: Final = 300.0  # seconds between the request's date and the emulator's clock; STS says "5 min."
_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_UNHASHED: Final = ("UNSIGNED-PAYLOAD", "STREAMING-")  # what S3's clients say in place of the body's hash
_AUTHORIZATION: Final = re.compile(
    rf"{_ALGORITHM} +Credential=(?P<key>[^/,\s]+)/(?P<date>\d{{8}})/(?P<region>[^/,\s]+)/(?P<service>[^/,\s]+)"
    r"/aws4_request"
    r", *SignedHeaders=(?P<headers>[a-z0-9;-]+), *Signature=(?P<signature>[0-9a-f]{64})"
)
_MISMATCH: Final = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request as it came in: `headers` by lower-case name, `query` undecoded, `host` as the client named it."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The parts of an Authorization header."""

    key: str
    date: str
    region: str
    service: str
    headers: str
    signature: str

    @classmethod
    def read(cls, request: HttpRequest) -> Signature | None:
        """The signature of `request`; None where it has none; Refusal("IncompleteSignature") where it is malformed."""
        header = request.headers.get("authorization")
        if header is None:
            return None
        found = _AUTHORIZATION.fullmatch(header)
        if found is None:
            raise Refusal(
                "IncompleteSignature", "Authorization header requires 'Credential', 'SignedHeaders', 'Signature'"
            )
        return cls(**found.groupdict())

    @property
    def scope(self) -> str:
        """`DATE/REGION/SERVICE/aws4_request`."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"

    def verify(self, request: HttpRequest, session: RoleSession, now: float, service: str = "sts") -> None:
        """Refuse unless `session` signed `request` for `service` (sts or s3) at about `now` and is not expired."""
        stamp = request.headers.get("x-amz-date", "")
        self._check_scope(stamp, service)
        _check_date(stamp, now)
        if not {"host", "x-amz-date", "x-amz-security-token"} <= set(self.headers.split(";")):
            raise Refusal(
                "SignatureDoesNotMatch", "'host', 'x-amz-date' and 'x-amz-security-token' must be signed"
            )  # (ours)
        wanted = self._sign(stamp, _digest(self._canonical(request)), session.secret_access_key)
        if not hmac.compare_digest(wanted, self.signature):
            raise Refusal("SignatureDoesNotMatch", _MISMATCH)
        if now >= session.expiration:
            raise Refusal("ExpiredToken", "The security token included in the request is expired")

    def _check_scope(self, stamp: str, service: str) -> None:
        if self.service != service:
            raise Refusal("SignatureDoesNotMatch", f"Credential should be scoped to correct service: '{service}'.")
        if not stamp.startswith(self.date):
            wrong = f"'{self.date}' != '{stamp[:8]}', from '{stamp}'."
            raise Refusal(
                "SignatureDoesNotMatch",
                f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: {wrong}",
            )

    def _canonical(self, request: HttpRequest) -> str:
        path = quote(unquote(request.path), safe="/-_.~")  # encoded once, as S3 has it; the path of STS is a slash
        pairs = sorted(parse_qsl(request.query, keep_blank_values=True))
        query = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs)
        names = self.headers.split(";")
        headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in names)
        return "\n".join((request.method, path, query, headers, self.headers, self._payload(request)))

    def _payload(self, request: HttpRequest) -> str:
        said = request.headers.get("x-amz-content-sha256", "")
        is_unhashed = self.service == "s3" and said.startswith(_UNHASHED)
        return said if is_unhashed else hashlib.sha256(request.body).hexdigest()

    def _sign(self, stamp: str, digest: str, secret: str) -> str:
        key = f"AWS4{secret}".encode()
        for part in self.scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        text = "\n".join((_ALGORITHM, stamp, self.scope, digest))
        return hmac.digest(key, text.encode(), "sha256").hex()


def _check_date(stamp: str, now: float) -> None:
    try:
        signed = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise Refusal("IncompleteSignature", "Date must be in ISO-8601 'basic format'") from None
    if signed < now - TOLERANCE:
        bound = f"{_stamp(now - TOLERANCE)} ({_stamp(now)} - 5 min.)"
        raise Refusal("SignatureDoesNotMatch", f"Signature expired: {stamp} is now earlier than {bound}")
    if signed > now + TOLERANCE:
        bound = f"{_stamp(now + TOLERANCE)} ({_stamp(now)} + 5 min.)"
        raise Refusal("SignatureDoesNotMatch", f"Signature not yet current: {stamp} is still later than {bound}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _stamp(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y%m%dT%H%M%SZ")
