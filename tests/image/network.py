"""Another network namespace, entered for a moment: what is opened there stays there."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_CLONE_NEWNET = 0x40000000  # linux/sched.h


@dataclass(frozen=True, slots=True)
class Network:
    """The network of the process `pid`."""

    pid: int

    @property
    def _path(self) -> str:
        return f"/proc/{self.pid}/ns/net"

    def add(self, address: str) -> None:
        """Gives it another address, on its loopback: it stays without a way out."""
        subprocess.run(["nsenter", f"--net={self._path}", "ip", "address", "add", address, "dev", "lo"], check=True)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is in it: sockets that are opened meanwhile are its own."""
        with open("/proc/thread-self/ns/net", "rb") as home, open(self._path, "rb") as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())


def _enter(descriptor: int) -> None:
    # os.setns is of Python 3.12.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
