"""The specs are those that `make docs` writes from one pod, which is the README's: no package is wanted for that."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.deploy.specs import EXAMPLES, ROOT
from tools.specs import Pod, components, examples, put, swap

WRITTEN = {**examples(), **components()}


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT / "deploy")))
def test_it_is_up_to_date(path: Path) -> None:
    assert path.read_text() == WRITTEN[path], "run `make docs`"


def test_the_pod_is_the_readmes() -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert (ROOT / "deploy" / "examples" / "pod.yaml").read_text() == block


def test_every_example_is_written_but_the_pod_and_the_policy() -> None:
    assert {path.stem for path in EXAMPLES} - {path.stem for path in examples()} == {"pod", "networkpolicy"}


def test_what_is_to_be_said_otherwise_must_be_there() -> None:
    with pytest.raises(ValueError, match="not in the pod: 'AWS_ROLE'"):
        swap("AWS_REGION", {"AWS_ROLE": "x"})
    with pytest.raises(ValueError, match="no place in the frame for pod"):
        put("spec:\n", pod="containers:\n")
    with pytest.raises(ValueError, match="no pod with a sidecar"):
        Pod.read(ROOT / "deploy" / "examples" / "networkpolicy.yaml")
