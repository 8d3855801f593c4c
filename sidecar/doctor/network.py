"""The way to STS, one step at a time: name, proxy, route, certificate. Each step takes five seconds at most."""

import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed leaves it out

from sidecar.doctor.facts import Reach, Step

SECONDS = 5.0
# Two names that STS has whatever the region is: where one of them is found, names are found.
_ELSEWHERE = ("sts.us-east-1.amazonaws.com", "sts.cn-north-1.amazonaws.com.cn")
_HEAD = 8_192


class _Ended(Exception):
    """The way ends here."""

    def __init__(self, step: Step, peer: str, wrong: str, *, is_silent: bool = False) -> None:
        super().__init__(step)
        self.step, self.peer, self.wrong, self.is_silent = step, peer, wrong, is_silent


def reach(region: str, url: str, authorities: str, environ: Mapping[str, str]) -> Reach:
    """How far one gets to STS at `url`, trusting the authorities of that file, by the proxy of `environ`."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    whole = Reach(region=region, url=url, proxy=None, step=Step.ARRIVED, authorities=authorities)
    try:
        if proxy := _proxy(parts.scheme, parts.netloc, environ):
            whole = replace(whole, proxy=f"{proxy[0]}:{proxy[1]}")
        _go(host, port, proxy, authorities if parts.scheme == "https" else None)
    except _Ended as end:
        elsewhere = any(_is_known(name) for name in _ELSEWHERE if name != host) if end.step is Step.NAME else None
        where = replace(whole, step=end.step, peer=end.peer, wrong=end.wrong)
        return replace(where, is_silent=end.is_silent, elsewhere=elsewhere)
    return whole


def _proxy(scheme: str, place: str, environ: Mapping[str, str]) -> tuple[str, int] | None:
    """Host and port of the proxy that botocore takes: lower case first, as Python's own urllib has it."""
    said = {name: environ.get(f"{name}_proxy") or environ.get(f"{name.upper()}_PROXY") for name in (scheme, "no")}
    if not said[scheme] or proxy_bypass_environment(place, {"no": said["no"] or ""}):
        return None
    text = f"{said[scheme]}"
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:  # a port that is no number, a bracket that is not closed
        raise _Ended(Step.PROXY, f"of {scheme.upper()}_PROXY", "its URL cannot be understood") from None


def _go(host: str, port: int, proxy: tuple[str, int] | None, authorities: str | None) -> None:
    if proxy is None:
        peer = f"{host}:{port}"
        sock = _connected(host, port, Step.NAME, Step.ROUTE)
    else:
        peer = f"{proxy[0]}:{proxy[1]}"
        sock = _connected(proxy[0], proxy[1], Step.PROXY, Step.PROXY)
    with sock:
        if proxy and authorities is None:
            return  # plain HTTP goes to the proxy as it is
        if proxy and not _tunnel(sock, host, port, peer):
            return
        if authorities is not None:
            _greet(sock, host, authorities)


def _connected(host: str, port: int, unnamed: Step, unreached: Step) -> socket.socket:
    addresses = _addresses(host, port, unnamed)
    wrong = OSError("no address")
    for family, kind, number, _, address in addresses:
        sock = socket.socket(family, kind, number)
        sock.settimeout(SECONDS / len(addresses))
        try:
            sock.connect(address)
        except OSError as error:
            sock.close()
            wrong = error
        else:
            sock.settimeout(SECONDS)
            return sock
    where = f"{host}:{port} ({addresses[0][4][0]})"
    raise _Ended(unreached, where, _word(wrong), is_silent=isinstance(wrong, TimeoutError)) from None


def _addresses(host: str, port: int, unnamed: Step) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    """What the resolver says, which cannot be told to hurry: a thread that nobody waits for asks it."""
    answer: SimpleQueue[list[tuple[int, int, int, str, tuple[str, int]]] | OSError] = SimpleQueue()

    def ask() -> None:
        try:
            answer.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))  # type: ignore[arg-type]  # IP alone
        except OSError as error:
            answer.put(error)
        except UnicodeError:  # an empty label, or one of more than 63 characters
            answer.put(OSError("not a host name"))

    threading.Thread(target=ask, daemon=True).start()
    try:
        found = answer.get(timeout=SECONDS)
    except Empty:
        raise _Ended(unnamed, host, "no answer of the resolver", is_silent=True) from None
    if isinstance(found, OSError):
        raise _Ended(unnamed, host, _word(found)) from None
    return found


def _is_known(name: str) -> bool:
    with suppress(_Ended):
        return bool(_addresses(name, 443, Step.NAME))
    return False


def _tunnel(sock: socket.socket, host: str, port: int, peer: str) -> bool:
    """Whether the proxy leads on; one that wants a password is asked without it, and that it answers is enough."""
    try:
        sock.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode("ascii"))
        head = b""
        while b"\r\n\r\n" not in head and len(head) < _HEAD and (more := sock.recv(_HEAD)):
            head += more
    except OSError as error:
        raise _Ended(Step.PROXY, peer, _word(error), is_silent=isinstance(error, TimeoutError)) from None
    status = head.split(b"\r\n", 1)[0].split(b" ")[1:2]
    if status not in ([b"200"], [b"407"]):
        shown = status[0].decode("ascii", "replace")[:3] if status else "nothing"
        raise _Ended(Step.PROXY, peer, f"it answers CONNECT {host}:{port} with {shown}")
    return status == [b"200"]


def _greet(sock: socket.socket, host: str, authorities: str) -> None:
    try:
        context = ssl.create_default_context(cafile=authorities)
    except OSError as error:
        raise _Ended(Step.AUTHORITY, "", _word(error)) from None
    try:
        with context.wrap_socket(sock, server_hostname=host):
            pass
    except ssl.SSLCertVerificationError as error:
        raise _Ended(Step.AUTHORITY, host, error.verify_message) from None
    except OSError as error:
        silent = isinstance(error, TimeoutError)
        raise _Ended(Step.ROUTE, host, f"the TLS handshake ends: {_word(error)}", is_silent=silent) from None


def _word(error: OSError) -> str:
    """What the system says, in its own bounded words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no TLS").lower().replace("_", " ")
    return (error.strerror or str(error)).lower()
