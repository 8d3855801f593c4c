"""Running a program with the daemon's credentials: when it is started again by values, and everything else with real
processes, which are waited for by what they say."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidecar.cli import main
from sidecar.contract import Answer, Refusal, error
from sidecar.emulator import Emulator, Kubelet, guide_world
from sidecar.errors import ClientError
from sidecar.formats import document
from sidecar.workload import Held, environment, is_forwarded
from tests.builders import ACCOUNT_B, EXPIRATION, HOUR, REGION, session
from tests.harness import usual_settings
from tests.ports import free_port
from tests.process import CLIENT, PATIENCE, ROOT, run, sidecar
from tests.wire import serving, until

TOKEN = "an-authorization-token"
RESTART = "--restart-before-expiration"
BOTH = pytest.mark.parametrize("how", [(), (RESTART,)], ids=["replaced", "supervised"])
GIVEN = {
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_SECURITY_TOKEN", "AWS_CREDENTIAL_EXPIRATION", "AWS_ACCOUNT_ID"),
}
NOT_YET = error(503, "NotReady", "nothing yet")
# Says which signals it gets; SIGTERM it obeys.
LISTENER = """
import os, signal
heard = {signal.SIGUSR1, signal.SIGHUP, signal.SIGWINCH, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, heard)
print(os.environ["AWS_ACCESS_KEY_ID"], flush=True)
while (number := signal.sigwait(heard)) != signal.SIGTERM:
    print(number.name, flush=True)
