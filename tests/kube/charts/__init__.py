"""What charts of well-known kinds render, in shapes of their own, and what injection makes of it.

`python -m tests.kube.charts` writes the expected manifests again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_HERE = Path(__file__).parent
_AFTER = ".injected"

CHARTS: Final = tuple(path for path in sorted(_HERE.glob("*.yaml")) if not path.stem.endswith(_AFTER))


def expected(path: Path) -> Path:
    """Where the manifest stands as it is after injection."""
    return path.with_stem(path.stem + _AFTER)
