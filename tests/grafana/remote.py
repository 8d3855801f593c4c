"""Prometheus' remote write 1.0: series with their samples as one message, protobuf in a snappy frame."""

from __future__ import annotations

import struct
import urllib.request
from collections.abc import Iterable, Mapping

from tests.grafana.prometheus import PATIENCE, Prometheus

# Most bytes of a message: neither side holds much, and what a message costs by itself is not felt.
_MESSAGE = 4_000_000
_FIRST, _SECOND = b"\x0a", b"\x12"  # a field that has a length, by its number
_DOUBLE, _INTEGER = b"\x09", b"\x10"  # the fields of a sample: value, milliseconds


def samples(values: Iterable[tuple[float, float]]) -> bytes:
    """Instants in Unix seconds and values, as every series that has them can be sent with them."""
    return b"".join(
        _field(_SECOND, _DOUBLE + struct.pack("<d", value) + _INTEGER + _varint(round(at * 1000)))
        for at, value in values
    )


def series(labels: Mapping[str, str], encoded: bytes) -> bytes:
    """One series of a message; `encoded` is what `samples` made."""
    named = (_field(_FIRST, name.encode()) + _field(_SECOND, value.encode()) for name, value in sorted(labels.items()))
    return _field(_FIRST, b"".join(_field(_FIRST, each) for each in named) + encoded)


def write(server: Prometheus, every: Iterable[bytes]) -> None:
    """Sends all series."""
    message = bytearray()
    for each in every:
        message += each
        if len(message) > _MESSAGE:
            _send(server, bytes(message))
            message.clear()
    if message:
        _send(server, bytes(message))


def _send(server: Prometheus, message: bytes) -> None:
    framed = _varint(len(message)) + b"\xfc" + struct.pack("<I", len(message) - 1) + message  # one literal, not packed
    head = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
    request = urllib.request.Request(f"{server.url}/api/v1/write", framed, head)  # noqa: S310  # ours
    urllib.request.urlopen(request, timeout=PATIENCE).close()  # noqa: S310  # ours


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)
