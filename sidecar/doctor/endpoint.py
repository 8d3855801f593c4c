"""The credential endpoint: who has the port, who can read the authorization token, and what is served, how fresh."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sidecar.authorization import NONE, TOKEN
from sidecar.config import COMFORTABLE, Config
from sidecar.doctor.facts import Listener, Seen, Served, TokenHeld, Walk, Workload
from sidecar.doctor.findings import Finding, Step, ok, problem, skipped, unknown
from sidecar.errors import ConfigError
from sidecar.formats import utc_of
from sidecar.model import Target

# SDKs refresh in the last 15 minutes of a session: what has less left is asked for at every call.
WINDOW = 900.0
# The image has no `kill`. There the daemon is process 1, and 1 is SIGHUP.
SIGHUP = "kubectl -n NS exec POD -c credential-sidecar -- python3 -c 'import os; os.kill(1, 1)'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """What was found at the endpoint: who listens, what keeps us from it, tokens and answers by target."""

    listener: Listener
    obstacle: ConfigError | None
    tokens: Mapping[str, TokenHeld]
    served: Mapping[str, Served]


def findings(config: Config, found: Endpoint, walk: Walk, now: float, workload: Workload | None) -> Iterator[Finding]:
    """Port, authorization tokens, answers, and freshness; `now` is Unix seconds by STS's clock where that is known."""
    port = _port(config, found)
    yield port
    for target in config.targets:
        names = [f"authorization token of {target.name}", f"answer for {target.name}", f"freshness of {target.name}"]
        if found.listener is Listener.OURS:
            outcome = walk.outcomes.get(target.hop)
            yield from _target(names, target, found, now, workload, is_walked=bool(outcome and outcome.arn))
        else:
            held = found.tokens.get(target.name)
            if wrong := held and crooked(names[0], held):  # with that no sidecar starts
                yield wrong
            yield _granted(names[2], target, walk)


def _port(config: Config, found: Endpoint) -> Finding:
    check = f"endpoint on {config.listen}"
    if found.listener is Listener.OURS:
        return ok(check, "a credential-sidecar answers")
    if found.obstacle is not None:
        held = found.obstacle.problems[0]
        see = Step(says="See who has it:", paste=f"ss --listening --tcp --processes 'sport = :{config.listen.port}'")
        fix = Step(says=held.remedy)
        why = "Whoever has the port hands out what it likes to every workload of the pod, and the sidecar cannot start"
        return problem(check, "port-taken", held.seen, why, fix, tell=(see,))
    return unknown(check, "no-sidecar-here", "nobody listens: no sidecar runs here")


def _target(
    names: Sequence[str], target: Target, found: Endpoint, now: float, workload: Workload | None, *, is_walked: bool
) -> Iterator[Finding]:
    broken = None
    if target.name in found.tokens:
        held = found.tokens[target.name]
        broken = _token(names[0], held, workload)
        yield broken or ok(names[0], f"{held.path}: {held.seen}")
    else:
        yield ok(names[0], "none is asked for")
    answer = found.served[target.name]
    if answer.status == 200:
        yield ok(names[1], "200, with credentials")
        yield _fresh(names[2], target, answer, now)
        return
    because = broken.code if broken else "" if is_walked or answer.status == 401 else "what stops the walk"
    yield skipped(names[1], because) if because else _refused(names[1], answer)
    yield skipped(names[2], because or "its answer")


def _token(check: str, held: TokenHeld, workload: Workload | None) -> Finding | None:
    """What a workload would stumble over that reads `held`; None: nothing."""
    if held.value is None and held.seen is None:
        why = "A workload that finds no authorization token is refused with 401, or does not even ask"
        return problem(check, "authorization-missing", f"{held.path}: {held.error}", why, mounted(held.path))
    if held.seen is not None and not is_readable(held.seen, workload):
        return unreadable(check, held, workload)
    return crooked(check, held)


def crooked(check: str, held: TokenHeld) -> Finding | None:
    """A token that is none, most often for its newline."""
    text = held.value.reveal() if held.value else ""
    if held.value is None or TOKEN.fullmatch(text):
        return None
    is_newline = TOKEN.fullmatch(text.rstrip("\r\n")) is not None
    seen = f"{held.path}{' ends with a newline' if is_newline else ''}: {NONE}"
    why = "It goes into a header as it is: some SDKs call it illegal, some crash, and others are refused with 401"
    fix = Step(
        says="Let the sidecar write it: remove the file and restart the sidecar; by hand write it without a newline:",
        paste=f"printf %s \"$(cat '{held.path}')\" > '{held.path}.new' && mv '{held.path}.new' '{held.path}'",
    )
    return problem(check, "authorization-newline", seen, why, fix)


