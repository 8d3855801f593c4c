"""The AWS common runtime: its credentials, its signature and its HTTP client."""

from __future__ import annotations

import os
from importlib.metadata import version
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from awscrt.auth import AwsCredentialsProvider, AwsSigningConfig, aws_sign_request
from awscrt.http import HttpClientConnection, HttpHeaders, HttpRequest
from awscrt.io import ClientBootstrap
from lines import serve

_STS = urlsplit(os.environ["STS_URL"])
_ARN = ".//{https://sts.amazonaws.com/doc/2011-06-15/}Arn"
_PATIENCE = 30.0  # seconds for the credentials, and again for the answer


def _arn(provider: AwsCredentialsProvider) -> str:
    headers = HttpHeaders([("Host", _STS.netloc)])
    request = HttpRequest("GET", "/?Action=GetCallerIdentity&Version=2011-06-15", headers)
    signing = AwsSigningConfig(credentials_provider=provider, region=os.environ["AWS_REGION"], service="sts")
    return _answer(aws_sign_request(request, signing).result(_PATIENCE))


def _answer(request: HttpRequest) -> str:
    body: list[bytes] = []
    connection = HttpClientConnection.new(_STS.hostname, _STS.port, _BOOTSTRAP).result(_PATIENCE)
    stream = connection.request(request, on_body=lambda chunk, **_: body.append(chunk))
    stream.activate()
    status = stream.completion_future.result(_PATIENCE)
    connection.close()
    found = ET.fromstring(b"".join(body)).findtext(_ARN)  # noqa: S314 -- the emulator's own
    if found is None:
        raise ValueError(f"{status} {body}")
    return found


_BOOTSTRAP = ClientBootstrap.get_or_create_static_default()
serve(version("awscrt"), lambda: AwsCredentialsProvider.new_default_chain(_BOOTSTRAP), _arn)
