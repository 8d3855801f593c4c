"""The one patch function: what a pod lacks, as the fewest operations of RFC 6902, or why it cannot be injected.

What is there is never replaced: only `NO_PROXY` and the EKS webhook's list grow, and the sidecar moves to its place. A
pod that has everything is left as it is, whoever gave it: so injection is idempotent, also over what the API server and
other webhooks have added in between, and over another version of the injector.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sidecar import __version__
from sidecar.bypass import NO_PROXY
from sidecar.errors import ConfigError, Problem
from sidecar.kube import conflicts, sidecars
from sidecar.kube.annotations import INJECT, PREFIX, Asked, ask
from sidecar.kube.conflicts import PROXIES, PROXY_VARIABLES, SKIP, source
from sidecar.kube.pods import Container, Object, Pod, items, read, unfit
from sidecar.kube.sidecars import NAME, NOT_PROXIED, OUR_TOKEN, REGIONS

# What a sidecar serves and where: one that is there and says any of it must be asked for the same.
_SERVING = {"SIDECAR_TARGET_ROLE_ARN", "SIDECAR_PROFILES", "SIDECAR_LISTEN", "SIDECAR_AUTHORIZATION_DIR"}
# What is the sidecar's own affair.
_OWN = "SIDECAR_STATE_DIR"
# What another version of the injector may give its volumes otherwise.
_SIZES = {"sizeLimit", "expirationSeconds"}

IMAGE = f"{NAME}:{__version__}"

Operation = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Injector:
    """What an injector was told for all pods: the sidecar's image, and annotations by their bare names for pods that do
    not have them. `random_token` makes an authorization token.
    """

    image: str
    defaults: Mapping[str, str]
    random_token: Callable[[], str]

    @classmethod
    def told(cls, image: str | None, said: Sequence[tuple[str, str]], random_token: Callable[[], str]) -> Self:
        """By a command line: an image, or none, and what is set; ConfigError where that is wrong for every pod."""
        if image is not None and not re.fullmatch(r"(?a)[\w.:/@-]+", image):  # of the name of an image, every character
            remedy = "Write it as registry.example.com/credential-sidecar:0.1.0. Is a variable empty?"
            raise ConfigError.of("--image", image, "command line", "not the name of an image", remedy)
        defaults: dict[str, str] = {}
        for name, value in said:
            if name in defaults:
                raise ConfigError.of("--set", name, "command line", f"{name} is set twice", "Set it once.")
            defaults[name] = value
        whole = {name: text for name, text in defaults.items() if name != "config-map" or "profiles" in defaults}
        try:
            ask({}, whole)
        except ConfigError as error:  # what is missing may be said by the pods
            if problems := [each for each in error.problems if each.setting.removeprefix(PREFIX) in defaults]:
                raise ConfigError(problems) from None
        return cls(image=IMAGE if image is None else image, defaults=defaults, random_token=random_token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """What has to be done to a pod, in order; nothing where it has everything. `changes` say it in words; `is_drawn`:
    it may have a token that was drawn for this pod alone.
    """

    operations: tuple[Operation, ...] = ()
    warnings: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    is_drawn: bool = False


def is_wanted(labels: Object) -> bool:
    """Whether the label, if there is one, opts in; ConfigError where it says neither."""
    said = labels.get(INJECT, "true")
    if said not in ("true", "false"):
        remedy = f'Write {INJECT}: "true", or "false" to leave the pod alone.'
        raise ConfigError.of(INJECT, str(said), "the pod's label", "neither true nor false", remedy)
    return bool(said == "true")


def inject(body: Any, injector: Injector) -> Injection:
    """What `body`, a pod as JSON, lacks. It is not changed.

    Raises:
        ConfigError: it is no pod, asks for what cannot be, or has what injection would have to overrule.
    """
    pod = read(body)
    if not is_wanted(pod.labels):
        return Injection()
    if "kubernetes.io/config.mirror" in pod.annotations:
        return Injection(warnings=("a static pod has no service account, and so no token: it is left alone",))
    problems = [*conflicts.of_pod(pod)]
    try:
        asked = ask(pod.annotations, injector.defaults)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from None
    plan = _Plan(pod, asked, injector)
    if problems := [*problems, *dict.fromkeys(plan.problems())]:
        raise ConfigError(problems)
    return plan.injection()


class _Plan:
    """One injection in the making: operations and what they do in words."""

    def __init__(self, pod: Pod, asked: Asked, injector: Injector) -> None:
        self._pod, self._asked = pod, asked
        self._sidecar = next((each for each in pod.init if each.name == NAME), None)
        self._others = [each for each in pod.init if each is not self._sidecar]
        proxies = [at for at, each in enumerate(self._others) if each.name in PROXIES and each.is_native]
        # The first, or after a mesh's proxy that is a native sidecar: without that nobody is reached.
        self._place = proxies[-1] + 1 if proxies else 0
        self._token = self._authorization(injector) if asked.token_variable else None
        self._container = sidecars.container(asked, injector.image, self._token)
        self._volumes = sidecars.volumes(asked)
        self._targets = {each.name: target for each, target in self._chosen()}
        self._askers = [each for each in pod.containers if each.name in self._targets]
        self._wanted = {name: sidecars.given(asked, each, self._token) for name, each in self._targets.items()}
        self._operations: list[Operation] = []
        self._changes: list[str] = []

    def injection(self) -> Injection:
        """All of it: what the sidecar needs comes before who asks it."""
        self._add_skips()
        self._add_sidecar()
        self._add_volumes()
        for each in self._askers:
            self._give(each)
        warnings = conflicts.warnings(self._pod, self._askers, is_token_variable=self._asked.token_variable)
        return Injection(
            operations=tuple(self._operations),
            warnings=tuple(warnings),
            changes=tuple(dict.fromkeys(self._changes)),
            is_drawn=self._asked.token_variable and bool(self._operations),
        )

    # Who, and what is in the way

    def _authorization(self, injector: Injector) -> str:
        """The token that is in the pod already, else a new one."""
        said = self._sidecar.env.get(OUR_TOKEN, {}).get("value") if self._sidecar else None
        return said if isinstance(said, str) else injector.random_token()

    def _chosen(self) -> Iterator[tuple[Container, str]]:
        first, named = self._asked.targets[0], self._asked.containers
        for each in self._pod.containers:
            if each.name != NAME and (each.name in named if named is not None else each.name not in conflicts.MESHES):
                yield each, (named or {}).get(each.name) or first

    def problems(self) -> Iterator[Problem]:
        """What is in the way of it."""
        yield from conflicts.of_ports(self._pod, self._asked)
        names = [each.name for each in self._pod.containers if each.name != NAME]
        if unknown := ", ".join(each for each in self._asked.containers or () if each not in names):
            remedy = f"The pod has {', '.join(names)}."
            yield unfit(f"{PREFIX}containers", unknown, "the pod or --set", "no such container", remedy)
        for each in self._askers:
            yield from conflicts.of_container(each, self._wanted[each.name])
            yield from _occupied(each, [sidecars.mount(self._asked, self._targets[each.name])])
        if self._sidecar:
            yield from _other_settings(self._sidecar, sidecars.environment(self._asked, self._token))
            yield from _occupied(self._sidecar, sidecars.mounts(self._asked))
        yield from self._taken()

    def _taken(self) -> Iterator[Problem]:
        """Volumes of our names that are something else."""
        theirs = {each["name"]: each for each in items(self._pod.spec, "volumes")}
        for ours in self._volumes:
            if ours["name"] in theirs and not _says(theirs[ours["name"]], ours):
                (kind,) = ours.keys() - {"name"}
                wrong = f"it is not the {kind} that injection brings"
                yield unfit("spec.volumes", ours["name"], "the pod", wrong, "Rename that volume, or take it out.")

    # What is added

    def _add_skips(self) -> None:
        """The EKS webhook is to leave alone who asks us, and the sidecar."""
        said = self._pod.annotations.get(SKIP)
        old = str(said).split(",") if said else []  # as the webhook reads it: a space is part of a name
        there = {*old}
        new = [name for name in (NAME, *(each.name for each in self._askers)) if name not in there]
        if not new:
            return
        self._changes.append(f"annotation {SKIP} names {', '.join(new)}")
        text = ",".join((*old, *new))
        if self._pod.annotations:
            op = "add" if said is None else "replace"
            self._operations.append({"op": op, "path": f"/metadata/annotations/{_escaped(SKIP)}", "value": text})
        elif self._pod.metadata:
            self._operations.append({"op": "add", "path": "/metadata/annotations", "value": {SKIP: text}})
        else:
            self._operations.append({"op": "add", "path": "/metadata", "value": {"annotations": {SKIP: text}}})

    def _add_sidecar(self) -> None:
        place = self._place
        where = f"after {self._others[place - 1].name}" if place else "as the first"
        if self._sidecar is None:
            self._insert("/spec", self._pod.spec, "initContainers", place, [self._container])
            self._changes.append(f"init container {NAME} added {where}")
            return
        pointer = f"/spec/initContainers/{place}"
        if self._sidecar.pointer != pointer:
            self._operations.append({"op": "move", "from": self._sidecar.pointer, "path": pointer})
            self._changes.append(f"init container {NAME} moved {where}")
        before = len(self._operations)
        self._add_variables(self._sidecar, pointer, self._container["env"])
        self._add_mounts(self._sidecar, pointer, self._container["volumeMounts"])
        if len(self._operations) > before:
            self._changes.append(f"init container {NAME} completed")

    def _add_volumes(self) -> None:
        there = {each["name"] for each in items(self._pod.spec, "volumes")}
        new = [each for each in self._volumes if each["name"] not in there]
        self._insert("/spec", self._pod.spec, "volumes", "-", new)
        if new:
            self._changes.append(f"volumes {', '.join(each['name'] for each in new)} added")

    def _give(self, each: Container) -> None:
        before, target = len(self._operations), self._targets[each.name]
        pointer, env = self._pointer(each), each.env
        wanted = [*self._wanted[each.name].values()]
        if not env.keys().isdisjoint(PROXY_VARIABLES):
            wanted += _unproxied(env)
            self._spare(each, pointer)
        region = self._asked.settings.get("AWS_REGION")
        if region and not _is_elsewhere(env, region):
            wanted += [sidecars.variable(name, region) for name in REGIONS]
        self._add_variables(each, pointer, wanted)
        self._add_mounts(each, pointer, [sidecars.mount(self._asked, target)])
        if len(self._operations) > before:
            self._changes.append(f"container {each.name} asks for target {target}")

    def _pointer(self, each: Container) -> str:
        """Where a container stands once the sidecar has its place."""
        if not each.is_init:
            return each.pointer
        at = self._others.index(each)
        return f"/spec/initContainers/{at + (at >= self._place)}"

    def _spare(self, each: Container, pointer: str) -> None:
        """A list of what is not proxied that is there already grows."""
        for at, said in enumerate(items(each.body, "env")):
            text = said.get("value") or ""
            if said["name"] in NO_PROXY and not said.get("valueFrom") and (longer := _longer(text)) != text:
                self._operations.append({"op": "add", "path": f"{pointer}/env/{at}/value", "value": longer})

    def _add_variables(self, to: Container, pointer: str, wanted: Sequence[Object]) -> None:
        self._insert(pointer, to.body, "env", "-", [each for each in wanted if each["name"] not in to.env])

    def _add_mounts(self, to: Container, pointer: str, wanted: Sequence[Object]) -> None:
        there = {each["mountPath"].rstrip("/") for each in items(to.body, "volumeMounts")}
        self._insert(pointer, to.body, "volumeMounts", "-", [each for each in wanted if each["mountPath"] not in there])

    def _insert(self, pointer: str, body: Object, field: str, place: int | str, new: Sequence[Any]) -> None:
        """Into the list `field` of what is at `pointer`, at its end for "-"; as a list where there is none."""
        if new and not isinstance(body.get(field), list):
            self._operations.append({"op": "add", "path": f"{pointer}/{field}", "value": [*new]})
            return
        path = f"{pointer}/{field}/{place}"
        self._operations += [{"op": "add", "path": path, "value": each} for each in new]


def _longer(text: Any) -> Any:
    """A list of what is not proxied, with loopback."""
    if not isinstance(text, str) or {part.strip() for part in text.split(",")} & {"*", "127.0.0.1"}:
        return text
    return f"{text},127.0.0.1" if text else NOT_PROXIED


def _unproxied(env: Mapping[str, Object]) -> Iterator[Object]:
    """The list in both spellings: a program that prefers the one which is added must not lose what the other says."""
    for name, other in (NO_PROXY, NO_PROXY[::-1]):
        said = env.get(other, {})
        yield {"name": name, "value": _longer(f"$({other})" if said.get("valueFrom") else said.get("value") or "")}


def _is_elsewhere(env: Mapping[str, Object], region: str) -> bool:
    """Whether a container has a region of its own: most SDKs would prefer the variable that it does not have."""
    return any(
        said.get("value") not in (None, "", region) or said.get("valueFrom") for said in map(env.get, REGIONS) if said
    )


def _says(theirs: Any, ours: Any) -> bool:
    """Whether that volume is ours, whatever its sizes are: another version's may have others."""
    if isinstance(ours, Mapping):
        return isinstance(theirs, Mapping) and all(
            _says(theirs.get(name), each) for name, each in ours.items() if name not in _SIZES
        )
    if isinstance(ours, list):
        return isinstance(theirs, list) and len(theirs) == len(ours) and all(map(_says, theirs, ours))
    return bool(theirs == ours)


def _other_settings(sidecar: Container, wanted: Mapping[str, str]) -> Iterator[Problem]:
    """A sidecar that is there serves what is asked for, or nothing is added to it."""
    ours = {name: sidecars.variable(name, text)["value"] for name, text in wanted.items() if name != _OWN}
    for name, said in sidecar.env.items():
        if name in ours.keys() | _SERVING and said.get("value") != ours.get(name):
            wrong = "the sidecar that is there says otherwise than the annotations"
            yield unfit(name, None, source(sidecar), wrong, "Take the sidecar out: injection brings its own.")


def _occupied(each: Container, wanted: Sequence[Object]) -> Iterator[Problem]:
    """Other volumes at our mount paths."""
    theirs = {said["mountPath"].rstrip("/"): said.get("name") for said in items(each.body, "volumeMounts")}
    for ours in wanted:
        found = theirs.get(ours["mountPath"], ours["name"])
        if found != ours["name"]:
            wrong = f"the volume {found} is mounted where {ours['name']} is to be"
            yield unfit("mountPath", ours["mountPath"], source(each), wrong, "Mount it elsewhere.")


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
