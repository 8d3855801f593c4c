"""The command line: our only clock, chance, environment and argv.

Each command is a row of `COMMANDS`; a command imports what it needs when it is called, so that `probe` and `get`
start fast and `--help` needs nothing.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from math import inf
from pathlib import Path
from typing import Any

from sidecar import __version__, config
from sidecar.errors import ConfigError, SidecarError
from sidecar.formats import FORMS, document
from sidecar.model import Outside
from sidecar.rules import Illegal
from sidecar.settings import ANY_HOST, SETTINGS, Address, pick
from sidecar.values import Setting, Values, unknown

OK, FAILED, MISCONFIGURED, INTERRUPTED = 0, 1, 2, 130  # 130: what shells say of a program ended by Ctrl-C

_ABOUT = "Serves the credentials of an AWS role to a pod, by a role chain that begins with its projected token."
EXIT_CODES = "exit codes: 0 it worked; 1 it failed while running; 2 the configuration cannot work"

_Argument = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Command:
    """A name, what it does, the settings that are its flags, further arguments.

    The docstring of what it does is its help; where that answers no exit code, it is OK.
    """

    name: str
    perform: Callable[[argparse.Namespace, Mapping[str, str]], int | None]
    settings: tuple[Setting, ...] = ()
    arguments: tuple[_Argument, ...] = ()

    @property
    def help(self) -> str:
        """What it is for: a sentence, and sometimes more of them."""
        return " ".join((self.perform.__doc__ or "").split())


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and answers the exit code."""
    args = parser().parse_args(argv)
    flags = {setting.name: value for setting in SETTINGS if (value := getattr(args, setting.name, None))}
    try:
        return args.perform(args, flags) or OK
    except SidecarError as error:
        _complain(str(error).splitlines())
        return MISCONFIGURED if isinstance(error, ConfigError) else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _give(text: str) -> int:
    """Writes it to standard output, whatever the locale; FAILED where nobody reads it to its end: `head` does not."""
    try:
        with open(1, "wb", closefd=False) as out:
            out.write(text.encode(errors="backslashreplace"))
    except BrokenPipeError:
        return FAILED
    except OSError as error:
        raise SidecarError(f"standard output cannot be written: {error.strerror}") from None
    return OK


