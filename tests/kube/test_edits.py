"""What is added stands where a person would put it, nothing else of a text is touched, and it says what was meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.errors import ConfigError
from sidecar.kube.documents import plain, read
from sidecar.kube.edits import Refused, rewrite
from sidecar.kube.patches import apply
from tests.kube.opinions import injected, loaded, patched


def edited(text: str, *operations: dict[str, Any]) -> str:
    """The first document of `text` patched in its text."""
    documents = read(text)
    wants = [plain(document.root) for document in documents]
    apply(operations, wants[0])
    return rewrite(text, documents, wants)


def add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def test_nothing_to_do_changes_nothing() -> None:
    text = "a:   [1,\n 2] # b\n"
    assert edited(text) == text


def test_keys_have_the_columns_of_their_neighbours_and_lists_those_of_the_document() -> None:
    value = {"labels": {"x": "z"}, "list": [{"a": {"b": "c"}, "d": [1]}, {"a": {"b": {}}, "d": 2}]}
    text = "m:\n    k: v\n    l:\n      -   b: 1\n"
    lines = ["    new:", "        labels:", "            x: z", "        list:", "          -   a: {b: c}"]
    lines += ["              d: [1]", "          -   a:", "                  b: {}", "              d: 2"]
    assert edited(text, add("/m/new", value)) == text + "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("m:\n  containers: []\n", "m:\n  initContainers: [1]\n  containers: []\n"),
        ("m:\n  # of these\n  containers: []\n", "m:\n  initContainers: [1]\n  # of these\n  containers: []\n"),
        ("m:\n  a: 1\n# b\n  containers: []\n", "m:\n  a: 1\n# b\n  initContainers: [1]\n  containers: []\n"),
        (
            "m:\n  a: |\n    x\n  # c\n  containers: []\n",
            "m:\n  a: |\n    x\n  initContainers: [1]\n  # c\n  containers: []\n",
        ),
        ("m:\n  a: |2\n    # c\n  containers: []\n", "m:\n  a: |2\n    # c\n  initContainers: [1]\n  containers: []\n"),
        ('m:\n  a: "b\n  # c"\n  containers: []\n', 'm:\n  a: "b\n  # c"\n  initContainers: [1]\n  containers: []\n'),
        ("m: {containers: [], b: c}\n", "m: {initContainers: [1], containers: [], b: c}\n"),
        ("m: {a: b, containers: []}", "m: {a: b, initContainers: [1], containers: []}"),
    ],
)
def test_init_containers_stand_before_the_containers_and_above_what_is_said_of_these(before: str, after: str) -> None:
    assert edited(before, add("/m/initContainers", [1])) == after


def test_keys_with_a_question_mark_have_its_column() -> None:
    assert edited("a:\n  ? |\n    b\n  : c\nz: 1\n", add("/a/d", "e")) == "a:\n  ? |\n    b\n  : c\n  d: e\nz: 1\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("m:\n  labels: {a: b} # c\n  z: 1\n", "m:\n  labels: {a: b} # c\n  annotations:\n    k: v\n  z: 1\n"),
        ("m:\n  labels:\n    a: b\n\n  z: 1\n", "m:\n  labels:\n    a: b\n  annotations:\n    k: v\n\n  z: 1\n"),
        ("m:\n  name: a\n  z: 1\n", "m:\n  name: a\n  annotations:\n    k: v\n  z: 1\n"),
        ("m:\n  z: 1\n", "m:\n  annotations:\n    k: v\n  z: 1\n"),
        ("m:\n  annotations: {}\n", "m:\n  annotations:\n    k: v\n"),
        ("m:\n  annotations:\n  # c\nz: 1\n", "m:\n  annotations:\n    k: v\n  # c\nz: 1\n"),
        ("m:\n  annotations: ~ # c\n", "m:\n  annotations: # c\n    k: v\n"),
        ("m:\n  annotations: null", "m:\n  annotations:\n    k: v"),
        ("m: {labels: {}}\n", "m: {labels: {}, annotations: {k: v}}\n"),
        ("m: {}\n", "m:\n  annotations:\n    k: v\n"),
    ],
)
def test_annotations_stand_after_the_labels_or_where_nothing_was(before: str, after: str) -> None:
    assert edited(before, add("/m/annotations", {"k": "v"})) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("l:\n- a # b\n# c\nz: 1\n", "l:\n- a # b\n- x\n# c\nz: 1\n"),
        ("l:\n- a", "l:\n- a\n- x"),
        ("l:\n  - a: |\n      t\n\n\nz: 1\n", "l:\n  - a: |\n      t\n  - x\n\n\nz: 1\n"),
        ("l:\n  - |+\n    t\n\nz: 1\n", "l:\n  - |+\n    t\n\n  - x\nz: 1\n"),
        ("l: [a]\n", "l: [a, x]\n"),
        ("l: [ a, ]\n", "l: [ a, x, ]\n"),
        ("l: [\n  a,\n  b # c\n  ]\n", "l: [\n  a,\n  b, # c\n  x\n  ]\n"),
        ("l: [\n  a,\n  b, # c\n  ]\n", "l: [\n  a,\n  b, # c\n  x,\n  ]\n"),
        ("l: [\n  a\n]\n", "l: [\n  a,\n  x\n]\n"),
        ("l: # c\n  []\nz: 1\n", "l: # c\n\n  - x\nz: 1\n"),
        ("l: &l\n-\n  a\n", "l: &l\n-\n  a\n- x\n"),
        ("l: []   # c", "l:   # c\n  - x"),
        ("l:\n- - a\nz: 1\n", "l:\n- - a\n- x\nz: 1\n"),
    ],
)
def test_items_are_appended_behind_the_last_line_of_the_last(before: str, after: str) -> None:
    assert edited(before, add("/l/-", "x")) == after


def test_items_are_appended_to_a_list_that_begins_on_the_line_of_another() -> None:
    assert edited("- - a\n- b\n", add("/0/-", "x")) == "- - a\n  - x\n- b\n"


def test_a_moved_item_takes_the_comments_above_it_along() -> None:
    before = "l:\n# one\n- {n: 1}\n# two\n- n: 2 # 2\n  m: |\n    # text\n# three\n- n: 3\n# end\n"
    after = "l:\n# three\n- n: 3\n# one\n- {n: 1}\n# two\n- n: 2 # 2\n  m: |\n    # text\n# end\n"
    assert edited(before, {"op": "move", "from": "/l/2", "path": "/l/0"}) == after


def test_a_moved_item_may_change_on_the_way() -> None:
    move = {"op": "move", "from": "/l/1", "path": "/l/0"}
    assert edited("l:\n- n: 1\n- n: 2 # 2", move, add("/l/0/m", 3)) == "l:\n- n: 2 # 2\n  m: 3\n- n: 1\n"


@pytest.mark.parametrize(("source", "place"), [(0, 1), (1, 0)])
def test_items_move_between_brackets(source: int, place: int) -> None:
    move = {"op": "move", "from": f"/l/{source}", "path": f"/l/{place}"}
    assert edited("l: [{k: 1}, {k: 2}]\n", move) == "l: [{k: 2}, {k: 1}]\n"


@pytest.mark.parametrize(
    ("said", "becomes"),
    [
        ("localhost", "localhost,127.0.0.1"),
        ("'localhost' # c", "'localhost,127.0.0.1' # c"),
        ('"localhost"', '"localhost,127.0.0.1"'),
        ("&it localhost # c", "&it localhost,127.0.0.1 # c"),
        ("&it !!str localhost # c", "&it localhost,127.0.0.1 # c"),
        (">-\n  local\n  host\nz: 1", "localhost,127.0.0.1\nz: 1"),
        ("\n  localhost", "\n  localhost,127.0.0.1"),
        ("", " localhost,127.0.0.1"),
    ],
)
def test_a_replaced_text_keeps_its_quotes_and_its_comment(said: str, becomes: str) -> None:
    before = f"v:{said and ' '}{said}\n"
    after = f"v:{said and ' '}{becomes}\n"
    assert edited(before, add("/v", "localhost,127.0.0.1")) == after


def test_line_ends_a_mark_at_the_beginning_and_a_missing_last_line_end_stay() -> None:
    before = "\ufeffl:\r\n- a\r\nm:\r\n  k: v"
    after = "\ufeffl:\r\n- a\r\n- x\r\nm:\r\n  k: v\r\n  new:\r\n    a:\r\n      b: {c: d}"
    assert edited(before, add("/l/-", "x"), add("/m/new", {"a": {"b": {"c": "d"}}})) == after
    assert edited("\ufeffa: b", add("/c", [{}, 1])) == "\ufeffa: b\nc:\n  - {}\n  - 1"


@pytest.mark.parametrize(
    ("before", "after"),
    [("a:\r- b\r- c\r", "a:\r- b\r- c\r\nz: x"), ("a:\n- b\n\u2028- c\n", "a:\n- b\n\u2028- c\nz: x\n")],
)
def test_rarer_line_ends_are_no_obstacle(before: str, after: str) -> None:
    assert edited(before, add("/z", "x")) == after


@pytest.mark.parametrize("indent", [None, 0, 1, 2, 4, "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_json_stays_json_in_its_own_indentation(indent: Any, newline: str) -> None:
    before = {"a": {"b": 1e3, "c": [{"n": "\u00e9\U0001f600\t"}], "e": {}, "f": []}, "z": None}
    after = json.loads(json.dumps(before))
    operations = [add("/a/c/0", {"new": [1, {"x": "y"}]}), add("/a/e", {"k": "v"}), add("/a/f/-", "x"), add("/q", [])]
    apply(operations, after)
    texts = (json.dumps(each, indent=indent, ensure_ascii=False).replace("\n", newline) for each in (before, after))
    assert edited(next(texts), *operations) == next(texts)


# --- aliases and merge keys -----------------------------------------------------------------------------------------

SHARED = """\
apiVersion: v1
kind: List
items:
- &one
  apiVersion: apps/v1
  kind: Deployment
  metadata: {name: one}
  spec: &spec
    template: &template
      metadata: {labels: {app: a}} # one for two
      spec:
        containers:
        - name: app
          image: app
