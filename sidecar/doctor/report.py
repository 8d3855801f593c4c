"""How findings are said: for people with a mark before each, and as JSON."""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sidecar.doctor.findings import Finding, State, Step, cause

MARKS = {State.OK: "✓", State.PROBLEM: "✗", State.UNKNOWN: "?"}
# What a terminal shows, and what is pasted from it must not be broken.
_WIDTH, _INDENT, _HANG = 110, "    ", 11


def text(findings: Sequence[Finding]) -> str:
    """A line for what is well, a paragraph for what is not, and the first cause at the end."""
    lines = [line for each in findings for line in _paragraph(each)]
    return "\n".join([*lines, "", _verdict(tuple(findings))])


def _verdict(findings: tuple[Finding, ...]) -> str:
    first = cause(findings)
    if first is None:
        return (
            "All is well."
            if all(each.state is State.OK for each in findings)
            else "Nothing is wrong that can be told here."
        )
    return f"The cause: {first.code} ({first.check}). More: credential-sidecar doctor --explain {first.code}"


def _paragraph(found: Finding) -> Iterator[str]:
    said = found.seen if found.check in found.seen else f"{found.check}: {found.seen}"
    yield from _wrapped(f"{MARKS[found.state]} ", said)
    if found.state is not State.PROBLEM:
        return
    yield from _wrapped(f"{_INDENT}why    ", f"{found.why}.")
    for number, each in enumerate(found.causes):
        yield from _wrapped(f"{_INDENT}{'one of' if not number else ''}".ljust(_HANG) + "- ", each)
    for number, step in enumerate(found.tell):
        yield from _step("tell", number, step)
    for number, step in enumerate(found.fix):
        yield from _step("fix", number, step)
    yield f"{_INDENT}page   {found.page}"


def _step(name: str, number: int, step: Step) -> Iterator[str]:
    yield from _wrapped(f"{_INDENT}{name if not number else ''}".ljust(_HANG), step.says)
    yield from (f"{_INDENT * 3}{line}" for line in step.paste.splitlines())


def _wrapped(first: str, said: str) -> list[str]:
    options = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(said, _WIDTH, initial_indent=first, subsequent_indent=" " * len(first), **options)  # type: ignore[arg-type]


def document(findings: Sequence[Finding]) -> str:
    """The same as one JSON object."""
    first = cause(tuple(findings))
    said = {"cause": first and first.code, "exit": code(findings), "findings": [_object(each) for each in findings]}
    return json.dumps(said, indent=2, ensure_ascii=False)


def _object(found: Finding) -> Mapping[str, Any]:
    plain = {"check": found.check, "code": found.code, "state": found.state, "seen": found.seen}
    if found.state is State.OK:
        return plain
    if found.state is State.UNKNOWN:
        return {**plain, "page": found.page}
    steps = {
        name: [{"says": s.says, "paste": s.paste} for s in of]
        for name, of in (("tell", found.tell), ("fix", found.fix))
    }
    return {**plain, "part": found.part, "why": found.why, "causes": [*found.causes], **steps, "page": found.page}


def code(findings: Sequence[Finding]) -> int:
    """The exit code: the part of the first problem, 0 where there is none."""
    first = cause(tuple(findings))
    return first.part.exit if first and first.part else 0


RENDER = {"text": text, "json": document}
