"""Which objects of a manifest have pods, and where their templates are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sidecar.kube.annotations import PREFIX
from sidecar.kube.documents import Fields

_TEMPLATE: Final = ("spec", "template")
# By API group and kind: where the pod is. Another group's Job is another thing.
_PODS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("", "Pod"): (),
    ("", "PodTemplate"): ("template",),
    ("", "ReplicationController"): _TEMPLATE,
    **{("apps", kind): _TEMPLATE for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")},
    ("batch", "Job"): _TEMPLATE,
    ("batch", "CronJob"): ("spec", "jobTemplate", *_TEMPLATE),
}
_OLD_GROUP: Final = "extensions"  # where those of apps were until Kubernetes 1.16


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """An object that has a pod: the pod, or its template; `strays` are annotations and labels of ours that are on
    something else than it, which nobody reads.
    """

    who: str
    line: int
    pod: Any
    strays: Sequence[str]

    @property
    def labels(self) -> Mapping[str, Any]:
        """The pod's own; none where they are no such thing, which injection will say."""
        found = _reach(self.pod, ("metadata", "labels"))
        return found if isinstance(found, Mapping) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """An object of a kind that is not known here, which has a pod template all the same."""

    who: str


def objects(data: Any) -> Iterator[Workload | Stranger]:
    """What has pods in one document, in its order; in lists, and in lists of lists, too."""
    if not isinstance(data, Fields):
        return
    kind, items = data.get("kind"), data.get("items")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(items, list):
        for each in items:
            if isinstance(each, Fields):
                # Those of a typed list need not say what they are.
                said = {"apiVersion": data.get("apiVersion"), "kind": kind.removesuffix("List")}
                yield from objects(each) if "kind" in each else _object(each, {**said, **each})
    else:
        yield from _object(data, data)


def _object(body: Fields, said: Mapping[str, Any]) -> Iterator[Workload | Stranger]:
    group, _, _ = str(said.get("apiVersion", "")).rpartition("/")
    kind = str(said.get("kind", ""))
    way = _PODS.get(("apps" if group == _OLD_GROUP else group, kind))
    if way is None:
        if isinstance(_reach(body, (*_TEMPLATE, "spec", "containers")), list):
            yield Stranger(who=_name(body, kind))
    elif (pod := _reach(body, way)) is not None:
        yield Workload(who=_name(body, kind), line=body.node.line, pod=pod, strays=[*_strays(body, way)])


def _reach(body: Any, way: Sequence[str]) -> Any:
    for key in way:
        body = body.get(key) if isinstance(body, Mapping) else None
    return body


def _name(body: Fields, kind: str) -> str:
    metadata = _reach(body, ("metadata",)) or {}
    said = metadata if isinstance(metadata, Mapping) else {}
    name = said.get("name") or f"{said.get('generateName', '')}…"
    return f"{kind.lower()} {'/'.join(map(str, filter(None, (said.get('namespace'), name))))}"


def _strays(body: Fields, way: Sequence[str]) -> Iterator[str]:
    """What is ours on every object above the pod; `way` leads to the pod."""
    pod = _reach(body, (*way, "metadata"))
    for depth in range(len(way)):
        metadata = _reach(body, (*way[:depth], "metadata"))
        for field in ("labels", "annotations"):
            for name in _reach(metadata, (field,)) or () if isinstance(metadata, Mapping) else ():
                if name.startswith(PREFIX) and name not in (_reach(pod, (field,)) or ()):
                    where = ".".join((*way[:depth], "metadata", field))
                    yield f"{where} has {name}, which counts in {'.'.join((*way, 'metadata', field))} alone"
