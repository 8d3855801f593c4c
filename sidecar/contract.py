"""What a container-credentials endpoint owes its clients, by values: who is refused, and what everyone else gets.

The contract is set by what two dozen SDKs really do; each rule stands beside the line that keeps it.

- Only a 200 with all fields, whole seconds and a literal `Z` is credentials to every client; it is compact JSON in a
  fixed order, under 10,000 bytes, with a length and without a charset.
- While anything above the floor is held, the answer is 200, whatever is wrong upstream.
- Every other answer is JSON with the same two facts under lower- and upper-case keys, since half of the SDKs read the
  one and half the other. 503 is retried by clients, 401, 403, 404 and 405 end their attempt at once: so 403 is said
  only when a denial is old enough to be no fresh role's.
- Never `Retry-After` (three SDKs sleep on it inside the workload's own request), never 429, 3xx or 204.

Pure: no socket, no clock. Instants are seconds of the sidecar's own clock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hmac import compare_digest
from http import HTTPStatus
from math import inf
from typing import Self

from sidecar.formats import document
from sidecar.ledger import Ledger, Trouble, trouble
from sidecar.model import Kind, Secret, Session, Target
from sidecar.schedule import FLOOR

# A role or policy that was just made takes up to a minute to be seen by STS: until then a denial is "not yet".
DENIAL = 120.0
# Some home-made clients put a scheme in front; no SDK does. A token has no space, so nothing else can look like this.
_SCHEME = "bearer "
# R2: clients send the address with and without its port, also when a link-local address was redirected to us.
_HOST = re.compile(
    r"(?:127(?:\.\d{1,3}){3}|localhost|\[::1\]|169\.254\.170\.(?:2|23)|\[fd00:ec2::23\])(?::\d{1,5})?",
    re.IGNORECASE | re.ASCII,
)
# R9b: no SDK sends these. A proxy or a browser does, and neither has any business here.
_FORWARDED = frozenset({"forwarded", "via"})
_FORWARDED_PREFIX = "x-forwarded-"
_BROWSER = frozenset({"origin"})
_BROWSER_PREFIX = "sec-fetch-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request head: `target` as it was sent, `headers` by lower-case name, repeated ones joined by a comma."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response in the bytes that are sent: `fields` is the head without the empty line that ends it."""

    status: int
    fields: bytes = field(repr=False)
    body: bytes = field(repr=False)
    whole: bytes = field(repr=False)

    @classmethod
    def of(cls, status: int, body: bytes, *extra: str, content_type: str = "application/json") -> Self:
        """The answer with `body`; `extra` are further header lines without their line end."""
        lines = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            *extra,
        )
        fields = "".join(f"{line}\r\n" for line in lines).encode("ascii")
        return cls(status=status, fields=fields, body=body, whole=fields + b"\r\n" + body)


def error(status: int, code: str, message: str, *extra: str) -> Answer:
    """R18: the one shape of everything that is not credentials. Neither argument may hold a secret."""
    return Answer.of(status, compact({"code": code, "message": message, "Code": code, "Message": message}), *extra)


def compact(document: Mapping[str, object]) -> bytes:
    """JSON without a space, in the order given."""
    return json.dumps(document, separators=(",", ":")).encode("ascii")


class Refusal(StrEnum):
    """Why a request is not answered on its merits; the `reason` label of the metric."""

    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    SLOW = "slow"
    CROWDED = "crowded"
    FORWARDED = "forwarded"
    BROWSER = "browser"
    HOST = "host"
    PROXIED = "proxied"
    METHOD = "method"
    PATH = "path"
    AUTHORIZATION = "authorization"


