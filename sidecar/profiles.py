"""Chains from an AWS config file, read as the AWS CLI reads it: botocore parses, following `source_profile` is ours.

A target is a profile; its chain is the line of `source_profile` down to the profile with
`web_identity_token_file`. What a pod has no use for (static keys, SSO, MFA, programs to run) is refused wherever the
line passes it: such a profile works by something other than the projected token, and a sidecar that guessed would
serve the wrong identity.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from string import Template
from typing import Any

from sidecar.rules import NEVER, PARAMETERS, Form, Illegal
from sidecar.values import Chains, Link, Origin, Values

_TOKEN_FILE, _SOURCE = "web_identity_token_file", "source_profile"
_FORMS = dict(PARAMETERS.values())
_BLOCK = Form(NEVER, "an indented block is no value for it", "Write it on one line.")

# Other ways to credentials, by the keys that choose them, and why they are not taken.
_FOREIGN = {
    "aws_access_key_id aws_secret_access_key aws_session_token": "static keys are not used: the token begins the chain",
    "credential_process": "programs are never run for credentials",
    "credential_source": "the chain begins with the projected token, not with the credentials of a machine",
    "mfa_serial": "nobody is there to type an MFA code",
    "sso_session sso_start_url sso_account_id sso_role_name login_session": "nobody is there to sign in with a browser",
    "endpoint_url": "a profile's own STS endpoint is not asked: AWS_ENDPOINT_URL_STS says it for all",
}
_OTHERWISE = f"Take it out, or ask for another profile; a chain has {_SOURCE} or {_TOKEN_FILE}."
_KEYS = {*_FORMS, _SOURCE, *" ".join(_FOREIGN).split()}

# What a profile says, by the keys that matter to a chain.
_Profile = Mapping[str, Origin]


def chains(values: Values, names: Sequence[str], environ: Mapping[str, str]) -> Chains:
    """The links to each of `names`, itself first, as far as its files have them; what is wrong there is a problem.

    The files are those that `values` name, with `~` and `$NAME` replaced from `environ`; AWS_REGION outranks theirs.
    """
    profiles = _read(values, environ)
    if profiles is None:
        return {}
    asked, region = values.origins["SIDECAR_PROFILES"], values.origins["AWS_REGION"]
    said = {"region": region} if region.by else {}
    lines = {name: _line(name, replace(asked, text=name), profiles, values) for name in names}
    return {name: [{**_link(profile), **said} for profile in line] for name, line in lines.items()}


def expand(path: str, environ: Mapping[str, str]) -> str:
    """`path` with `~` and `$NAME` replaced from `environ`, as the AWS CLI does."""
    return Template(re.sub(r"\A~(?=/|\Z)", "$HOME", path)).safe_substitute(environ)


def _profile(name: str, path: str, keys: Mapping[str, Any]) -> _Profile:
    """What the profile says by its `keys`; an empty one says nothing."""
    source = f"{path}, profile {name}"
    return {key: _origin(key, keys.get(key) or None, source) for key in _KEYS}


def _origin(key: str, value: object, source: str) -> Origin:
    form = _BLOCK if isinstance(value, Mapping) else _FORMS.get(key, str)
    text = None if value is None else str(value).strip()
    return Origin(name=key, text=text, by=key if text else "", source=source, parse=form)


def _link(profile: _Profile) -> Link:
    return {field: profile[key] for field, (key, _) in PARAMETERS.items()}


def _complaints(profile: _Profile, passed: Sequence[str]) -> Iterator[tuple[Origin, str, str]]:
    """What makes `profile` no link of the chain that has `passed` these profiles, itself the last.

    A profile that gets its credentials otherwise is not asked for what a link needs.
    """
    foreign = {wrong: key for keys, wrong in _FOREIGN.items() for key in keys.split()[::-1] if profile[key].by}
    for wrong, key in foreign.items():
        yield replace(profile[key], text=None), wrong, _OTHERWISE
    if foreign:
        return
    role, token, source = (profile[key] for key in ("role_arn", _TOKEN_FILE, _SOURCE))
    if not role.by:
        yield role, "it is missing: the profile assumes no role", "Add role_arn = ARN."
    if token.by and source.by:
        yield token, f"{_SOURCE} stands beside it, and a role is assumed by one of the two", "Take one of them out."
    elif source.text in passed:
        wrong = f"the profiles go in a circle: {' → '.join(passed)} → {source.text}"
        yield source, wrong, f"Let one of them have {_TOKEN_FILE} instead of {_SOURCE}."
    elif not (token.by or source.by):
        wrong = f"it is missing, and so is {_TOKEN_FILE}: the chain ends here without a token"
        yield source, wrong, f"Add {_TOKEN_FILE} = PATH, or the {_SOURCE} that has it."


def _line(name: str, asked: Origin, profiles: Mapping[str, _Profile], values: Values) -> list[_Profile]:
    """The profiles from `name`, which `asked` asks for, towards the token, as far as `source_profile` leads."""
    passed: list[str] = []
    while profile := profiles.get(name):
        passed.append(name)
        for complaint in _complaints(profile, passed):
            values.refuse(*complaint)
        asked = profile[_SOURCE]
        name = "" if profile[_TOKEN_FILE].by else values.get(asked) or ""
        if not name or name in passed:
            break
    else:
        known = ", ".join(sorted(profiles)) or "none"
        remedy = f"There is {known}; write the section of the config file as [profile {name}]."
        values.refuse(asked, f"there is no profile {name}", remedy)
    return [profiles[each] for each in passed]


def _read(values: Values, environ: Mapping[str, str]) -> Mapping[str, _Profile] | None:
    """The profiles of both files, merged as the AWS CLI merges them: the credentials file's keys win."""
    from botocore.configloader import build_profile_map  # lazily: the plain case does without

    said = [values.origins[name] for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")]
    files = [replace(each, text=expand(each.text or "", environ), parse=_sections) for each in said]
    if (config := values.get(files[0])) is None or (shared := values.get(files[1])) is None:
        return None
    if not (config or shared or Path(str(files[0].text)).is_file()):
        remedy = "Mount the AWS config file into this container, or set AWS_CONFIG_FILE to where it is."
        values.refuse(files[0], "profiles are asked for, and there is no such file", remedy)
        return None
    configured = build_profile_map(config)["profiles"]
    keys = {name: {**configured.get(name, {}), **shared.get(name, {})} for name in {**configured, **shared}}
    return {name: _profile(name, str(files[name not in configured].text), keys[name]) for name in keys}


def _sections(path: str) -> Any:
    """The sections of the file at `path`; none where there is no such file."""
    from botocore.configloader import raw_config_parse
    from botocore.exceptions import ConfigNotFound, ConfigParseError

    try:
        with Path(path).open("rb"):  # botocore takes a file that it may not read for an empty one
            return raw_config_parse(path)
    except (FileNotFoundError, NotADirectoryError, ConfigNotFound):  # the last: no regular file, /dev/null
        return {}
    except OSError as error:
        raise Illegal(f"it cannot be read: {error.strerror}", "Give this container's user a readable file.") from None
    except ConfigParseError:  # what it says quotes the file, which may hold keys
        remedy = "Mend it until `aws configure list-profiles` reads it."
        raise Illegal("it is not an AWS config file: a line of it cannot be understood", remedy) from None