raise SystemExit(5)
"""
LISTENING = (sys.executable, "-c", LISTENER)
# The same, and obeys the second one.
OBEYS_LATER = "print('SIGTERM', flush=True)\nsignal.sigwait({signal.SIGTERM})\nraise SystemExit(6)"
RELUCTANT = (sys.executable, "-c", LISTENER.replace("raise SystemExit(5)", OBEYS_LATER))
FIRST, SECOND = (document(session(serial=serial))["AccessKeyId"] for serial in (1, 2))


def held(*, serial: int = 1, since: float = EXPIRATION - HOUR, expiration: float = EXPIRATION) -> Held:
    """Credentials that tell by `serial` which they are."""
    return Held.of(document(session(serial=serial, expiration=expiration)), since)


@pytest.mark.parametrize(
    ("left", "grace", "before"),
    [
        (3600, 10, 70),  # an hour: a minute and the grace before it ends
        (2000, 0, 60),
        (900, 300, 360),
        (140, 10, 70),  # half of it is as much
        (90, 10, 45),  # a short one: not before half of what was left
        (30, 60, 15),
    ],
)
def test_newer_credentials_are_asked_for_in_time_but_not_before_half_the_life(
    left: float, grace: float, before: float
) -> None:
    assert held(since=EXPIRATION - left).due(grace) == EXPIRATION - before


def test_only_other_credentials_that_live_longer_are_worth_a_new_start() -> None:
    assert held().is_outlived_by(held(serial=2, expiration=EXPIRATION + 1))
    assert not held().is_outlived_by(held())
    assert not held().is_outlived_by(held(serial=2))
    assert not held().is_outlived_by(held(serial=2, expiration=EXPIRATION - 1))
    assert not held().is_outlived_by(held(expiration=EXPIRATION + 1))


def test_d16_what_is_held_does_not_print() -> None:
    assert not [secret for secret in document(session()).values() if secret in repr(held())]


def test_an_answer_without_an_instant_is_no_credentials() -> None:
    with pytest.raises(ClientError, match="no usable Expiration"):
        Held.of({**document(session()), "Expiration": "soon"}, 0.0)


def test_credentials_replace_what_would_outrank_them() -> None:
    stale = {"AWS_SECURITY_TOKEN": "stale", "AWS_PROFILE": "x", "AWS_ROLE_ARN": "x", "AMAZON_SECRET_ACCESS_KEY": "x"}
    fields = document(session())
    assert environment({**stale, "AWS_REGION": REGION, "NO_PROXY": "x"}, fields) == {
        "AWS_REGION": REGION,
        "NO_PROXY": "x",
        "AWS_ACCESS_KEY_ID": fields["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": fields["SecretAccessKey"],
        "AWS_SESSION_TOKEN": fields["Token"],
        "AWS_SECURITY_TOKEN": fields["Token"],
        "AWS_CREDENTIAL_EXPIRATION": fields["Expiration"],
        "AWS_ACCOUNT_ID": fields["AccountId"],
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH])
def test_what_the_terminal_sends_to_everybody_is_not_sent_twice(number: int) -> None:
    si_user, si_kernel = 0, 128
    assert is_forwarded(number, si_user)
    assert not is_forwarded(number, si_kernel)


def test_a_hangup_reaches_the_leader_of_the_session_alone_and_is_handed_on() -> None:
    assert is_forwarded(signal.SIGHUP, 128)


def test_the_end_of_a_wait_is_not_sent_and_an_alarm_of_somebody_else_is() -> None:
    assert not is_forwarded(signal.SIGALRM, 128)
    assert is_forwarded(signal.SIGALRM, 0)


# The command line that waits for a daemon of a test for longer than for one in a pod; and with a clock that is a file.
_PATIENT = """
import sys
from sidecar import client
from sidecar.cli import main
client.fetch.__defaults__ = (60.0,)
sys.exit(main(sys.argv[1:]))
"""
_CLOCKED = f"""
import sys, time
from pathlib import Path
file = Path(sys.argv.pop(1))
time.time = time.monotonic = lambda: float(file.read_text())
{_PATIENT}"""


class Running:
    """A running `credential-sidecar exec`, and what it says, line by line."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.said: list[str] = []

    async def line(self) -> str:
        """The next line of its standard output, which is the program's."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            return (await self.process.stdout.readline()).decode().rstrip("\n")

    async def says(self, words: str) -> str:
        """The next line of its standard error with these words."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while line := (await self.process.stderr.readline()).decode():
                self.said.append(line)
                if words in line:
                    return line
        raise AssertionError(f"it ended without {words!r}: {self.said}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> tuple[int, str, str]:
        """Its exit code, and the rest of what it said."""
        async with asyncio.timeout(PATIENCE):
            out, err = await self.process.communicate()
        return self.process.returncode or 0, out.decode(), "".join(self.said) + err.decode()


def settings(home: Path, port: int) -> dict[str, str]:
    """Where the daemon's endpoint and its authorization token are."""
    with suppress(FileExistsError):
        (home / "default").mkdir()
    (home / "default" / "token").write_text(TOKEN)
    listen = {"SIDECAR_LISTEN": f"127.0.0.1:{port}", "SIDECAR_AUTHORIZATION_DIR": str(home)}
    return {"PATH": os.environ["PATH"], **listen}


@asynccontextmanager
async def executing(environ: Mapping[str, str], *argv: str, prefix: Sequence[str] = ()) -> AsyncIterator[Running]:
    """`credential-sidecar exec` with `argv`."""
    async with started((*prefix, sys.executable, "-c", _PATIENT, "exec", *argv), environ) as running:
        yield running


def driving(argv: Sequence[str], environ: Mapping[str, str]) -> AbstractAsyncContextManager[Running]:
    """The supervisor without the command."""
    return started((sys.executable, "-c", DRIVER, *argv), environ)


@asynccontextmanager
async def started(command: Sequence[str], environ: Mapping[str, str]) -> AsyncIterator[Running]:
    """That command; nothing of it is left afterwards."""
    process = await asyncio.create_subprocess_exec(
        *command, env=environ, cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
    )
    running = Running(process)
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its own session: whatever it started is in it
        await running.ended()


async def executed(environ: Mapping[str, str], *argv: str) -> tuple[int, str, str]:
    """Exit code and output of `credential-sidecar exec`, which ends by itself."""
    async with executing(environ, *argv) as running:
        return await running.ended()


def answer(*, serial: int = 1, expiration: float = EXPIRATION) -> Answer:
    """What the daemon answers while it has those credentials."""
    return Answer.of(200, json.dumps(document(session(serial=serial, expiration=expiration))).encode())


class Daemon:
    """Gives each question the next of its answers, and the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = [*answers]

    def __call__(self, _: object) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@asynccontextmanager
async def daemon(home: Path, *answers: Answer) -> AsyncIterator[dict[str, str]]:
    """The environment of a container beside a daemon with these answers."""
    async with serving(Daemon(*answers)) as served:
        yield settings(home, served.port)


class Clock:
    """What time it is for a process that reads it in a file."""

    def __init__(self, file: Path, now: float) -> None:
        self.file = file
        self.steps_to(now)

    def steps_to(self, instant: float) -> None:
        """It is `instant`, in Unix seconds."""
        self.now = instant
        following = self.file.with_suffix(".next")
        following.write_text(str(instant))
        following.rename(self.file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervised:
    """A program with credentials that end in an hour, in time that passes when it is told to."""

    running: Running
    clock: Clock

    def passes(self, seconds: float) -> None:
        """Time passes, and is noticed: the supervisor looks at the clock with whatever happens."""
        self.clock.steps_to(self.clock.now + seconds)
        self.running.signal(signal.SIGCHLD)


@asynccontextmanager
async def restarting(home: Path, *argv: str, then: Sequence[Answer] = ()) -> AsyncIterator[Supervised]:
    """A supervised program, and a daemon that has `then` and in the end newer credentials when it is asked again."""
    clock = Clock(home / "now", EXPIRATION - HOUR)
    async with daemon(home, answer(), *then, answer(serial=2, expiration=EXPIRATION + HOUR)) as environ:
        command = (sys.executable, "-c", _CLOCKED, str(clock.file), "exec", RESTART, *argv)
        async with started(command, environ) as running:
            assert await running.line() == FIRST
            yield Supervised(running=running, clock=clock)


@BOTH
async def test_the_program_gets_the_credentials_and_nothing_that_outranks_them(
    tmp_path: Path, how: Sequence[str]
) -> None:
    stale = {"AWS_PROFILE": "p", "AWS_SECURITY_TOKEN": "stale", "AWS_ROLE_ARN": "r", "AWS_REGION": REGION}
    program = f"""import os; print(*sorted(name for name in os.environ if "AWS" in name))
assert os.environ["AWS_SECURITY_TOKEN"] == os.environ["AWS_SESSION_TOKEN"] == {document(session())["Token"]!r}"""
    (tmp_path / "program.py").write_text(program)
    async with daemon(tmp_path, answer()) as environ:
        argv = ("--target", "default", "--", sys.executable, f"{tmp_path}/program.py")
        code, out, err = await executed({**environ, **stale}, *how, *argv)
    assert (code, {*out.split()}) == (0, GIVEN | {"AWS_REGION"})
    (line,) = err.splitlines()
    assert re.search(r"not these .*: AWS_ROLE_ARN, AWS_PROFILE, AWS_SECURITY_TOKEN$", line)
    assert "stale" not in err


@BOTH
async def test_d16_secrets_are_in_the_environment_alone(tmp_path: Path, how: Sequence[str]) -> None:
    secrets = [document(session())[name] for name in ("SecretAccessKey", "Token")] + [TOKEN]
    look = "cat /proc/$PPID/cmdline /proc/$$/cmdline"
    async with daemon(tmp_path, answer()) as environ:
        code, out, err = await executed({**environ, "AWS_SESSION_TOKEN": "x"}, *how, "--", "sh", "-c", look)
    assert (code, "cmdline" in out) == (0, True)
    assert not [secret for secret in secrets if secret in out + err]


@BOTH
@pytest.mark.parametrize("number", [0, 7])
async def test_the_exit_code_is_the_programs(tmp_path: Path, how: Sequence[str], number: int) -> None:
    async with daemon(tmp_path, answer()) as environ:
        code, out, err = await executed(environ, *how, "--", "sh", "-c", f"echo one; exit {number}")
    assert (code, out, err) == (number, "one\n", "")


async def test_a_program_that_a_signal_ends_is_said_as_shells_say_it(tmp_path: Path) -> None:
    async with daemon(tmp_path, answer()) as environ:
        code, *_ = await executed(environ, RESTART, "--", "sh", "-c", "kill -USR1 $$")
        assert code == 128 + signal.SIGUSR1
        code, *_ = await executed(environ, "--", "sh", "-c", "kill -USR1 $$")
        assert code == -signal.SIGUSR1  # the process was the program


@BOTH
async def test_what_is_not_there_and_what_cannot_be_executed_end_as_in_a_shell(
    tmp_path: Path, how: Sequence[str]
) -> None:
    (tmp_path / "text").write_text("no program")
    async with daemon(tmp_path, answer()) as environ:
        missing = await executed(environ, *how, "--", "no-such-program")
        unfit = await executed(environ, *how, "--", str(tmp_path / "text"))
    assert missing == (127, "", "credential-sidecar: no-such-program: No such file or directory\n")
    assert unfit == (126, "", f"credential-sidecar: {tmp_path}/text: Permission denied\n")


async def test_no_process_stays_between_unless_it_has_to(tmp_path: Path) -> None:
    async with daemon(tmp_path, answer()) as environ:
        async with executing(environ, "--", "sh", "-c", "echo $$; read line; echo $line") as running:
            assert int(await running.line()) == running.process.pid
            assert running.process.stdin is not None
            running.process.stdin.write(b"standard input\n")
            assert await running.line() == "standard input"
        tells = (sys.executable, "-c", "import os; print(os.getppid(), os.getpgrp())")
        async with executing(environ, RESTART, "--", *tells) as running:
            parent, group = (await running.line()).split()
            assert int(parent) == int(group) == running.process.pid


@BOTH
async def test_the_program_finds_signals_as_any_program_does(tmp_path: Path, how: Sequence[str]) -> None:
    async with daemon(tmp_path, answer()) as environ:
        code, out, _ = await executed(environ, *how, "--", "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status")
    own = 1 << 31 | 1 << 32  # glibc's: its posix_spawn leaves them ignored, and its threads take them back
    masks = {name: int(mask, 16) & ~own for name, mask in (line.split(":") for line in out.splitlines())}
    assert (code, masks) == (0, {"SigBlk": 0, "SigIgn": 0})


@pytest.mark.parametrize("argv", [("exec",), ("exec", "--target", "x"), ("exec", "--")])
def test_without_a_command_the_form_is_shown(argv: Sequence[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", *argv], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "exec [options] -- CMD [ARG ...]" in done.stderr


async def test_everything_after_the_dashes_is_the_programs(tmp_path: Path) -> None:
    async with daemon(tmp_path, answer()) as environ:
        given = await executed(environ, "--target", "default", "--", "echo", "--target", "x", "--", "--help")
    assert given == (0, "--target x -- --help\n", "")


async def test_it_waits_until_the_daemon_listens_and_has_something(tmp_path: Path) -> None:
    port = free_port()
    environ = settings(tmp_path, port)
    async with executing(environ, "--", "sh", "-c", "echo $AWS_ACCESS_KEY_ID") as running:
        assert "waiting up to 60 s" in await running.says("Connection refused")
        late = socket.create_server(("127.0.0.1", port))
        async with serving(Daemon(NOT_YET, NOT_YET, answer()), sockets=[late]):
            assert await running.line() == document(session())["AccessKeyId"]
    assert len(running.said) == 1


async def test_it_waits_for_the_authorization_token_too(tmp_path: Path) -> None:
    async with serving(Daemon(answer())) as served:
        environ = {**settings(tmp_path, served.port), "SIDECAR_AUTHORIZATION_DIR": str(tmp_path / "later")}
        async with executing(environ, "--", "echo", "here") as running:
            assert "later/default/token" in await running.says("waiting")
            shutil.copytree(tmp_path / "default", tmp_path / "new" / "default")
            (tmp_path / "new").rename(tmp_path / "later")
            assert await running.line() == "here"


@pytest.mark.parametrize(
    "refusal", [Refusal.AUTHORIZATION.answer, error(403, "AccessDenied", "no"), Refusal.PATH.answer]
)
async def test_a_refusal_is_not_waited_out(tmp_path: Path, refusal: Answer) -> None:
    async with daemon(tmp_path, refusal, answer()) as environ:
        code, out, err = await executed(environ, "--", "echo", "never")
    assert (code, out) == (1, "")
    assert "the sidecar gives no credentials of default" in err


async def test_a_daemon_that_never_has_anything_is_a_failure_when_the_time_is_up(tmp_path: Path) -> None:
    async with daemon(tmp_path, NOT_YET) as environ:
        code, out, err = await executed(environ, "--seconds", "0", "--", "echo", "never")
    assert (code, out) == (1, "")
    assert "503 NotReady" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_ends_the_wait(tmp_path: Path, number: signal.Signals) -> None:
    async with executing(settings(tmp_path, free_port()), "--", "echo", "never") as running:
        await running.says("waiting")
        running.signal(number)
        code, out, _ = await running.ended()
    assert (code, out) == (128 + number, "")


async def stands_still(running: Running) -> None:
    """It is stopped while it waits, and for longer: as by Ctrl-Z, or by whoever freezes a container."""
    stat = Path(f"/proc/{running.process.pid}/stat")
    await until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "S")
    running.signal(signal.SIGSTOP)
    asyncio.get_running_loop().call_later(0.5, running.signal, signal.SIGCONT)


async def test_a_wait_that_was_stopped_is_ended_by_no_signal(tmp_path: Path) -> None:
    port = free_port()
    async with executing(settings(tmp_path, port), "--", "echo", "here") as running:
        await running.says("waiting")
        await stands_still(running)
        async with serving(Daemon(answer()), sockets=[socket.create_server(("127.0.0.1", port))]):
            assert await running.line() == "here"


async def test_a_supervisor_that_was_stopped_hands_on_what_was_sent_alone(tmp_path: Path) -> None:
    async with restarting(tmp_path, "--grace", "0", "--", *LISTENING) as it:
        it.passes(HOUR - 60.2)  # it waits for a fifth of a second at a time
        it.running.signal(signal.SIGHUP)
        assert await it.running.line() == "SIGHUP"
        await stands_still(it.running)
        it.running.signal(signal.SIGUSR1)
        assert await it.running.line() == "SIGUSR1"
        it.running.signal(signal.SIGTERM)
        assert await it.running.ended() == (5, "", "")


async def test_signals_are_handed_on_and_the_programs_end_is_ours(tmp_path: Path) -> None:
    async with (
        daemon(tmp_path, answer()) as environ,
        executing(environ, RESTART, "--", sys.executable, "-c", LISTENER) as running,
    ):
        await running.line()
        for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGWINCH, signal.SIGINT):
            running.signal(number)
            assert await running.line() == number.name
        running.signal(signal.SIGTERM)
        assert await running.ended() == (5, "", "")


async def test_a_stock_client_is_who_the_target_is_whatever_the_container_says_besides(tmp_path: Path) -> None:
    async with Emulator(guide_world) as sts:
        kubelet = Kubelet(tmp_path / "projected", sts)
        kubelet.project()
        usual = {**usual_settings(tmp_path, sts.url, kubelet.path), "SIDECAR_LISTEN": f"127.0.0.1:{free_port()}"}
        stale = {
            "AWS_SECURITY_TOKEN": "stale",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/stale",
            "AWS_PROFILE": "stale",
        }
        argv = ("exec", "--target", "default", "--", sys.executable, "-c", CLIENT)
        async with sidecar(usual):
            code, out, err = await run(
                "-m", "sidecar", *argv, settings={**usual, **stale, "AWS_DEFAULT_REGION": REGION}
            )
    assert (code, out.rsplit("/", 1)[0]) == (0, f"arn:aws:sts::{ACCOUNT_B}:assumed-role/account-b-role"), err


# Makes the terminal that is its standard input its own, then becomes the rest.
TERMINAL = "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execv(sys.argv[1], sys.argv[1:])"


async def test_ctrl_c_reaches_the_program_once(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    async with daemon(tmp_path, answer()) as environ:
        command = (sys.executable, "-c", TERMINAL, sys.executable, "-c", _PATIENT, "exec", RESTART, "--", *LISTENING)
        process = await asyncio.create_subprocess_exec(
            *command, env=environ, cwd=ROOT, stdin=theirs, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
        os.close(theirs)
        running = Running(process)
        try:
            await running.line()
            running.signal(signal.SIGSTOP)  # so that what it would send comes after, and is another one
            os.write(ours, b"\x03")
            assert await running.line() == "SIGINT"
            running.signal(signal.SIGCONT)
            running.signal(signal.SIGUSR1)  # the supervisor is through with the other when it hands this on
            assert await running.line() == "SIGUSR1"
            running.signal(signal.SIGTERM)
            assert await running.ended() == (5, "", "")
        finally:
            os.close(ours)


async def test_a_program_is_started_again_before_its_credentials_end(tmp_path: Path) -> None:
    async with restarting(tmp_path, "--", *LISTENING) as it:
        it.passes(HOUR)
        assert "started again with credentials until 2033-05-18T04:33:20Z" in await it.running.says("is ended")
        assert await it.running.line() == SECOND
        it.running.signal(signal.SIGTERM)
        code, out, err = await it.running.ended()
    assert (code, out, err.count("\n")) == (5, "", 1)


async def test_a_program_is_started_again_by_the_clock_of_the_machine(tmp_path: Path) -> None:
    async with (
        daemon(tmp_path, answer(expiration=int(time.time()) + 3), answer(serial=2)) as environ,
        executing(environ, RESTART, "--", *LISTENING) as running,
    ):
        await running.says("is ended and started again")
        said = await running.line()
        assert (await running.line() if said == FIRST else said) == SECOND  # the first may not have come to say it


async def test_a_program_that_does_not_end_in_its_grace_is_killed_and_followed(tmp_path: Path) -> None:
    async with restarting(tmp_path, "--grace", "0.1", "--", *RELUCTANT) as it:
        it.passes(HOUR)
        await it.running.says("is ended and started again")
        assert await it.running.line() == "SIGTERM"
        it.passes(0.1)
        await it.running.says("did not end in 0.1 s and is killed")
        assert await it.running.line() == SECOND


async def test_who_asks_for_the_end_while_a_program_is_ended_gets_it(tmp_path: Path) -> None:
    async with restarting(tmp_path, "--", *RELUCTANT) as it:
        it.passes(HOUR)
        assert await it.running.line() == "SIGTERM"
        it.running.signal(signal.SIGTERM)
        code, out, _ = await it.running.ended()
    assert (code, out) == (6, "")


# The supervisor alone: it tells when it asks, its wall time is what a file says, and nobody reads its stderr.
DRIVER = """
import json, os, sys, time
from pathlib import Path
from sidecar.workload import run
def ask():
    print("asked", flush=True)
    return json.loads(sys.argv[2])
def say(sentence):
    raise BrokenPipeError
wall = lambda: float(Path(sys.argv[1]).read_text())
sys.exit(run(sys.argv[3:], ask, os.environ, seconds=0, grace=1, clock=time.monotonic, wall=wall, say=say))
"""


async def test_a_step_of_the_clock_is_noticed_and_what_survives_a_signal_is_watched_on(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "now", EXPIRATION - HOUR)
    argv = (str(clock.file), json.dumps(document(session())), *LISTENING)
    async with driving(argv, {"AWS_PROFILE": "x", "PATH": os.environ["PATH"]}) as running:
        assert [await running.line(), await running.line()] == ["asked", FIRST]
        clock.steps_to(EXPIRATION)
        running.signal(signal.SIGWINCH)  # it looks at the clock with whatever happens
        assert {await running.line(), await running.line()} == {"SIGWINCH", "asked"}
        for number in (signal.SIGINT, signal.SIGQUIT):  # the latter is how a thread dump is asked for
            running.signal(number)
            assert await running.line() == number.name
        clock.steps_to(EXPIRATION + HOUR)
        running.signal(signal.SIGWINCH)
        assert {await running.line(), await running.line()} == {"SIGWINCH", "asked"}
        running.signal(signal.SIGTERM)
        assert await running.ended() == (5, "", "")


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        (answer(expiration=1), "the sidecar has none yet"),
        (NOT_YET, "503 NotReady"),
        (Refusal.PATH.answer, "404 NotFound"),
    ],
)
async def test_nothing_newer_leaves_the_program_alone_and_is_said(tmp_path: Path, then: Answer, reason: str) -> None:
    async with restarting(tmp_path, "--", *LISTENING, then=[then]) as it:
        it.passes(HOUR)
        assert reason in await it.running.says("no newer credentials for")
        it.running.signal(signal.SIGUSR1)
        assert await it.running.line() == "SIGUSR1"
        it.running.signal(signal.SIGTERM)
        assert (await it.running.ended())[0] == 5


async def test_newer_credentials_are_asked_for_again_and_again(tmp_path: Path) -> None:
    async with restarting(tmp_path, "--", *LISTENING, then=[NOT_YET]) as it:
        it.passes(HOUR)
        await it.running.says("no newer credentials for")
        it.passes(5)
        assert await it.running.line() == SECOND
        it.running.signal(signal.SIGTERM)
        code, _, err = await it.running.ended()
    assert (code, [line.split()[1] for line in err.splitlines()]) == (5, ["no", sys.executable])


async def test_a_program_that_ends_by_itself_is_not_started_again(tmp_path: Path) -> None:
    program = ("sh", "-c", "echo $AWS_ACCESS_KEY_ID; read line; exit 7")
    async with restarting(tmp_path, "--", *program) as it:
        assert it.running.process.stdin is not None
        it.running.process.stdin.close()
        assert await it.running.ended() == (7, "", "")


# As PID 1: starts a process whose parent ends, and waits until it is gone from the table, not only dead.
ORPHANER = """
import os, sys
parent, child = os.pipe()
if not (middle := os.fork()):
    if os.fork():
        os._exit(0)
    os.write(child, b"%d" % os.getpid())
    os._exit(0)
os.waitpid(middle, 0)
orphan = int(os.read(parent, 16))
try:
    while True:
        os.kill(orphan, 0)
        os.sched_yield()
except ProcessLookupError:
    print(os.getppid(), "has reaped it")
"""


def init() -> list[str]:
    """A command that makes the rest of its line PID 1."""
    command = ["unshare", "--pid", "--fork", "--kill-child"]
    if not shutil.which(command[0]) or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no unshare that may make a PID namespace")
    return command


async def test_as_pid_1_it_reaps_orphans(tmp_path: Path) -> None:
    async with daemon(tmp_path, answer()) as environ:
        orphaner = (sys.executable, "-c", ORPHANER)
        async with executing(environ, RESTART, "--", *orphaner, prefix=init()) as running:
            assert await running.ended() == (0, "1 has reaped it\n", "")


async def test_as_pid_1_it_can_be_ended_while_it_waits(tmp_path: Path) -> None:
    async with executing(settings(tmp_path, free_port()), "--", "true", prefix=init()) as running:
        await running.says("waiting")
        pid = running.process.pid
        (inside,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(inside), signal.SIGTERM)
        assert (await running.ended())[:2] == (128 + signal.SIGTERM, "")


async def test_as_pid_1_it_can_be_ended_while_the_daemon_answers(tmp_path: Path) -> None:
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def answering() -> Answer:
        asked.set()
        await may_answer.wait()
        return answer()

    async with serving(lambda _: answering()) as served:
        environ = settings(tmp_path, served.port)
        async with executing(environ, "--", "true", prefix=init()) as running:
            await asked.wait()
            pid = running.process.pid
            (inside,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            os.kill(int(inside), signal.SIGTERM)
            may_answer.set()
            assert await running.ended() == (128 + signal.SIGTERM, "", "")


@pytest.mark.parametrize("wrong", ["nan", "inf", "-1", "ten", ""])
@pytest.mark.parametrize("option", ["--seconds", "--grace"])
def test_what_is_no_number_of_seconds_is_refused_before_anything_starts(
    option: str, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["exec", RESTART, f"{option}={wrong}", "--", "true"])
    assert ended.value.code == 2
    assert "write for instance 10" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["exec", "--", ""], "the program has no name. Is a variable empty?"),
        (["exec", "--grace", "5", "--", "true"], "nothing is ended without --restart-before-expiration"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_starts(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("how", [("exec",), ("exec", RESTART), ("get",)], ids=" ".join)
async def test_nothing_heavy_is_imported(tmp_path: Path, how: Sequence[str]) -> None:
    heavy = {"asyncio", "aiohttp", "aiobotocore", "botocore", "prometheus_client", "jwt", "logging"}
    async with daemon(tmp_path, answer()) as environ:
        argv = (*how, *(("--", "true") if how[0] == "exec" else ()))
        code, _, err = await run("-X", "importtime", "-m", "sidecar", *argv, settings=environ)
    names = {line.rpartition("|")[2].strip() for line in err.splitlines()}
    assert (code, "sidecar.client" in names) == (0, True)
    assert not names & (heavy | {"sidecar.daemon", "sidecar.profiles"})
