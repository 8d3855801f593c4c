"""What a setting is, and how the table of them is resolved against flags and environment.

A setting is taken from its flag, else from the variable of its own name, else from AWS's name for it, else it has
its default; an empty flag or variable is an unset one. Names that begin `SIDECAR_` and are not in the table are
errors, so that a slip of the pen does not pass for a default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from sidecar.errors import Problem
from sidecar.rules import Illegal

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
PREFIX = "SIDECAR_"

# What kubelet injects for a Service whose name begins with `sidecar` (enableServiceLinks): not ours, and no slip.
_SERVICE_LINK = re.compile(r"SIDECAR_(.+_)?(SERVICE_(HOST|PORT.*)|PORT(_\d+_(TCP|UDP|SCTP).*)?)")
# Enough of a long value (a policy) to recognise it by in one line.
_SHOWN = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the table says of a setting: its name, AWS's name for it, its default, where a profile says the same, what
    it means, and the group it stands in; texts are empty where there is nothing."""

    name: str
    aws: str = ""
    default: str = ""
    key: str = ""
    meaning: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting(Generic[T_co]):
    """A row of the table and its parser, which turns text into the value or raises `Illegal`; `field` is what it fills
    in a hop. A secret has no flag, since argv is public, nor has what another library reads from the environment."""

    row: Row
    parse: Callable[[str], T_co]
    field: str = ""
    has_flag: bool = True
    is_secret: bool = False

    @property
    def name(self) -> str:
        """The variable."""
        return self.row.name

    @property
    def flag(self) -> str:
        """`--` and the name in kebab case without its prefix, or nothing."""
        return "--" + _bare(self.name).lower().replace("_", "-") if self.has_flag else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a setting was given, and the flag or variable that gives it; neither where nothing does."""

    setting: Setting[Any]
    text: str | None
    name: str

    @property
    def is_set(self) -> bool:
        """Whether something other than its default gives the setting, legal or not."""
        return bool(self.name)

    @property
    def where(self) -> str:
        """The source as people say it."""
        if not self.name:
            return "nowhere" if self.text is None else "default"
        if self.name == self.setting.flag:
            return f"flag {self.name}"
        return "environment" if self.name == self.setting.name else f"environment, {self.name}"

    @property
    def shown(self) -> str | None:
        """The text as people may see it: on one line, and never a secret."""
        return None if self.text is None or self.setting.is_secret else shown(self.text)

    def problem(self, wrong: str, remedy: str) -> Problem:
        """The problem with what was given here."""
        return Problem(setting=self.setting.name, value=self.shown, source=self.where, wrong=wrong, remedy=remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Every setting as it was given, and parsed where it could be; `problems` are those met on the way."""

    origins: Mapping[str, Origin]
    parsed: Mapping[str, object]
    problems: tuple[Problem, ...]

    def __getitem__(self, setting: Setting[T]) -> T:
        return cast(T, self.parsed[setting.name])

    def get(self, setting: Setting[T]) -> T | None:
        """The value, or None where it is unset or was not legal (which is among the problems)."""
        return cast("T | None", self.parsed.get(setting.name))

    def origin(self, setting: Setting[Any]) -> Origin:
        """Where the setting comes from."""
        return self.origins[setting.name]


def read(table: Sequence[Setting[Any]], flags: Mapping[str, str], environ: Mapping[str, str]) -> Values:
    """What `flags` (by setting name) and `environ` say, with every problem that a single setting can have."""
    origins = {setting.name: _origin(setting, flags, environ) for setting in table}
    problems = list(_unknown(environ, [*origins]))
    parsed: dict[str, object] = {}
    for name, origin in origins.items():
        try:
            if origin.text is not None:
                parsed[name] = _parse(origin)
        except Illegal as illegal:
            problems.append(origin.problem(illegal.wrong, illegal.remedy))
    return Values(origins=origins, parsed=parsed, problems=tuple(problems))


def _bare(name: str) -> str:
    return name.removeprefix(PREFIX).removeprefix("AWS_")


def shown(text: str) -> str:
    """`text` as a problem quotes it: clipped to what identifies it."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _origin(setting: Setting[Any], flags: Mapping[str, str], environ: Mapping[str, str]) -> Origin:
    given = {setting.flag: flags.get(setting.name, "")} if setting.flag else {}
    given |= {name: environ.get(name, "") for name in (setting.name, setting.row.aws)}
    name, text = next(
        ((name, text.strip()) for name, text in given.items() if text.strip()), ("", setting.row.default or None)
    )
    return Origin(setting=setting, text=text, name=name)


def _parse(origin: Origin) -> object:
    text = origin.text or ""
    if text.startswith("tcp://") and origin.setting.name.startswith(PREFIX):
        raise Illegal(
            "kubelet injected this for a Service whose name begins with sidecar",
            "Set enableServiceLinks: false on the pod, or rename the Service.",
        )
    return origin.setting.parse(text)


def _unknown(environ: Mapping[str, str], known: Sequence[str]) -> Iterator[Problem]:
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known and not _SERVICE_LINK.fullmatch(name):
            from difflib import get_close_matches  # lazily: only who errs needs it

            near = get_close_matches(_bare(name), [_bare(each) for each in known], n=1)
            meant = next((each for each in known if [_bare(each)] == near), None)
            remedy = f"Did you mean {meant}?" if meant else "See `credential-sidecar run --help` for the names."
            # Its value is not shown: it may be a secret under a misspelt name.
            yield Problem(setting=name, value=None, source="environment", wrong="no such setting", remedy=remedy)
