"""The kubelet's part: it asks for service-account tokens and swaps them in through `..data`, as kubelet does.

    DIRECTORY/token                       -> ..data/token
    DIRECTORY/..data                      -> ..2026_01_31_12_00_00.123456789
    DIRECTORY/..2026_01_31_12_00_00.…/token

A reader sees the old token or the new one, never a mixture: the rename of `..data` is the moment of rotation.
Source: kubernetes `pkg/volume/util/atomic_writer.go`, by its description; claims: Kubernetes docs, "Schema for
service account private claims".
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sidecar.emulator.oidc import Issuer

if TYPE_CHECKING:
    from sidecar.emulator.server import Emulator

_NAMES: Final = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")  # RFC 4122's OID namespace: uids are stable by name


class Kubelet:
    """Projects the tokens of one pod's service account into `directory`; `path` is the file a container would read.

    `source` signs the tokens; `wall` is unix seconds (an Emulator's own clock unless given); `lifetime` seconds.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        source: Issuer | Emulator,
        *,
        wall: Callable[[], float] | None = None,
        namespace: str = "shop",
        service_account: str = "orders",
        pod: str | None = "orders-7d4b9c-xk2lp",
        audience: str = "sts.amazonaws.com",
        lifetime: int = 86400,
        mode: int = 0o644,
    ) -> None:
        self.directory = Path(directory)
        self.path = self.directory / "token"
        self.issuer = source if isinstance(source, Issuer) else source.oidc
        self.wall = wall or (time.time if isinstance(source, Issuer) else source.wall)
        self.namespace = namespace
        self.service_account = service_account
        self.pod = pod
        self.audience = audience
        self.lifetime = lifetime
        self.mode = mode
        self._projected = 0

    def mint(self, **claims: Any) -> str:
        """A token as kube-apiserver signs it, valid from now on; `claims` replace those of the same name."""
        now = int(self.wall())
        own = {
            "aud": [self.audience],
            "exp": now + self.lifetime,
            "iat": now,
            "iss": self.issuer.url,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": self._private_claims(),
            "nbf": now,
            "sub": f"system:serviceaccount:{self.namespace}:{self.service_account}",
        }
        return self.issuer.sign({**own, **claims})

    def project(self, token: str | None = None) -> str:
        """Swap in `token`, or a new one, and return it; text that is no token can be projected too."""
        text = self.mint() if token is None else token
        data = self.directory / self._data_name()
        data.mkdir(parents=True, mode=0o755)
        fresh = data / "token"
        fresh.write_text(text)
        fresh.chmod(self.mode)
        self._swap(data)
        if not self.path.is_symlink():
            self.path.symlink_to(Path("..data") / "token")
        return text

    def _swap(self, data: Path) -> None:
        current, pending = self.directory / "..data", self.directory / "..data_tmp"
        old = current.readlink() if current.is_symlink() else None
        pending.unlink(missing_ok=True)
        pending.symlink_to(data.name)
        pending.replace(current)
        if old is not None:
            shutil.rmtree(self.directory / old)

    def _data_name(self) -> str:
        self._projected += 1  # the fraction only keeps the names of one second apart
        stamp = datetime.fromtimestamp(self.wall(), UTC).strftime("%Y_%m_%d_%H_%M_%S")
        return f"..{stamp}.{self._projected:09d}"

    def _private_claims(self) -> dict[str, Any]:
        account = {"name": self.service_account, "uid": self._uid("serviceaccount", self.service_account)}
        claims: dict[str, Any] = {"namespace": self.namespace, "serviceaccount": account}
        if self.pod is not None:
            claims["pod"] = {"name": self.pod, "uid": self._uid("pod", self.pod)}
        return claims

    def _uid(self, kind: str, name: str) -> str:
        return str(uuid.uuid5(_NAMES, f"{kind}/{self.namespace}/{name}"))
