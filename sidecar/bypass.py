"""What makes a workload pass the sidecar by: the variables that SDKs prefer to the endpoint, and a proxy in between.

`exec` hands down none of those that outrank the keys it sets. `run` cannot see a workload's environment, but what was
put into its own was often put into every container of the pod. Values are never shown.
"""

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass

Environ = Mapping[str, str]

# Where the EKS webhook projects its token, and what it sets beside: AWS_STS_REGIONAL_ENDPOINTS.
_INJECTED = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"
_LOOPBACK = re.compile(r"https?://(localhost|127\.[\d.]+|\[::1\])([:/?]|$)", re.IGNORECASE)
NO_PROXY = ("NO_PROXY", "no_proxy")
_SPARED = {"*", "127.0.0.1", "127.0.0.0/8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bypass:
    """Variables, what a workload does that has one of them, and the remedy.

    `is_seen`: whether one in the sidecar's own environment says anything of the workload's. `outranks`: whether it does
    so the keys that `exec` sets, or might be taken for them.
    """

    names: tuple[str, ...]
    effect: str
    remedy: str = "Unset it there"
    is_seen: Callable[[Environ], bool] = lambda _: True
    outranks: bool = True


def _is_injected(environ: Environ) -> bool:
    is_projected = environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") == _INJECTED
    return is_projected and "AWS_STS_REGIONAL_ENDPOINTS" in environ


def _is_elsewhere(environ: Environ) -> bool:
    return not _LOOPBACK.match(environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"])


def _is_proxied(environ: Environ) -> bool:
    spared = {each.strip() for name in NO_PROXY for each in environ.get(name, "").split(",")}
    return not spared & _SPARED


WAYS = (
    Bypass(
        names=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        effect="signs with these static keys, which outrank the endpoint",
    ),
    Bypass(
        names=("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
        effect="assumes AWS_ROLE_ARN itself: web identity outranks the endpoint, and the EKS webhook sets it in every "
        "container",
        remedy="Name its containers in the pod's annotation eks.amazonaws.com/skip-containers, if that is not done, or "
        "project the token into the sidecar alone",
        is_seen=_is_injected,
    ),
    Bypass(
        names=("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
        effect="asks ECS, since this outranks AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ),
    Bypass(
        names=("AWS_CONTAINER_CREDENTIALS_FULL_URI",),
        effect="asks EKS Pod Identity, or whoever else is not on loopback",
        remedy="Set it there to the sidecar's endpoint: EKS leaves a container alone that has it already",
        is_seen=_is_elsewhere,
    ),
    Bypass(
        names=("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"),
        effect="may ask the endpoint through the proxy, authorization token included (GDAL, object_store, OpenDAL do)",
        remedy="Add 127.0.0.1 to NO_PROXY and no_proxy there",
        is_seen=_is_proxied,
        outranks=False,
    ),
    Bypass(
        names=("AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
        effect="looks for its credentials in that profile",
        is_seen=lambda _: False,  # of the sidecar it is a setting
    ),
)
# What belongs to another endpoint or other keys, or is an old name for them.
_BESIDE = (
    *("AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    *("AWS_SECURITY_TOKEN", "AWS_CREDENTIAL_EXPIRATION", "AWS_ACCESS_KEY", "AWS_SECRET_KEY"),
    *("AMAZON_ACCESS_KEY_ID", "AMAZON_SECRET_ACCESS_KEY", "AMAZON_SESSION_TOKEN"),
)

_OUTRANKING = (*(name for way in WAYS if way.outranks for name in way.names), *_BESIDE)


def outranking(names: Container[str]) -> tuple[str, ...]:
    """Those of the variables `names` that a program must not be given beside the keys of a target, empty ones too."""
    return tuple(name for name in _OUTRANKING if name in names)


def in_sight(environ: Environ) -> tuple[str, ...]:
    """What the sidecar's own environment says of workloads that have the same: a sentence each, with the remedy."""
    found = ((way, next((name for name in way.names if environ.get(name)), None)) for way in WAYS)
    return tuple(
        f"{name} is set: a workload that has it too {way.effect}. {way.remedy}"
        for way, name in found
        if name and way.is_seen(environ)
    )
