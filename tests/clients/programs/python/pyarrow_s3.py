"""pyarrow, which brings the AWS SDK for C++."""

from __future__ import annotations

import os

import pyarrow as pa
from lines import serve
from pyarrow import fs


def _first(s3: fs.S3FileSystem) -> str:
    found: str = s3.get_file_info(fs.FileSelector(os.environ["S3_BUCKET"]))[0].base_name
    return found


serve(pa.__version__, lambda: fs.S3FileSystem(endpoint_override=os.environ["S3_URL"]), _first)
