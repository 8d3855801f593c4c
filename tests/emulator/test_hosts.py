"""The names of STS, compared with what botocore's own endpoint rules say."""

from __future__ import annotations

import botocore.session
import pytest
from botocore.config import Config

from sidecar.emulator.hosts import StsHost, lookup

BOTOCORE = botocore.session.Session()  # one loader for all: reading the models is what takes time
REGIONS = [("eu-west-1", "aws"), ("us-east-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]


@pytest.mark.parametrize("fips", [False, True], ids=["plain", "fips"])
@pytest.mark.parametrize("dual_stack", [False, True], ids=["ipv4", "dual"])
@pytest.mark.parametrize(("region", "partition"), REGIONS)
def test_every_name_that_botocore_would_call_is_known(
    region: str, partition: str, dual_stack: bool, fips: bool
) -> None:
    config = Config(use_dualstack_endpoint=dual_stack, use_fips_endpoint=fips)
    client = BOTOCORE.create_client("sts", region, config=config, aws_access_key_id="x", aws_secret_access_key="y")
    host = client.meta.endpoint_url.removeprefix("https://")
    client.close()
    assert lookup(host) == StsHost(region=region, partition=partition)


def test_the_global_name_is_us_east_1() -> None:
    assert lookup("sts.amazonaws.com") == StsHost(region="us-east-1", partition="aws")


@pytest.mark.parametrize(
    "host",
    [
        "s3.eu-west-1.amazonaws.com",
        "sts.eu-west-1.amazonaws.com.evil.example",
        "sts.eu-west-1.amazonaws.com.cn",
        "sts.cn-north-1.amazonaws.com",
        "sts.nowhere.amazonaws.com",
        "127.0.0.1",
        "",
    ],
)
def test_no_other_name_is(host: str) -> None:
    assert lookup(host) is None
