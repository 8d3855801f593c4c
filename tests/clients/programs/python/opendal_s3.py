"""Apache OpenDAL."""

from __future__ import annotations

import os
from importlib.metadata import version

from lines import serve
from opendal import Operator


def _made() -> Operator:
    return Operator(
        "s3", bucket=os.environ["S3_BUCKET"], endpoint=os.environ["S3_URL"], region=os.environ["AWS_REGION"]
    )


def _first(operator: Operator) -> str:
    found: str = next(entry.path for entry in operator.list("/") if entry.path != "/")
    return found


serve(version("opendal"), _made, _first)
