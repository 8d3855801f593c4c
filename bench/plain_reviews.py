"""The webhook to compare with: a `web.Application` over TLS that reads a review and allows it, without a patch."""

from __future__ import annotations

import ssl
import sys

from aiohttp import web


def main(port: int, certificate: str, key: str) -> None:
    """Serves until it is killed; says a line when it listens."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def pods(request: web.Request) -> web.Response:
        review = await request.json()
        response = {"uid": review["request"]["uid"], "allowed": True}
        return web.json_response({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response})

    app = web.Application()
    app.router.add_post("/v1/pods", pods)
    web.run_app(
        app,
        host="127.0.0.1",
        port=port,
        ssl_context=context,
        access_log=None,
        print=lambda *_: print("listening", flush=True),
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
