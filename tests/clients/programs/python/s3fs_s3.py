"""s3fs of Python, upon aiobotocore."""

from __future__ import annotations

import os
from typing import Any

import s3fs
from lines import serve


def _first(files: Any) -> str:
    found: str = files.ls(os.environ["S3_BUCKET"], refresh=True)[0]
    return found.rpartition("/")[2]


serve(s3fs.__version__, lambda: s3fs.S3FileSystem(endpoint_url=os.environ["S3_URL"]), _first)
