"""boto3."""

from __future__ import annotations

from typing import Any

import boto3
from lines import serve


def _arn(sts: Any) -> str:
    arn: str = sts.get_caller_identity()["Arn"]
    return arn


serve(boto3.__version__, lambda: boto3.client("sts"), _arn)
