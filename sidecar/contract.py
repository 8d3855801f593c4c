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

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from hmac import compare_digest
from http import HTTPStatus
from math import inf
from typing import Self

from sidecar.formats import Shape, container, document
from sidecar.ledger import Ledger, Trouble, trouble
from sidecar.model import Kind, Secret, Session, Target
from sidecar.schedule import FLOOR

# A role or policy that was just made takes up to a minute to be seen by STS: until then a denial is "not yet".
DENIAL = 120.0
# Some home-made clients put a scheme in front; no SDK does. A token has no space, so nothing else can look like this.
_SCHEME = "bearer "
# R2: clients send the address with and without its port, also when a link-local address was redirected to us.
_LINK_LOCAL = r"169\.254\.170\.(?:2|23)|169\.254\.169\.254|\[fd00:ec2::(?:23|254)\]"
_ADDRESS = rf"127(?:\.\d{{1,3}}){{3}}|localhost|\[::1\]|{_LINK_LOCAL}"
_HOST = re.compile(rf"(?:{_ADDRESS})(?::\d{{1,5}})?", re.IGNORECASE | re.ASCII)
# R9b: no SDK sends these. A proxy or a browser does, and neither has any business here.
_FORWARDED = re.compile("forwarded|via|x-forwarded-.*")
_BROWSER = re.compile("origin|sec-fetch-.*")
# R10: what every answer begins with: status line and type, length, further lines.
_FIELDS = b"%sContent-Length: %d\r\nCache-Control: no-store\r\n%s"
_NO_METADATA_TOKEN = "X-aws-ec2-metadata-token must be a token that PUT /latest/api/token gave, within its time."
_UNAUTHORIZED = "Authorization must be this target's authorization token: see AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE."


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request: `target` as it was sent, `headers` by lower-case name, repeated ones joined by a comma.

    `size` is the length of its body; a `body` that is shorter is how a longer one begins.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response in the bytes that are sent: `fields` is the head without the empty line that ends it."""

    status: int
    fields: bytes = field(repr=False)
    body: bytes = field(repr=False)

    @classmethod
    def of(cls, status: int, body: bytes, extra: str = "", content_type: str = "application/json") -> Self:
        """The answer with `body`; `extra` are further header lines with their line ends."""
        fields = _FIELDS % (_begin(status, content_type), len(body), extra.encode("ascii"))
        return cls(status=status, fields=fields, body=body)


@lru_cache(maxsize=64)  # more than there are
def _begin(status: int, content_type: str) -> bytes:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {content_type}\r\n".encode("ascii")


def error(status: int, code: str, message: str, extra: str = "") -> Answer:
    """R18: the one shape of everything that is not credentials. Neither argument may hold a secret."""
    return Answer.of(status, compact({"code": code, "message": message, "Code": code, "Message": message}), extra)


def compact(document: Mapping[str, object]) -> bytes:
    """JSON without a space, in the order given."""
    return json.dumps(document, separators=(",", ":")).encode("ascii")


class Refusal(StrEnum):
    """Why a request is not answered on its merits, the `reason` label of the metric; and what is answered instead.

    401 goes without `WWW-Authenticate`: it is no scheme that a client could choose, and none of them looks.
    """

    answer: Answer

    def __new__(cls, reason: str, status: int, code: str, message: str, extra: str = "") -> Self:
        refusal = str.__new__(cls, reason)
        refusal._value_ = reason
        refusal.answer = error(status, code, message, extra)
        return refusal

    MALFORMED = "malformed", 400, "BadRequest", "This is not an HTTP/1.1 request that can be understood."
    OVERSIZED = "oversized", 431, "RequestTooLarge", "The head of the request is longer than 16 KiB."
    SLOW = "slow", 408, "RequestTimeout", "The request did not arrive in time."
    CROWDED = "crowded", 503, "TooManyConnections", "Too many connections are open to this listener."
    FORWARDED = "forwarded", 403, "Forwarded", "Requests that came through a proxy are refused: set NO_PROXY."
    BROWSER = "browser", 403, "Browser", "Requests of browsers are refused."
    HOST = "host", 403, "ForeignHost", "The Host header must name a loopback address."
    PROXIED = "proxied", 403, "AbsoluteForm", "This is no proxy: send the path alone, and set NO_PROXY."
    METHOD = "method", 405, "MethodNotAllowed", "Only GET and HEAD are answered.", "Allow: GET, HEAD\r\n"
    PATH = "path", 404, "NotFound", "There is no such path or target here."
    AUTHORIZATION = "authorization", 401, "Unauthorized", _UNAUTHORIZED
    METADATA_TOKEN = "metadata_token", 401, "Unauthorized", _NO_METADATA_TOKEN
    TTL = "ttl", 400, "BadRequest", "X-aws-ec2-metadata-token-ttl-seconds must be from 1 to 21600."
    METADATA_METHOD = "metadata_method", 405, "MethodNotAllowed", "A metadata token is PUT.", "Allow: PUT\r\n"


BROKEN = error(500, "InternalError", "A defect of the sidecar; its log has the place.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What a path leads to, and the authorization token that opens it; None: nothing is asked for."""

    target: str
    token: Secret | None
    shape: Shape = container


