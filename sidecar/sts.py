"""One call to STS, translated: the only room that knows aiobotocore.

botocore signs, finds the endpoint (regional, FIPS, dual-stack, `AWS_ENDPOINT_URL_STS`), the proxy and the CA bundle,
and parses the answer. Its retries are off: the process has one retry policy, the schedule. What it raises becomes one
of our errors by the tables below; what is not in them is a bug and is let through.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Self

from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentials
from aiobotocore.parsers import AioResponseParserFactory
from aiobotocore.session import AioSession
from aiohttp import ClientError as HttpError
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ParamValidationError, ReadTimeoutError
from botocore.httpsession import get_cert_path
from botocore.loaders import Loader
from botocore.parsers import ResponseParserError

from sidecar import __version__
from sidecar.errors import HopDenied, HopError, HopUnavailable, SourceGone, TokenError, TokenTrouble
from sidecar.model import Credentials, Hop, Identity, Secret, Session

# botocore's own list (botocore.retries.standard); most of them never come from STS, and a 400 hides among them.
THROTTLED = frozenset(
    """BandwidthLimitExceeded EC2ThrottledException LimitExceededException PriorRequestNotComplete
    ProvisionedThroughputExceededException RequestLimitExceeded RequestThrottled RequestThrottledException SlowDown
    ThrottledException Throttling ThrottlingException TooManyRequestsException TransactionInProgressException""".split()
)
# STS asked the OIDC provider and got nothing: the model says to try again.
_PROVIDER_SILENT = frozenset({"IDPCommunicationError", "IDPCommunicationErrorException"})
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException"})
_SOURCE_GONE = _EXPIRED | {"InvalidClientTokenId"}
# Codes that are transient only when AWS's message says so; the words are AWS's own.
_TRANSIENT_WORDS = {
    "InvalidIdentityToken": ["verification key"],
    "SignatureDoesNotMatch": ["expired", "not yet current"],
}
# What a part of credentials is: it goes into a header, and into a line of a file.
_PART = re.compile(r"[\x21-\x7e]+")
# What botocore and aiohttp raise where STS did not answer in its own words; the first that fits.
_TROUBLES: tuple[tuple[tuple[type[Exception], ...], type[HopError], str], ...] = (
    ((ParamValidationError,), HopDenied, "ValidationError"),
    ((ConnectTimeoutError, ReadTimeoutError, TimeoutError), HopUnavailable, "Timeout"),
    ((ResponseParserError,), HopUnavailable, "BadAnswer"),
    ((BotoCoreError, HttpError, OSError), HopUnavailable, "ConnectionError"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is asked of STS: a hop, where, under which session name, and with what it is paid.

    `token` pays for a first hop, `source` signs every other.
    """

    hop: Hop
    region: str
    session_name: str
    token: Secret | None = None
    source: Credentials | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What STS granted: a session that lives `lifetime` seconds after `date` (STS's own clock, Unix seconds).

    `packed` is how much of the policy and tag space is used, in percent.
    """

    session: Session
    lifetime: float
    date: float
    packed: int | None
    request_id: str | None


class Sts(AsyncExitStack):
    """STS in any region; an asynchronous context manager that owns one client per region that was asked.

    `wall` is Unix seconds; it stands in where an answer has no `Date`. `hear` gets what AWS writes when it refuses: to
    decide by, never to be shown.
    """

    def __init__(self, wall: Callable[[], float], hear: Callable[[str], None] = lambda _: None) -> None:
        super().__init__()
        self._wall, self._hear, self._session = wall, hear, AioSession()
        self._session.user_agent_name = "credential-sidecar"
        self._session.user_agent_version = __version__
        self._session.register_component("data_loader", _SlimLoader())
        self._session.register_component("response_parser_factory", _Parsers())
        self._session.register_component("credential_provider", _TaskCredentials("", "", None))
        self._clients: dict[str, Any] = {}
        self._opening = asyncio.Lock()

    async def assume(self, call: Call) -> Grant:
        """The session that STS grants for `call`.

        Raises:
            HopDenied, HopUnavailable, SourceGone: by the table of this module.
            TokenError: STS says that the projected token has expired.
        """
        _signing.set(call.source)
        try:
            client = await self._client(call.region)
            ask = client.assume_role if call.hop.source else client.assume_role_with_web_identity
            answer = await ask(**_parameters(call))
        except ClientError as error:
            self._hear(str(error.response.get("Error", {}).get("Message", "")))
            raise _translated(error, call.hop) from None
        except (BotoCoreError, ResponseParserError, HttpError, OSError) as error:
            raise next(kind(code) for kinds, kind, code in _TROUBLES if isinstance(error, kinds)) from None
        return self._grant(answer)

    async def place(self, region: str) -> tuple[str, str]:
        """The URL at which STS is asked in `region`, and the file of the certificate authorities that are trusted."""
        url = (await self._client(region)).meta.endpoint_url
        return url, get_cert_path(self._authorities() or True)

    def _authorities(self) -> str | bool | None:
        """The file that is named, or botocore's choice; of an empty name it would make no client."""
        named = self._session.get_config_variable("ca_bundle")
        return None if named is None else named.strip() or True

    async def _client(self, region: str) -> Any:
        async with self._opening:
            if region not in self._clients:
                # One attempt: the schedule retries. Timeouts are the caller's, who owns the whole call.
                config = AioConfig(retries={"total_max_attempts": 1, "mode": "standard"})
                verify = self._authorities()
                client = self._session.create_client("sts", region_name=region, config=config, verify=verify)
                self._clients[region] = await self.enter_async_context(client)
            return self._clients[region]

    def _grant(self, answer: Mapping[str, Any]) -> Grant:
        metadata, packed = answer.get("ResponseMetadata", {}), answer.get("PackedPolicySize")
        date = _date(metadata) or self._wall()
        try:
            session = _session(answer)
            if not 0 <= (packed or 0) <= 100:
                raise ValueError("what is used of the room for policies is no percentage")
        except (KeyError, ValueError, TypeError, OverflowError):
            raise HopUnavailable("BadAnswer", date=date) from None
        lifetime = session.credentials.expiration.timestamp() - date
        return Grant(session=session, lifetime=lifetime, date=date, packed=packed, request_id=metadata.get("RequestId"))


# Whose credentials sign what this task sends. A client is shared by all hops of a region, a task is one call.
_signing: ContextVar[Credentials | None] = ContextVar("signing", default=None)


class _TaskCredentials(AioCredentials):  # type: ignore[misc]  # botocore has no types
    """The source credentials of the running call, where botocore would look for some: never the workload's."""

    async def load_credentials(self) -> Self:
        return self

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        source = _signing.get()
        if source is None:  # a first hop: botocore does not sign AssumeRoleWithWebIdentity
            return ReadOnlyCredentials("", "", None)
        secret, token = source.secret_access_key.reveal(), source.session_token.reveal()
        return ReadOnlyCredentials(source.access_key_id, secret, token)


class _SlimLoader(Loader):  # type: ignore[misc]  # botocore has no types
    """botocore's data without `endpoints.json`: 7 MB once parsed, of which STS needs what `partitions.json` says."""

    def list_available_services(self, type_name: str) -> list[str]:
        return ["sts"]  # whatever is asked for; botocore would look into four hundred directories, twice

    def load_data_with_path(self, name: str) -> tuple[Any, str]:
        if name != "endpoints":
            data: tuple[Any, str] = super().load_data_with_path(name)
            return data
        partitions, path = super().load_data_with_path("partitions")
        return {"version": 3, "partitions": [_partition(each) for each in partitions["partitions"]]}, path


class _Parsers(AioResponseParserFactory):  # type: ignore[misc]  # botocore has no types
    """botocore's parsers, which take it for granted that STS has answered, and not a page of a proxy."""

    def create_parser(self, protocol_name: str) -> Any:
        parser = super().create_parser(protocol_name)
        parser.parse = partial(_parsed, parser.parse)
        return parser


async def _parsed(parse: Callable[..., Any], *answer: Any) -> Any:
    try:
        said = await parse(*answer)
        hash(said.get("Error", {}).get("Code"))  # botocore looks it up among its exceptions
    except Exception as error:  # noqa: BLE001 -- whatever it is that it stumbles over, the answer is a bad one
        raise ResponseParserError(type(error).__name__) from None
    return said


def _partition(rules: Mapping[str, Any]) -> dict[str, Any]:
    suffix, dual = rules["outputs"]["dnsSuffix"], rules["outputs"]["dualStackDnsSuffix"]
    plain, fips = "{service}.{region}.{dnsSuffix}", "{service}-fips.{region}.{dnsSuffix}"
    named = ((["fips"], fips, suffix), (["dualstack"], plain, dual), (["dualstack", "fips"], fips, dual))
    variants = [{"tags": tags, "hostname": host, "dnsSuffix": end} for tags, host, end in named]
    hosts = {"hostname": plain, "protocols": ["https"], "signatureVersions": ["v4"], "variants": variants}
    taken = {"partition": rules["id"], "dnsSuffix": suffix, "regionRegex": rules["regionRegex"]}
    return {**taken, "defaults": hosts, "regions": {}, "services": {}}


def _parameters(call: Call) -> dict[str, Any]:
    hop = call.hop
    wanted = {
        "RoleArn": hop.role.arn,
        "RoleSessionName": call.session_name,
        "DurationSeconds": hop.duration,
        "WebIdentityToken": call.token.reveal() if call.token else None,
        "ExternalId": hop.external_id,
        "SourceIdentity": hop.source_identity,
        "Tags": [{"Key": key, "Value": value} for key, value in hop.tags],
        "TransitiveTagKeys": list(hop.transitive_tags),
        "Policy": hop.policy,
        "PolicyArns": [{"arn": arn} for arn in hop.policy_arns],
    }
    return {name: value for name, value in wanted.items() if value}


def _session(answer: Mapping[str, Any]) -> Session:
    given = answer["Credentials"]
    key, secret, token = given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
    if not all(map(_PART.fullmatch, (key, secret, token))):
        raise ValueError("credentials with a part that is none")
    credentials = Credentials(key, Secret(secret), Secret(token), given["Expiration"].astimezone(UTC))
    return Session(credentials, Identity.parse(answer["AssumedRoleUser"]["Arn"]))


def _translated(error: ClientError, hop: Hop) -> TokenError | HopError:
    facts, metadata = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
    code, message, date = str(facts.get("Code", "")), str(facts.get("Message", "")).lower(), _date(metadata)
    # An error page of a proxy or load balancer has no code of AWS's: botocore then puts the status in its place.
    code = code if code and not code.isdigit() else "BadAnswer"
    if code in _EXPIRED and hop.source is None:
        return TokenError(TokenTrouble.EXPIRED, hop.token_file, "by STS's clock", date=date)
    kind = _kind(code, message, int(metadata.get("HTTPStatusCode", 0)), hop)
    return kind(code, request_id=metadata.get("RequestId"), date=date)


def _kind(code: str, message: str, status: int, hop: Hop) -> type[HopError]:
    if hop.source is not None and code in _SOURCE_GONE:
        return SourceGone
    transient = any(words in message for words in _TRANSIENT_WORDS.get(code, ()))
    if transient or code in THROTTLED or code in _PROVIDER_SILENT or not 400 <= status < 500 or status == 429:
        return HopUnavailable
    return HopUnavailable if code == "BadAnswer" else HopDenied


def _date(metadata: Mapping[str, Any]) -> float | None:
    header = metadata.get("HTTPHeaders", {}).get("date")
    try:
        return parsedate_to_datetime(header).timestamp() if header else None
    except (ValueError, OverflowError):
        return None
