"""Every object that is published is one of Kubernetes' API, in the six newest minors that there are schemas of."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.specs import FILES, ROOT, objects

MINORS = 6
# Every schema is read anew for each object.
pytestmark = [pytest.mark.deploy, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def validator() -> Any:
    """The package that has the schemas; nobody types it."""
    return pytest.importorskip("kubernetes_validate", reason="`make deploy` installs it")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / "deploy")))
def test_it_is_valid_strictly_in_the_six_newest_minors(path: Path, validator: Any) -> None:
    newest = newest_minors(validator)
    assert len(newest) == MINORS
    for found in objects(path):
        assert [validator.validate(found, version, strict=True) for version in newest] == newest


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("hostnetwork", False, "hostnetwork"), ("enableServiceLinks", "false", "'false'"), ("containers", None, "None")],
    ids=["a field that is not there", "a text for a truth", "nothing for a list"],
)
def test_what_is_not_of_the_api_is_seen(field: str, value: object, said: str, validator: Any) -> None:
    (pod,) = objects(ROOT / "deploy" / "examples" / "pod.yaml")
    pod["spec"][field] = value
    for version in newest_minors(validator):
        with pytest.raises(validator.ValidationError, match=said):
            validator.validate(pod, version, strict=True)


def newest_minors(validator: Any) -> list[str]:
    """The newest of the minors that the package has, newest first."""
    minors = dict.fromkeys(validator.utils.major_minor(each) for each in reversed(validator.utils.all_versions()))
    return list(islice(minors, MINORS))