def path(target: str) -> str:
    """R2: the path of a request target, without query, fragment or trailing slash."""
    return target.partition("?")[0].partition("#")[0].rstrip("/")


def refuse(request: Request, door: Door | None) -> Refusal | None:
    """Why `request`, whose path leads to `door`, gets no credentials; None: it may have them."""
    if found := stranger(request):
        return found
    if request.method not in ("GET", "HEAD"):
        return Refusal.METHOD
    if door is None:
        return Refusal.PATH
    if door.token is not None and not _opens(request.headers.get("authorization", ""), door.token):
        return Refusal.AUTHORIZATION
    return None


def stranger(request: Request) -> Refusal | None:
    """R2, R9b: whether the request was not made for us, by a program beside us."""
    for name in request.headers:
        if _FORWARDED.fullmatch(name):
            return Refusal.FORWARDED
        if _BROWSER.fullmatch(name):
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

    `answers` are in order, each with the instant from which the next one is given. `waits`: nothing has been tried
    yet, so an answer may be moments away.
    """

    target: str
    answers: tuple[tuple[float, Answer], ...]
    waits: bool
    expiration: float


def entry(ledger: Ledger, target: Target, shape: Shape = container) -> Entry:
    """What `target` is answered with, by what `ledger` holds: the session, then 503, and 403 for an old denial.

    `shape` is how the face that answers writes a session.
    """
    held = ledger.of(target.hop)
    wrong, expiration = trouble(ledger, target), held.schedule.expiration
    code, message = _explained(wrong, empty=held.session is None)
    denied_from = wrong.since + DENIAL if wrong and wrong.failure.kind is Kind.DENIED else inf
    answers = [(denied_from, error(503, code, message)), (inf, error(403, code, message))]
    if granted := _granted(held.session, shape):
        answers.insert(0, (expiration - FLOOR, granted))
    waits = held.session is None and wrong is None
    return Entry(target=target.name, answers=tuple(answers), waits=waits, expiration=expiration)


def answer(entry: Entry, now: float) -> Answer:
    """R14, R16, R18: what is held while it lives, then the class of what is wrong."""
    return next(given for until, given in entry.answers if now < until)


def _granted(session: Session | None, shape: Shape) -> Answer | None:
    """R11, R12: the five fields; None where one of them would be empty, which some SDKs would sign with."""
    fields = document(session) if session else {}
    return Answer.of(200, compact(shape(fields))) if fields and all(fields.values()) else None


def _explained(wrong: Trouble | None, *, empty: bool) -> tuple[str, str]:
    """The code and our words for why there is nothing to serve."""
    if wrong is None and empty:
        return "NotReady", "The first credentials have not arrived yet."
    if wrong is None:
        return "Expired", "The credentials have expired and are being refreshed."
    place = f"Hop {wrong.hop.position} ({wrong.hop.role.arn})"
    return wrong.failure.code, f"{place} failed {wrong.failures} times in a row: {wrong.failure.hint}"
