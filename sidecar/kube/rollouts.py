"""What is said of the pods of a rollout is found for the first two of them: the others are alike.

They differ in their names, which injection does not look at, and in the volume of the service account's token, whose
name the API server draws. By all else a pod is known: by a digest of it, so that nothing of what pods hold stays here
but what they are answered.
"""

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from sidecar.kube.annotations import INJECT, REMEMBERED

# How long an answer may be that is remembered: all are two megabytes together.
LARGEST = 2**15
# How the drawn name begins, how long it goes on, and what comes after it in the volume and in a mount of it.
_DRAWN, _LETTERS = b'{"name":"kube-api-access-', 5
_ENDS = (b'","projected":', b'","readOnly":', b'","mountPath":')


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is answered of a pod: the outcome, and the response without its uid. `is_drawn`: it has a token that was
    drawn for this pod alone.
    """

    outcome: str
    response: Mapping[str, Any]
    is_drawn: bool


class Rollouts:
    """Remembers what `say` said of pods that were asked about a second time; of a pod with a problem it raises."""

    def __init__(self, say: Callable[[Any], Said]) -> None:
        self._say = say
        self._known: dict[bytes, Said] = {}
        self._once = deque[bytes](maxlen=REMEMBERED)

    def said(self, pod: Any) -> Said:
        """What is said of `pod`, or was of one that is alike."""
        if not (seen := looked_at(pod)):
            return self._say(pod)
        known = sha256(seen).digest()
        if found := self._known.get(known):
            return found
        found = self._say(pod)
        if not found.is_drawn:
            self._remember(known, found)
        return found

    def _remember(self, known: bytes, found: Said) -> None:
        if known not in self._once:  # most pods that are no rollout's never come again
            self._once.append(known)
            return
        if len(orjson.dumps(found.response)) > LARGEST:
            return
        if len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[known] = found


def looked_at(pod: Any) -> bytes:
    """All that injection looks at, of which pods that are alike have the same; nothing of what is no pod."""
    match pod:
        case {"metadata": dict(metadata), "spec": dict(spec)}:
            labels = metadata.get("labels")
            if isinstance(labels, dict | None):
                label = (labels or {}).get(INJECT, "true")
                with suppress(orjson.JSONEncodeError):  # it nests too deep
                    return _undrawn(orjson.dumps([bool(metadata), metadata.get("annotations"), label, spec]))
        case _:
            pass
    return b""


def _undrawn(text: bytes) -> bytes:
    """Without the drawn name where it is that volume's or a mount's; it stays wherever else it is."""
    begins = text.find(_DRAWN)
    if begins < 0:
        return text
    drawn = text[begins : begins + len(_DRAWN) + _LETTERS]
    for ends in _ENDS:
        text = text.replace(drawn + ends, _DRAWN + ends)
    return text
