"""The configuration of one process: settings resolved, chains built, every problem found at once.

`resolve` gives what the daemon (and `once`) needs, `resolve_client` what `get` needs, `resolve_status` what `probe`
needs; all raise `ConfigError` with every problem, its source and its remedy. Secrets are never among the values shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sidecar import profiles
from sidecar import settings as s
from sidecar.errors import ConfigError, Problem
from sidecar.model import Hop, Role, Secret, Target
from sidecar.profiles import Chains, Files
from sidecar.rules import DEFAULT_DURATION, STAND_IN, breaches
from sidecar.settings import SETTINGS, Address, Authorization
from sidecar.values import PREFIX, Origin, Setting, Values, read

__all__ = ["SETTINGS", "Address", "Authorization", "Client", "Config", "Origin"]

# The target of the plain case: it goes into URL, path and label.
DEFAULT_TARGET = "default"
# SDKs ask again inside the last 15 minutes (some 15 of a whole hour): below 45 minutes every call asks us.
_COMFORTABLE = 2_700

# What a profile says for itself, so that it may not be said beside SIDECAR_PROFILES as well.
_PER_HOP = tuple(setting for setting in SETTINGS if setting.field)
_FIELDS = {setting.field: setting for setting in s.LAST_HOP}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the daemon runs on. `drain` is seconds; `log_format` None: by whether stderr is a terminal.

    `warnings` are sentences for the log; `origins` is every setting with its text and where that came from.
    """

    targets: tuple[Target, ...]
    listen: Address
    status_listen: Address
    authorization: Authorization
    authorization_dir: str
    authorization_token: Secret | None
    state_dir: str | None
    drain: float
    log_level: str
    log_format: str | None
    warnings: tuple[str, ...]
    origins: tuple[Origin, ...]

    def target(self, name: str | None = None) -> Target:
        """The target of that name, or the first; raises ConfigError where there is none."""
        found = [target for target in self.targets if name in (None, target.name)]
        if not found:
            raise ConfigError([_no_target(name, f"The targets are {', '.join(each.name for each in self.targets)}.")])
        return found[0]

    def source_of(self, name: str) -> str:
        """Where the setting `name` comes from, as people say it."""
        return next(origin.where for origin in self.origins if origin.setting.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What a client of the running daemon needs: where it listens, and whose authorization token to show."""

    target: str
    listen: Address
    authorization: Authorization
    authorization_dir: str


def resolve(flags: Mapping[str, str], environ: Mapping[str, str]) -> Config:
    """The whole configuration, from `flags` (by setting name) and `environ`; ConfigError with every problem."""
    values = read(SETTINGS, flags, environ)
    found = _by_profiles(values, environ) if _is_by_profiles(values) else _by_settings(values)
    problems = dict.fromkeys((*found.problems, *_conflicts(values, found.endpoint)))
    if problems:
        raise ConfigError(tuple(problems))
    return Config(
        targets=found.targets,
        listen=values[s.LISTEN],
        status_listen=values[s.STATUS_LISTEN],
        authorization=values[s.AUTHORIZATION],
        authorization_dir=values[s.AUTHORIZATION_DIR],
        authorization_token=values.get(s.AUTHORIZATION_TOKEN),
        state_dir=values.get(s.STATE_DIR),
        drain=values[s.DRAIN],
        log_level=values[s.LOG_LEVEL],
        log_format=values.get(s.LOG_FORMAT),
        warnings=(*found.warnings, *_short_lives(found.targets)),
        origins=tuple(values.origins.values()),
    )


def resolve_client(flags: Mapping[str, str], environ: Mapping[str, str], target: str | None = None) -> Client:
    """What `get` needs, for `target` or the first; chains are not looked at: a workload does not know them."""
    values = _part((s.LISTEN, s.AUTHORIZATION, s.AUTHORIZATION_DIR, s.PROFILES), flags, environ)
    if target is not None and not s.TARGET_NAME.fullmatch(target):
        raise ConfigError([_no_target(target, "A target's name is 1 to 64 of [A-Za-z0-9._-].")])
    return Client(
        target=target or (values.get(s.PROFILES) or (DEFAULT_TARGET,))[0],
        listen=values[s.LISTEN],
        authorization=values[s.AUTHORIZATION],
        authorization_dir=values[s.AUTHORIZATION_DIR],
    )


def resolve_status(flags: Mapping[str, str], environ: Mapping[str, str]) -> Address:
    """What `probe` needs: where the status listener is."""
    return _part((s.STATUS_LISTEN,), flags, environ)[s.STATUS_LISTEN]


def origins(flags: Mapping[str, str], environ: Mapping[str, str]) -> tuple[Origin, ...]:
    """Every setting with what gives it, right or wrong."""
    return tuple(read(SETTINGS, flags, environ).origins.values())


def _part(wanted: Sequence[Setting[Any]], flags: Mapping[str, str], environ: Mapping[str, str]) -> Values:
    """All settings, of which only those that are `wanted` must be right."""
    values = read(SETTINGS, flags, environ)
    names = {setting.name for setting in wanted}
    if problems := [problem for problem in values.problems if problem.setting in names]:
        raise ConfigError(problems)
    return values


def _no_target(name: str | None, remedy: str) -> Problem:
    return Problem(setting="--target", value=name, source="flag --target", wrong="no such target", remedy=remedy)


def _is_by_profiles(values: Values) -> bool:
    origin = values.origin(s.PROFILES)
    is_borrowed = origin.name == s.PROFILES.row.aws  # AWS_PROFILE says what to do only where nothing of ours does
    return origin.is_set and not (is_borrowed and values.origin(s.TARGET_ROLE_ARN).is_set)


def _by_profiles(values: Values, environ: Mapping[str, str]) -> Chains:
    beside = [values.origin(setting) for setting in _PER_HOP if values.origin(setting).is_set]
    chains = profiles.chains(
        values.get(s.PROFILES) or (),
        asked=values.origin(s.PROFILES),
        files=Files.expand(values[s.CONFIG_FILE], values[s.CREDENTIALS_FILE], environ),
        region=values.origin(s.REGION).text,  # an illegal one is a problem already: not also a missing one
        fallback_regions=values.get(s.FALLBACK_REGIONS) or (),
    )
    # Given to the sidecar, rather than by a webhook to every container of the pod.
    meant = [origin for origin in beside if origin.name.startswith(("--", PREFIX))]
    ignored = [f"{origin.name} is ignored: the targets come from profiles" for origin in beside if origin not in meant]
    if chains.endpoint and not values.origin(s.ENDPOINT_URL).is_set:
        ignored.append(f"{chains.endpoint} is ignored: say it in AWS_ENDPOINT_URL_STS")
    own = _without(values.problems, [origin.setting for origin in beside])
    return replace(chains, problems=(*own, *map(_said_twice, meant), *chains.problems), warnings=tuple(ignored))


def _without(problems: Sequence[Problem], settings: Sequence[Setting[Any]]) -> Iterator[Problem]:
    """Without those of `settings`, which this way to chains does not look at."""
    names = {setting.name for setting in settings}
    return (problem for problem in problems if problem.setting not in names)


def _said_twice(origin: Origin) -> Problem:
    wrong = "profiles are in use as well, and a profile says this for itself"
    key = origin.setting.row.key
    remedy = f"Say it in the profile ({key} = …) and unset this, or unset SIDECAR_PROFILES and say all by settings."
    return origin.problem(wrong, remedy)


def _by_settings(values: Values) -> Chains:
    last = _last_hop(values)
    broken = (values.origin(_FIELDS[breach.field]).problem(breach.wrong, breach.remedy) for breach in breaches(last))
    warnings = []
    if last.source is None and values.origin(s.SOURCE_DURATION).is_set:
        warnings.append("SIDECAR_SOURCE_DURATION is ignored: the direct chain has one hop, see SIDECAR_DURATION")
    return Chains(
        targets=(Target(name=DEFAULT_TARGET, hop=last),),
        problems=(*_without(values.problems, [s.PROFILES]), *_missing(values), *broken),
        warnings=tuple(warnings),
    )


def _last_hop(values: Values) -> Hop:
    """The plain chain. What is missing or wrong is stood in for, so that the rest is checked all the same."""
    target = values.get(s.TARGET_ROLE_ARN)
    first_role = values.get(s.ROLE_ARN) or (target if isinstance(target, Role) else STAND_IN)
    first = Hop(
        role=first_role,
        duration=values.get(s.SOURCE_DURATION) or DEFAULT_DURATION,
        regions=tuple(dict.fromkeys((values.get(s.REGION) or "", *(values.get(s.FALLBACK_REGIONS) or ())))),
        token_file=values[s.TOKEN_FILE],
        session_name=values.get(s.SESSION_NAME),
    )
    chained = replace(first, role=target if isinstance(target, Role) else first_role, token_file=None, source=first)
    given: dict[str, Any] = {
        each.field: value for each in s.LAST_HOP if (value := values.get(each)) not in (None, s.DIRECT)
    }
    return replace(first if target == s.DIRECT else chained, **{"duration": DEFAULT_DURATION, **given})


def _missing(values: Values) -> Iterator[Problem]:
    target, first, region = (values.origin(each) for each in (s.TARGET_ROLE_ARN, s.ROLE_ARN, s.REGION))
    if not target.is_set:
        remedy = (
            "Set it to the role to serve (AWS_ROLE_ARN is then the role before it), or to `direct` to serve "
            "AWS_ROLE_ARN's own; or set SIDECAR_PROFILES to profiles of an AWS config file."
        )
        yield target.problem("no target: nothing says whose credentials to serve", remedy)
    elif not first.is_set:
        wrong = "the role of hop 1 is not set: nothing can be assumed with the projected token"
        yield first.problem(wrong, "Set it to the role that trusts the cluster's OIDC provider.")
    if not region.is_set:
        remedy = "Set AWS_REGION (or AWS_DEFAULT_REGION), for instance eu-central-1."
        yield region.problem("no region: STS is asked in a region", remedy)


def _conflicts(values: Values, profile_endpoint: str | None) -> Iterator[Problem]:
    fallback, endpoint = values.origin(s.FALLBACK_REGIONS), values.origin(s.ENDPOINT_URL)
    if fallback.is_set and (place := endpoint.name or profile_endpoint):
        yield fallback.problem(f"{place} sends all regions' calls to one endpoint", "Unset one of the two.")
    token = values.origin(s.AUTHORIZATION_TOKEN)
    if values.get(s.AUTHORIZATION) is Authorization.NONE and token.is_set:
        yield token.problem("SIDECAR_AUTHORIZATION=none asks nobody for it", "Unset one of the two.")


def _short_lives(targets: tuple[Target, ...]) -> Iterator[str]:
    for target in targets:
        if target.hop.duration < _COMFORTABLE:
            yield (
                f"target {target.name} asks for {target.hop.duration} s: SDKs refresh early, so below "
                f"{_COMFORTABLE} s they ask for credentials at every call"
            )
