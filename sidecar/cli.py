"""The command line: our only clock, chance, environment and argv.

Each command is a row of `COMMANDS`; a command imports what it needs when it is called, so that `probe` and `get`
start fast and `--help` needs nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar import __version__, config
from sidecar import settings as s
from sidecar.errors import ConfigError, SidecarError
from sidecar.formats import Form, document, render
from sidecar.values import Origin, Setting

if TYPE_CHECKING:
    from sidecar.model import Outside

OK, FAILED, MISCONFIGURED, INTERRUPTED = 0, 1, 2, 130  # 130: what shells say of a program ended by Ctrl-C

_ABOUT = (
    "Walks an AWS role chain from a pod's projected service-account token and serves the last role's credentials to "
    "the pod, on a loopback container-credentials endpoint."
)
EXIT_CODES = (
    f"exit codes: {OK} it worked; {FAILED} it failed while running; {MISCONFIGURED} the configuration cannot work, "
    "and every problem is on stderr"
)

_Argument = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Command:
    """One command: what it does (the docstring is its help), the settings that are its flags, further arguments."""

    perform: Callable[[argparse.Namespace, Mapping[str, str]], int]
    settings: tuple[Setting, ...] = ()
    arguments: tuple[_Argument, ...] = ()

    @property
    def name(self) -> str:
        """What is typed."""
        return self.perform.__name__.removeprefix("_")

    @property
    def help(self) -> str:
        """What it is for: a sentence, and sometimes more of them."""
        return " ".join((self.perform.__doc__ or "").split())


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and answers the exit code."""
    args = parser().parse_args(argv)
    flags = {setting.name: value for setting in s.SETTINGS if (value := getattr(args, setting.name, None))}
    try:
        return int(args.perform(args, flags))
    except ConfigError as error:
        print(*(f"credential-sidecar: {problem}" for problem in error.problems), sep="\n", file=sys.stderr)
        return MISCONFIGURED
    except SidecarError as error:
        print(f"credential-sidecar: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    whole = argparse.ArgumentParser("credential-sidecar", description=_ABOUT, epilog=EXIT_CODES, allow_abbrev=False)
    whole.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        usage = " ".join(
            ("%(prog)s [options]", *(f"[{name.upper()}]" for name, _ in command.arguments if name[0] != "-"))
        )
        texts: dict[str, Any] = {"usage": usage, "description": command.help, "epilog": EXIT_CODES}
        one = commands.add_parser(
            command.name, help=command.help.split(". ")[0].rstrip("."), allow_abbrev=False, **texts
        )
        for name, how in command.arguments:
            one.add_argument(name, **how)
        _add_settings(one, command.settings)
        one.set_defaults(perform=command.perform)
    return whole


def _add_settings(one: argparse.ArgumentParser, settings: Iterable[Setting]) -> None:
    for name, members in groupby((each for each in settings if each.flag), lambda each: each.group):
        group = one.add_argument_group(name)
        for each in members:
            source = " or ".join(filter(None, (each.name, each.aws)))
            default = each.default and f"; default {each.default}"
            meaning = f"{each.meaning.replace('`', '')} ({source}{default})"
            group.add_argument(each.flag, dest=each.name, metavar="VALUE", help=meaning)


def _run(_: argparse.Namespace, flags: Mapping[str, str]) -> int:
    """Run the daemon: keep every target's credentials fresh and serve them. SIGHUP asks for a refresh now, SIGTERM ends
    it after the drain."""
    resolved = config.resolve(flags, os.environ)
    import asyncio

    from sidecar import daemon

    return asyncio.run(daemon.run(resolved, _outside()))


def _once(args: argparse.Namespace, flags: Mapping[str, str]) -> int:
    """Walk the chain once and print the credentials."""
    resolved = config.resolve(flags, os.environ)
    import asyncio

    from sidecar import daemon

    session = asyncio.run(daemon.once(resolved, _outside(), args.target))
    print(render(document(session), Form(args.format)))
    return OK


def _get(args: argparse.Namespace, flags: Mapping[str, str]) -> int:
    """Ask the running daemon for credentials and print them. For containers whose image holds this program; the form
    credential-process suits a profile of an AWS config file."""
    resolved = config.resolve_client(flags, os.environ, args.target)
    from sidecar import client

    print(render(client.ask(resolved), Form(args.format)))
    return OK


def _probe(args: argparse.Namespace, flags: Mapping[str, str]) -> int:
    """Ask the status listener whether all is well, from where HTTP cannot be sent. A refused connection is tried again
    until the time is up."""
    address = config.resolve_status(flags, os.environ)
    from sidecar.probe import probe

    host = "localhost" if address.host in s.ANY_HOST else address.host
    is_good = probe(host, address.port, args.path, seconds=args.seconds, clock=time.monotonic, sleep=time.sleep)
    return OK if is_good else FAILED


def _config(args: argparse.Namespace, flags: Mapping[str, str]) -> int:
    """Print every setting, its value and where it comes from. Of a secret it says only whether it is set."""
    origins = config.origins(flags, os.environ)
    rows = [(each.name, each.source, _seen(each)) for each in origins]
    if args.format == "json":
        print(json.dumps([dict(zip(("setting", "source", "value"), row, strict=True)) for row in rows], indent=2))
    else:
        wide = max(len(source) for _, source, _ in rows)
        for name, source, value in rows:
            print(f"{name:<28}  {source:<{wide}}  {' '.join((value or '').split())}".rstrip())
    for warning in config.resolve(flags, os.environ).warnings:
        print(f"credential-sidecar: {warning}", file=sys.stderr)
    return OK


def _seen(origin: Origin) -> str | None:
    """The value as `config` shows it: whole, and of a secret only whether there is one."""
    if origin.is_secret:
        return "set" if origin.by else "unset"
    return origin.text


def _demo(args: argparse.Namespace, _: Mapping[str, str]) -> int:
    """See it work on this machine, against an embedded STS. Needs an extra: pip install 'credential-sidecar[demo]'."""
    try:
        from sidecar import demo
    except ModuleNotFoundError as error:
        raise SidecarError(f"the demo needs the package {error.name}: pip install 'credential-sidecar[demo]'") from None
    return demo.main(is_once=args.once)


def _outside() -> Outside:
    import random
    import secrets

    from sidecar.model import Outside

    return Outside(
        clock=_boottime,
        wall=time.time,
        chance=random.random,
        random_token=lambda: secrets.token_urlsafe(32),  # 256 bits in 43 characters
        boot=_boot() or secrets.token_hex(16),  # a boot without a name is never recognised again
    )


def _boottime() -> float:
    """Seconds since boot, the time of suspend included where the system can say it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


_TARGET: _Argument = ("--target", {"metavar": "NAME", "help": "which target; default the first"})
_FORM: _Argument = ("--format", {"choices": [*Form], "default": Form.JSON, "help": "default json"})
_TABLE: _Argument = ("--format", {"choices": ["text", "json"], "default": "text", "help": "default text"})
_PATH: _Argument = ("path", {"nargs": "?", "default": "/readyz", "help": "default /readyz; or /livez, /readyz/TARGET"})
# What kubelet gives a probe by default is one second; a sidecar that is starting needs a little longer.
_SECONDS: _Argument = ("--seconds", {"type": float, "default": 5.0, "metavar": "N", "help": "default 5"})
_ENDS: _Argument = ("--once", {"action": "store_true", "help": "end by itself after the first credentials"})

COMMANDS = (
    Command(_run, s.SETTINGS),
    Command(
        _once, tuple(each for each in s.SETTINGS if each.group in s.WALKING or "_LOG_" in each.name), (_TARGET, _FORM)
    ),
    Command(_get, s.pick("SIDECAR_LISTEN", "SIDECAR_AUTHORIZATION", "SIDECAR_AUTHORIZATION_DIR"), (_TARGET, _FORM)),
    Command(_probe, s.pick("SIDECAR_STATUS_LISTEN"), (_PATH, _SECONDS)),
    Command(_config, s.SETTINGS, (_TABLE,)),
    Command(_demo, (), (_ENDS,)),
)
