"""`python -m sidecar.emulator`: the two accounts of the EKS guide on loopback, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sidecar.emulator import Emulator, Kubelet, guide_world


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted; exit 1 where the port cannot be had."""
    options = _parser().parse_args(arguments)
    try:
        asyncio.run(_serve(options))
    except KeyboardInterrupt:
        return 0
    except OSError as wrong:
        print(f"cannot start: {wrong}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sidecar.emulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--mode", choices=("chained", "direct"), default="chained", help="which way of the guide")
    parser.add_argument(
        "--issued-life", type=float, metavar="SECONDS", help="sessions live no longer than this (>= 90)"
    )
    parser.add_argument(
        "--rotate", type=float, metavar="SECONDS", help="project a new token this often (default: once)"
    )
    parser.add_argument("--directory", type=Path, help="where the token is projected (default: a temporary directory)")
    parser.add_argument("--proxy", action="store_true", help="be an HTTPS proxy for the public names of STS too")
    return parser


async def _serve(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="emulator-token-") as temporary:
        universe = partial(guide_world, mode=options.mode)
        async with Emulator(universe, port=options.port, proxy=options.proxy) as sts:
            sts.issued_life = options.issued_life
            kubelet = Kubelet(options.directory or temporary, sts)
            kubelet.project()
            _announce(sts, kubelet, proxy=options.proxy)
            while True:
                await asyncio.sleep(options.rotate or 3600)
                if options.rotate:
                    kubelet.project()


def _announce(sts: Emulator, kubelet: Kubelet, *, proxy: bool) -> None:
    lines = [("AWS_ENDPOINT_URL_STS", sts.url), ("AWS_WEB_IDENTITY_TOKEN_FILE", kubelet.path)]
    if proxy:
        lines = [("HTTPS_PROXY", sts.proxy_url), ("AWS_CA_BUNDLE", sts.ca_file), lines[1]]
    roles = (role.arn for account in sts.world.accounts for role in account.roles)
    print(f"# issuer {sts.issuer}", *(f"# role {arn}" for arn in roles), sep="\n")
    print(*(f"export {name}={value}" for name, value in lines), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
