"""Runs a program with the daemon's credentials in its environment, for what can take them from nowhere else.

By default this process becomes the program. What has to outlive its credentials is started again with newer ones, by a
supervisor that hands signals on and reaps orphans, since it may be PID 1: nothing that goes wrong with the credentials
ends the program, only their replacement does.
"""

import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import NoReturn, Self

from sidecar.bypass import outranking
from sidecar.errors import ClientError, NotYet
from sidecar.formats import Document

Ask = Callable[[], Document]
Clock = Callable[[], float]
Say = Callable[[str], None]

# The second name of the session token is boto's old one, which botocore reads first.
_GIVEN = {
    "AWS_ACCESS_KEY_ID": "AccessKeyId",
    "AWS_SECRET_ACCESS_KEY": "SecretAccessKey",
    "AWS_SESSION_TOKEN": "Token",
    "AWS_SECURITY_TOKEN": "Token",
    "AWS_CREDENTIAL_EXPIRATION": "Expiration",
    "AWS_ACCOUNT_ID": "AccountId",
}
# Seconds between two questions before there is a program: the sidecar takes about one to start.
_PAUSE = 0.2
# Seconds between two while one runs: its credentials have a minute left, and the daemon asks STS no more often for it.
_AGAIN = 5.0
# Seconds left to start a program again, beside those that the former one has to end in.
_SPARE = 60.0
# The longest wait: what is due is an instant of wall time, which suspend and corrections move. No timer is set to 0.
_LONGEST, _SHORTEST = 60.0, 0.001
# What shells say of a program that a signal ended, less its number, that is not there, that cannot be executed.
_BY_SIGNAL, _NOT_FOUND, _NOT_EXECUTABLE = 128, 127, 126

