"""Chains from an AWS config file, read as the AWS CLI reads it: botocore parses, following `source_profile` is ours.

A target is a profile; its chain is the line of `source_profile` down to the profile with
`web_identity_token_file`. What a pod has no use for (static keys, SSO, MFA, programs to run) is refused wherever the
line passes it: such a profile works by something other than the projected token, and a sidecar that guessed would
serve the wrong identity.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import Any, NoReturn

from sidecar.rules import PARAMETERS, Illegal
from sidecar.values import Chains, Origin, Values

_TOKEN_FILE, _SOURCE = "web_identity_token_file", "source_profile"
_FORMS = dict(PARAMETERS.values())

# Other ways to credentials, by the keys that choose them, and why they are not taken.
_FOREIGN = {
    "aws_access_key_id aws_secret_access_key aws_session_token": "static keys are not used: the token begins the chain",
    "credential_process": "programs are never run for credentials",
    "credential_source": "the chain begins with the projected token, not with the credentials of a machine",
    "mfa_serial": "nobody is there to type an MFA code",
    "sso_session sso_start_url sso_account_id sso_role_name login_session": "nobody is there to sign in with a browser",
}
_OTHERWISE = f"Take it out, or ask for another profile; a chain has {_SOURCE} or {_TOKEN_FILE}."

Complaints = Iterator[tuple[Origin, str, str]]


def chains(values: Values, names: Sequence[str], environ: Mapping[str, str]) -> tuple[Chains, str]:
    """The links to each of `names`, itself first, and which entry gives one of them its own STS endpoint, if any does.

    The files are those that `values` name, with `~` and `$NAME` replaced from `environ`; AWS_REGION outranks theirs.
    """
    book = _read(values, environ)
    if book is None:
        return {}, ""
    asked, region = values.origins["SIDECAR_PROFILES"], values.origins["AWS_REGION"]
    said = {"region": region} if region.by else {}
    lines = {name: book.line(name, replace(asked, text=name)) for name in names}
    links = {name: [{**profile.link(), **said} for profile in line] for name, line in lines.items()}
    return links, next(filter(None, map(book.endpoint, names)), "")


def expand(path: str, environ: Mapping[str, str]) -> str:
    """`path` with `~` and `$NAME` replaced from `environ`, as the AWS CLI does."""
    home = environ.get("HOME", "")
    rooted = home + path[1:] if home and (path == "~" or path.startswith("~/")) else path
    return Template(rooted).safe_substitute(environ)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Profile:
    """One profile's keys (lower case, none empty) and the file to name when one is wrong."""

    name: str
    path: str
    keys: Mapping[str, Any]

    def origin(self, key: str) -> Origin:
        """What it says under `key`, if it says something."""
        value, source = self.keys.get(key), f"{self.path}, profile {self.name}"
        form = _block if isinstance(value, Mapping) else _FORMS.get(key, str)
        text = None if value is None else str(value).strip()
        return Origin(name=key, text=text, by=key if value else "", source=source, parse=form)

    def link(self) -> dict[str, Origin]:
        """What it says of its hop."""
        return {field: self.origin(key) for field, (key, _) in PARAMETERS.items()}

    def foreign(self) -> Complaints:
        """What makes it no link of a chain, without its value."""
        for keys, wrong in _FOREIGN.items():
            for key in [key for key in keys.split() if key in self.keys][:1]:
                yield replace(self.origin(key), text=None), wrong, _OTHERWISE

    def gaps(self) -> Complaints:
        """What it lacks or has twice, to be a link."""
        sources = {_TOKEN_FILE, _SOURCE} & self.keys.keys()
        if "role_arn" not in self.keys:
            yield self.origin("role_arn"), "it is missing: the profile assumes no role", "Add role_arn = ARN."
        if len(sources) > 1:
            wrong = f"{_SOURCE} stands beside it, and a role is assumed by one of the two"
            yield self.origin(_TOKEN_FILE), wrong, "Take one of them out."
        if not sources:
            wrong = f"it is missing, and so is {_TOKEN_FILE}: the chain ends here without a token"
            yield self.origin(_SOURCE), wrong, f"Add {_TOKEN_FILE} = PATH, or the {_SOURCE} that has it."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Book:
    """Both files, merged as the AWS CLI merges them: the credentials file's keys win."""

    values: Values
    paths: Sequence[str]
    sections: Mapping[str, Any]
    shared: Mapping[str, Any]

    def profile(self, name: str) -> _Profile | None:
        configured, shared = self.sections["profiles"].get(name), self.shared.get(name)
        if configured is None and shared is None:
            return None
        keys = {key: value for key, value in {**(configured or {}), **(shared or {})}.items() if value}
        return _Profile(name=name, path=self.paths[configured is None], keys=keys)

    def line(self, name: str, asked: Origin) -> list[_Profile]:
        """The profiles from `name`, which `asked` asks for, towards the token, as far as `source_profile` leads."""
        line: list[_Profile] = []
        while profile := self.profile(name):
            line.append(profile)
            foreign = [*profile.foreign()]
            for complaint in foreign or profile.gaps():
                self.values.refuse(*complaint)
            asked = profile.origin(_SOURCE)
            if _TOKEN_FILE in profile.keys or not (name := self.values.get(asked)):
                return line
            passed = [each.name for each in line]
            if name in passed:
                circle = " → ".join((*passed[passed.index(name) :], name))
                if not foreign:  # such a profile may name itself, for the AWS CLI
                    remedy = f"Let one of them have {_TOKEN_FILE} instead of {_SOURCE}."
                    self.values.refuse(asked, f"the profiles go in a circle: {circle}", remedy)
                return line
        self.values.refuse(asked, f"there is no profile {name}", self._remedy(name))
        return line

    def _remedy(self, name: str) -> str:
        if name in self.sections:
            return f"The section [{name}] of {self.paths[0]} lacks the word: write [profile {name}]."
        from difflib import get_close_matches  # lazily: only who errs needs it

        known = sorted({*self.sections["profiles"], *self.shared})
        for near in get_close_matches(name, known, n=1):
            return f"Did you mean {near}?"
        return f"{self.paths[0]} has {', '.join(known) or 'no profiles'}."

    def endpoint(self, name: str) -> str:
        """Which entry gives the profile an STS endpoint of its own, if one does."""
        keys = profile.keys if (profile := self.profile(name)) else {}
        service = self.sections["services"].get(str(keys.get("services")), {}).get("sts", {})
        return f"endpoint_url of profile {name}" if "endpoint_url" in {*keys, *service} else ""


