"""CloudFormation's intrinsic functions, as far as our templates use them: what a stack would be given."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_NOTHING: Final = object()  # AWS::NoValue
_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "Fn::Equals": lambda one, other: one == other,
    "Fn::Join": lambda between, texts: between.join(texts),
    "Fn::Not": lambda condition: not condition,
    "Fn::Or": lambda *conditions: any(conditions),
    "Fn::Select": lambda number, values: values[int(number)],
    "Fn::Split": lambda between, text: text.split(between),
}


def load(text: str) -> dict[str, Any]:
    """A template, with `!Ref x` as `{"Ref": x}` and every other short form as `Fn::…`."""
    import yaml  # lazily: it comes with the extra `deploy`

    class Loader(yaml.SafeLoader):  # type: ignore[misc] # it ships no types
        """Knows the short forms."""

    def short(loader: Any, suffix: str, node: Any) -> dict[str, Any]:
        make = {"scalar": loader.construct_scalar, "sequence": loader.construct_sequence}[node.id]
        value = make(node) if node.id == "scalar" else make(node, deep=True)
        return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}

    Loader.add_multi_constructor("!", short)
    found: dict[str, Any] = yaml.load(text, Loader)  # noqa: S506 # a SafeLoader, and our own file
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A template and the values of its parameters, pseudo parameters among them."""

    template: Mapping[str, Any]
    given: Mapping[str, Any]

    def resources(self) -> dict[str, Mapping[str, Any]]:
        """The resources whose condition holds, with every function resolved."""
        wanted = {
            name: each
            for name, each in self.template["Resources"].items()
            if "Condition" not in each or self._holds(each["Condition"])
        }
        return {name: {**each, "Properties": self.value(each["Properties"])} for name, each in wanted.items()}

    def value(self, said: Any) -> Any:
        """What `said` is once its functions are resolved."""
        if isinstance(said, list):
            return [found for each in said if (found := self.value(each)) is not _NOTHING]
        if not isinstance(said, Mapping):
            return said
        if len(said) == 1 and ((name := next(iter(said))) == "Ref" or name.startswith("Fn::")):
            return self._called(name, said[name])
        if len(said) == 1 and isinstance(said.get("Condition"), str):
            return self._holds(said["Condition"])
        return {key: found for key, each in said.items() if (found := self.value(each)) is not _NOTHING}

    def _holds(self, condition: str) -> bool:
        return bool(self.value(self.template["Conditions"][condition]))

    def _called(self, name: str, said: Any) -> Any:
        match name:
            case "Ref":
                return self._parameter(said)
            case "Fn::If":
                return self.value(said[1 if self._holds(said[0]) else 2])
            case "Fn::Sub":
                return self._substituted(*([said, {}] if isinstance(said, str) else said))
            case _:
                return _FUNCTIONS[name](*self.value(said))

    def _parameter(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NOTHING
        if name in self.given:
            return self.given[name]
        default = self.template["Parameters"][name]["Default"]
        return default.split(",") if self.template["Parameters"][name]["Type"] == "CommaDelimitedList" else default

    def _substituted(self, text: str, own: Mapping[str, Any]) -> str:
        values = self.value(own)
        return re.sub(r"\$\{([\w:]+)\}", lambda found: str(values.get(found[1]) or self._parameter(found[1])), text)
