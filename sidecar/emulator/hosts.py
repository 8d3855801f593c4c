"""The names STS goes by: `sts[-fips].<region>.<suffix>` in every partition, from botocore's partition table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from botocore.loaders import Loader

GLOBAL: Final = "sts.amazonaws.com"  # the one name without a region; it is us-east-1
_HOST: Final = re.compile(r"sts(?:-fips)?\.(?P<region>[a-z0-9-]+)\.(?P<suffix>[a-z0-9.-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class StsHost:
    """Where a host name leads: a region and the partition it is in."""

    region: str
    partition: str


def lookup(host: str) -> StsHost | None:
    """The region and partition of an STS host name (without port), FIPS and dual-stack names too; None for others."""
    if host == GLOBAL:
        return StsHost(region="us-east-1", partition="aws")
    found = _HOST.fullmatch(host)
    partition = None if found is None else partition_of(found["region"])
    if found is None or partition is None or found["suffix"] not in _suffixes(partition):
        return None
    return StsHost(region=found["region"], partition=partition)


def partition_of(region: str) -> str | None:
    """The partition whose pattern `region` has, or None where it is no region's name."""
    return next((one["id"] for one in _partitions() if re.match(one["regionRegex"], region)), None)


def _suffixes(partition: str) -> tuple[str, str]:
    outputs = next(one["outputs"] for one in _partitions() if one["id"] == partition)
    return outputs["dnsSuffix"], outputs["dualStackDnsSuffix"]


@cache
def _partitions() -> list[dict[str, Any]]:
    # A bare Loader knows only botocore's own data directory: nothing of the user's ~/.aws/models comes in.
    loader = Loader(extra_search_paths=None, include_default_search_paths=False)
    loader.search_paths.append(Loader.BUILTIN_DATA_PATH)
    partitions: list[dict[str, Any]] = loader.load_data("partitions")["partitions"]
    return partitions
