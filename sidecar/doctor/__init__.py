"""Everything that a newcomer gets wrong, looked at in order: what was seen, why it matters, and the exact fix.

    settings ─▶ token ─▶ way to STS ─▶ clock ─▶ hops ─▶ identity ─▶ endpoint ─▶ workload

Rooms: facts and findings (values) · disk, network, walking, asking (what is looked at) · token, reach, clock, hops,
refusals, endpoint, workload (what it means: pure) · report (how it is said) · runbook (its pages). What follows from
the first problem is not looked at, or not called a cause. Nothing that is printed holds a secret or AWS's own words.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from sidecar import config
from sidecar.config import Authorization, Config
from sidecar.doctor import asking, disk, endpoint, reach, token, workload
from sidecar.doctor.facts import Listener, Reach, TokenFile, TokenHeld, Walk, Workload
from sidecar.doctor.findings import Finding, Step, ok, problem, skipped
from sidecar.doctor.refusals import Commands
from sidecar.errors import ConfigError, Problem, SidecarError
from sidecar.model import Outside, Target
from sidecar.sockets import bind_loopback

# The commands that set IAM right for a configuration: `iam.pieces`, which a neighbour may not import.
Pieces = Callable[[Config], Commands]
Texts = Mapping[str, str]


def examine(
    flags: Texts,
    environ: Texts,
    outside: Outside,
    pieces: Pieces,
    *,
    target: str | None = None,
    container: Workload | None,
) -> tuple[Finding, ...]:
    """Every finding, in order. `target` alone, or all; `container` is the workload whose environment is known.

    Raises ConfigError where there is no such target.
    """
    try:
        resolved = config.resolve(flags, environ)
    except ConfigError as error:
        rest = ("token", "way to STS", "clock of the node", "hops", "endpoint")
        unseen = (skipped(each, "what is wrong with the settings") for each in rest)
        return (*_settings(error), *unseen, *workload.findings(environ, container))
    if target is not None:
        resolved = replace(resolved, targets=(resolved.target(target),))
    files = {each.hop.chain[0].token_file: disk.token_file(each.hop.chain[0].token_file) for each in resolved.targets}
    pod = next((each.pod for each in files.values() if each.pod), ("NS", "POD"))
    return tuple(each.of(*pod) for each in _examined(resolved, files, environ, outside, pieces, container=container))


def _settings(error: ConfigError) -> Iterator[Finding]:
    for each in error.problems:
        yield problem("settings", _code(each), each.seen, "The sidecar ends with exit code 2", Step(says=each.remedy))


def _code(found: Problem) -> str:
    return "region-missing" if found.setting in ("AWS_REGION", "region") and not found.value else "settings-wrong"


def _examined(
    resolved: Config,
    files: Mapping[str, TokenFile],
    environ: Texts,
    outside: Outside,
    pieces: Pieces,
    *,
    container: Workload | None,
) -> Iterator[Finding]:
    targets = resolved.targets
    names = ", ".join(f"{each.name} by {' → '.join(hop.role.arn for hop in each.hop.chain)}" for each in targets)
    yield ok("settings", names)
    ways, walk = _walked(targets, files, outside, environ)
    from sidecar.doctor import clock, hops  # lazily, like what they know the limits of

    now = outside.wall() + (walk.skew or 0.0)
    told = {path: tuple(token.findings(file, now)) for path, file in files.items()}
    yield from (each for found in told.values() for each in found)
    yield from (reach.finding(each) for each in ways.values())
    yield clock.finding(walk)
    broken = {path: found[0].code for path, found in told.items() if found[0].fix}
    yield from hops.findings(targets, walk, ways, broken, _commands(pieces, resolved))
    found = _endpoint(resolved)
    yield from endpoint.findings(resolved, found, walk, now, container)
    yield from workload.findings(environ, container)
    if container:
        yield from workload.asking(resolved, container, _shown(container), found.tokens)


def _walked(
    targets: Sequence[Target], files: Mapping[str, TokenFile], outside: Outside, environ: Texts
) -> tuple[Mapping[str, Reach], Walk]:
    """The ways to STS, and the walk of the targets that have a token: as the daemon does, an expired one is tried."""
    import asyncio

    from sidecar.doctor.walking import Walker  # lazily: what is wrong before STS is said without botocore

    able = [each for each in targets if files[each.hop.chain[0].token_file].reading.token]
    return asyncio.run(Walker(outside).look(targets, able, environ))


def _commands(pieces: Pieces, resolved: Config) -> Commands:
    try:
        return pieces(resolved)
    except SidecarError:  # there is no token to fill them in from, and then that is the problem
        return {}


def _endpoint(resolved: Config) -> endpoint.Endpoint:
    listen, folder = resolved.listen, resolved.authorization_dir
    names = [each.name for each in resolved.targets]
    is_asked = resolved.authorization is not Authorization.NONE
    tokens = {name: disk.authorization(f"{folder}/{name}/token") for name in names} if is_asked else {}
    found, obstacle = asking.listener(listen) if listen.port else Listener.NOBODY, None
    if found is Listener.FOREIGN:
        obstacle = _obstacle(resolved)
    served = {}
    if found is Listener.OURS:
        shown = {name: tokens[name].value if name in tokens else None for name in names}
        served = {name: asking.served(listen, f"/v1/credentials/{name}", shown[name]) for name in names}
    return endpoint.Endpoint(listener=found, obstacle=obstacle, tokens=tokens, served=served)


def _obstacle(resolved: Config) -> ConfigError | None:
    """What the daemon would meet that wants to listen there."""
    listen, source = resolved.listen, resolved.origins["SIDECAR_LISTEN"].source
    try:
        for sock in bind_loopback(listen.host, listen.port, setting="SIDECAR_LISTEN", source=source):
            sock.close()
    except ConfigError as error:
        return error
    return None


def _shown(container: Workload) -> TokenHeld | None:
    path = container.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    return disk.authorization(path, container.root) if path else None
