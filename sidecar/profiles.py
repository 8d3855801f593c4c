"""Chains from an AWS config file, read as the AWS CLI reads it: botocore parses, following `source_profile` is ours.

A target is a profile; its chain is the line of `source_profile` down to the profile with
`web_identity_token_file`. What a pod has no use for (static keys, SSO, MFA, programs to run) is refused wherever the
line passes it: such a profile works by something other than the projected token, and a sidecar that guessed would
serve the wrong identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import Any, Self, TypeVar

from sidecar import rules, settings
from sidecar.errors import ConfigError, Problem
from sidecar.model import Hop, Target
from sidecar.rules import Illegal
from sidecar.values import Origin, shown

T = TypeVar("T")
_TOKEN_FILE, _SOURCE = "web_identity_token_file", "source_profile"

# The keys that shape a hop: what a setting says of the last one, a profile may say of any.
_SHAPES = (settings.ROLE_ARN, settings.TOKEN_FILE, settings.SESSION_NAME, *settings.LAST_HOP[1:])
_KEYS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    **{each.row.key: (each.field, each.parse) for each in _SHAPES},
    "sidecar_transitive_tags": ("transitive_tags", rules.tag_keys),
}
_KEY_OF = {field: key for key, (field, _) in _KEYS.items()}

# Other ways to credentials, by key, and why they are not taken.
_STATIC = "static keys are not used: the chain begins with the projected token"
_BROWSER = "nobody is there to sign in with a browser"
_FOREIGN = {
    **dict.fromkeys(("aws_access_key_id", "aws_secret_access_key", "aws_session_token"), _STATIC),
    "credential_process": "programs are never run for credentials",
    "credential_source": "the chain begins with the projected token, not with the credentials of a machine",
    "mfa_serial": "nobody is there to type an MFA code",
    **dict.fromkeys(("sso_session", "sso_start_url", "sso_account_id", "sso_role_name", "login_session"), _BROWSER),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """The targets found, with what is wrong; `endpoint` names a profile's own STS endpoint, if it has one."""

    targets: tuple[Target, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...] = ()
    endpoint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Paths of AWS's two files."""

    config: str
    credentials: str

    @classmethod
    def expand(cls, config: str, credentials: str, environ: Mapping[str, str]) -> Self:
        """With `~` and `$NAME` replaced from `environ`, as the AWS CLI does."""
        return cls(config=_expanded(config, environ), credentials=_expanded(credentials, environ))


