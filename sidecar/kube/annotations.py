"""The annotations of a pod, once: the table, and what a pod asks for by them.

A pod's own annotation wins over what the injector was told for all pods (`--set`). What becomes a setting of the
sidecar is checked by the daemon's own resolution, so that what is injected starts; every problem is said at once.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from sidecar import config
from sidecar.config import DEFAULT_TARGET
from sidecar.errors import ConfigError, Problem
from sidecar.rules import Form, Items
from sidecar.settings import SETTINGS, TARGET_NAME, one_of, table
from sidecar.values import Origin, Values

PREFIX = "credential-sidecar.io/"
# The label that opts in or out, on a pod or on its namespace.
INJECT = f"{PREFIX}inject"
# A policy of STS's greatest size, twice, and room for all else.
_LONGEST, _MOST = 4_096, 16_384
# Of whatever pods ask for, what the last ones came to: those of a cluster have few chains between them.
REMEMBERED = 64
_POD, _INJECTOR = "the pod's annotation", "the injector's --set"

Texts = Mapping[str, str]
Pairs = tuple[tuple[str, str], ...]


def _is_port(number: int) -> bool:
    return 1024 <= number <= 65_535  # below, a user other than root may not listen


def _resources(text: str) -> Mapping[str, Any]:
    found = orjson.loads(text)
    if not isinstance(found, dict) or not found or not set(found) <= {"limits", "requests"}:
        raise ValueError("not of that shape")
    for amounts in found.values():
        if not isinstance(amounts, dict) or not all(_is_quantity(each) for each in amounts.values()):
            raise ValueError("not quantities")
    return found


def _is_quantity(amount: Any) -> bool:
    return not isinstance(amount, bool) and bool(re.fullmatch(r"(?a)\d+(\.\d+)?(m|[kMGTPE]|[KMGTPE]i)?", str(amount)))


def _user(text: str) -> int | None:
    return None if text == "none" else int(text)


def _container(text: str) -> tuple[str, str]:
    name, _, target = text.partition("=")
    return name, target


_NAME = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_BOOLEAN = one_of("true", "false", make="true".__eq__)
_PORT = Form(r"(?a)\d{4,5}", "not a port from 1024 to 65535", "Write for instance 9921.", int, _is_port)
_URL = r"https?://[\x21-\x7e]{1,2000}"
_AMOUNTS = 'Write for instance {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}.'
_NAMED = "{!r} is no name of a container"
_CONTAINER = Form(
    rf"{_NAME}(={TARGET_NAME})?", _NAMED, "Write names with commas, or name=target for one of several.", _container
)
_KNOWN = {setting.name: setting for setting in SETTINGS}
# The forms of what is no setting of the sidecar, or is needed here.
_FORMS: Mapping[str, Callable[[str], Any]] = {
    "profiles": _KNOWN["SIDECAR_PROFILES"].parse,
    "config-map": Form(
        rf"(?=.{{1,253}}$){_NAME}(\.{_NAME})*", "not the name of a ConfigMap", "Name one beside the pod."
    ),
    "containers": Items(_CONTAINER, "container", name=lambda named: named[0]),
    "token-variable": _BOOLEAN,
    "readiness": _BOOLEAN,
    "resources": Form(r"(?s).*", "not resources", _AMOUNTS, _resources),
    "audience": Form(r"[\x21-\x7e]{1,256}", "not an audience", "Write what the OIDC provider knows."),
    "https-proxy": Form(_URL, "not the URL of a proxy", "Write for instance http://proxy.example.com:3128."),
    "sts-endpoint-url": Form(_URL, "not a URL", "Write for instance https://sts.eu-west-1.amazonaws.com."),
    "port": _PORT,
    "status-port": _PORT,
    "run-as-user": Form(r"(?a)none|[1-9]\d{0,9}", "not a user", "Write a uid other than 0, or none.", _user),
}
# Quoted by no error: a proxy's URL may hold a password, also under a misspelt name.
_SECRET = "https-proxy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A row of the table: the name without prefix, the variable of the sidecar that it becomes, if it is one alone."""

    name: str
    setting: str
    default: str
    meaning: str
    group: str


def _rows() -> Iterator[Annotation]:
    """The rows of `annotations.txt`: name | setting | default | meaning."""
    for group, name, setting, default, meaning in table(Path(__file__).with_suffix(".txt")):
        yield Annotation(name=name, setting=setting, default=default, meaning=meaning, group=group)