# What Python ignores for its own sake; a program expects the default.
_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)
# What asks a program to end: while it waits for credentials, or is ended anyway, nothing follows it.
_ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
# Job control stops us together with the program, and faults are our own; the two that no process can catch are no part.
_OURS = {
    *(signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGKILL, signal.SIGSTOP),
    *(signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS),
}
_CAUGHT = signal.valid_signals() - _OURS - {*_IGNORED}
# What a terminal sends to its whole foreground group, so to the program as well; the kernel says that it was it, and so
# it does where a wait of ours is over.
_BY_KERNEL, _KERNEL = {signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH, signal.SIGALRM}, 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The credentials that a program was given, got at `since`; instants are Unix seconds."""

    fields: Document = field(repr=False)
    since: float
    expiration: float

    @classmethod
    def of(cls, fields: Document, since: float) -> Self:
        """What the daemon answered at `since`; raises ClientError where that says no instant of expiration."""
        try:
            expiration = datetime.fromisoformat(fields["Expiration"]).timestamp()
        except ValueError:
            raise ClientError("the sidecar's answer has no usable Expiration") from None
        return cls(fields=fields, since=since, expiration=expiration)

    def due(self, grace: float) -> float:
        """When to ask for newer ones: in time to end a program in `grace` seconds, but not before half their life."""
        return max(self.expiration - grace - _SPARE, (self.since + self.expiration) / 2)

    def is_outlived_by(self, other: Self) -> bool:
        """Whether `other` are different credentials, and worth starting a program again."""
        return other.expiration > self.expiration and other.fields["AccessKeyId"] != self.fields["AccessKeyId"]


def environment(environ: Mapping[str, str], fields: Document) -> dict[str, str]:
    """`environ` with the credentials, and without what would outrank them."""
    hidden = outranking(environ)
    kept = {name: text for name, text in environ.items() if name not in hidden}
    return kept | {name: fields[key] for name, key in _GIVEN.items()}


def is_forwarded(number: int, code: int) -> bool:
    """Whether the program has to be told of a caught signal; `code` is its `si_code`."""
    return number != signal.SIGCHLD and not (number in _BY_KERNEL and code == _KERNEL)


def run(
    command: Sequence[str],
    ask: Ask,
    environ: Mapping[str, str],
    *,
    seconds: float,
    grace: float | None,
    clock: Clock,
    wall: Clock,
    say: Say,
) -> int:
    """Runs `command` once there are credentials, and answers its exit code: 128+n where signal n ended it.

    `ask` is asked again for `seconds` while it says NotYet. `grace`: None where the program is never started again, and
    then this process becomes it; else the seconds that it has to end in. `clock` never steps, `wall` is Unix time.
    Raises ClientError.
    """

    def heard(sentence: str) -> None:
        with suppress(OSError):  # nobody reads stderr: no reason to end
            say(sentence)

    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _CAUGHT)
    first = _first(ask, seconds=seconds, clock=clock, wall=wall, say=heard)
    if isinstance(first, int):
        return first
    if hidden := outranking(environ):
        heard(f"{command[0]} gets other credentials, so not these of the environment: {', '.join(hidden)}")
    try:
        if grace is None:
            _become(command, environment(environ, first.fields), mask)
        return _Supervisor(command, ask, environ, mask, grace, clock, wall, heard).run(first)
    except OSError as error:  # nothing but a start raises it
        heard(f"{command[0]}: {error.strerror}")
        is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        return _NOT_FOUND if is_missing else _NOT_EXECUTABLE


def _first(ask: Ask, *, seconds: float, clock: Clock, wall: Clock, say: Say) -> Held | int:
    """The first credentials, or the exit code where a signal ends the wait for them."""
    deadline, said, held = clock() + seconds, False, None
    while True:
        try:
            held = Held.of(ask(), wall())
        except NotYet as error:
            if deadline <= clock():
                raise
            if not said:
                say(f"waiting up to {seconds:g} s, since {error}")
            said = True
        # Also when there is nothing to wait for: PID 1 would lose what came meanwhile.
        pause = 0.0 if held else min(_PAUSE, max(deadline - clock(), 0.0))
        signal.sigtimedwait((), pause)  # where a stop outlasts it, Python answers with a signal that nobody sent
        if caught := signal.sigtimedwait(_ENDING | {signal.SIGHUP}, 0):
            return _BY_SIGNAL + caught.si_signo
        if held:
            return held


def _become(command: Sequence[str], environ: Mapping[str, str], mask: Iterable[int]) -> NoReturn:
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.execvpe(command[0], [*command], environ)  # noqa: S606 -- that is what it is for


@dataclass(frozen=True, slots=True)
class _Supervisor:
    """Programs one after the other, each with newer credentials; the arguments are those of `run`."""

    command: Sequence[str]
    ask: Ask
    environ: Mapping[str, str]
    mask: Iterable[int]
    grace: float
    clock: Clock
    wall: Clock
    say: Say

    def run(self, held: Held) -> int:
        """The exit code of the last one: it ended by itself, or because somebody else wanted it."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored no child has an exit code
        while True:
            child = self._start(held)
            seen = self._watch(child, held)
            if not isinstance(seen, Held):
                return seen
            if (code := self._retire(child)) is not None:
                return code
            held = seen

    def _start(self, held: Held) -> int:
        # In our own process group: a terminal reaches it as if we were not there.
        environ = environment(self.environ, held.fields)
        return os.posix_spawnp(self.command[0], [*self.command], environ, setsigmask=self.mask, setsigdef=_IGNORED)

    def _watch(self, child: int, held: Held) -> int | Held:
        """The exit code of the program, or the credentials that the next one is to have."""
        newer, due = None, held.due(self.grace)
        while (code := _reaped(child)) is None:
            if newer:
                return newer
            if self._caught(child, due - self.wall()) == signal.SIGTERM:
                due = inf
            elif (now := self.wall()) >= due:
                is_told, due = due > held.due(self.grace), now + _AGAIN
                newer = self._newer(held, is_told=is_told)
        return code

    def _newer(self, held: Held, *, is_told: bool) -> Held | None:
        try:
            other = Held.of(self.ask(), self.wall())
            if held.is_outlived_by(other):
                until = other.fields["Expiration"]
                self.say(f"{self.command[0]} is ended and started again with credentials until {until}")
                return other
            reason = "the sidecar has none yet"
        except ClientError as error:
            reason = str(error)
        if not is_told:
            until = held.fields["Expiration"]
            self.say(f"no newer credentials for {self.command[0]}, which goes on with those until {until}: {reason}")
        return None

    def _retire(self, child: int) -> int | None:
        """Ends the program; its exit code if somebody else wanted it to end meanwhile."""
        deadline, is_ending = self.clock() + self.grace, False
        _send(child, signal.SIGTERM)
        while (code := _reaped(child)) is None:
            if self._caught(child, deadline - self.clock()) in _ENDING:
                deadline, is_ending = inf, True
            elif self.clock() >= deadline:
                self.say(f"{self.command[0]} did not end in {self.grace:g} s and is killed")
                _send(child, signal.SIGKILL)
                deadline = inf
        return code if is_ending else None

    def _caught(self, child: int, wait: float) -> int:
        """The signal that came, handed on to the program; after `wait` seconds that of our own timer comes."""
        signal.setitimer(signal.ITIMER_REAL, min(max(wait, _SHORTEST), _LONGEST))
        caught = signal.sigwaitinfo(_CAUGHT)
        if is_forwarded(caught.si_signo, caught.si_code):
            _send(child, caught.si_signo)
        return caught.si_signo


def _send(child: int, number: int) -> None:
    with suppress(PermissionError):  # it has become another user's
        os.kill(child, number)


def _reaped(child: int) -> int | None:
    """Reaps what has ended, orphans too, since PID 1 inherits them; the exit code of `child` where it is among them."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return None
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return _BY_SIGNAL - code if code < 0 else code
