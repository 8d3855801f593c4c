"""Ports for what must know its own beforehand."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, nor is given by chance while this process runs.

    Whoever knows the number may listen on it, with SO_REUSEADDR as servers do: what holds it does not listen.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    port: int = held.getsockname()[1]
    held.detach()  # until the process ends
    return port
