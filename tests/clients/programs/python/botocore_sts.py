"""botocore as it was before it knew the token file."""

from __future__ import annotations

import os
from typing import Any

import botocore
import botocore.session
from lines import serve


def _arn(sts: Any) -> str:
    arn: str = sts.get_caller_identity()["Arn"]
    return arn


_SESSION = botocore.session.get_session()
serve(botocore.__version__, lambda: _SESSION.create_client("sts", endpoint_url=os.environ["STS_URL"]), _arn)
