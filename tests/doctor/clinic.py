"""A pod to be examined: STS and its world, a projected token, a daemon, and the doctor as a real process."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from typing import Any, Final

import pytest

from sidecar.emulator import Account, Emulator, Kubelet, OidcProvider, World, guide_world
from tests.harness import usual_settings
from tests.iam.test_shell import commands
from tests.leaks import leaks
from tests.ports import free_port
from tests.process import PATIENCE, ROOT, Sidecar, environment, sidecar
from tests.wire import ask, last

MARKS: Final = pytest.mark.doctor
DOCTOR: Final = ("-m", "sidecar", "doctor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one examination said, and its exit code."""

    code: int
    text: str
    findings: tuple[Mapping[str, Any], ...]

    @property
    def problems(self) -> list[Mapping[str, Any]]:
        """The findings with ✗, in order."""
        return [each for each in self.findings if each["state"] == "problem"]

    @property
    def cause(self) -> Mapping[str, Any]:
        """The first of them."""
        assert self.problems, self.text
        return self.problems[0]

    @property
    def pastes(self) -> list[str]:
        """What the cause gives to paste, in order."""
        return [step["paste"] for step in self.cause["fix"] if step["paste"]]

    def said(self) -> str:
        """All that is said of the cause."""
        return json.dumps(self.cause, ensure_ascii=False)


@dataclass(slots=True, kw_only=True)
class Clinic:
    """One pod; `settings` may be changed between examinations, as the pod's spec would be."""

    sts: Emulator
    kubelet: Kubelet
    home: Path
    settings: dict[str, str]
    prefix: tuple[str, ...] = ()

    async def examine(self, *arguments: str) -> Report:
        """The doctor's word in both forms, by two processes, in which no secret may be."""
        (code, text), report = await asyncio.gather(self._run(*arguments), self._examine(*arguments))
        assert code == report.code
        assert not leaks(text, self.secrets)
        return replace(report, text=text)

    async def recover(self, *arguments: str) -> None:
        """Examined again nothing is wrong, and there is no advice."""
        healthy(await self._examine(*arguments))

    async def _examine(self, *arguments: str) -> Report:
        code, said = await self._run(*arguments, "--format", "json")
        assert not leaks(said, self.secrets)
        document = json.loads(said)
        assert document["exit"] == code
        return Report(code=code, text=said, findings=tuple(document["findings"]))

    @property
    def secrets(self) -> set[str]:
        """Tokens of every kind, and every key that was issued."""
        held = {path.read_text() for path in self.home.glob("authorization/*/token")}
        if self.kubelet.path.is_file() and len(token := self.kubelet.path.read_text()) > 100:
            held.add(token)
        return {each for each in held if len(each) > 15} | self.sts.secrets

    async def _run(self, *arguments: str) -> tuple[int, str]:
        command = (*self.prefix, sys.executable, *DOCTOR, *arguments)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, env=environment(self.settings), cwd=ROOT, stdout=pipe, stderr=pipe
        )
        async with asyncio.timeout(2 * PATIENCE):  # it starts, and STS may be silent for five seconds
            out, error = await process.communicate()
        assert error == b"", error.decode()
        return process.returncode or 0, out.decode()

    @asynccontextmanager
    async def daemon(self, *, is_listening: bool = True) -> AsyncIterator[Sidecar]:
        """The sidecar beside it."""
        async with sidecar(self.settings, *self.prefix, is_listening=is_listening) as running:
            yield running

    async def error(self, running: Sidecar) -> Mapping[str, Any]:
        """What `/status` says is wrong with the only target; the page says it in the same words."""
        document: Any = (await ask(running.port("status"), last("/status"))).document
        error: Mapping[str, Any] = document["targets"][0]["error"]
        page = unescape((await ask(running.port("status"), last("/"))).body.decode())
        assert {error["code"], error["message"], error["runbook"]} <= {*re.findall(r">([^<]+)</", page)}
        return error

    def apply(self, pastes: Sequence[str]) -> None:
        """Does what was given to paste: commands of the AWS CLI to the world, variables to the pod's spec."""
        for paste in pastes:
            for operation, options in commands(paste):
                self.sts.world = CHANGES[operation](self.sts.world, options)
            if paste.startswith(("SIDECAR_", "AWS_")) and "…" not in paste:
                name, _, value = paste.partition("=")
                self.settings[name] = value


@asynccontextmanager
async def clinic(
    home: Path,
    settings: Mapping[str, str] | None = None,
    universe: Callable[[str], World] = guide_world,
    *,
    is_proxied: bool = False,
) -> AsyncIterator[Clinic]:
    """A healthy pod whose sidecar has a port that is known beforehand."""
    async with AsyncExitStack() as stack:
        sts = await stack.enter_async_context(Emulator(universe, proxy=is_proxied))
        kubelet = Kubelet(home / "projected", sts)
        kubelet.project()
        usual = {**usual_settings(home, sts.url, kubelet.path), "SIDECAR_LISTEN": f"127.0.0.1:{free_port()}"}
        if is_proxied:
            usual |= {"HTTPS_PROXY": sts.proxy_url, "AWS_CA_BUNDLE": str(sts.ca_file), "AWS_ENDPOINT_URL_STS": ""}
        yield Clinic(sts=sts, kubelet=kubelet, home=home, settings={**usual, **(settings or {})})


def healthy(report: Report) -> None:
    """Nothing wrong, and no advice."""
    assert report.code == 0, report.text
    assert "✗" not in report.text
    assert [each for each in report.findings if each.get("fix") or each["state"] == "problem"] == []


def _account(world: World, number: str, **changes: Any) -> World:
    return replace(
        world, accounts=tuple(replace(each, **changes) if each.id == number else each for each in world.accounts)
    )


def _of(world: World, role: str) -> Any:
    (found,) = [each for account in world.accounts for each in account.roles if each.arn.endswith(f"/{role}")]
    return found


def _home(world: World) -> Account:
    """Where the first hop's role is."""
    return world.accounts[0]


def _make_provider(world: World, given: Mapping[str, Any]) -> World:
    made = OidcProvider(issuer=given["Url"], audiences=tuple(given["ClientIDList"]))
    return _account(world, _home(world).id, providers=(*_home(world).providers, made))


def _add_audience(world: World, given: Mapping[str, Any]) -> World:
    (held,) = _home(world).providers
    assert given["OpenIDConnectProviderArn"].endswith(held.issuer.partition("://")[2])
    return _account(world, _home(world).id, providers=(replace(held, audiences=(*held.audiences, given["ClientID"])),))


def _trust(world: World, given: Mapping[str, Any]) -> World:
    return world.with_role(replace(_of(world, given["RoleName"]), trust=json.loads(given["PolicyDocument"])))


def _permit(world: World, given: Mapping[str, Any]) -> World:
    policy = json.loads(given["PolicyDocument"])
    return world.with_role(replace(_of(world, given["RoleName"]), permissions=(policy,)))


def _lengthen(world: World, given: Mapping[str, Any]) -> World:
    return world.with_role(replace(_of(world, given["RoleName"]), max_session_duration=given["MaxSessionDuration"]))


CHANGES: Final[Mapping[str, Callable[[World, Mapping[str, Any]], World]]] = {
    "create-open-id-connect-provider": _make_provider,
    "add-client-id-to-open-id-connect-provider": _add_audience,
    "update-assume-role-policy": _trust,
    "put-role-policy": _permit,
    "update-role": _lengthen,
}
