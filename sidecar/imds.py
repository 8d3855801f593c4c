"""Instance metadata on loopback, for programs that know nothing else: one target as the role of a machine.

    PUT /latest/api/token                                       a metadata token, for as long as was asked (≤ 6 h)
    GET /latest/meta-data/iam/security-credentials[/]           the role's name
    GET /latest/meta-data/iam/security-credentials/<role>       its credentials
    GET …/placement/{region,availability-zone}, /latest/dynamic/instance-identity/document     the region

Everything else is 404 at once, so that a program which looks for a machine does not wait for one. There is no caller
secret: a metadata token only proves that the caller could send a PUT with a header, which a confused browser or proxy
cannot. It is an HMAC of its own end under a key of this process, so nothing is kept of it and no table fills.

R27: no text ends with a newline, since five clients would take it for a part of the name.
"""

import hmac
import re
from collections.abc import Awaitable, Callable
from functools import partial
from math import ceil

from sidecar.board import Board, Meter
from sidecar.contract import Answer, Refusal, Request, compact, entry, path, stranger
from sidecar.formats import instance, utc_of
from sidecar.ledger import Ledger
from sidecar.model import MetadataTokens, Secret, Target

TOKEN, CREDENTIALS = "/latest/api/token", "/latest/meta-data/iam/security-credentials"
_PLACE, _DOCUMENT = "/latest/meta-data/placement", "/latest/dynamic/instance-identity/document"
# IMDSv2's own bound: six hours.
LONGEST = 21_600
# R27: the SDKs for Java put their path behind the slash that an endpoint ends with.
_SLASHES = re.compile("^/+")
_SECONDS = re.compile(r"\d{1,5}", re.ASCII)
_TTL, _SHOWN = "x-aws-ec2-metadata-token-ttl-seconds", "x-aws-ec2-metadata-token"


class Imds:
    """Serves `target`. `clock` gives the sidecar's own seconds, `wall` Unix seconds; `key` signs metadata tokens."""

    def __init__(
        self,
        target: Target,
        tokens: MetadataTokens,
        key: Secret,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        meter: Meter,
    ) -> None:
        self._target, self._tokens, self._key, self._wall = target, tokens, key, wall
        self.board: Board[str] = Board(clock, meter)
        # R27: boto 2 takes the rest of a line after `=` for something else, and others split at other signs.
        name, region = re.sub(r"[^A-Za-z0-9_-]", "-", target.hop.role.name), target.hop.regions[0]
        self._texts = {
            CREDENTIALS: _text(name),
            f"{_PLACE}/region": _text(region),
            f"{_PLACE}/availability-zone": _text(f"{region}a"),  # clients cut the letter off
            _DOCUMENT: Answer.of(200, compact({"region": region, "accountId": target.hop.role.account})),
        }
        self._document = f"{CREDENTIALS}/{name}"
        self.publish(Ledger())

    def publish(self, ledger: Ledger) -> None:
        """From now on serve what `ledger` holds."""
        age = self.board.clock() - max(ledger.of(self._target.hop).schedule.refreshed, 0.0)
        updated = utc_of(self._wall() - age)
        self.board.publish({self._document: entry(ledger, self._target, partial(instance, updated=updated))})

    def handle(self, request: Request) -> Answer | Awaitable[Answer]:
        """The answer, or the wait for the first credentials."""
        began, where = self.board.clock(), path(_SLASHES.sub("/", request.target))
        if refusal := self._refusal(request, where):
            return self.board.refuse(refusal)
        if where == self._document:
            return self.board.give(where, began)
        return self._metadata_token(request) if where == TOKEN else self._texts[where]

    def _refusal(self, request: Request, where: str) -> Refusal | None:
        if found := stranger(request):
            return found
        if where == TOKEN:
            return Refusal.METADATA_METHOD if request.method != "PUT" else None if _lifetime(request) else Refusal.TTL
        if request.method not in ("GET", "HEAD"):
            return Refusal.METHOD
        shown = request.headers.get(_SHOWN)
        if not (self._is_ours(shown) if shown is not None else self._tokens is MetadataTokens.OPTIONAL):
            return Refusal.METADATA_TOKEN
        return None if where == self._document or where in self._texts else Refusal.PATH

    def _metadata_token(self, request: Request) -> Answer:
        seconds = _lifetime(request)
        token = self._signed(str(ceil(self.board.clock()) + seconds))
        return _text(token, f"{_TTL}: {seconds}\r\n")

    def _is_ours(self, shown: str) -> bool:
        end, _, _ = shown.partition("-")
        is_signed = hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), self._signed(end).encode())
        return is_signed and self.board.clock() < int(end)

    def _signed(self, end: str) -> str:
        key = self._key.reveal().encode()
        return f"{end}-{hmac.digest(key, end.encode('utf-8', 'surrogateescape'), 'sha256').hex()}"


def _lifetime(request: Request) -> int:
    """The seconds that a metadata token is asked for; 0 where they are not from 1 to LONGEST."""
    asked = request.headers.get(_TTL, "").strip()
    seconds = int(asked) if _SECONDS.fullmatch(asked) else 0
    return seconds if seconds <= LONGEST else 0


def _text(words: str, extra: str = "") -> Answer:
    return Answer.of(200, words.encode("ascii"), extra, content_type="text/plain")
