"""The Go programs, built once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy import tools


@pytest.fixture(scope="session")
def podsecurity() -> Path:
    """Kubernetes' own judge of Pod Security."""
    return tools.build("podsecurity")


@pytest.fixture(scope="session")
def jsonpatch() -> Path:
    """The patching of the API server."""
    return tools.build("jsonpatch")


@pytest.fixture(scope="session")
def kustomize() -> Path:
    """The newest that the Go of this repository builds."""
    return tools.build("kustomize")


@pytest.fixture(scope="session")
def helm() -> Path:
    """The newest of the third Helm."""
    return tools.build("helm")


@pytest.fixture(scope="session", params=["kustomize", "kustomize-oldest"])
def each_kustomize(request: pytest.FixtureRequest) -> Path:
    """It, and the oldest that is in use."""
    return tools.build(request.param)
