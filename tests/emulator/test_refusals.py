"""Every code the emulator answers exists in botocore's STS model, or is a documented common code."""

from __future__ import annotations

import ast
from pathlib import Path

import botocore.session
import pytest

import sidecar.emulator
from sidecar.emulator.refusals import COMMON, MODELLED, Refusal, status_of

_MODEL = botocore.session.Session().get_service_model("sts")


def _raised() -> set[str]:
    """The first argument of every `Refusal(...)` in the emulator's source."""
    rooms = Path(sidecar.emulator.__file__).parent.glob("*.py")
    calls = [node for room in rooms for node in ast.walk(ast.parse(room.read_text())) if isinstance(node, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Refusal"]
    return {
        code.value for call in named if isinstance(code := call.args[0], ast.Constant) and isinstance(code.value, str)
    }


def test_every_modelled_code_has_the_models_name_and_status() -> None:
    shapes = [_MODEL.shape_for(name) for name in _MODEL.shape_names]
    errors = [shape.metadata["error"] for shape in shapes if shape.metadata.get("exception")]
    statuses = {error["code"]: error["httpStatusCode"] for error in errors}
    assert statuses.items() >= MODELLED.items()


def test_no_common_code_is_one_that_sts_models() -> None:
    modelled = {shape.metadata.get("error", {}).get("code") for shape in map(_MODEL.shape_for, _MODEL.shape_names)}
    assert not COMMON.keys() & modelled
    assert all(400 <= status < 600 and source for status, source in COMMON.values())


def test_every_refusal_in_the_source_has_a_listed_code() -> None:
    assert len(_raised()) >= 9
    assert _raised() <= MODELLED.keys() | COMMON.keys()


def test_an_unlisted_code_cannot_be_raised() -> None:
    with pytest.raises(KeyError):
        Refusal("TeapotException", "short and stout")
    assert (status_of("IDPRejectedClaim"), status_of("Throttling")) == (403, 400)
