"""What makes a workload pass the sidecar by, in its environment or, where that is not known, in the sidecar's own."""

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from sidecar import bypass
from sidecar.bypass import Bypass
from sidecar.config import Config
from sidecar.doctor.endpoint import crooked, is_readable, mounted, unreadable
from sidecar.doctor.facts import TokenHeld, Workload
from sidecar.doctor.findings import Finding, Step, ok, problem
from sidecar.model import Target

Environ = Mapping[str, str]
_URI, _FILE = "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
_PLAIN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
_POD_IDENTITY = ("169.254.170.23", "fd00:ec2::23")
CODES = {
    "AWS_ACCESS_KEY_ID": "static-keys",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "web-identity",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "relative-uri",
    _URI: "uri-elsewhere",
    "HTTP_PROXY": "proxied",
    "AWS_PROFILE": "profile-set",
}
_UNSET = "kubectl set env deployment/NAME --containers WORKLOAD"
_PASTE = {
    "static-keys": f"{_UNSET} AWS_ACCESS_KEY_ID- AWS_SECRET_ACCESS_KEY- AWS_SESSION_TOKEN- # and look into envFrom",
    "relative-uri": f"{_UNSET} AWS_CONTAINER_CREDENTIALS_RELATIVE_URI-",
    "profile-set": f"{_UNSET} AWS_PROFILE- AWS_DEFAULT_PROFILE-",
    "web-identity": "metadata:\n  annotations:\n    eks.amazonaws.com/skip-containers: credential-sidecar,WORKLOAD",
    "proxied": "env:\n  - {name: NO_PROXY, value: 127.0.0.1}\n  - {name: no_proxy, value: 127.0.0.1}",
}
# Empty ones that SDKs take for a value: botocore asks ECS, opens the file "", or looks for the profile "".
_EMPTY = (
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", _URI, _FILE, _PLAIN, "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
)
# Of the sidecar's own, those that are its settings mean nothing when they are empty.
_SETTINGS = {"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"}


def findings(own: Environ, workload: Workload | None) -> Iterator[Finding]:
    """What outranks the endpoint, each a finding; or that nothing does."""
    check = "environment of the workload" if workload else "environment of the sidecar"
    found = [*_outranking(check, own, workload), *_empty(check, own, workload)]
    yield from found
    if not found:
        whose = "" if workload else "; a workload has its own, which --environ or --pid shows"
        yield ok(check, f"nothing in it outranks the endpoint{whose}")


def _outranking(check: str, own: Environ, workload: Workload | None) -> Iterator[Finding]:
    for way in bypass.WAYS:
        environ = workload.environ if workload else own
        name = next((name for name in way.names if environ.get(name)), None)
        if name is None or not (_passes(way, environ) if workload else way.is_seen(environ)):
            continue
        who = "" if workload else "a workload that has it too "
        code = "pod-identity" if name == _URI and _host(environ[_URI]) in _POD_IDENTITY else CODES[way.names[0]]
        fix = Step(says=f"{way.remedy}.", paste=_PASTE.get(code, ""))
        yield problem(check, code, f"{name} is set: {who or 'the workload '}{way.effect}", _WHY, fix)


_WHY = "It would be somebody else than the target's role, or nobody, and the sidecar would not even be asked"