# 401 goes without `WWW-Authenticate`: it is no scheme that a client could choose, and none of them looks.
REFUSALS: Mapping[Refusal, Answer] = {
    Refusal.MALFORMED: error(400, "BadRequest", "This is not an HTTP/1.1 request that can be understood."),
    Refusal.OVERSIZED: error(431, "RequestTooLarge", "The head of the request is longer than 16 KiB."),
    Refusal.SLOW: error(408, "RequestTimeout", "The head of the request did not arrive in time."),
    Refusal.CROWDED: error(503, "TooManyConnections", "Too many connections are open to this listener."),
    Refusal.FORWARDED: error(403, "Forwarded", "Requests that came through a proxy are refused: set NO_PROXY."),
    Refusal.BROWSER: error(403, "Browser", "Requests of browsers are refused."),
    Refusal.HOST: error(403, "ForeignHost", "The Host header must name a loopback address."),
    Refusal.PROXIED: error(403, "AbsoluteForm", "This is no proxy: send the path alone, and set NO_PROXY."),
    Refusal.METHOD: error(405, "MethodNotAllowed", "Only GET and HEAD are answered.", "Allow: GET, HEAD"),
    Refusal.PATH: error(404, "NotFound", "There is no such path or target here."),
    Refusal.AUTHORIZATION: error(
        401,
        "Unauthorized",
        "The Authorization header must hold this target's authorization token:"
        " see AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE.",
    ),
}
BROKEN = error(500, "InternalError", "A defect of the sidecar; its log has the place.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What a path leads to, and the authorization token that opens it; None: nothing is asked for."""

    target: str
    token: Secret | None


def path(target: str) -> str:
    """R2: the path of a request target, without query, fragment or trailing slash."""
    return target.partition("?")[0].partition("#")[0].rstrip("/")


def refuse(request: Request, door: Door | None) -> Refusal | None:
    """Why `request`, whose path leads to `door`, gets no credentials; None: it may have them."""
    stranger = _stranger(request)
    if stranger is not None:
        return stranger
    if request.method not in ("GET", "HEAD"):
        return Refusal.METHOD
    if door is None:
        return Refusal.PATH
    if door.token is not None and not _opens(request.headers.get("authorization", ""), door.token):
        return Refusal.AUTHORIZATION
    return None


def _stranger(request: Request) -> Refusal | None:
    """R2, R9b: whether the request was not made for us, by a program beside us."""
    for name in request.headers:
        if name in _FORWARDED or name.startswith(_FORWARDED_PREFIX):
            return Refusal.FORWARDED
        if name in _BROWSER or name.startswith(_BROWSER_PREFIX):
            return Refusal.BROWSER
    if not request.target.startswith("/") and request.method not in ("OPTIONS", "CONNECT"):
        return Refusal.PROXIED
    host = request.headers.get("host")  # only HTTP/1.0 may go without
    return Refusal.HOST if host is not None and _HOST.fullmatch(host) is None else None


def _opens(given: str, token: Secret) -> bool:
    """R9: a raw comparison in constant time, with white space around it ignored."""
    given = given.strip(" \t")
    if given[: len(_SCHEME)].lower() == _SCHEME:
        given = given[len(_SCHEME) :].lstrip(" \t")
    return compare_digest(given.encode("utf-8", "surrogateescape"), token.reveal().encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """All that one target can be answered with until the ledger changes.

    `granted` is given before the instant `until`; after it `denied` from the instant `denied_from`, else
    `unavailable`. `waits`: nothing has been tried yet, so an answer may be moments away.
    """

    granted: Answer | None
    until: float
    denied: Answer
    denied_from: float
    unavailable: Answer
    waits: bool
    expiration: float


def entry(ledger: Ledger, target: Target) -> Entry:
    """What `target` is answered with, by what `ledger` holds."""
    held = ledger.of(target.hop)
    wrong = trouble(ledger, target)
    granted = _granted(held.session)
    code, message = _explained(wrong, empty=held.session is None)
    is_denial = wrong is not None and wrong.failure.kind is Kind.DENIED
    return Entry(
        granted=granted,
        until=held.schedule.expiration - FLOOR if granted else -inf,
        denied=error(403, code, message),
        denied_from=wrong.since + DENIAL if wrong is not None and is_denial else inf,
        unavailable=error(503, code, message),
        waits=held.session is None and wrong is None,
        expiration=held.schedule.expiration,
    )


def answer(entry: Entry, now: float) -> Answer:
    """R14, R16, R18: what is held while it lives, then the class of what is wrong."""
    if entry.granted is not None and now < entry.until:
        return entry.granted
    return entry.denied if now >= entry.denied_from else entry.unavailable


def _granted(session: Session | None) -> Answer | None:
    """R11, R12: the five fields; None where one of them would be empty, which some SDKs would sign with."""
    fields = document(session) if session else {}
    return Answer.of(200, compact(fields)) if fields and all(fields.values()) else None


def _explained(wrong: Trouble | None, *, empty: bool) -> tuple[str, str]:
    """The code and our words for why there is nothing to serve."""
    if wrong is None and empty:
        return "NotReady", "The first credentials have not arrived yet."
    if wrong is None:
        return "Expired", "The credentials have expired and are being refreshed."
    place = f"Hop {wrong.hop.position} ({wrong.hop.role})"
    hint = wrong.failure.hint or "see the sidecar's log for the request id"
    return wrong.failure.code, f"{place} failed {wrong.failures} times in a row: {hint}"
