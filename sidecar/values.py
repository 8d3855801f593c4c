"""What a setting is, what gives it, and how what is given becomes a chain, with every problem on the way gathered.

A setting is taken from its flag, else from the variable of its own name, else from AWS's name for it, else it has
its default; an empty flag or variable is an unset one. Names that begin `SIDECAR_` and are not in the table are
errors, so that a slip of the pen does not pass for a default.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sidecar.errors import ConfigError, Problem
from sidecar.model import Hop
from sidecar.rules import DEFAULT_DURATION, NEVER, STAND_IN, Form, Illegal, breaches

PREFIX = "SIDECAR_"

# What kubelet injects for a Service whose name begins with `sidecar` (enableServiceLinks): not ours, and no slip.
_SERVICE_LINK = re.compile(r"SIDECAR_(.+_)?(SERVICE_(HOST|PORT.*)|PORT(_\d+_(TCP|UDP|SCTP).*)?)")
_LINKED = "kubelet injected this for a Service whose name begins with sidecar"
_LINK = Form(NEVER, _LINKED, "Set enableServiceLinks: false on the pod, or rename the Service.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A row of the table: `aws` is AWS's name for it, `hop` what it says of a hop, `key` where a profile says the same.

    `parse` turns text into the value or raises `Illegal`. A secret has no flag, since argv is public, nor has what
    another library reads from the environment. Texts are empty where there is nothing.
    """

    name: str
    aws: str = ""
    default: str = ""
    hop: str = ""
    key: str = ""
    meaning: str = ""
    group: str = ""
    parse: Callable[[str], Any] = str
    has_flag: bool = True
    is_secret: bool = False

    @property
    def attribute(self) -> str:
        """The name without its prefix, as the configuration has it."""
        return _bare(self.name).lower()

    @property
    def flag(self) -> str:
        """`--` and the name in kebab case without its prefix, or nothing."""
        return "--" + self.attribute.replace("_", "-") if self.has_flag else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a setting, or a key of a profile, was given, and from where; `text` is None where nothing gives it.

    `by` is the flag, variable or key that says something other than the default, legal or not; empty where none does.
    """

    name: str
    text: str | None = field(repr=False)
    by: str
    source: str
    parse: Callable[[str], Any] = str
    is_secret: bool = False


# What is said of one hop, by its field, and of the region in which it is asked for.
Link = Mapping[str, Origin]
# The links of each target's chain by its name, the last hop's first.
Chains = Mapping[str, Sequence[Link]]


class Values:
    """What flags (by setting name) and environment give; `problems` and `warnings` grow while they are read."""

    def __init__(self, table: Sequence[Setting], flags: Mapping[str, str], environ: Mapping[str, str]) -> None:
        self.origins = {setting.name: _origin(setting, flags, environ) for setting in table}
        self.problems: dict[Problem, None] = {}  # each once, in the order in which they are met
        self.warnings: list[str] = []

    def __getitem__(self, name: str) -> Any:
        return self.get(self.origins[name])

    def get(self, origin: Origin) -> Any:
        """The value; None where it is unset or not legal, and then that is a problem."""
        try:
            return None if origin.text is None else origin.parse(origin.text)
        except Illegal as illegal:
            self.refuse(origin, illegal.wrong, illegal.remedy)

    def refuse(self, origin: Origin, wrong: str, remedy: str) -> None:
        """Adds the problem with what was given there, which is not shown where it is a secret."""
        shown = None if origin.is_secret else origin.text
        found = Problem(setting=origin.name, value=shown, source=origin.source, wrong=wrong, remedy=remedy)
        self.problems[found] = None

    def check(self) -> None:
        """Raises ConfigError with every problem that was met."""
        if self.problems:
            raise ConfigError([*self.problems])

    def chain(self, links: Sequence[Link], fallback_regions: Sequence[str]) -> Hop | None:
        """The last hop of the chain that `links` describe, itself first; None where they lead to no token.

        What is missing or wrong is a problem and is stood in for, so that the rest is checked all the same.
        """
        parsed = [{name: self.get(each) for name, each in link.items() if name != "region"} for link in links]
        given = [{name: value for name, value in fields.items() if value} for fields in parsed]
        if not given or "token_file" not in given[-1]:
            return None
        regions = (self._region(links), *fallback_regions)
        hop, role = None, next((fields["role"] for fields in reversed(given) if "role" in fields), STAND_IN)
        for link, fields in reversed([*zip(links, given, strict=True)]):
            shape = {"role": role, "duration": DEFAULT_DURATION, "regions": tuple(dict.fromkeys(regions)), **fields}
            hop, role = Hop(**shape, source=hop), shape["role"]
            for name, wrong, remedy in breaches(hop):
                self.refuse(link[name], wrong, remedy)
        return hop

    def _region(self, links: Sequence[Link]) -> str:
        """The first that is said from the target on: one for the whole chain."""
        said = [link["region"] for link in links]
        origin = next((each for each in said if each.by), said[0])
        if not origin.by:
            remedy = "Set AWS_REGION, AWS_DEFAULT_REGION or the profile's region, for instance to eu-central-1."
            self.refuse(origin, "no region: STS is asked in a region", remedy)
        return self.get(origin) or ""


def unknown(environ: Mapping[str, str], known: Collection[str]) -> Iterator[Problem]:
    """The names of `environ` that only look like settings."""
    names = {_bare(name): name for name in known}
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known and not _SERVICE_LINK.fullmatch(name):
            from difflib import get_close_matches  # lazily: only who errs needs it

            near = get_close_matches(_bare(name), names, n=1)
            remedy = f"Did you mean {names[near[0]]}?" if near else "`credential-sidecar run --help` has the names."
            # Its value is not shown: it may be a secret under a misspelt name.
            yield Problem(setting=name, value=None, source="environment", wrong="no such setting", remedy=remedy)


def _bare(name: str) -> str:
    return name.removeprefix(PREFIX).removeprefix("AWS_")


def _origin(setting: Setting, flags: Mapping[str, str], environ: Mapping[str, str]) -> Origin:
    ways = (
        (flags.get(setting.name), setting.flag, f"flag {setting.flag}"),
        (environ.get(setting.name), setting.name, "environment"),
        (environ.get(setting.aws), setting.aws, f"environment, {setting.aws}"),
        (setting.default, "", "default"),
    )
    said = ((text.strip(), by, source) for text, by, source in ways if text and text.strip())
    text, by, source = next(said, (None, "", "nowhere"))
    parse = _LINK if text and text.startswith("tcp://") and by.startswith(PREFIX) else setting.parse
    return Origin(name=setting.name, text=text, by=by, source=source, parse=parse, is_secret=setting.is_secret)
