"""The configuration of one process: settings resolved, chains built, every problem found at once.

`resolve` gives what the daemon (and `once`) needs, `resolve_client` what `get` needs, `read` a few settings alone; all
raise `ConfigError` with every problem, its source and its remedy. Secrets are never among the values shown.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidecar import bypass
from sidecar.errors import ConfigError
from sidecar.model import MetadataTokens, Secret, Target
from sidecar.settings import ANY_HOST, DIRECT, SETTINGS, TARGET_NAME, Address, Authorization
from sidecar.values import PREFIX, Chains, Origin, Values, unknown

__all__ = ["SETTINGS", "Address", "Authorization", "Config"]

# The target of the plain case: it goes into URL, path and label.
DEFAULT_TARGET = "default"
# SDKs ask again inside the last 15 minutes (some 15 of a whole hour): below 45 minutes every call asks us.
COMFORTABLE = 2_700

# botocore and others extend by themselves what instance metadata gives them with less than about 25 minutes left: half
# of an hour is above that.
_EXTENDED = 3_600

# Who may not listen where another does already.
_TOGETHER = (
    ("SIDECAR_IMDS_LISTEN", "SIDECAR_LISTEN", "the credential endpoint listens"),
    ("SIDECAR_STATUS_LISTEN", "SIDECAR_LISTEN", "the credential endpoint listens"),
    ("SIDECAR_STATUS_LISTEN", "SIDECAR_IMDS_LISTEN", "instance metadata are served"),
)

# What says how a face is, by the setting that switches the face on.
_DETAILS = {
    "SIDECAR_IMDS_TOKENS": "SIDECAR_IMDS_LISTEN",
    "SIDECAR_CREDENTIALS_FILE_MODE": "SIDECAR_CREDENTIALS_FILE",
    "SIDECAR_CREDENTIALS_FILE_OWNER": "SIDECAR_CREDENTIALS_FILE",
}

# What says how hop 1 alone is made; the other settings of a hop are of the last one, and these two of both.
_FIRST, _EVERY = {"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "SIDECAR_SOURCE_DURATION"}, {"session_name", "region"}

# What a client of the running daemon needs to know.
ASKING = ("SIDECAR_LISTEN", "SIDECAR_AUTHORIZATION", "SIDECAR_AUTHORIZATION_DIR")

Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the daemon runs on. `drain` is seconds; `log_format` None: by whether stderr is a terminal.

    `warnings` are sentences for the log; `origins` is every setting by name with its text and where that came from.
    """

    targets: tuple[Target, ...]
    listen: Address
    status_listen: Address
    authorization: Authorization
    authorization_dir: str
    authorization_token: Secret | None
    imds_listen: Address | None
    imds_tokens: MetadataTokens
    credentials_file: str | None
    credentials_file_mode: int
    credentials_file_owner: tuple[int, int] | None
    state_dir: str | None
    drain: float
    log_level: str
    log_format: str | None
    warnings: tuple[str, ...]
    origins: Mapping[str, Origin]

    def target(self, name: str | None = None) -> Target:
        """The target of that name, or the first; raises ConfigError where there is none."""
        for target in self.targets:
            if name in (None, target.name):
                return target
        raise _no_target(name, f"The targets are {', '.join(each.name for each in self.targets)}.")


def resolve(flags: Texts, environ: Texts) -> Config:
    """The whole configuration, from `flags` (by setting name) and `environ`; ConfigError with every problem."""
    values = Values(SETTINGS, flags, environ)
    values.problems |= dict.fromkeys(unknown(environ, values.origins))
    own = {each.attribute: values[each.name] for each in SETTINGS if each.attribute in Config.__slots__}
    for name in ("AWS_REGION", "AWS_ENDPOINT_URL_STS"):  # a wrong one is said even where no chain can be built
        values.get(values.origins[name])
    asked, role = values.origins["SIDECAR_PROFILES"].by, values.origins["SIDECAR_TARGET_ROLE_ARN"].by
    # AWS_PROFILE says what to do only where nothing of ours does.
    by_profiles = asked and not (asked == "AWS_PROFILE" and role)
    chains = _by_profiles(values, environ) if by_profiles else _by_settings(values)
    hops = {name: values.chain(links, values["SIDECAR_STS_FALLBACK_REGIONS"] or ()) for name, links in chains.items()}
    targets = tuple(Target(name=name, hop=hop) for name, hop in hops.items() if hop)
    fallbacks, endpoint = values.origins["SIDECAR_STS_FALLBACK_REGIONS"], values.origins["AWS_ENDPOINT_URL_STS"]
    if fallbacks.by and endpoint.by:
        wrong = f"{endpoint.by} sends all regions' calls to one endpoint"
        values.refuse(fallbacks, wrong, "Unset one of the two.")
    _check_faces(values)
    if targets and values.origins["SIDECAR_IMDS_LISTEN"].by:
        _expose(values, targets[0])
    values.check()
    for target in targets:
        if target.hop.duration < COMFORTABLE:
            asked = f"target {target.name} asks for {target.hop.duration} s"
            values.warnings.append(f"{asked}: SDKs refresh early, so below {COMFORTABLE} s they ask at every call")
    warnings = (*values.warnings, *bypass.in_sight(environ))
    return Config(targets=targets, warnings=warnings, origins=values.origins, **own)


