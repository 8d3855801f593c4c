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
    from sidecar.daemon import Outside

OK, FAILED, MISCONFIGURED, INTERRUPTED = 0, 1, 2, 130  # 130: what shells say of a program ended by Ctrl-C

EXIT_CODES = (
    f"exit codes: {OK} it worked; {FAILED} it failed while running; {MISCONFIGURED} the configuration cannot work, "
    "and every problem is on stderr"
)

# What kubelet gives a probe by default is one second; a sidecar that is starting needs a little longer.
_PROBE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command: what it is for, the settings that are its flags, and what it does with them."""

    name: str
    summary: str
    more: str = ""
    operand: str = ""
    settings: tuple[Setting[Any], ...] = ()
    arguments: Callable[[argparse.ArgumentParser], object] = lambda _: None
    perform: Callable[[argparse.Namespace, Mapping[str, str]], int]


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
    whole = argparse.ArgumentParser(
        prog="credential-sidecar",
        description="Walks an AWS role chain from a pod's projected service-account token and serves the last "
        "role's credentials to the pod, on a loopback container-credentials endpoint.",
        epilog=EXIT_CODES,
        allow_abbrev=False,
    )
    whole.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        summary = command.summary[0].upper() + command.summary[1:]
        one = commands.add_parser(
            command.name,
            usage=f"%(prog)s [options]{command.operand}",
            help=command.summary,
            description=f"{summary}. {command.more}".strip(),
            epilog=EXIT_CODES,
            allow_abbrev=False,
        )
        command.arguments(one)
        _add_settings(one, command.settings)
        one.set_defaults(perform=command.perform)
    return whole


def _add_settings(one: argparse.ArgumentParser, settings: Iterable[Setting[Any]]) -> None:
    for name, rows in groupby(settings, lambda setting: setting.row.group):
        group = one.add_argument_group(name)
        for setting in rows:
            if setting.flag:
                row = setting.row
                source = f"{' or '.join(filter(None, (row.name, row.aws)))}{row.default and f'; default {row.default}'}"
                meaning = row.meaning.replace("`", "")
                group.add_argument(setting.flag, dest=setting.name, metavar="VALUE", help=f"{meaning} ({source})")


def _run(_: argparse.Namespace, flags: Mapping[str, str]) -> int:
    resolved = config.resolve(flags, os.environ)
    import asyncio

    from sidecar import daemon

    return asyncio.run(daemon.run(resolved, _outside()))


def _once(args: argparse.Namespace, flags: Mapping[str, str]) -> int:
    resolved = config.resolve(flags, os.environ)
    import asyncio

    from sidecar import daemon

    session = asyncio.run(daemon.once(resolved, _outside(), args.target))
    print(render(document(session), Form(args.format)))
    return OK


def _get(args: argparse.Namespace, flags: Mapping[str, str]) -> int:
    resolved = config.resolve_client(flags, os.environ, args.target)
    from sidecar import client

    print(render(client.ask(resolved), Form(args.format)))
    return OK


def _probe(args: argparse.Namespace, flags: Mapping[str, str]) -> int:
    address = config.resolve_status(flags, os.environ)
    from sidecar.probe import probe

    host = "localhost" if address.host in s.ANY_HOST else address.host
    is_good = probe(host, address.port, args.path, seconds=args.seconds, clock=time.monotonic, sleep=time.sleep)
    return OK if is_good else FAILED


def _config(args: argparse.Namespace, flags: Mapping[str, str]) -> int:
    origins = config.origins(flags, os.environ)
    shown = [{"setting": each.setting.name, "value": _seen(each), "source": each.where} for each in origins]
    if args.format == "json":
        print(json.dumps(shown, indent=2))
    else:
        widths = [max(len(row[column] or "") for row in shown) for column in ("setting", "source")]
        for row in shown:
            name, source = (row["setting"] or "").ljust(widths[0]), (row["source"] or "").ljust(widths[1])
            print(f"{name}  {source}  {' '.join((row['value'] or '').split())}".rstrip())
    for warning in config.resolve(flags, os.environ).warnings:
        print(f"credential-sidecar: {warning}", file=sys.stderr)
    return OK


def _seen(origin: Origin) -> str | None:
    """The value as `config` shows it: whole, and of a secret only whether there is one."""
    if origin.setting.is_secret:
        return "set" if origin.is_set else "unset"
    return origin.text


def _demo(args: argparse.Namespace, _: Mapping[str, str]) -> int:
    try:
        from sidecar import demo
    except ModuleNotFoundError as error:
        raise SidecarError(f"the demo needs the package {error.name}: pip install 'credential-sidecar[demo]'") from None
    return demo.main(is_once=args.once)


def _outside() -> Outside:
    import random
    import secrets

    from sidecar.daemon import Outside

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


def _credentials_arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument("--target", metavar="NAME", help="which target; default the first")
    one.add_argument("--format", choices=[*Form], default=Form.JSON, help="default json")


def _probe_arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "path", nargs="?", default="/readyz", metavar="PATH", help="default /readyz; or /livez, or /readyz/TARGET"
    )
    one.add_argument("--seconds", type=float, default=_PROBE_SECONDS, metavar="N", help=f"default {_PROBE_SECONDS:g}")


def _config_arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument("--format", choices=["text", "json"], default="text", help="default text")


def _demo_arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument("--once", action="store_true", help="end by itself after the first refresh")


_CHAIN = s.SETTINGS[: s.SETTINGS.index(s.LISTEN)]

COMMANDS: tuple[Command, ...] = (
    Command(
        name="run",
        summary="the daemon: keep every target's credentials fresh and serve them",
        more="SIGHUP asks for a refresh now, SIGTERM ends it after the drain.",
        settings=s.SETTINGS,
        perform=_run,
    ),
    Command(
        name="once",
        summary="walk the chain once and print the credentials",
        settings=(*_CHAIN, s.LOG_LEVEL, s.LOG_FORMAT),
        arguments=_credentials_arguments,
        perform=_once,
    ),
    Command(
        name="get",
        summary="ask the running daemon for credentials and print them",
        more="For containers whose image holds this program; `--format credential-process` suits a profile of an "
        "AWS config file.",
        settings=(s.LISTEN, s.AUTHORIZATION, s.AUTHORIZATION_DIR),
        arguments=_credentials_arguments,
        perform=_get,
    ),
    Command(
        name="probe",
        summary="ask the status listener whether it is ready, for places that cannot send HTTP themselves",
        more="A refused connection is tried again until the time is up.",
        operand=" [PATH]",
        settings=(s.STATUS_LISTEN,),
        arguments=_probe_arguments,
        perform=_probe,
    ),
    Command(
        name="config",
        summary="print every setting, its value and where it comes from",
        more="Of a secret it says only whether it is set.",
        settings=s.SETTINGS,
        arguments=_config_arguments,
        perform=_config,
    ),
    Command(
        name="demo",
        summary="see it work on this machine, against an embedded STS",
        more="Needs the extra: pip install 'credential-sidecar[demo]'.",
        arguments=_demo_arguments,
        perform=_demo,
    ),
)