"""


def agrees(text: str) -> str:
    """Injects it; PyYAML and jsonpatch must have it so too. Injecting again must do nothing."""
    after = injected(text)
    assert loaded(after) == patched(text)
    assert injected(after) == after
    return after


def test_a_template_of_two_workloads_is_changed_once_where_it_is_written() -> None:
    other = "- apiVersion: apps/v1\n  kind: DaemonSet\n  metadata: {name: two}\n  spec: {template: *template}\n"
    after = agrees(SHARED + other)
    assert after.endswith(other)
    assert after.count("name: credential-sidecar\n") == 1


def test_what_is_no_workload_does_not_get_the_sidecar_of_one_by_an_alias() -> None:
    after = agrees(SHARED + "- {kind: Kept, template: *template}\n- kind: Kept\n  spec: *spec\n")
    kept = [each for each in loaded(after)[0]["items"] if each["kind"] == "Kept"]
    assert "credential-sidecar" not in str(kept)
    assert "kind: Kept, template: {metadata: {labels: {app: a}}, spec: {containers" in after


def test_a_template_that_asks_for_something_else_is_written_out() -> None:
    other = """\
- apiVersion: v1
  kind: Pod
  metadata:
    name: two
    annotations: {credential-sidecar.io/target-role-arn: "arn:aws:iam::444455556666:role/two"}
  spec: {containers: [{name: app, image: app, env: *env}], volumes: *volumes}