def _complain(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        print(f"credential-sidecar: {sentence}", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    whole = argparse.ArgumentParser("credential-sidecar", description=_ABOUT, epilog=EXIT_CODES, allow_abbrev=False)
    whole.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        places = [form.get("metavar", f"[{name.upper()}]") for name, form in command.arguments if name[0] != "-"]
        usage = " ".join(["%(prog)s [options]", *places])
        how: dict[str, Any] = {"usage": usage, "description": command.help, "epilog": EXIT_CODES, "allow_abbrev": False}
        one = commands.add_parser(command.name, help=command.help.split(". ")[0].rstrip("."), **how)
        for name, form in command.arguments:
            one.add_argument(name, **form)
        for title, settings in groupby((each for each in command.settings if each.flag), lambda each: each.group):
            group = one.add_argument_group(title)
            for each in settings:
                names = " or ".join(filter(None, (each.name, each.aws)))
                meaning = f"{each.meaning.replace('`', '')} ({names}{each.default and f'; default {each.default}'})"
                group.add_argument(each.flag, dest=each.name, metavar="VALUE", help=meaning)
        one.set_defaults(perform=command.perform)
    return whole


def _run(_: argparse.Namespace, flags: Mapping[str, str]) -> int:
    """Run the daemon: keep every target's credentials fresh and serve them. SIGHUP asks for a refresh now, SIGTERM ends
    it after the drain."""
    resolved = config.resolve(flags, os.environ)
    from sidecar import daemon, process

    return process.run(daemon.run(resolved, _outside()))


def _once(args: argparse.Namespace, flags: Mapping[str, str]) -> int:
    """Walk the chain once and print the credentials."""
    resolved = config.resolve(flags, os.environ)
    import asyncio

    from sidecar import daemon

    found = document(asyncio.run(daemon.once(resolved, _outside(), args.target)))
    return _give(f"{FORMS[args.format](found)}\n")


def _get(args: argparse.Namespace, flags: Mapping[str, str]) -> int:
    """Ask the running daemon for credentials and print them: as it is, the credential_process of a profile in a
    container whose image holds this program."""
    from sidecar import client

    return _give(FORMS[args.format](client.ask(*config.resolve_client(flags, os.environ, args.target))) + "\n")


def _exec(args: argparse.Namespace, flags: Mapping[str, str]) -> int:
    """Run a program with the running daemon's credentials in its environment. For what can take them from nowhere else,
    in containers whose image holds this program too. Variables that would outrank the credentials are not handed on.
    The exit code is the program's: 128 and the number of the signal that ended it, 127 where it is not found, 126 where
    it cannot be executed. What outlives the credentials of its environment has to be started again with newer ones."""
    if not args.command[0]:
        raise ConfigError.of("CMD", "", "command line", "the program has no name", "Is a variable empty?")
    if args.grace is not None and not args.restart_before_expiration:
        wrong, remedy = "nothing is ended without --restart-before-expiration", "Add that flag, or leave this one out."
        raise ConfigError.of("--grace", f"{args.grace:g}", "command line", wrong, remedy)
    asking = config.resolve_client(flags, os.environ, args.target)
    from sidecar import client, workload

    grace = _GRACE if args.grace is None else args.grace
    return workload.run(
        args.command,
        partial(client.ask, *asking),
        os.environ,
        seconds=args.seconds,
        grace=grace if args.restart_before_expiration else None,
        clock=time.monotonic,
        wall=time.time,
        say=lambda sentence: _complain((sentence,)),
    )


def _probe(args: argparse.Namespace, flags: Mapping[str, str]) -> None:
    """Ask the status listener whether all is well, from where HTTP cannot be sent. A refused connection is tried again
    until the time is up."""
    from sidecar.probe import probe

    (address,) = config.read(flags, os.environ, "SIDECAR_STATUS_LISTEN")
    host = "localhost" if address.host in ANY_HOST else address.host
    answer = probe(host, address.port, args.path, seconds=args.seconds, clock=time.monotonic, sleep=time.sleep)
    status = answer.decode("ascii", "replace")
    how = (
        f"with {status}: /status there says why" if status else "not at all: has the daemon this SIDECAR_STATUS_LISTEN?"
    )
    if status != "200":
        raise SidecarError(f"{address} answers {args.path} {how}")


def _config(_: argparse.Namespace, flags: Mapping[str, str]) -> int:
    """Print every setting, its value and where it comes from. Of a secret it says only whether it is set."""
    origins = Values(SETTINGS, flags, os.environ).origins
    width, lines = max(map(len, origins)), ""
    for each in origins.values():
        value = ("set" if each.by else "unset") if each.is_secret else " ".join((each.text or "").split())
        lines += f"{each.name:<{width}}  {each.source:<34}  {value}".rstrip() + "\n"
    given = _give(lines)
    _complain(config.resolve(flags, os.environ).warnings)
    return given


def _iam(args: argparse.Namespace, flags: Mapping[str, str]) -> int:
    """Print what IAM must hold in every account of the chain: for this configuration and the token's claims. AWS is not
    asked. Where there is no token, say --issuer, --audience and --subject."""
    resolved = config.resolve(flags, os.environ)
    from sidecar import iam

    said = iam.Said.parse({name: getattr(args, name) for name in ("issuer", "audience", "subject")})
    text, notes = iam.describe(resolved, args.format, said, target=args.target, account=args.account)
    _complain(notes)
    return _give(f"{text}\n")


def _doctor(args: argparse.Namespace, flags: Mapping[str, str]) -> int:
    """Look at everything that is commonly wrong, in order, from the settings to the workload's environment, and say
    what was seen, why it matters and the exact fix. STS is asked for real, as the daemon does. The exit code says whose
    the first problem is: 2 settings, 3 token, 4 the way to STS, 5 clock, 6 IAM, 7 the credential endpoint, 8 the
    workload; 0 where there is none."""
    from sidecar import doctor, iam
    from sidecar.doctor import disk, report, runbook

    if args.explain is not None:
        return _give(runbook.explain(args.explain))
    container = disk.container(args.pid, args.environ)
    found = doctor.examine(flags, os.environ, _outside(), iam.pieces, target=args.target, container=container)
    return _give(f"{report.RENDER[args.format](found)}\n") or report.code(found)


def _inject(args: argparse.Namespace, _: Mapping[str, str]) -> int:
    """Add to manifests what the pods of their workloads lack to ask the sidecar. Of all workloads but those whose pods
    are labelled credential-sidecar.io/inject: "false"; what a pod wants is said by its annotations. The manifests go to
    standard output, what was done to standard error. Needs an extra: pip install 'credential-sidecar[kube]'."""
    with _extra("kube", "inject"):
        from sidecar.kube import injection, manifests, streams
    inject = partial(injection.inject, injector=_injector(args))
    given = streams.gather(args.files, sys.stdin)
    injected, sentences = manifests.inject_all(given, inject, is_labelled_only=args.labelled)
    _complain(sentences)
    return _give((streams.diff if args.diff else streams.joined)(injected))


def _webhook(args: argparse.Namespace, flags: Mapping[str, str]) -> int:
    """Serve the admission webhook: give each pod that asks for it what it lacks. The certificate is read again when it
    is replaced. SIGTERM ends it after the drain. Needs an extra: pip install 'credential-sidecar[kube]'."""
    values = Values(SETTINGS, flags, os.environ)
    values.problems |= dict.fromkeys(unknown(os.environ, values.origins))
    status, drain, level, form = (values[name] for name in _REVIEWING)
    values.check()
    from sidecar import log, process

    with _extra("kube", "the webhook"):
        from sidecar.kube import cluster, webhook
        from sidecar.kube.reviews import Reviewer

    injector, source = _injector(args), values.origins["SIDECAR_STATUS_LISTEN"].source
    options = webhook.Options(
        image=injector.image,
        tls_dir=args.tls_dir,
        reviews=webhook.Place(address=args.listen, setting="--listen", source="command line"),
        status=webhook.Place(address=status, setting="SIDECAR_STATUS_LISTEN", source=source),
        drain=drain,
    )
    doubt = cluster.doubt(os.environ)
    return process.run(webhook.run(options, Reviewer(injector), _outside(), log.subscriber(level, form), doubt))


def _injector(args: argparse.Namespace) -> Any:
    from sidecar.kube.injection import Injector

    return Injector.told(args.image, args.set, _outside().random_token)


def _demo(args: argparse.Namespace, _: Mapping[str, str]) -> int:
    """See it work on this machine, against an embedded STS. Needs an extra: pip install 'credential-sidecar[demo]'."""
    with _extra("demo", "the demo"):
        from sidecar import demo
    return demo.main(is_once=args.once)


@contextmanager
def _extra(name: str, who: str) -> Iterator[None]:
    """What is imported in it came with that extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        remedy = f"pip install 'credential-sidecar[{name}]'"
        raise SidecarError(f"{who} needs the package {error.name}: {remedy}") from None


def _outside() -> Outside:
    import random
    import secrets

    boot = secrets.token_hex(16)  # a boot without a name is never recognised again
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    # Seconds since boot, the time of suspend included where the system can say it.
    clock = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
    token = partial(secrets.token_urlsafe, 32)  # 256 bits in 43 characters
    return Outside(clock=clock, wall=time.time, chance=random.random, random_token=token, boot=boot)


def _address(text: str) -> Address:
    """An address and a port, as SIDECAR_STATUS_LISTEN has them."""
    try:
        address: Address = pick("SIDECAR_STATUS_LISTEN")[0].parse(text)
        return address
    except Illegal as illegal:
        raise argparse.ArgumentTypeError(f"{text!r} is {illegal.wrong}. {illegal.remedy}") from None


def _said(text: str) -> tuple[str, str]:
    """A name and what is said of it."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE; write for instance region=eu-central-1")
    return name, value


def _seconds(text: str) -> float:
    """A number of seconds, finite and not negative."""
    with suppress(ValueError):
        if 0 <= float(text) < inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds; write for instance 10")


_TARGET: _Argument = ("--target", {"metavar": "NAME", "help": "which target; default the first"})
_FORM, _PROCESS = (
    ("--format", {"choices": [*FORMS], "default": form, "help": f"default {form}"})
    for form in ("json", "credential-process")
)
_PATH: _Argument = ("path", {"nargs": "?", "default": "/readyz", "help": "default /readyz; or /livez, /readyz/TARGET"})
# What kubelet gives a probe by default is one second; a sidecar that is starting needs a little longer.
_SECONDS: _Argument = ("--seconds", {"type": _seconds, "default": 5.0, "metavar": "N", "help": "default 5"})
_PROGRAM: _Argument = ("command", {"nargs": "+", "metavar": "-- CMD [ARG ...]", "help": "the program to run"})
_RESTART = "end the program with SIGTERM a minute before its credentials expire and start it again with newer ones"
_GRACE = 10.0  # a third of what kubelet gives a pod
_SUPERVISION: tuple[_Argument, ...] = (
    ("--restart-before-expiration", {"action": "store_true", "help": _RESTART}),
    ("--grace", {"type": _seconds, "metavar": "N", "help": f"seconds from there to SIGKILL; default {_GRACE:g}"}),
)
# A pod's containers start together, and the first credentials are two calls to STS away.
_PATIENCE = {"type": _seconds, "default": 60.0, "metavar": "N", "help": "how long to wait for credentials; default 60"}

_LANGUAGES = ("json", "cloudformation", "terraform", "cli")
_LANGUAGE: _Argument = ("--format", {"choices": _LANGUAGES, "default": "json", "help": "default json"})
_NEEDED: tuple[_Argument, ...] = (
    ("--target", {"metavar": "NAME", "help": "which target; default all of them"}),
    _LANGUAGE,
    ("--account", {"metavar": "ID", "help": "which account; default every one of the chain"}),
    ("--issuer", {"metavar": "URL", "help": "the cluster's issuer; default the token's"}),
    ("--audience", {"metavar": "NAME", "help": "the audience of the projected volume; default the token's"}),
    ("--subject", {"metavar": "NAME", "help": "system:serviceaccount:NAMESPACE:NAME; default the token's"}),
)

_LOOKING: tuple[_Argument, ...] = (
    ("--target", {"metavar": "NAME", "help": "which target; default all of them"}),
    ("--format", {"choices": ("text", "json"), "default": "text", "help": "default text"}),
    ("--pid", {"type": int, "metavar": "N", "help": "a process of the workload, whose environment is looked at"}),
    ("--environ", {"metavar": "FILE", "help": "or a file with that environment, as `env` prints it"}),
    ("--explain", {"metavar": "CODE", "help": "print what the runbook has on a code, event or alert; look at nothing"}),
)
# What an injector is told for all pods.
_INJECTION: tuple[_Argument, ...] = (
    ("--image", {"metavar": "IMAGE", "help": "the sidecar's; default credential-sidecar and the version"}),
    (
        "--set",
        {
            "action": "append",
            "type": _said,
            "default": [],
            "metavar": "NAME=VALUE",
            "help": "an annotation without its prefix, for pods that do not have it (may be said more than once)",
        },
    ),
)
_LABELLED = 'only those whose pods are labelled credential-sidecar.io/inject: "true"'
_FILES = {"nargs": "*", "metavar": "[FILE ...]", "help": "YAML or JSON; - for standard input, as without any"}
_MANIFESTS: tuple[_Argument, ...] = (
    ("--labelled", {"action": "store_true", "help": _LABELLED}),
    ("--diff", {"action": "store_true", "help": "print what changes, as a unified diff, instead of the manifests"}),
    ("files", _FILES),
)
_TLS_DIR, _REVIEWS = "/etc/credential-sidecar/tls", "*:9943"
_LISTENING: tuple[_Argument, ...] = (
    ("--tls-dir", {"default": _TLS_DIR, "metavar": "DIR", "help": f"holds tls.crt and tls.key; default {_TLS_DIR}"}),
    (
        "--listen",
        {"type": _address, "default": _REVIEWS, "metavar": "ADDRESS", "help": f"for reviews; default {_REVIEWS}"},
    ),
)
_REVIEWING = ("SIDECAR_STATUS_LISTEN", "SIDECAR_DRAIN", "SIDECAR_LOG_LEVEL", "SIDECAR_LOG_FORMAT")

# What a single walk needs.
_WALKING = ("The chain", "How STS is reached", "SIDECAR_LOG_LEVEL", "SIDECAR_LOG_FORMAT")

COMMANDS = (
    Command("run", _run, SETTINGS),
    Command("once", _once, pick(*_WALKING), (_TARGET, _FORM)),
    Command("get", _get, pick(*config.ASKING), (_TARGET, _PROCESS)),
    Command("exec", _exec, pick(*config.ASKING), (_TARGET, *_SUPERVISION, ("--seconds", _PATIENCE), _PROGRAM)),
    Command("probe", _probe, pick("SIDECAR_STATUS_LISTEN"), (_PATH, _SECONDS)),
    Command("config", _config, SETTINGS),
    Command("iam", _iam, pick("The chain", "AWS_REGION"), _NEEDED),
    Command("doctor", _doctor, SETTINGS, _LOOKING),
    Command("inject", _inject, (), (*_INJECTION, *_MANIFESTS)),
    Command("webhook", _webhook, pick(*_REVIEWING), (*_INJECTION, *_LISTENING)),
    Command("demo", _demo, (), (("--once", {"action": "store_true", "help": "end after the first credentials"}),)),
)
