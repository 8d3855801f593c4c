from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sidecar.errors import ConfigError, Problem
from sidecar.sockets import bind_any, bind_loopback
from tests.ports import free_port

WHY = {"setting": "SIDECAR_LISTEN", "source": "the environment"}
# What this host is asked for in another network namespace, and how each namespace gets to be what it is.
NAMESPACES = {
    "IPv4 alone": ["ip link set lo up", "sysctl -qw net.ipv6.conf.all.disable_ipv6=1"],
    "IPv6 alone": ["ip link set lo up", "ip address del 127.0.0.1/8 dev lo"],
    "both": ["ip link set lo up"],
}
# Binds `*`, connects to both loopback addresses and prints the families that were answered.
SCRIPT = """
import socket
from sidecar.sockets import bind_any

held = bind_any("*", 0, setting="S", source="test")
port = held[0].getsockname()[1]
for host in ("127.0.0.1", "::1"):
    try:
        socket.create_connection((host, port), timeout=2).close()
        print(host)
    except OSError:
        pass
"""

# Binds any port of `*`, where all but one are taken in one of the families, and prints those that were found.
CROWDED = """
import socket
from sidecar.sockets import bind_any

taken = [socket.create_server(("127.0.0.1", port)) for port in (40000, 40001, 40002)]
found = set()
for _ in range(16):
    held = bind_any("*", 0, setting="S", source="test")
    found |= {sock.getsockname()[1] for sock in held}
    for sock in held:
        sock.close()
print(found)
"""
NAMESPACED = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip") or not shutil.which("sysctl"),
    reason="wants root and a network namespace: run as root with util-linux, iproute2 and procps installed",
)


def namespaced(script: str, *prepared: str) -> str:
    """What a Python script prints in a network namespace of its own, once that is prepared."""
    run = subprocess.run(
        ["unshare", "--net", "sh", "-c", f'{" && ".join(prepared)} && exec "$0" -c "$1"', sys.executable, script],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare failed" in run.stderr:
        pytest.skip("this root may make no network namespace: run with CAP_SYS_ADMIN")
    assert run.stderr == ""
    return run.stdout


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


def problem(caught: pytest.ExceptionInfo[ConfigError]) -> Problem:
    (found,) = caught.value.problems
    return found


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1"])
def test_r1_the_credential_listener_takes_every_loopback_address(host: str) -> None:
    (sock,) = bind_loopback(host, 0, **WHY)
    with sock:
        assert sock.getsockname()[0] == host
        assert not sock.getblocking()
        with socket.create_connection((host, sock.getsockname()[1]), timeout=2):
            pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "169.254.170.2", "192.0.2.1", "2001:db8::1"])
def test_r1_the_credential_listener_refuses_every_other_address(host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bind_loopback(host, 9911, **WHY)
    found = problem(caught)
    assert (found.setting, found.source) == ("SIDECAR_LISTEN", "the environment")
    assert "loopback" in found.wrong


def test_a_port_in_use_is_an_error_that_names_the_setting_and_who_may_hold_it(taken: int) -> None:
    with pytest.raises(ConfigError) as caught:
        bind_loopback("127.0.0.1", taken, **WHY)
    found = problem(caught)
    assert (found.setting, found.value) == ("SIDECAR_LISTEN", f"127.0.0.1:{taken}")
    assert "address already in use" in found.wrong
    assert "hostNetwork" in found.remedy


def test_the_status_port_in_use_on_one_family_is_an_error_and_leaks_no_socket(taken: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ConfigError):
        bind_any("*", taken, **WHY)
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_address_that_this_host_lacks_is_an_error() -> None:
    with pytest.raises(ConfigError) as caught:
        bind_any("192.0.2.1", 0, **WHY)
    assert "no such address" in problem(caught).remedy


def test_r24_a_port_is_taken_back_while_old_connections_linger() -> None:
    port = free_port()  # or somebody may be given it in between
    (first,) = bind_loopback("127.0.0.1", port, **WHY)
    first.setblocking(True)
    client = socket.create_connection(("127.0.0.1", port), timeout=2)
    served, _ = first.accept()
    served.close()  # the server closes first, so TIME_WAIT is its own
    client.close()
    first.close()
    (second,) = bind_loopback("127.0.0.1", port, **WHY)
    assert second.getsockname()[1] == port
    second.close()


def test_every_address_of_both_families_gets_one_port() -> None:
    with ExitStack() as stack:
        sockets = [stack.enter_context(sock) for sock in bind_any("*", 0, **WHY)]
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
        assert {sock.family for sock in sockets} == {socket.AF_INET, socket.AF_INET6}


def test_a_single_status_address_is_bound_alone() -> None:
    (sock,) = bind_any("127.0.0.1", 0, **WHY)
    with sock:
        assert sock.getsockname()[0] == "127.0.0.1"


@NAMESPACED
@pytest.mark.parametrize(
    ("host", "answering"),
    [("IPv4 alone", "127.0.0.1\n"), ("IPv6 alone", "::1\n"), ("both", "127.0.0.1\n::1\n")],
    ids=list(NAMESPACES),
)
def test_the_status_listener_answers_on_every_kind_of_host(host: str, answering: str) -> None:
    assert namespaced(SCRIPT, *NAMESPACES[host]) == answering


@NAMESPACED
def test_any_port_is_one_that_is_free_in_both_families() -> None:
    few = "sysctl -qw net.ipv4.ip_local_port_range='40000 40003'"
    assert namespaced(CROWDED, *NAMESPACES["both"], few) == "{40003}\n"
