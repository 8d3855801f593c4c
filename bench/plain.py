"""The server to compare with: a `web.Application` with one route that returns the bytes it is given on stdin."""

from __future__ import annotations

import sys

from aiohttp import web


def main(port: int) -> None:
    """Serves until it is killed; says a line when it listens."""
    body = sys.stdin.readline().rstrip("\n").encode()

    async def credentials(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/v1/credentials", credentials)
    # Without its access log, which would cost it a third of its speed.
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=lambda *_: print("listening", flush=True))


if __name__ == "__main__":
    main(int(sys.argv[1]))
