"""What a secret looks like when it leaks, and which places may hold one."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

# Enough of a secret to be worth something to somebody, whatever was cut off.
FRAGMENT = 24
# Where secrets belong below a sidecar's home: what the workload shows, what outlives a restart, what kubelet projects,
# and AWS's own file.
ALLOWED = (
    *("authorization/*/token", "state/credential-sidecar/sessions.json"),
    *("projected/**/*", "file/credentials"),
)


def leaks(text: str, secrets: Iterable[str]) -> list[str]:
    """The forms of `secrets` that `text` has."""
    return sorted({form[:8] + "…" for secret in secrets for form in forms(secret) if form in text})


def forms(secret: str) -> Iterator[str]:
    """A secret as it is, cut, escaped, and encoded: in base64 at every offset a longer text may give it."""
    for part in {secret, secret[:FRAGMENT], secret[-FRAGMENT:]}:
        yield part
        yield quote(part, safe="")
        yield json.dumps(part)[1:-1].replace("/", "\\/")
        yield part.encode().hex()
        for offset in range(3):
            encoded = base64.b64encode(b"\0" * offset + part.encode())
            # Without the characters that what stands before and after has a share in.
            inner = encoded[4 if offset else 0 :].rstrip(b"=")[:-2].decode()
            yield inner
            yield inner.replace("+", "-").replace("/", "_")


def files(home: Path) -> str:
    """All that is in the files below `home`, names included, where no secret may be."""
    allowed = {path for pattern in ALLOWED for path in home.glob(pattern)}
    found = [path for path in home.rglob("*") if path.is_file() and path not in allowed]
    return "\n".join(f"{path}\n{path.read_bytes().decode('latin-1')}" for path in found)
