"""The way to STS: name, route, authority, proxy and region, each broken for itself; and the clock."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sidecar.emulator import Fault
from sidecar.remedies import remedy
from tests.doctor.clinic import MARKS, Clinic, Report, clinic
from tests.ports import free_port
from tests.process import run

pytestmark = MARKS

NAME = "sts.eu-west-1.amazonaws.com"


def cut_off(home: Path, hosts: str) -> tuple[str, ...]:
    """A command that runs another in a network that is loopback alone, where the names of `hosts` are known."""
    private = (
        ["unshare", "--net", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net", "--mount"]
    )
    if subprocess.run([*private, "ip", "link", "set", "lo", "up"], check=False, capture_output=True).returncode:
        pytest.skip("no network namespace here: apt install iproute2, and run as root or allow user namespaces")
    (home / "hosts").write_text(f"127.0.0.1 localhost\n{hosts}")
    script = 'ip link set lo up && mount --bind "$0" /etc/hosts && exec "$@"'
    return (*private, "sh", "-c", script, str(home / "hosts"))


async def named(here: Clinic, code: str) -> Report:
    """Doctor names it first; the daemon, too, has its sentence for what cannot be reached."""
    async with here.daemon() as running:
        line = await running.event("HopFailed", hop=1)
        error = None if here.prefix else await here.error(running)
    report = await here.examine()
    assert (report.code, report.cause["code"]) == (4, code), report.text
    assert line["code"] in ("ConnectionError", "Timeout")
    assert error is None or error["message"] == line["hint"]
    assert line["hint"] in report.cause["why"]
    assert [each["code"] for each in report.problems] == [code], report.text
    return report


@pytest.mark.parametrize(
    ("hosts", "code"),
    [
        ("", "sts-name"),
        ("192.0.2.1 sts.us-east-1.amazonaws.com\n", "region-unknown"),
        (f"192.0.2.1 {NAME}\n", "sts-route"),
        (f"127.0.0.1 {NAME}\n", "sts-route"),
    ],
    ids=["DNS", "a name for another region alone", "no route", "nobody listens"],
)
async def test_22_name_and_route_are_told_apart(tmp_path: Path, hosts: str, code: str) -> None:
    async with clinic(tmp_path, is_proxied=True) as here:
        way = {name: here.settings[name] for name in ("HTTPS_PROXY", "AWS_CA_BUNDLE")}
        here.settings |= dict.fromkeys(way, "")
        here.prefix = cut_off(tmp_path, hosts)
        report = await named(here, code)
        assert NAME in report.said()
        here.prefix = ()
        here.settings |= way
        await here.recover()


async def test_22_an_authority_that_is_not_trusted(tmp_path: Path) -> None:
    async with clinic(tmp_path, is_proxied=True) as here:
        authority, here.settings["AWS_CA_BUNDLE"] = here.settings["AWS_CA_BUNDLE"], ""
        report = await named(here, "sts-authority")
        assert any(paste.startswith("AWS_CA_BUNDLE=") for paste in report.pastes)
        here.settings["AWS_CA_BUNDLE"] = authority
        await here.recover()


async def test_22_a_file_of_authorities_that_is_not_there(tmp_path: Path) -> None:
    async with clinic(tmp_path, {"AWS_CA_BUNDLE": str(tmp_path / "nowhere.pem")}, is_proxied=True) as here:
        report = await here.examine()
        assert report.cause["code"] == "sts-authority"
        wrong = f"the file of trusted authorities {tmp_path}/nowhere.pem cannot be used: no such file or directory"
        assert report.cause["seen"].endswith(wrong)
        assert [step["says"].split(",")[0] for step in report.cause["fix"]] == ["Mount it there"]


async def test_22_a_proxy_that_nobody_listens_on_and_one_that_refuses(tmp_path: Path) -> None:
    async with clinic(tmp_path, is_proxied=True) as here:
        proxy = here.settings["HTTPS_PROXY"]
        here.settings["HTTPS_PROXY"] = f"http://user:a-very-secret-password@127.0.0.1:{free_port()}"
        report = await named(here, "sts-proxy")
        assert "a-very-secret-password" not in report.text + report.said()
        here.settings |= {"HTTPS_PROXY": proxy, "AWS_ENDPOINT_URL_STS": "https://sts.example.com"}
        report = await named(here, "sts-proxy")
        assert "with 403" in report.cause["seen"]
        assert "NO_PROXY=sts.example.com" in report.pastes
        here.settings["AWS_ENDPOINT_URL_STS"] = ""
        await here.recover()


async def test_21_no_region(tmp_path: Path) -> None:
    async with clinic(tmp_path, {"AWS_REGION": ""}) as here:
        report = await here.examine()
        assert (report.code, report.cause["code"]) == (2, "region-missing")
        async with here.daemon(is_listening=False) as running:  # without a page to show it
            assert await running.ended() == 2
        assert report.cause["seen"] in "".join(running.lines)
        here.settings["AWS_REGION"] = "eu-west-1"
        await here.recover()


async def test_nothing_of_botocore_is_loaded_for_what_is_wrong_before_sts() -> None:
    program = "import sys; from sidecar.cli import main; code = main(['doctor']); "
    program += "sys.exit(f'{code}' + ' '.join(sorted({'asyncio', 'botocore', 'aiohttp'} & {*sys.modules})))"
    code, _, error = await run("-c", program, settings={})
    assert (code, error) == (1, "2\n")


async def test_every_problem_with_the_settings_is_said_and_nothing_else_is_looked_at(tmp_path: Path) -> None:
    async with clinic(tmp_path, {"SIDECAR_DURATION": "7200", "SIDECAR_LISTEN": "0.0.0.0:1"}) as here:
        report = await here.examine()
        assert not here.sts.calls
    assert report.code == 2
    assert [each["code"] for each in report.problems] == ["settings-wrong"] * 2


@pytest.mark.parametrize("seconds", [600.0, -600.0], ids=["the node is behind", "the node is ahead"])
async def test_23_a_clock_that_is_ten_minutes_off(tmp_path: Path, seconds: float) -> None:
    async with clinic(tmp_path) as here:
        now = int(here.sts.wall())
        here.kubelet.project(here.kubelet.mint(iat=now - 3600, nbf=now - 3600))  # the API server's clock is AWS's
        here.sts.skew = seconds
        async with here.daemon() as running:
            line = await running.event("Skewed")
            report = await here.examine()
        assert (report.code, report.cause["code"]) == (5, "clock-skewed"), report.text
        said, logged = report.cause["seen"].split(" s ahead", 1)[1], line["message"].split(" s ahead", 1)[1]
        assert said == logged  # but for the second that passed
        assert "SignatureDoesNotMatch" not in report.text  # it follows from the clock
        here.sts.skew = 0.0
        await here.recover()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.hang(), "timeout"),
        (Fault.reset(), "connectionerror"),
        (Fault.garbage(), "badanswer"),
        (Fault.error("Throttling"), "throttling"),
        (Fault.short(30), "shortsession"),
        (Fault.impostor("arn:aws:sts::111122223333:assumed-role/other-role/x"), "wrongidentity"),
    ],
)
async def test_an_sts_that_is_reached_and_does_not_answer_as_it_should(fault: Fault, code: str, tmp_path: Path) -> None:
    async with clinic(tmp_path) as here:
        here.sts.fault = fault
        report = await here.examine()
        assert (report.code, report.cause["code"]) == (4, code), report.text
        assert report.cause["seen"].endswith(remedy(report.cause["seen"].split(": ")[1], 1))
        here.sts.fault = Fault.none()
        await here.recover()


async def test_an_endpoint_url_that_is_none_is_said_by_daemon_and_doctor(tmp_path: Path) -> None:
    async with clinic(tmp_path, {"AWS_ENDPOINT_URL_STS": "sts.eu-west-1.amazonaws.com"}) as here:
        report = await here.examine()
        assert (report.code, report.cause["code"]) == (2, "settings-wrong")
        async with here.daemon(is_listening=False) as running:
            assert await running.ended() == 2
        assert report.cause["seen"] in "".join(running.lines)
