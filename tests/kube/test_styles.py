"""Whatever a pod is and however it is written: what is added is what was meant, and all else stays as it was."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from difflib import SequenceMatcher
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tests.kube.opinions import injected, loaded, patched

# Texts of every kind that could be taken for something else.
_ODD = [
    *"yes 0644 1e3 08 ~ '".split(),
    *("", " ", '"', "# no", "a: b", "- x", "{{ x }}", "é\U0001f600", "a\nb\n", "\t"),
]
TEXTS = st.sampled_from(_ODD) | st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), max_size=12)
SCALARS = TEXTS | st.integers(0, 10**20) | st.booleans() | st.none()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)
NAMES = st.sampled_from(["data", "tmp"])  # texts for every reader
LABELS = st.dictionaries(TEXTS, TEXTS, max_size=2)


def fields(required: dict[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects with these fields in any order, and with others that nobody knows, none with a name of several lines:
    nothing can be put before what has a question mark.
    """
    unknown = st.dictionaries(TEXTS.map(lambda text: f"x-{text.partition(chr(10))[0]}"), VALUES, max_size=2)
    known = st.fixed_dictionaries(required, optional=optional)
    return st.tuples(known, unknown).flatmap(
        lambda pair: st.permutations([*pair[0].items(), *pair[1].items()]).map(dict)
    )


def containers(*names: str) -> st.SearchStrategy[Any]:
    variables = fields({"name": st.sampled_from(["A", "B", "HTTP_PROXY"])}, value=TEXTS) | fields(
        {"name": st.just("NO_PROXY")}, value=st.sampled_from(["", "localhost", ".svc, 10.0.0.0/8", "*"])
    )
    mounts = fields({"name": NAMES, "mountPath": st.just("/data")})
    rest = {"env": st.none() | st.lists(variables, max_size=3), "volumeMounts": st.lists(mounts, max_size=1)}
    each = [fields({"name": st.just(name)}, image=TEXTS, args=st.lists(TEXTS), **rest) for name in names]
    return st.tuples(*each).map(list)


METADATA = fields({}, name=TEXTS, labels=LABELS | st.none(), annotations=LABELS | st.none())
SPECS = fields(
    {"containers": containers("app") | containers("app", "web", "log")},
    initContainers=st.none() | st.just([]) | containers("first", "second"),
    volumes=st.none() | st.lists(fields({"name": NAMES}), max_size=2),
)
TEMPLATES = fields({"spec": SPECS}, metadata=METADATA)
PODS = fields({"apiVersion": st.just("v1"), "kind": st.just("Pod"), "spec": SPECS}, metadata=METADATA)
DEPLOYMENTS = fields(
    {"apiVersion": st.just("apps/v1"), "kind": st.just("Deployment"), "spec": fields({"template": TEMPLATES})}
)
LISTS = st.lists(PODS | DEPLOYMENTS, min_size=1, max_size=2).map(
    lambda items: {"apiVersion": "v1", "kind": "List", "items": items}
)
WORKLOADS = PODS | DEPLOYMENTS | LISTS


def by_pyyaml(**style: Any) -> Callable[[Any], str]:
    return lambda value: yaml.safe_dump(value, sort_keys=False, allow_unicode=True, **style)


def by_ruamel(**indent: int) -> Callable[[Any], str]:
    def write(value: Any) -> str:
        stream, writer = io.StringIO(), YAML(typ="rt", pure=True)
        writer.indent(**indent)
        writer.dump(json.loads(json.dumps(value)), stream)
        return stream.getvalue()

    return write


BLOCKS = [
    by_pyyaml(),
    by_pyyaml(indent=4, width=20),
    by_pyyaml(default_style="|"),
    by_pyyaml(default_style=">"),
    by_pyyaml(default_style="'", width=9999),
    by_ruamel(mapping=2, sequence=4, offset=2),
    by_ruamel(mapping=4, sequence=6, offset=3),
    by_ruamel(mapping=3, sequence=2, offset=0),
]
OTHERS = [
    by_pyyaml(default_flow_style=True),
    by_pyyaml(default_flow_style=True, width=20),
    by_pyyaml(default_flow_style=None, indent=3),
    json.dumps,
    lambda value: json.dumps(value, indent=2, ensure_ascii=False),
    lambda value: json.dumps(value, indent="\t"),
]
STYLES = st.sampled_from(BLOCKS + OTHERS)
FEW = settings(max_examples=60)  # each is read seven times, by two readers written in Python
LINE_ENDS = st.sampled_from(["\n", "\r\n"])
# Documents that are nobody's, as odd as they can be; each ends the one before it.
AROUND = [
    "",
    "---\n",
    "# c\n---\n",
    "---\na:   0644 # x \n...\n---\n",
    "--- |\n kind: Pod\n---\n",
    "---\n- &a [1,\n  2]\n- *a\n--- # c\n",
]


@FEW
@given(workload=WORKLOADS, write=STYLES, end=LINE_ENDS, is_ended=st.booleans())
def test_what_comes_out_says_what_the_operations_mean(
    workload: Any, write: Callable[[Any], str], end: str, is_ended: bool
) -> None:
    text = write(workload).replace("\n", end)
    text = text if is_ended or "|" in text or ">" in text else text.removesuffix(end)
    after = injected(text)
    assert loaded(after) == patched(text)
    assert injected(after) == after
    assert ("\n" in after.replace("\r\n", "")) == ("\n" in text.replace("\r\n", ""))


@FEW
@given(workload=WORKLOADS, write=st.sampled_from(BLOCKS))
def test_every_line_of_a_block_stays_but_what_was_empty(workload: Any, write: Callable[[Any], str]) -> None:
    # A list of what is not proxied would grow, and what is null can be as long as PyYAML likes.
    changed = json.dumps(workload).replace("NO_PROXY", "C")
    for kind, empty in (
        ("annotations", "{}"),
        ("labels", "{}"),
        ("env", "[]"),
        ("initContainers", "[]"),
        ("volumes", "[]"),
    ):
        changed = changed.replace(f'"{kind}": null', f'"{kind}": {empty}')
    text = write(json.loads(changed))
    before, after = text.split("\n"), injected(text).split("\n")
    steps = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    gone = [line for what, i1, i2, _, _ in steps if what in ("delete", "replace") for line in before[i1:i2]]
    assert [line for line in gone if not line.endswith((": []", ": {}"))] == []


@FEW
@given(workload=WORKLOADS, write=STYLES, before=st.sampled_from(AROUND), after=st.sampled_from(AROUND))
def test_other_documents_stay_byte_for_byte(
    workload: Any, write: Callable[[Any], str], before: str, after: str
) -> None:
    text = write(workload)
    text += "" if text.endswith("\n") else "\n"
    found = injected(before + text + after)
    assert found == before + injected(text) + after
