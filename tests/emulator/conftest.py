"""An emulator with the guide's two accounts, and the kubelet of its pod."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.emulator import Emulator, Kubelet, guide_world


@pytest.fixture
async def sts() -> AsyncIterator[Emulator]:
    async with Emulator(guide_world) as running:
        yield running


@pytest.fixture
def kubelet(sts: Emulator, tmp_path: Path) -> Kubelet:
    return Kubelet(tmp_path / "token", sts)
