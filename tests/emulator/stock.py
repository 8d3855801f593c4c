"""Stock botocore against the emulator, and requests signed by hand where botocore would not send them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from sidecar.emulator import Emulator

ROLE_A = "arn:aws:iam::111122223333:role/account-a-role"
ROLE_B = "arn:aws:iam::444455556666:role/account-b-role"
SESSION = "shop.orders-7d4b9c-xk2lp"
REGION = "eu-west-1"
_BOTOCORE = botocore.session.Session()  # one loader for all: reading the models is what takes time


@dataclass(frozen=True, slots=True, kw_only=True)
class No:
    """A refusal as stock botocore reads it."""

    code: str
    message: str
    status: int


async def ask(
    sts: Emulator, operation: str, source: Mapping[str, Any] | None = None, *, client: Any = None, **parameters: Any
) -> dict[str, Any]:
    """The answer to `operation`, signed by `source` (an STS answer's Credentials) if given; raises ClientError."""
    options = {"endpoint_url": sts.url, "region_name": REGION, **(client or {})}
    settings = {"parameter_validation": False, "retries": {"total_max_attempts": 1}, **options.pop("config", {})}
    config = Config(**settings)
    keys = keys_of(source or {"AccessKeyId": "ASIANOBODY", "SecretAccessKey": "x", "SessionToken": "y"})
    made = _BOTOCORE.create_client("sts", config=config, **keys, **options)
    try:
        answer: dict[str, Any] = await asyncio.to_thread(getattr(made, operation), **parameters)
    finally:
        made.close()
    return answer


async def refused(sts: Emulator, operation: str, source: Mapping[str, Any] | None = None, **parameters: Any) -> No:
    """The refusal of `operation`; fails where it is granted."""
    try:
        answer = await ask(sts, operation, source, **parameters)
    except ClientError as wrong:
        error, metadata = wrong.response["Error"], wrong.response["ResponseMetadata"]
        return No(code=error["Code"], message=error.get("Message", ""), status=metadata["HTTPStatusCode"])
    raise AssertionError(f"granted: {answer['ResponseMetadata']}")


def first(token: str, **changes: Any) -> dict[str, Any]:
    """The parameters of hop 1."""
    return {"RoleArn": ROLE_A, "RoleSessionName": SESSION, "WebIdentityToken": token, **changes}


def second(**changes: Any) -> dict[str, Any]:
    """The parameters of hop 2."""
    return {"RoleArn": ROLE_B, "RoleSessionName": SESSION, **changes}


async def source_of(sts: Emulator, token: str, **changes: Any) -> dict[str, Any]:
    """The credentials of hop 1."""
    answer = await ask(sts, "assume_role_with_web_identity", **first(token, **changes))
    credentials: dict[str, Any] = answer["Credentials"]
    return credentials


def keys_of(source: Mapping[str, Any]) -> dict[str, Any]:
    """Credentials of an STS answer as a client's arguments."""
    return {
        "aws_access_key_id": source["AccessKeyId"],
        "aws_secret_access_key": source["SecretAccessKey"],
        "aws_session_token": source["SessionToken"],
    }


def signed(
    url: str, source: Mapping[str, Any], parameters: Mapping[str, str], *, service: str = "sts", region: str = REGION
) -> dict[str, str]:
    """The headers of a POST of `parameters` that botocore signs with `source`."""
    request = AWSRequest(method="POST", url=f"{url}/", data=dict(parameters), headers={})
    keys = Credentials(source["AccessKeyId"], source["SecretAccessKey"], source["SessionToken"])
    SigV4Auth(keys, service, region).add_auth(request)
    return dict(request.headers.items())


async def post(url: str, parameters: Mapping[str, str], headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Status and body of a POST by hand."""
    async with aiohttp.ClientSession() as session, session.post(f"{url}/", data=parameters, headers=headers) as answer:
        return answer.status, await answer.text()
