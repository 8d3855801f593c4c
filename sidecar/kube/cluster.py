"""Whether the cluster has native sidecars: its API server is asked for its version once, before anything is served."""

import json
import os
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException, HTTPSConnection

from sidecar.errors import ConfigError

# Where kubelet mounts what a pod needs to ask the API server.
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
# The first minor version of Kubernetes 1 that runs an init container with `restartPolicy: Always` as a sidecar.
NATIVE = 29
# Seconds. It answers at once or not at all, and the webhook is waited for.
PATIENCE = 5.0
_WRONG = "it does not have native sidecars (init containers with restartPolicy: Always), and injected pods would hang"
_REMEDY = (
    f"Upgrade the cluster to 1.{NATIVE} or later, its nodes too. Until then uninstall the injector, since pods that ask"
    " for it are denied while it is down, and write the sidecar into pod specs as an ordinary container."
)


def doubt(environ: Mapping[str, str], account: str = ACCOUNT, patience: float = PATIENCE) -> str | None:
    """Why it is not known whether the cluster has native sidecars; None where it has, or where there is none.

    `environ` says where the API server is; `account` holds the CA that signs it and a token, if anything; `patience` is
    in seconds.

    Raises:
        ConfigError: the cluster is too old.
    """
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        return None
    try:
        major, minor = _version(host, int(port), account, patience)
    except (OSError, HTTPException, ValueError) as error:
        return f"the API server at {host}:{port} does not say its version: {_words(error)}"
    if (major, minor) < (1, NATIVE):
        raise ConfigError.of("Kubernetes", f"{major}.{minor}", f"{host}:{port}/version", _WRONG, _REMEDY)
    return None


def _version(host: str, port: int, account: str, patience: float) -> tuple[int, int]:
    authority, headers = os.path.join(account, "ca.crt"), {"Accept": "application/json"}
    context = ssl.create_default_context(cafile=authority if os.path.exists(authority) else None)
    with suppress(OSError), open(os.path.join(account, "token"), encoding="ascii") as token:
        headers["Authorization"] = f"Bearer {token.read().strip()}"
    connection = HTTPSConnection(host, port, timeout=patience, context=context)
    try:
        connection.request("GET", "/version", headers=headers)
        response = connection.getresponse()
        if response.status != 200:
            raise ValueError(f"it answers {response.status}")
        said = json.loads(response.read(65_536))
    finally:
        connection.close()
    parts = [said.get(part) for part in ("major", "minor")] if isinstance(said, dict) else []
    found = [re.match(r"\d+", part) for part in parts if isinstance(part, str)]  # providers write 29+
    match [int(each[0]) for each in found if each]:
        case [major, minor]:
            return major, minor
        case _:
            raise ValueError("what it says is no version")


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        remedy = f"mount the ConfigMap kube-root-ca.crt at {ACCOUNT}"
        return f"its certificate is not trusted ({error.verify_message}); {remedy}"
    if isinstance(error, ssl.SSLError):
        return f"TLS fails: {error.reason}"
    said = error.strerror if isinstance(error, OSError) else None
    return said or str(error) or type(error).__name__