def _passes(way: Bypass, environ: Environ) -> bool:
    """Whether a workload that has one of the variables passes the endpoint by; the rest of its environment counts."""
    match way.names[0]:
        case "AWS_WEB_IDENTITY_TOKEN_FILE":  # a role alone assumes nothing
            return bool(environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"))
        case "AWS_PROFILE":  # a profile may be how it asks: credential_process
            return _URI in environ
        case name if name in (_URI, "HTTP_PROXY"):
            return way.is_seen(environ)
        case _:
            return True


def _empty(check: str, own: Environ, workload: Workload | None) -> Iterator[Finding]:
    environ = workload.environ if workload else own
    names = [name for name in _EMPTY if environ.get(name) == "" and (workload or name not in _SETTINGS)]
    if names:
        seen = f"set and empty: {', '.join(names)}"
        why = (
            "An empty variable is a value to some SDKs: they ask ECS, open a file without a name, or end with an error"
        )
        fix = Step(says="Leave them out, in the pod's spec too:", paste=f"unset {' '.join(names)}")
        yield problem(check, "empty-variables", seen, why, fix)


def asking(
    config: Config, workload: Workload, held: TokenHeld | None, ours: Mapping[str, TokenHeld]
) -> Iterator[Finding]:
    """Whether the variables of the workload lead to the endpoint: address, path, and the target's own token.

    `held` is the file that the workload names, as it sees it; `ours` are the authorization tokens by target.
    """
    check, uri = "endpoint of the workload", workload.environ.get(_URI, "")
    if not uri:
        yield _without(check, config, workload, ours)
        return
    target = _target(config, uri)
    if target is None:
        if _is_loopback(uri):
            yield _elsewhere(check, config, uri)
        return  # where it is not on loopback, that is said above
    yield ok(check, f"{_URI} leads to target {target.name}")
    if ours:
        yield _shown("authorization token of the workload", target, workload, held, ours)


def _is_loopback(uri: str) -> bool:
    """Whether the URI is of a loopback host, as `bypass` has it."""
    return not any(way.is_seen({_URI: uri}) for way in bypass.WAYS if way.names == (_URI,))


def _without(check: str, config: Config, workload: Workload, ours: Mapping[str, TokenHeld]) -> Finding:
    others = {
        "AWS_PROFILE",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "AWS_SHARED_CREDENTIALS_FILE",
    } & workload.environ.keys()
    if others:
        return ok(check, f"it asks by {', '.join(sorted(others))}")
    why = "Nothing leads the SDK to the endpoint: it asks the node for its role, or has no credentials"
    shown = [mounted(held.path) for name, held in ours.items() if name == config.targets[0].name]
    return problem(check, "uri-missing", f"{_URI} is not set", why, _set(config), *shown)


def _elsewhere(check: str, config: Config, uri: str) -> Finding:
    scheme, host, port, path = _parsed(uri)
    seen = f"{_URI} leads to {scheme}://{host}:{port}{path}" if scheme else f"{_URI} is no URL"
    why = f"The sidecar is at http://{config.listen}, and serves /v1/credentials and /v1/credentials/{{target}}"
    return problem(check, "uri-elsewhere", seen, why, _set(config))


def _set(config: Config) -> Step:
    says = "Set it in the workload, to an address and not to a name:"
    return Step(says=says, paste=f"env:\n  - {{name: {_URI}, value: http://{config.listen}/v1/credentials}}")


def _target(config: Config, uri: str) -> Target | None:
    """The target that the URI leads to; None where it leads elsewhere."""
    scheme, _, port, path = _parsed(uri)
    is_here = scheme == "http" and port == config.listen.port and _is_loopback(uri)
    paths = {"/v1/credentials": config.targets[0], **{f"/v1/credentials/{each.name}": each for each in config.targets}}
    return paths.get(path.rstrip("/")) if is_here else None


def _host(uri: str) -> str:
    return _parsed(uri)[1]


def _parsed(uri: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path; port 0 where what is said is none."""
    try:
        place = urlsplit(uri)
        return place.scheme, place.hostname or "", place.port or 80, place.path
    except ValueError:  # a port that is no number, a bracket that is not closed
        return "", "", 0, ""


def _shown(
    check: str, target: Target, workload: Workload, held: TokenHeld | None, ours: Mapping[str, TokenHeld]
) -> Finding:
    if held is None:
        text, path = workload.environ.get(_PLAIN), ours[target.name].path
        if text is None:
            why = "The sidecar answers 401 to whoever shows no authorization token"
            return problem(check, "authorization-missing", f"neither {_FILE} nor {_PLAIN} is set", why, mounted(path))
        return _compared(check, target, text, _PLAIN, ours)
    if held.seen and not is_readable(held.seen, workload):
        return unreadable(check, held, workload)
    if held.value is None:
        why = "The SDK cannot read the authorization token that it has to show"
        code = "authorization-unreadable" if held.seen else "authorization-missing"
        return problem(check, code, f"{held.path}: {held.error}", why, mounted(ours[target.name].path))
    return crooked(check, held) or _compared(check, target, held.value.reveal(), held.path, ours)


def _compared(check: str, target: Target, text: str, where: str, ours: Mapping[str, TokenHeld]) -> Finding:
    known = {name: each.value.reveal() for name, each in ours.items() if each.value}
    if target.name not in known or known[target.name] == text:
        return ok(check, f"{where}: the one of target {target.name}" if target.name in known else where)
    other = next((name for name, value in known.items() if value == text), None)
    whose = f"target {other}'s" if other else "no target's here"
    why = f"The sidecar answers 401 to whoever shows another token than target {target.name}'s"
    fix = mounted(ours[target.name].path)
    return problem(check, "authorization-of-another-target", f"{where} holds {whose} token", why, fix)
