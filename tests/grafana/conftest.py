"""The lives, recorded once for all that is asked of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.grafana.lives import write_all


@pytest.fixture(scope="session")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that holds every life of every pod: `NAME.POD.om` and `NAME.POD.json`."""
    folder = tmp_path_factory.mktemp("lives")
    write_all(folder)
    return folder
