"""What was found out about each client, and the page that is made of it.

python -m tests.clients.results --write     writes docs/clients.md from what the last `make clients` found out
python -m tests.clients.results             exits 1 where client, version or verdict are not those of the page
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.clients.table import CLIENTS, VARIABLE, Client
from tests.clients.table import FILE as TOKEN_FILE
from tests.clients.toolchains import BUILT, ROOT

PAGE: Final = ROOT / "docs" / "clients.md"
FOUND: Final = BUILT / "found"
WORKS, EXPLAINED, FAILS = "works", "explained", "FAILS"
# A row of the page: what must not drift, then what is for information.
ROW: Final = re.compile(r"^\| (?P<name>[^|]+) \| [^|]+ \| (?P<version>[^|]+) \| (?P<verdict>works|explained|FAILS) ")
_LONGEST: Final = 320  # characters of an error that the page shows


def note(client: Client, **facts: object) -> None:
    """Keeps what a test found out about `client`; tests of one client may run in several processes."""
    FOUND.mkdir(parents=True, exist_ok=True)
    (FOUND / f"{uuid.uuid4().hex}.json").write_text(json.dumps({"client": client.name, **facts}))


def found(folder: Path = FOUND) -> Mapping[str, dict[str, Any]]:
    """All that the last run found out, by client."""
    known: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json")):
        fact = json.loads(path.read_text())
        known.setdefault(fact.pop("client"), {}).update(fact)
    return known


def verdict(client: Client, facts: Mapping[str, Any]) -> str:
    """Whether all that is promised of the client was seen."""
    if client.face:
        return EXPLAINED if facts.get("face") else FAILS
    seen = all(facts.get(token) for token in client.tokens)
    return WORKS if seen and {"sessions", "waits", "early"} <= facts.keys() else FAILS


def drift(page: str, known: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Where what is known is not what the page says, of the clients that were tried."""
    said = {row["name"]: row for row in map(ROW.match, page.splitlines()) if row}
    for each in CLIENTS:
        facts = known.get(each.name)
        if facts is None:
            continue
        if each.name not in said:
            yield f"{each.name}: not on the page"
            continue
        row = said[each.name]
        for what, now in (("version", facts.get("version", "?")), ("verdict", verdict(each, facts))):
            if row[what].strip() != now:
                yield f"{each.name}: {what} is {now}, and the page says {row[what].strip()}"


def page() -> str:
    """The whole page, of a run in which everything was there."""
    known = found()
    lines = [_line(each, known.get(each.name, {})) for each in CLIENTS if not each.face]
    explained = [_explained(each, known.get(each.name, {})) for each in CLIENTS if each.face]
    errors = [
        f"| {each.name} | `{_clipped(known[each.name]['says'])}` |"
        for each in CLIENTS
        if "says" in known.get(each.name, {})
    ]
    return _PAGE.format(lines="\n".join(lines), explained="\n".join(explained), errors="\n".join(errors))


def _line(client: Client, facts: Mapping[str, Any]) -> str:
    tokens = ("yes" if facts.get(token) else "no" for token in (TOKEN_FILE, VARIABLE))
    wait = f"{facts['waits']:.1f} s" if "waits" in facts else "?"
    cells = (
        client.name,
        client.language,
        facts.get("version", "?"),
        verdict(client, facts),
        *tokens,
        wait,
        client.note,
    )
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _explained(client: Client, facts: Mapping[str, Any]) -> str:
    cells = (client.name, client.language, facts.get("version", "?"), verdict(client, facts), client.face, client.note)
    return f"| {' | '.join(cells)} |"


def _clipped(text: str) -> str:
    """An error as the page shows it: without what changes from run to run, and not longer than a line."""
    text = re.sub(r"(127\.0\.0\.1:|port=)\d+", r"\g<1>9911", text.replace("`", "'").replace("|", "/"))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST].rstrip()} …"


def main(words: Sequence[str]) -> int:
    """Writes the page, or compares it."""
    if "--write" in words:
        PAGE.write_text(page())
        return 0
    differences = [*drift(PAGE.read_text(), found())]
    print(*(differences or [f"{len(found())} clients are as docs/clients.md has them"]), sep="\n")
    return 1 if differences else 0


_PAGE: Final = """\
# Clients

Written by `make clients` from what it saw: each of these programs, unchanged and with its *default* credential chain,
against the real daemon and a strict STS, with sessions of 90 seconds. CI fails where a client, its version or its
verdict is not as it stands here; the waits are what one run measured.

*Works* means: it is Account B's through the endpoint, told the authorization token in each way that has a *yes*; one
process of it (of a one-shot tool, three) goes through three sessions without an error; started before there are
credentials, it gets them as soon as they exist; without any it says so, and works again as soon as there are some.

*Waits* is how long it rides out by itself that the sidecar has nothing to serve; the endpoint itself adds up to 0.75
seconds for the very first credentials. As a native sidecar with the start-up probe of README, the sidecar has them
before the workload starts.

| client | language | version | verdict | token file | variable | waits | |
|---|---|---|---|---|---|---|---|
{lines}

## Served by another face

These know no container credentials, or only at an address that no program may choose. [faces.md](faces.md) has the
faces.

| client | language | version | verdict | face | |
|---|---|---|---|---|---|
{explained}

## What they say without credentials

The last line that a user sees while STS denies the sidecar. Its own words, with the code and the remedy, are in its
log and on its status listener, whatever a client makes of the answer.

| client | says |
|---|---|
{errors}
"""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
