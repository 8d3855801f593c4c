"""A probe for places that cannot send HTTP themselves. It imports nothing but `socket`: no second daemon in memory.

A refused connection is no verdict while the sidecar starts: it is tried again until the deadline.
"""

import socket
from collections.abc import Callable  # which socket has imported

# Seconds between two attempts: the sidecar takes about one to start.
PAUSE = 0.2
# Enough for the status line, which is all that is looked at.
_LINE = 512


def probe(
    host: str, port: int, path: str, *, seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> bytes:
    """The status that `path` has on the status listener within `seconds`, or none; `host` is an address or a name."""
    deadline = clock() + seconds
    while (left := deadline - clock()) > 0:
        try:
            return _status(host, port, path, left)
        except ConnectionRefusedError:
            sleep(min(PAUSE, left))
        except OSError:  # silence, a reset, no such host: an answer of its own kind
            break
    return b""


def _status(host: str, port: int, path: str, seconds: float) -> bytes:
    """The status that was answered; empty where what answered is no HTTP."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with socket.create_connection((host, port), timeout=seconds) as sock:
        sock.sendall(request.encode("ascii"))
        received = b""
        while b"\r\n" not in received and len(received) < _LINE and (more := sock.recv(_LINE)):
            received += more
    version, _, rest = received.partition(b" ")
    return rest[:3] if version == b"HTTP/1.1" else b""
