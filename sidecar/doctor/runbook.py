"""The runbook, section by section: the page of the docs, packaged with the program."""

import re
from collections.abc import Sequence
from pathlib import Path

from sidecar.errors import ConfigError

# Beside this module in an installed package, in a checkout where people read it.
_PLACES = (Path(__file__).with_name("runbook.md"), Path(__file__).parents[2] / "docs" / "runbook.md")


def slug(heading: str) -> str:
    """The anchor that a heading gets where the page is shown."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def sections(text: str) -> dict[str, str]:
    """Every section of the third level by its anchor, heading included."""
    parts = re.split(r"^(?=#{1,3} )", text, flags=re.MULTILINE)
    return {slug(part.splitlines()[0][4:]): part.rstrip() + "\n" for part in parts if part.startswith("### ")}


def explain(code: str, places: Sequence[Path] = _PLACES) -> str:
    """The section of that code, alert or finding; raises ConfigError where there is none."""
    page = next(place for place in places if place.exists()).read_text("utf-8")
    found = sections(page)
    name = code.rpartition("#")[2].lower()
    if name not in found:
        from difflib import get_close_matches

        near = get_close_matches(name, found, n=3)
        remedy = f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(sorted(found))}."
        raise ConfigError.of("--explain", code, "flag --explain", "the runbook has no such section", remedy)
    return found[name]
