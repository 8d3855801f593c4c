"""The tests as a user whom file modes bind, whoever runs them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unprivileged() -> Iterator[None]:
    """As a user whom modes bind: root becomes uid and gid 59911 for a while, anybody else stays who they are."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(59911)
    os.seteuid(59911)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
