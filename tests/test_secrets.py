"""No secret in any output: whole lives at debug level, crashes in every module, and a search of all that they left."""

from __future__ import annotations

import ast
import asyncio
import base64
import json
import signal
import sys
import traceback
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from sidecar import events, log
from sidecar.emulator import Emulator, Fault, Kubelet, guide_world
from sidecar.events import Event
from tests.harness import Life, in_virtual_time, usual_settings
from tests.leaks import files, leaks
from tests.process import PATIENCE, ROOT, environment, run, sidecar
from tests.test_outages import OUTAGES
from tests.wire import ask, get, last

DEBUG = {"SIDECAR_LOG_LEVEL": "debug", "SIDECAR_LOG_FORMAT": "json"}


@pytest.mark.parametrize(
    "leak",
    [
        lambda s: s,
        lambda s: s[:30],
        lambda s: repr({"Token": s}),
        json.dumps,
        lambda s: quote(s, safe=""),
        lambda s: base64.b64encode(b"Token: " + s.encode()).decode(),
        lambda s: base64.urlsafe_b64encode(b"Bearer " + s.encode()).decode(),
        lambda s: s.encode().hex(),
    ],
    ids=["plain", "cut", "repr", "json", "percent", "base64", "urlsafe", "hex"],
)
def test_the_search_finds_what_is_planted(leak: object) -> None:
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    assert callable(leak)
    assert leaks(f"a line with {leak(secret)} in it", [secret])
    assert not leaks("a line with nothing in it", [secret])


@pytest.mark.usefixtures("_logging")
@in_virtual_time
async def test_a_life_with_every_fault_leaves_no_secret_anywhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").mkdir()
    settings = {**DEBUG, **_every_face(tmp_path)}
    observe = log.subscriber("debug", "json")
    async with Life(tmp_path, settings, issued_life=150, observe=observe) as life:
        secrets = {life.kubelet.path.read_text(), life.authorization().reveal()}
        seen: list[str] = []
        pages: list[str] = []
        for outage in OUTAGES.values():
            await life.until(lambda: life.is_served, within=400)
            assert (await life.request()).status == 200
            life.sts.fault = outage.fault
            secrets.add(life.kubelet.project())
            await life.passes(200)
            await _look_around(life, seen)
            pages += [(await life.status(path)).body.decode() for path in ("/", "/status", "/metrics")]
            life.sts.fault = Fault.none()
            life.kubelet.project("garbage that is no token")
            await life.passes(3)
            secrets.add(life.kubelet.project())
        seen += [repr(life.events), repr(life.daemon.refresher.ledger), repr(life.config), str(life.config)]
        seen += [repr(vars(life.daemon)), repr(vars(life.daemon.refresher))]
    secrets |= life.sts.secrets
    out, error = capfd.readouterr()
    assert error.count('"event": "HopFailed"') > len(OUTAGES)
    assert len(secrets) > 50
    assert not leaks("\n".join([out, error, files(tmp_path), *seen, *pages]), secrets)
    assert not leaks("\n".join(pages), _for_the_log_alone(life.events))


def _for_the_log_alone(happened: Iterable[Event]) -> set[str]:
    """What joins us to CloudTrail and what the token says: the status has none of it."""
    facts = (fact for event in happened for fact in events.facts(event).items())
    found = {(name, value) for name, value in facts if name in events.DISCREET}
    assert {name for name, _ in found} == events.DISCREET
    values = {str(each) for _, value in found for each in (value if isinstance(value, tuple) else (value,))}
    return values | {"shop.orders-7d4b9c-xk2lp"}