def _read(values: Values, environ: Mapping[str, str]) -> _Book | None:
    from botocore.configloader import build_profile_map  # lazily: the plain case does without

    said = [values.origins[name] for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")]
    paths = [expand(origin.text or "", environ) for origin in said]
    files = [replace(origin, text=path, parse=_sections) for origin, path in zip(said, paths, strict=True)]
    if (config := values.get(files[0])) is None or (shared := values.get(files[1])) is None:
        return None
    if not (config or shared or Path(paths[0]).is_file()):
        remedy = "Mount the AWS config file into this container, or set AWS_CONFIG_FILE to where it is."
        values.refuse(files[0], "profiles are asked for, and there is no such file", remedy)
        return None
    return _Book(values=values, paths=paths, sections=build_profile_map(config), shared=shared)


def _sections(path: str) -> Any:
    """The sections of the file at `path`; none where there is no such file."""
    from botocore.configloader import raw_config_parse
    from botocore.exceptions import ConfigNotFound, ConfigParseError

    try:
        with Path(path).open("rb") as file:  # botocore takes a file that it may not read for an empty one
            file.read(1)
        return raw_config_parse(path)
    except (FileNotFoundError, NotADirectoryError, ConfigNotFound):  # the last: no regular file, /dev/null
        return {}
    except OSError as error:
        raise Illegal(f"it cannot be read: {error.strerror}", "Give this container's user a readable file.") from None
    except ConfigParseError as error:
        wrong = f"it is not an AWS config file{_line_of(error.kwargs.get('error'))}"
        raise Illegal(wrong, "Mend it until `aws configure list-profiles` reads it.") from None


def _line_of(error: object) -> str:
    """Where a parser stopped, without what stands there: that may be a key."""
    errors = getattr(error, "errors", None)
    line = errors[0][0] if errors else getattr(error, "lineno", None)
    return f": line {line} cannot be understood" if line else ": an indented block must be lines of key = value"


def _block(_: str) -> NoReturn:
    raise Illegal("an indented block is no value for it", "Write it on one line.")