def is_readable(seen: Seen, workload: Workload | None) -> bool:
    """Whether the workload may read it; where its uid is not known, whether everybody may."""
    return _shut(seen, workload) is None


def _shut(seen: Seen, workload: Workload | None) -> Seen | None:
    """The first of directories and file that the workload may not use."""
    uid, groups = (workload.uid, workload.groups) if workload else (None, frozenset[int]())
    wanted = ((each, 1) for each in seen.above)
    return next((each for each, bit in (*wanted, (seen, 4)) if not each.allows(bit, uid, groups)), None)


def unreadable(check: str, held: TokenHeld, workload: Workload | None) -> Finding:
    """The finding for what `is_readable` denies."""
    assert held.seen is not None
    shut = _shut(held.seen, workload) or held.seen
    who = "every uid" if workload is None or workload.uid is None else f"uid {workload.uid}"
    what, mode = ("read", "a+r") if shut is held.seen else ("search", "a+x")
    seen = f"not {who} may {what} {shut.path}: {shut}"
    why = "The SDK cannot read the authorization token that it has to show: it fails, or looks for the node's role"
    says = "Who may read it is decided by who mounts the directory; on disk it is for every uid:"
    return problem(check, "authorization-unreadable", seen, why, Step(says=says, paste=f"chmod {mode} '{shut.path}'"))


def mounted(path: str) -> Step:
    """How a container gets a target's authorization token."""
    folder = path.rpartition("/")[0]
    return Step(
        says="Mount the target's directory, in the sidecar and read-only in the workload, and name the file:",
        paste=f"volumeMounts:\n  - {{name: credential-sidecar-authorization, mountPath: {folder}, readOnly: true}}\n"
        f"env:\n  - {{name: AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, value: {path}}}",
    )


def _refused(check: str, answer: Served) -> Finding:
    if answer.status == 401:
        seen = f"401 {answer.code} for the token that lies there"
        why = "The sidecar that answers has another token: two sidecars share the port's host or the directory"
        fix = Step(
            says="One sidecar in a pod, no hostNetwork, and a directory of this pod's own:",
            paste="volumes:\n  - name: credential-sidecar-authorization\n"
            "    emptyDir: {medium: Memory, sizeLimit: 1Mi}",
        )
        return problem(check, "authorization-refused", seen, why, fix)
    seen = f"{answer.status or 'no answer'} {answer.code}"
    why = "The walk above is good, so the running sidecar waits for its next attempt: up to a minute, or five if denied"
    now = Step(says="Have it try now, by a signal to the daemon:", paste=SIGHUP)
    log = Step(says="Or see what its log says:", paste="kubectl -n NS logs POD -c credential-sidecar")
    return problem(check, "not-served", seen, why, now, log)


def _fresh(check: str, target: Target, answer: Served, now: float) -> Finding:
    left = (answer.expiration or now) - now
    seen = f"{left / 60:.0f} min left, until {utc_of(answer.expiration or now)}"
    if left <= WINDOW:
        why = "SDKs refresh within the last 15 minutes of what they have: they ask again at every call"
        fix = Step(says="See why it has not been refreshed:", paste="kubectl -n NS logs POD -c credential-sidecar")
        return problem(check, "nearly-expired", seen, why, fix)
    return _short(check, target) or ok(check, seen)


def _granted(check: str, target: Target, walk: Walk) -> Finding:
    outcome = walk.outcomes.get(target.hop)
    if short := _short(check, target):
        return short
    if outcome is None or not outcome.arn:
        return skipped(check, "the walk")
    return ok(check, f"a walk yields {outcome.lifetime / 60:.0f} min")


def _short(check: str, target: Target) -> Finding | None:
    if target.hop.duration >= COMFORTABLE:
        return None
    seen = f"target {target.name} asks for {target.hop.duration} s"
    why = f"SDKs refresh early, so below {COMFORTABLE} s they ask at every call"
    fix = Step(says="Ask for an hour (duration_seconds in a profile):", paste="SIDECAR_DURATION=3600")
    return problem(check, "sessions-short", seen, why, fix)
