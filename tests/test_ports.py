"""Two runs side by side, each of which is given ports: by chance they would soon have one in common."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from tests.house import ROOT
from tests.ports import free_port

MANY = 400
_GIVES = f"from tests.ports import free_port; print(*(free_port() for _ in range({MANY})), flush=True); input()"


def test_no_two_processes_are_given_the_same_port() -> None:
    with ExitStack() as stack:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", _GIVES]
        both = [
            stack.enter_context(subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True))
            for _ in range(2)
        ]
        given = [port for each in both if each.stdout for port in each.stdout.readline().split()]
        for each in both:
            each.communicate("\n")
    assert len({*given}) == len(given) == 2 * MANY


def test_whoever_knows_the_port_may_listen_on_it_again_and_again() -> None:
    port = free_port()
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            pass
        with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
            pass