def _check_faces(values: Values) -> None:
    """What listens twice, and what says something of a face that is off."""
    said = values.origins
    for name, other, whose in _TOGETHER:
        if _is_taken(values[name], values[other]):
            values.refuse(said[name], f"{whose} there", "Choose another port.")
    for name, face in _DETAILS.items():
        if said[name].by and not said[face].by:
            values.refuse(said[name], f"it says nothing while {face} is not set", f"Set {face}, or unset this.")


def _is_taken(place: Address | None, by: Address | None) -> bool:
    """Whether who listens at the one has the other too; the two families know nothing of each other."""
    if place is None or by is None or not place.port == by.port != 0:
        return False
    return place.host in (by.host, "*") or (place.host in ANY_HOST and (":" in place.host) == (":" in by.host))


def _expose(values: Values, target: Target) -> None:
    """What instance metadata asks of the target that it serves, and what it means for it."""
    origin = values.origins["SIDECAR_IMDS_LISTEN"]
    if target.hop.duration < _EXTENDED:
        wrong = f"target {target.name} asks for {target.hop.duration} s, and clients of instance metadata sign on with"
        wrong = f"{wrong} what is about to expire"
        values.refuse(origin, wrong, f"Ask for at least {_EXTENDED} s, or leave it off.")
    values.warnings.append(
        f"{origin.by} serves target {target.name} to the whole pod, as SIDECAR_AUTHORIZATION=none would"
    )


def resolve_client(flags: Texts, environ: Texts, target: str | None = None) -> tuple[str, Address, str | None]:
    """What `get` needs: `target` or the first, where the daemon listens, and where the authorization tokens lie.

    The last is None where none is asked for. Chains are not looked at: a workload does not know them.
    """
    ours = {name: text for name, text in environ.items() if name != "AWS_PROFILE"}  # that one is the workload's own
    served, listen, authorization, directory = read(flags, ours, "SIDECAR_PROFILES", *ASKING)
    name = (served or (DEFAULT_TARGET,))[0] if target is None else target
    if not re.fullmatch(TARGET_NAME, name):
        raise _no_target(name, "A target's name is 1 to 64 of [A-Za-z0-9._-].")
    return name, listen, None if authorization is Authorization.NONE else directory


def read(flags: Texts, environ: Texts, *names: str) -> tuple[Any, ...]:
    """The values of those settings alone, whatever is wrong with others."""
    values = Values(SETTINGS, flags, environ)
    said = tuple(values[name] for name in names)
    values.check()
    return said


def _no_target(name: str | None, remedy: str) -> ConfigError:
    return ConfigError.of("--target", name, "flag --target", "no such target", remedy)


def _by_profiles(values: Values, environ: Texts) -> Chains:
    for setting in SETTINGS:
        origin = values.origins[setting.name]
        if setting.hop in ("", "region") or not origin.by:
            continue
        if origin.by.startswith(("--", PREFIX)):
            remedy = f"Say it in the profile ({setting.key} = …) and unset this, or unset SIDECAR_PROFILES."
            values.refuse(origin, "profiles are in use as well, and a profile says this for itself", remedy)
        else:  # given by a webhook to every container of the pod
            values.warnings.append(f"{origin.by} is ignored: the targets come from profiles")
    from sidecar import profiles  # lazily: who asks the daemon has none

    file, theirs = values.origins["SIDECAR_CREDENTIALS_FILE"], values.origins["AWS_SHARED_CREDENTIALS_FILE"]
    if file.by and file.text == profiles.expand(theirs.text or "", environ):
        wrong = f"{theirs.name} names it too, and the sidecar would read what it writes"
        values.refuse(file, wrong, f"Unset {theirs.name} for the sidecar, or choose another path.")
    return profiles.chains(values, values["SIDECAR_PROFILES"] or (), environ)


def _by_settings(values: Values) -> Chains:
    said, target = values.origins, values.origins["SIDECAR_TARGET_ROLE_ARN"]
    first = {each.hop: said[each.name] for each in SETTINGS if each.name in _FIRST or each.hop in _EVERY}
    last = {each.hop: said[each.name] for each in SETTINGS if each.hop and each.name not in _FIRST}
    if not target.by:
        remedy = "Set it to the role to serve, or to `direct` to serve AWS_ROLE_ARN itself; or set SIDECAR_PROFILES."
        values.refuse(target, "no target: nothing says whose credentials to serve", remedy)
    elif not first["role"].by:
        wrong = "the role of hop 1 is not set: nothing can be assumed with the projected token"
        values.refuse(first["role"], wrong, "Set it to the role that trusts the cluster's OIDC provider.")
    if target.text != DIRECT:
        return {DEFAULT_TARGET: [last, first]}
    values.get(first["duration"])  # a wrong one is said, though the one hop has SIDECAR_DURATION
    return {DEFAULT_TARGET: [{**last, **first, "duration": last["duration"]}]}
