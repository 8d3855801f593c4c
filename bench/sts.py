"""An STS at 0 ms, in a process of its own: it grants what it is asked, for as long as it is asked.

The emulator judges each call (a signature takes it milliseconds) and needs packages that the daemon does not; here
the daemon is measured, so its STS is as little as an STS can be.
"""

from __future__ import annotations

import asyncio
import re
import time
from datetime import UTC, datetime
from email.utils import formatdate
from urllib.parse import parse_qs

_HEAD = re.compile(rb"\r\n\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_SESSION_TOKEN = "IQoJb3JpZ2luX2VjE" * 60  # about as long as AWS's: a kilobyte


class Connection(asyncio.Protocol):
    """Answers every complete request on a connection that is kept."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, length = _HEAD.search(self._received), _LENGTH.search(self._received)
        if head is None or length is None or len(self._received) < head.end() + int(length[1]):
            return
        body, self._received = self._received[head.end() :], b""
        self._transport.write(_answer({name: value[0] for name, value in parse_qs(body.decode()).items()}))


def _answer(asked: dict[str, str]) -> bytes:
    now = time.time()
    action, (_, _, _, _, account, role) = asked["Action"], asked["RoleArn"].split(":")
    until = datetime.fromtimestamp(now + int(asked["DurationSeconds"]), UTC)
    body = (
        f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result><Credentials>'
        f"<AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>{'s' * 40}</SecretAccessKey>"
        f"<SessionToken>{_SESSION_TOKEN}</SessionToken><Expiration>{until:%Y-%m-%dT%H:%M:%SZ}</Expiration>"
        f"</Credentials><AssumedRoleUser><AssumedRoleId>AROA:bench</AssumedRoleId><Arn>arn:aws:sts::{account}:"
        f"assumed-role/{role.rpartition('/')[2]}/{asked['RoleSessionName']}</Arn></AssumedRoleUser>"
        f"</{action}Result><ResponseMetadata><RequestId>bench</RequestId></ResponseMetadata></{action}Response>"
    ).encode()
    head = (
        f"HTTP/1.1 200 OK\r\nDate: {formatdate(now, usegmt=True)}\r\nContent-Type: text/xml\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def main() -> None:
    """Says its port, then serves until it is killed."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
