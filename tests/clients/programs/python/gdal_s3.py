"""GDAL, as pyogrio brings it."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import pyogrio
from lines import serve

_ROOT = f"/vsis3/{os.environ['S3_BUCKET']}"
_OPTIONS = {
    "AWS_S3_ENDPOINT": urlsplit(os.environ["S3_URL"]).netloc,
    "AWS_HTTPS": "NO",
    "AWS_VIRTUAL_HOSTING": "FALSE",
    "CPL_VSIL_CURL_NON_CACHED": _ROOT,
}


def _made() -> Any:
    pyogrio.set_gdal_config_options(_OPTIONS)
    return pyogrio


def _first(gdal: Any) -> str:
    found: str = gdal.vsi_listtree(_ROOT)[0]
    return found.rpartition("/")[2]


serve(".".join(map(str, pyogrio.__gdal_version__)), _made, _first)