def chains(
    names: Sequence[str], *, asked: Origin, files: Files, region: str | None, fallback_regions: Sequence[str]
) -> Chains:
    """A target for each of `names`; `asked` says where those come from, `region` outranks the profiles'."""
    try:
        book = _Book.read(files)
    except ConfigError as error:
        return Chains(targets=(), problems=error.problems)
    reader = _Reader(book, region, fallback_regions)
    targets = [reader.target(name, replace(asked, text=name)) for name in names]
    return Chains(
        targets=tuple(target for target in targets if target),
        problems=tuple(reader.problems),
        endpoint=next((where for name in names if (where := book.endpoint(name))), None),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Profile:
    """One profile's keys (lower case, none empty) and the file to name when one is wrong."""

    name: str
    keys: Mapping[str, Any]
    path: str

    def problem(self, key: str, wrong: str, remedy: str, *, is_shown: bool = True) -> Problem:
        value = shown(str(self.keys[key])) if is_shown and key in self.keys else None
        source = f"{self.path}, profile {self.name}"
        return Problem(setting=key, value=value, source=source, wrong=wrong, remedy=remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Book:
    """Both files, merged as the AWS CLI merges them: the credentials file's keys win."""

    files: Files
    sections: Mapping[str, Any]
    credentials: Mapping[str, Any]

    @classmethod
    def read(cls, files: Files) -> Self:
        from botocore.configloader import build_profile_map  # lazily: the plain case does without

        credentials = _sections("AWS_SHARED_CREDENTIALS_FILE", files.credentials)
        config = _sections("AWS_CONFIG_FILE", files.config)
        if config is None and credentials is None:
            remedy = "Mount the AWS config file into this container, or set AWS_CONFIG_FILE to where it is."
            raise _unusable(
                "AWS_CONFIG_FILE", files.config, "profiles are asked for, and there is no such file", remedy
            )
        return cls(files=files, sections=build_profile_map(config or {}), credentials=credentials or {})

    def profile(self, name: str) -> _Profile | None:
        configured, shared = self.sections["profiles"].get(name), self.credentials.get(name)
        if configured is None and shared is None:
            return None
        keys = {key: value for key, value in {**(configured or {}), **(shared or {})}.items() if value}
        path = self.files.credentials if configured is None else self.files.config
        return _Profile(name=name, keys=keys, path=path)

    def remedy(self, name: str) -> str:
        """What to do about a profile that is not there."""
        if name in self.sections:
            return f"The section [{name}] of {self.files.config} lacks the word: write [profile {name}]."
        from difflib import get_close_matches  # lazily: only who errs needs it

        known = sorted({*self.sections["profiles"], *self.credentials})
        for near in get_close_matches(name, known, n=1):
            return f"Did you mean {near}?"
        return f"{self.files.config} has {', '.join(known) or 'no profiles'}."

    def endpoint(self, name: str) -> str | None:
        """Which entry gives the profile an STS endpoint of its own, if one does."""
        profile = self.profile(name)
        if profile is None:
            return None
        service = self.sections["services"].get(str(profile.keys.get("services")), {}).get("sts", {})
        has_one = "endpoint_url" in profile.keys or "endpoint_url" in service
        return f"endpoint_url of profile {name}" if has_one else None


class _Reader:
    """Builds hops from profiles and gathers every problem, each once however many targets pass it."""

    def __init__(self, book: _Book, region: str | None, fallback_regions: Sequence[str]) -> None:
        self.problems: dict[Problem, None] = {}
        self._book = book
        self._region = region
        self._fallback_regions = fallback_regions

    def target(self, name: str, asked: Origin) -> Target | None:
        """The target of profile `name`, or None where its line does not reach the token."""
        line = self._line(name, asked)
        fields = {profile.name: self._fields(profile) for profile in line}
        if not line or _TOKEN_FILE not in line[-1].keys:
            return None
        regions = self._regions(line)
        hop: Hop | None = None
        for profile in reversed(line):
            hop = self._hop(profile, {"regions": regions, **fields[profile.name]}, hop)
        return Target(name=name, hop=hop) if hop else None

    def _line(self, name: str, asked: Origin) -> list[_Profile]:
        """The profiles from `name` towards the token, as far as `source_profile` leads."""
        profile = self._book.profile(name)
        if profile is None:
            self._add(asked.problem(f"there is no profile {name}", self._book.remedy(name)))
        line: list[_Profile] = []
        while profile:
            line.append(profile)
            profile = self._next(profile, [passed.name for passed in line])
        return line

    def _next(self, profile: _Profile, passed: Sequence[str]) -> _Profile | None:
        foreign = [*_foreign(profile)]
        for problem in foreign or _gaps(profile):
            self._add(problem)
        if _SOURCE not in profile.keys or _TOKEN_FILE in profile.keys:
            return None
        source = self._parsed(profile, _SOURCE, str)
        if source is None:
            return None
        if source in passed:
            circle = " → ".join((*passed[passed.index(source) :], source))
            remedy = f"Let one of them have {_TOKEN_FILE} instead of {_SOURCE}."
            if not foreign:  # such a profile may name itself, for the AWS CLI
                self._add(profile.problem(_SOURCE, f"the profiles go in a circle: {circle}", remedy))
            return None
        following = self._book.profile(source)
        if following is None:
            self._add(profile.problem(_SOURCE, f"there is no profile {source}", self._book.remedy(source)))
        return following

    def _fields(self, profile: _Profile) -> dict[str, object]:
        given = {
            field: self._parsed(profile, key, parse) for key, (field, parse) in _KEYS.items() if key in profile.keys
        }
        return {field: value for field, value in given.items() if value is not None}

    def _parsed(self, profile: _Profile, key: str, parse: Callable[[str], T]) -> T | None:
        try:
            return parse(_plain(profile.keys[key]))
        except Illegal as illegal:
            self._add(profile.problem(key, illegal.wrong, illegal.remedy))
            return None

    def _hop(self, profile: _Profile, fields: Mapping[str, Any], source: Hop | None) -> Hop:
        defaults = {"role": source.role if source else rules.STAND_IN, "duration": rules.DEFAULT_DURATION}
        hop = Hop(**{**defaults, **fields}, source=source)
        for breach in rules.breaches(hop):
            self._add(profile.problem(_KEY_OF[breach.field], breach.wrong, breach.remedy))
        return hop

    def _regions(self, line: Sequence[_Profile]) -> tuple[str, ...]:
        """The environment's region, else the first that the line names; then the fallbacks."""
        key = settings.REGION.row.key
        named = next((profile for profile in line if key in profile.keys), None)
        region = self._region
        if region is None and named:
            region = self._parsed(named, key, rules.region)
        elif region is None:
            remedy = "Write for instance region = eu-central-1, or set AWS_REGION."
            self._add(line[0].problem(key, "no region: STS is asked in a region", remedy))
        return tuple(dict.fromkeys((region or "", *self._fallback_regions)))

    def _add(self, problem: Problem) -> None:
        self.problems[problem] = None


def _unusable(setting: str, path: str, wrong: str, remedy: str) -> ConfigError:
    return ConfigError([Problem(setting=setting, value=path, source="file", wrong=wrong, remedy=remedy)])


def _foreign(profile: _Profile) -> Iterator[Problem]:
    remedy = f"Take it out, or ask for another profile; a chain has {_SOURCE} or {_TOKEN_FILE}."
    for wrong, key in {wrong: key for key, wrong in reversed(_FOREIGN.items()) if key in profile.keys}.items():
        yield profile.problem(key, wrong, remedy, is_shown=False)


def _gaps(profile: _Profile) -> Iterator[Problem]:
    if "role_arn" not in profile.keys:
        yield profile.problem("role_arn", "it is missing: the profile assumes no role", "Add role_arn = ARN.")
    if _TOKEN_FILE in profile.keys and _SOURCE in profile.keys:
        wrong = f"{_SOURCE} stands beside it, and a role is assumed by one of the two"
        yield profile.problem(_TOKEN_FILE, wrong, "Take one of them out.")
    if _TOKEN_FILE not in profile.keys and _SOURCE not in profile.keys:
        wrong = f"it is missing, and so is {_TOKEN_FILE}: the chain ends here without a token"
        yield profile.problem(_SOURCE, wrong, f"Add {_TOKEN_FILE} = PATH, or the {_SOURCE} that has it.")


def _plain(value: object) -> str:
    if not isinstance(value, str):
        raise Illegal("an indented block is no value for it", "Write it on one line.")
    return value.strip()


def _sections(setting: str, path: str) -> Mapping[str, Any] | None:
    """The sections of the file at `path`; None where there is no such file."""
    from botocore.configloader import raw_config_parse
    from botocore.exceptions import ConfigNotFound, ConfigParseError

    try:
        with Path(path).open("rb") as file:  # botocore takes a file that it may not read for an empty one
            file.read(1)
        parsed: Mapping[str, Any] = raw_config_parse(path)
    except (FileNotFoundError, NotADirectoryError, ConfigNotFound):  # the last: no regular file, /dev/null
        return None
    except OSError as error:
        wrong = f"it cannot be read: {error.strerror}"
        raise _unusable(setting, path, wrong, "Give this container's user a readable file.") from None
    except ConfigParseError as error:
        wrong = f"it is not an AWS config file{_line_of(error.kwargs.get('error'))}"
        remedy = "Mend it until `aws configure list-profiles` reads it."
        raise _unusable(setting, path, wrong, remedy) from None
    return parsed


def _line_of(error: object) -> str:
    """Where a parser stopped, without what stands there: that may be a key."""
    errors = getattr(error, "errors", None)
    line = errors[0][0] if errors else getattr(error, "lineno", None)
    return f": line {line} cannot be understood" if line else ": an indented block must be lines of key = value"


def _expanded(path: str, environ: Mapping[str, str]) -> str:
    home = environ.get("HOME", "")
    rooted = home + path[1:] if home and (path == "~" or path.startswith("~/")) else path
    return Template(rooted).safe_substitute(environ)
