"""What the programs have in common: one call for each line of standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

Client = TypeVar("Client")


def serve(version: str, make: Callable[[], Client], call: Callable[[Client], str]) -> None:
    """Print the version, then what each call of the one client gives; until it could be made, it is made again."""
    print(version, flush=True)
    client: Client | None = None
    for _ in sys.stdin:
        try:
            client = make() if client is None else client
            said = f"ok {call(client)}"
        except Exception as wrong:  # noqa: BLE001 -- whatever a client raises is what its user sees
            said = f"error {type(wrong).__name__}: {wrong}"
        print(" ".join(said.split()), flush=True)