- {apiVersion: v1, kind: Pod, metadata: {name: three}, spec: {containers: [{name: app, image: app, env: *env}]}}
"""
    text = (
        SHARED + "          env: &env\n          - {name: A, value: b}\n        volumes: &volumes\n        - name: v\n"
    )
    after = agrees(text + other)
    assert after.count("env: *env") == 2, "they are given the same variables"


def test_what_merge_keys_bring_is_overridden_where_it_changes() -> None:
    text = """\
defaults: &defaults
  image: app
  env:
  - {name: A, value: b}
apiVersion: v1
kind: Pod
spec:
  containers:
  - <<: *defaults
    name: one
  - name: two
    <<: [*defaults, {tty: yes}] # comment
"""
    after = agrees(text)
    assert after.startswith(text.partition("apiVersion")[0])
    assert "    <<: [*defaults, {tty: yes}] # comment\n" in after
    assert after.count("- {name: A, value: b}") == 3
    assert after.count("image: app") == 1


def test_a_container_that_is_the_base_of_another_gives_it_what_both_are_given() -> None:
    text = """\
apiVersion: v1
kind: Pod
spec:
  containers:
  - &one
    name: one
    env: [{name: A, value: b}]
  - <<: *one
    name: two
"""
    assert "  - <<: *one\n    name: two\n  volumes:\n" in agrees(text)


def test_a_merge_key_that_would_bring_what_is_not_meant_is_refused_with_words() -> None:
    text = """\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: {name: one}
  spec: &spec
    containers: [{name: app}]
- kind: Kept
  spec:
    <<: *spec
    other: 1
"""
    with pytest.raises(ConfigError) as caught:
        injected(text)
    (problem,) = caught.value.problems
    assert problem.source == "it.yaml:11"
    assert "initContainers, volumes" in problem.wrong


@pytest.mark.parametrize(
    ("text", "operation"),
    [
        ("a:\n  b: c\n", {"op": "replace", "path": "/a", "value": {"other": {"x": {}}}}),
        ("a:\n- b\n- c\n", {"op": "replace", "path": "/a", "value": ["c"]}),
        ("- - a: 1\n  - b: 2\n- []\n", {"op": "move", "from": "/0/1", "path": "/0/0"}),
        ("a: &a\n  ? b\n  : c\n", add("/a/d", "e")),
        ("a: |+\n  b\n---\nc: d\n", add("/a", "e")),
    ],
)
def test_what_cannot_be_done_in_the_text_is_refused_and_never_guessed(text: str, operation: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        edited(text, operation)


def test_what_is_refused_is_refused_at_the_line_of_its_document() -> None:
    text = "a: 1\n--- # c\na:\n  &a\n  ? b\n  : c\n"
    documents = read(text)
    wants = [plain(document.root) for document in documents]
    apply([add("/a/d", "e")], wants[1])
    with pytest.raises(Refused) as caught:
        rewrite(text, documents, wants)
    assert caught.value.line == 3