async def _look_around(life: Life, seen: list[str]) -> None:
    """Everything that can be asked for without a right to credentials, and what errors say to those who have it."""
    paths = ("/", "/livez", "/readyz", "/metrics", "/status", "/nowhere")
    seen += [(await life.status(path)).body.decode() for path in paths]
    wrong, proxied = (
        last("/v1/credentials", "Authorization: wrong"),
        get("http://a/v1/credentials", "Connection: close"),
    )
    for head in (wrong, proxied, last("/v1/credentials/other"), b"\0\r\n\r\n"):
        response = await life.raw(head)
        assert response.status >= 400
        seen.append(repr(response))
    refused = await life.request()
    assert refused.status in (403, 503)
    seen.append(refused.body.decode())


async def test_a_running_process_shows_no_secret_to_its_neighbours(tmp_path: Path) -> None:
    async with Emulator(guide_world) as sts:
        kubelet = Kubelet(tmp_path / "projected", sts)
        given = "given-by-the-operator-0123456789"
        secrets = {kubelet.project(), given}
        settings = {**usual_settings(tmp_path, sts.url, kubelet.path), **DEBUG, "SIDECAR_AUTHORIZATION_TOKEN": given}
        async with sidecar(settings) as running:
            await running.served()
            proc = Path(f"/proc/{running.process.pid}")
            visible = [(proc / name).read_text() for name in ("cmdline", "comm", "status")]
            limits = (proc / "limits").read_text()
            code, out, error = await run("-m", "sidecar", "config", settings=settings)
            assert code == 0, error
            code, _, said = await run("-m", "sidecar", "once", "--log-level", "debug", settings=settings)
            assert code == 0, said
        core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
        assert set(core.removeprefix("Max core file size").split()[:2]) <= {"0", "1"}
        everything = "\n".join([*visible, out, error, said, *running.lines, files(tmp_path)])
        assert not leaks(everything, secrets | sts.secrets)
        # What was given by a variable stands in the environment, and nothing else does.
        assert not leaks(repr(settings).replace(given, ""), secrets | sts.secrets)


# Runs the command line with a statement at the head of every function of one module, which raises once a file is there,
# and says so.
REACHED = "reached on purpose\n"
CRASHING = """
import ast, importlib.abc, importlib.util, os, sys
module, flag, mark = sys.argv[1:4]
HEAD = ast.parse("__import__('builtins').crash()").body[0]

class Heads(ast.NodeTransformer):
    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        first = 1 if ast.get_docstring(node) is not None else 0
        node.body.insert(first, HEAD)
        return node
    visit_AsyncFunctionDef = visit_FunctionDef

class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name != module:
            return None
        sys.meta_path.remove(self)
        self.origin = importlib.util.find_spec(name).origin
        return importlib.util.spec_from_file_location(name, self.origin, loader=self)
    def create_module(self, spec):
        return None
    def exec_module(self, made):
        with open(self.origin, encoding="utf-8") as file:
            tree = ast.fix_missing_locations(Heads().visit(ast.parse(file.read())))
        exec(compile(tree, self.origin, "exec"), made.__dict__)

def crash():
    if os.path.exists(flag):
        os.write(2, mark.encode())
        raise RuntimeError("forced")

import builtins
builtins.crash = crash
sys.meta_path.insert(0, Finder())
from sidecar.cli import main
sys.exit(main(sys.argv[4:]))
"""

# Real seconds for what follows from it; whoever lives on is ended.
GRACE = 0.5
# What runs as it is imported or before there is anything to serve, and the commands that have modules of their own.
EARLY = {"cli", "config", "events", "settings", "values", "rules", "profiles", "files", "sockets", "authorization"}
EARLY |= {"bypass"}
COMMANDS = {
    "client": ("get",),
    "formats": ("once",),
    "probe": ("probe",),
    "workload": ("exec", "--seconds", "0.1", "--", "true"),
}
# What only the webhook comes through; it holds no secret of AWS's.
OF_THE_WEBHOOK = {"body", "tls"}
MODULES = sorted(
    path.stem
    for path in (ROOT / "sidecar").glob("*.py")
    if not path.stem.startswith(("__", "demo"))
    and path.stem not in OF_THE_WEBHOOK
    and any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(ast.parse(path.read_text())))
)


