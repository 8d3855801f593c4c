"""The lives, recorded once for all that is asked of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.grafana.lives import write_all
from tests.grafana.prometheus import Prometheus, load, prometheus


@pytest.fixture(scope="session")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that holds every life of every pod: `NAME.POD.om` and `NAME.POD.json`."""
    folder = tmp_path_factory.mktemp("lives")
    write_all(folder)
    return folder


@pytest.fixture(scope="session")
def recorded(lives: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A real Prometheus that has all of them, and what the rules record of them."""
    home = tmp_path_factory.mktemp("prometheus")
    load(home, sorted(lives.glob("*.om")))
    with prometheus(home) as server:
        yield server