ANNOTATIONS = {each.name: each for each in _rows()}
_OF_SETTING = {each.setting: each.name for each in ANNOTATIONS.values() if each.setting}
# What a profile says for itself: everything of a hop but its region.
_PER_HOP = {
    each.name
    for each in ANNOTATIONS.values()
    if each.setting in _KNOWN and _KNOWN[each.setting].hop not in ("", "region")
}
# The two ways to say a chain: who says one for a pod does not mean the other, which was said for all pods.
_PROFILES, _ROLES = {"profiles", "config-map"}, {"source-role-arn", "target-role-arn"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """What a pod asks for; pods that ask for the same have the same one.

    `settings` are variables of the sidecar; of `targets` the first is the default one; `containers` are who is given
    credentials, and of which target (empty: the first), or None for all; ports are None where they are the default, and
    `user` where the cluster says it.
    """

    settings: Texts
    targets: tuple[str, ...]
    config_map: str | None
    containers: Mapping[str, str] | None
    token_variable: bool
    readiness: bool
    resources: Mapping[str, Any] | None
    audience: str
    https_proxy: str | None
    port: int | None
    status_port: int | None
    user: int | None

    @property
    def is_plain(self) -> bool:
        """One chain, said by roles."""
        return self.config_map is None


def ask(annotations: Mapping[str, Any], defaults: Texts) -> Asked:
    """What `annotations` of a pod, and for those it does not have `defaults` by their bare names, ask for.

    Raises:
        ConfigError: an annotation of ours is unknown or wrong, or they cannot stand together; with every problem.
    """
    mine = tuple((name, text) for name, text in annotations.items() if name.startswith(PREFIX))
    if problems := [*_not_texts(mine)]:
        raise ConfigError(problems)
    return _ask(mine, tuple(defaults.items()))


def _not_texts(mine: Iterable[tuple[str, Any]]) -> Iterator[Problem]:
    for name, text in mine:
        if not isinstance(text, str):
            wrong, remedy = "not a text", 'Put it in quotes, for instance "true".'
            yield Problem(setting=name, value=None, source=_POD, wrong=wrong, remedy=remedy)


def _merged(annotations: Pairs, defaults: Pairs) -> Mapping[str, tuple[str, str]]:
    """What is said and by whom, by bare names; in one order, so that problems have one."""
    mine = {name.removeprefix(PREFIX): (text, _POD) for name, text in annotations}
    other_way = _PER_HOP if "profiles" in mine else _PROFILES if mine.keys() & _ROLES else set()
    theirs = {name: (text, _INJECTOR) for name, text in defaults if name not in other_way}
    return dict(sorted({**theirs, **mine}.items()))


@lru_cache(maxsize=REMEMBERED)
def _ask(annotations: Pairs, defaults: Pairs) -> Asked:
    values, given = Values((), {}, {}), _merged(annotations, defaults)
    if sum(len(PREFIX) + len(name) + len(text) for name, (text, _) in given.items()) > _MOST:
        wrong, remedy = f"its annotations have more than {_MOST} characters together", "Say less, or use profiles."
        raise ConfigError.of(f"{PREFIX}*", None, "the pod", wrong, remedy)
    for name, (text, source) in given.items():
        values.origins[name] = _origin(name, text, source)
    for name in [each for each in given if each not in ANNOTATIONS]:
        values.refuse(values.origins[name], *_unknown(name))
    said = {name: _value(values, name) for name in ANNOTATIONS if name in given}
    _check_together(values, said)
    settings = {each.setting: given[name][0] for name, each in ANNOTATIONS.items() if each.setting and name in given}
    settings.pop("HTTPS_PROXY", None)
    _check_settings(values, settings, said)
    values.check()
    return Asked(
        settings=settings,
        targets=said.get("profiles") or (DEFAULT_TARGET,),
        config_map=said.get("config-map"),
        containers=dict(said["containers"]) if "containers" in said else None,
        token_variable=said.get("token-variable", False),
        readiness=said.get("readiness", False),
        resources=said.get("resources"),
        audience=said.get("audience") or ANNOTATIONS["audience"].default,
        https_proxy=said.get("https-proxy"),
        port=said.get("port"),
        status_port=said.get("status-port"),
        user=said.get("run-as-user", int(ANNOTATIONS["run-as-user"].default)),
    )


def _origin(name: str, text: str, source: str) -> Origin:
    parse, is_secret = _FORMS.get(name, str), name == _SECRET or name not in ANNOTATIONS
    return Origin(name=PREFIX + name, text=text, by=name, source=source, parse=parse, is_secret=is_secret)


def _value(values: Values, name: str) -> Any:
    origin = values.origins[name]
    if not (origin.text or "").strip():
        values.refuse(origin, "it is empty", "Give it a value, or leave it out.")
    elif len(origin.text or "") > _LONGEST:
        unsaid = replace(origin, is_secret=True)
        values.refuse(unsaid, f"longer than {_LONGEST} characters", "Say it in a profile (profiles, config-map).")
    else:
        return values.get(origin)
    return None


def _unknown(name: str) -> tuple[str, str]:
    if name == "inject":
        return "it is a label, not an annotation", "Put it among the pod's labels, or on its namespace."
    near = get_close_matches(name, ANNOTATIONS, n=1)
    remedy = f"Did you mean {PREFIX}{near[0]}?" if near else "docs/injection.md has the names."
    return "no such annotation", remedy


def _missing(values: Values, name: str, wrong: str, remedy: str) -> None:
    absent = Origin(name=PREFIX + name, text=None, by="", source="neither the pod nor --set", parse=str)
    values.refuse(absent, wrong, remedy)


def _check_together(values: Values, said: Mapping[str, Any]) -> None:
    """What must be there, and what cannot stand together."""
    if "profiles" in said:
        for name in [each for each in said if each in _PER_HOP]:
            remedy = f"Say it in the profile ({_KNOWN[ANNOTATIONS[name].setting].key} = …), or leave out profiles."
            values.refuse(values.origins[name], "a profile says this for itself", remedy)
        if "config-map" not in said:
            wrong = "nothing says where the profiles are"
            _missing(values, "config-map", wrong, "Name the ConfigMap whose key `config` is the AWS config file.")
    else:
        _check_plain(values, said)
    ports = [said.get(name) or int(ANNOTATIONS[name].default) for name in ("port", "status-port")]
    if ports[0] == ports[1]:
        origin = values.origins.get("status-port") or values.origins["port"]
        values.refuse(origin, "the endpoint and the probes cannot have one port", "Choose another for one of them.")
    targets = said.get("profiles") or (DEFAULT_TARGET,)
    for container, target in said.get("containers") or ():
        if target and target not in targets:
            remedy = f"The targets are {', '.join(targets)}."
            values.refuse(values.origins["containers"], f"{container}={target}: no such target", remedy)


def _check_plain(values: Values, said: Mapping[str, Any]) -> None:
    if "config-map" in said:
        remedy = f"Name the profiles in {PREFIX}profiles, or leave it out."
        values.refuse(values.origins["config-map"], "no profiles are asked for", remedy)
    if "target-role-arn" not in said:
        remedy = "Set it to the role to serve, or to `direct` to serve source-role-arn; or set profiles and config-map."
        _missing(values, "target-role-arn", "no target: nothing says whose credentials to serve", remedy)
    if "source-role-arn" not in said:
        wrong = "the role of hop 1 is not set: nothing can be assumed with the projected token"
        _missing(values, "source-role-arn", wrong, "Set it to the role that trusts the cluster's OIDC provider.")
    if "region" not in said:
        remedy = "Set it on the pod, or once for all pods with --set region=…"
        _missing(values, "region", "no region: STS is asked in a region", f"{remedy}, for instance to eu-central-1.")


def _check_settings(values: Values, settings: Texts, said: Mapping[str, Any]) -> None:
    """What the daemon would say of its settings, in the names of the annotations; each problem once."""
    try:
        if "profiles" in said:
            config.read({}, settings, *settings)
        else:
            config.resolve({}, settings)
    except ConfigError as error:
        refused = {problem.setting for problem in values.problems}
        for problem in error.problems:
            name = _OF_SETTING.get(problem.setting)
            if (
                name in values.origins
                and f"{PREFIX}{name}" not in refused
                and values.origins[name].text == settings.get(problem.setting)
            ):
                values.refuse(values.origins[name], _translated(problem.wrong), _translated(problem.remedy))


_SETTING = re.compile("|".join(sorted(_OF_SETTING, key=len, reverse=True)))


def _translated(sentence: str) -> str:
    return _SETTING.sub(lambda found: PREFIX + _OF_SETTING[found[0]], sentence)