@pytest.mark.timeout(600)  # four dozen processes, three at a time
async def test_a_crash_in_any_module_prints_no_secret(tmp_path: Path) -> None:
    turns = asyncio.Semaphore(3)

    async def crashed(module: str) -> list[str]:
        async with turns:
            return await _crash(module, tmp_path / module)

    found = await asyncio.gather(*(crashed(module) for module in MODULES))
    assert {module: leaked for module, leaked in zip(MODULES, found, strict=True) if leaked} == {}


async def _crash(module: str, home: Path) -> list[str]:
    """What leaks when the functions of `module` raise in the middle of a life."""
    home.mkdir()
    (home / "state").mkdir()
    flag = home / "flag"
    async with Emulator(guide_world) as sts:
        kubelet = Kubelet(home / "projected", sts)
        secrets = {kubelet.project()}
        settings = {**usual_settings(home, sts.url, kubelet.path), **DEBUG, **_every_face(home)}
        settings |= _profiles(home, kubelet) if module in ("profiles", "files") else {}
        lives = module not in EARLY and module not in COMMANDS
        if not lives:
            flag.touch()
        arguments = (f"sidecar.{module}", str(flag), REACHED, *COMMANDS.get(module, ("run",)))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CRASHING, *arguments, env=environment(settings), cwd=ROOT, stdout=PIPE, stderr=PIPE
        )
        assert process.stderr
        lines: list[str] = []
        while line := (await process.stderr.readline()).decode():
            lines.append(line)
            if '"after": "fresh"' in line and not flag.exists():
                flag.touch()
                sts.fault = Fault.error("AccessDenied", 403)
                secrets.add(kubelet.project())
                process.send_signal(signal.SIGHUP)
                await _ask_all(lines)
                asyncio.get_running_loop().call_later(PATIENCE, _end, process)
            if line == REACHED and lives:
                asyncio.get_running_loop().call_later(GRACE, _end, process)
        out, _ = await process.communicate()
        lines.append(out.decode())
        secrets |= sts.secrets | {path.read_text() for path in home.glob("authorization/*/token")}
        return leaks("".join([*lines, files(home)]), secrets) if REACHED in lines else ["never reached"]


def _every_face(home: Path) -> dict[str, str]:
    """All that is off until it is asked for."""
    return {
        "SIDECAR_STATE_DIR": str(home / "state"),
        "SIDECAR_IMDS_LISTEN": "127.0.0.1:0",
        "SIDECAR_CREDENTIALS_FILE": str(home / "file" / "credentials"),
    }


def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()


def _profiles(home: Path, kubelet: Kubelet) -> dict[str, str]:
    role = "role_arn = arn:aws:iam::111122223333:role/account-a-role"
    (home / "config").write_text(f"[profile a]\n{role}\nweb_identity_token_file = {kubelet.path}\n")
    unset = dict.fromkeys(("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "SIDECAR_TARGET_ROLE_ARN"), "")
    return {**unset, "SIDECAR_PROFILES": "a", "AWS_CONFIG_FILE": str(home / "config")}


async def _ask_all(lines: list[str]) -> None:
    """A request to each listener that the log has named; a crash may answer it with a 500, or not at all."""
    for line in list(lines):
        fact = json.loads(line) if line.startswith("{") else {}
        for address in fact.get("addresses", ()):
            for path in ("/v1/credentials", "/", "/status", "/metrics", "/latest/meta-data"):
                with suppress(OSError, AssertionError, asyncio.IncompleteReadError):
                    lines.append((await ask(int(address.rpartition(":")[2]), last(path))).body.decode() + "\n")


def test_a_formatted_traceback_of_held_values_shows_none() -> None:
    from tests.builders import credentials

    held = credentials()
    try:
        raise RuntimeError(held)
    except RuntimeError as error:
        text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "Secret(…)" in text
    assert not leaks(text, [held.secret_access_key.reveal(), held.session_token.reveal()])
