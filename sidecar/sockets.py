"""Listening sockets: loopback alone for what is secret, every address of both families for what is not.

Both raise ConfigError, naming the `setting` that asked for the address and that setting's `source`.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from ipaddress import ip_address

from sidecar.errors import ConfigError, Problem

# What the kernel says where a family is not there: compiled out, switched off, or without an address.
_MISSING = frozenset({errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EADDRNOTAVAIL})
_REMEDIES = {
    errno.EADDRINUSE: "Another process holds it: a second sidecar in this pod, or with hostNetwork any process of the"
    " node; `ss -ltnp` says which. Stop it, or choose another port.",
    errno.EACCES: "Ports below 1024 want a privilege that the sidecar is not given: choose a higher one.",
    errno.EADDRNOTAVAIL: "This host has no such address: `ip address` lists those it has.",
    errno.EAFNOSUPPORT: "This host lacks the address family: use an address of the other one.",
}


def bind_loopback(host: str, port: int, *, setting: str, source: str) -> list[socket.socket]:
    """One socket on a literal address of 127.0.0.0/8 or on ::1; port 0 is any free one."""
    if not ip_address(host).is_loopback:
        raise _problem(host, port, setting, source)(
            "credentials are served on loopback only", "Use 127.0.0.1 or ::1: the containers of a pod share it."
        )
    return _translated(lambda: [_bound(host, port)], host, port, setting, source)


def bind_any(host: str, port: int, *, setting: str, source: str) -> list[socket.socket]:
    """Sockets on a literal address; `*` is every address of both families, of one alone where the other is missing.

    Port 0 is any free one, the same for both families.
    """
    return _translated(lambda: _everywhere(port) if host == "*" else [_bound(host, port)], host, port, setting, source)


def _translated(
    bind: Callable[[], list[socket.socket]], host: str, port: int, setting: str, source: str
) -> list[socket.socket]:
    try:
        return bind()
    except OSError as error:
        wrong = f"cannot listen there: {(error.strerror or str(error)).lower()}"
        remedy = _REMEDIES.get(error.errno or 0, "Choose another address or port.")
        raise _problem(host, port, setting, source)(wrong, remedy) from None


def _problem(host: str, port: int, setting: str, source: str) -> Callable[[str, str], ConfigError]:
    value = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return lambda wrong, remedy: ConfigError(
        [Problem(setting=setting, value=value, source=source, wrong=wrong, remedy=remedy)]
    )


def _everywhere(port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for host in ("::", "0.0.0.0"):
        try:
            sockets.append(_bound(host, port))
            port = sockets[-1].getsockname()[1]
        except OSError as error:
            if error.errno not in _MISSING:
                for sock in sockets:
                    sock.close()
                raise
            missing = error
    if not sockets and missing is not None:
        raise missing
    return sockets


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A restarted sidecar takes its port back while connections of its predecessor are still in TIME_WAIT.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # One socket per family: whether this one took IPv4 too would depend on a sysctl of the node.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind((host, port))
        # Two processes may both bind with SO_REUSEADDR; the second one's listen fails, here rather than later.
        sock.listen()
    except OSError:
        sock.close()
        raise
    return sock
