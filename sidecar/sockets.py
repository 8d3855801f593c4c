"""Listening sockets: loopback alone for what is secret, every address of both families for what is not.

Both raise ConfigError, naming the `setting` that asked for the address and that setting's `source`.
"""

import errno
import os
import socket
from ipaddress import ip_address

from sidecar.errors import ConfigError

# What the kernel says where a family is not there: compiled out, switched off, or without an address.
_MISSING = frozenset({errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EADDRNOTAVAIL})
_REMEDIES = {
    errno.EADDRINUSE: "Stop who holds it (a second sidecar in this pod, with hostNetwork anybody) or change the port.",
    errno.EACCES: "Ports below 1024 want a privilege that the sidecar is not given: choose a higher one.",
    errno.EADDRNOTAVAIL: "This host has no such address: `ip address` lists those it has.",
    errno.EAFNOSUPPORT: "This host lacks the address family: use an address of the other one.",
}


def bind_loopback(host: str, port: int, *, setting: str, source: str) -> list[socket.socket]:
    """One socket on a literal address of 127.0.0.0/8 or on ::1; port 0 is any free one."""
    if ip_address(host).is_loopback:
        return bind_any(host, port, setting=setting, source=source)
    remedy = "Use 127.0.0.1 or ::1: the containers of a pod share it."
    raise ConfigError.of(setting, shown(host, port), source, "credentials are served on loopback only", remedy)


def bind_any(host: str, port: int, *, setting: str, source: str) -> list[socket.socket]:
    """Sockets on a literal address; `*` is every address of both families, of one alone where the other is missing.

    Port 0 is any free one, the same for both families.
    """
    sockets: list[socket.socket] = []
    addresses = ("::", "0.0.0.0") if host == "*" else (host,)
    for address in addresses:
        try:
            sockets.append(_bound(address, sockets[0].getsockname()[1] if sockets else port))
        except OSError as error:
            if error.errno in _MISSING and (sockets or address != addresses[-1]):
                continue
            if sockets and not port and error.errno == errno.EADDRINUSE:
                with sockets[0]:  # its port is free in one family alone: another one
                    return bind_any(host, port, setting=setting, source=source)
            for sock in sockets:
                sock.close()
            wrong = f"cannot listen there: {os.strerror(error.errno or 0).lower()}"
            remedy = _REMEDIES.get(error.errno or 0, "Choose another address or port.")
            raise ConfigError.of(setting, shown(host, port), source, wrong, remedy) from None
    return sockets


def _bound(address: str, port: int) -> socket.socket:
    """A listening socket that takes its port back from connections in TIME_WAIT, but not from a second process.

    Of one family: whether one of IPv6 took IPv4 too would depend on a sysctl of the node.
    """
    sock = socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    sock.setblocking(False)
    return sock


def shown(host: str, port: int) -> str:
    """An address as people write it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
