"""The runbook, section by section: the pages of the docs, packaged with the program."""

import re
from collections.abc import Sequence
from pathlib import Path

from sidecar.errors import ConfigError

PAGES = ("runbook.md", "runbook-alerts.md")
# Beside this module in an installed package, in a checkout where people read them.
_FOLDERS = (Path(__file__).parent, Path(__file__).parents[2] / "docs")


def slug(heading: str) -> str:
    """The anchor that a heading gets where the page is shown."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def sections(text: str) -> dict[str, str]:
    """Every section of the third level by its anchor, heading included."""
    parts, mark = re.split(r"^(?=#{1,3} )", text, flags=re.MULTILINE), "### "
    found = (part for part in parts if part.startswith(mark))
    return {slug(part.splitlines()[0].removeprefix(mark)): part.rstrip() + "\n" for part in found}


def book(folders: Sequence[Path] = _FOLDERS) -> dict[str, str]:
    """The sections of all pages, each page from the first of the folders that has it."""
    found: dict[str, str] = {}
    for name in PAGES:
        page = next(folder / name for folder in folders if (folder / name).exists())
        found |= sections(page.read_text("utf-8"))
    return found


def explain(code: str, folders: Sequence[Path] = _FOLDERS) -> str:
    """The section of that code, event or alert in any case, or those of every hop; raises ConfigError for none."""
    found = book(folders)
    name = slug(code.rpartition("#")[2])
    # `other` is what metrics call a code that is AWS's own.
    named = [each for each in found if each in (name, f"any-{name}-code") or each.startswith(f"{name}-on-hop-")]
    if not named:
        from difflib import get_close_matches

        near = get_close_matches(name, found, n=3)
        remedy = f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(sorted(found))}."
        remedy = f"{remedy} What fails in the log and in /status names its section as `runbook`."
        raise ConfigError.of("--explain", code, "flag --explain", "the runbook has no such section", remedy)
    return "\n".join(found[each] for each in named)
