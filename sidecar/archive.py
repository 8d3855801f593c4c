"""The ledger as bytes and back: held sessions that outlive a restart of the sidecar. Pure; the file is `state`'s.

Only sessions and their instants are written, never failures: a restarted sidecar begins without a backoff. A hop
is known by a digest of all that shapes it, so a changed configuration finds nothing, and external ids stay out of the
file.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from sidecar.formats import document
from sidecar.ledger import Held, Ledger
from sidecar.model import Credentials, Hop, Identity, Secret, Session, Target
from sidecar.schedule import Schedule

# Raised when the form changes: another form is foreign, and ignored.
FORM = 1
_INSTANTS = ("due", "refreshed", "expiration", "lapse")


def dump(ledger: Ledger, boot: str) -> bytes:
    """The sessions that `ledger` holds, as JSON with their secrets; `boot` names the boot whose clock is meant."""
    hops = {digest(hop): _written(held.schedule, held.session) for hop, held in ledger.held.items() if held.session}
    return json.dumps({"form": FORM, "boot": boot, "hops": hops}).encode()


def load(data: bytes, targets: Iterable[Target], boot: str, now: float) -> tuple[Ledger, int]:
    """The ledger of the hops of `targets` that `data` holds alive, and how many hops were written.

    Every session keeps the `due` it had.

    Raises:
        ValueError: not of this form, or of another boot (its instants mean nothing now).
    """
    try:
        written = json.loads(data)
        form, origin, hops = written["form"], written["boot"], dict(written["hops"])
        known = {digest(hop): hop for target in targets for hop in target.hop.chain}
        ours = known.keys() & hops.keys() if (form, origin) == (FORM, boot) else ()
        found = {known[name]: _read(hops[name]) for name in ours}
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        # The kind alone: the sentence of a ValueError quotes what it could not read, and that may be a secret.
        raise ValueError(f"not a state of ours ({type(error).__name__})") from None
    if form != FORM:
        raise ValueError("written in another form")
    if origin != boot:
        raise ValueError("written before the node's last boot")
    held = {hop: held for hop, held in found.items() if held.schedule.is_alive(now)}
    return Ledger(held=MappingProxyType(held)), len(hops)


def digest(hop: Hop) -> str:
    """A name for `hop` that tells nothing: equal for equal hops, and only for those."""
    return sha256(json.dumps(asdict(hop), sort_keys=True).encode()).hexdigest()


def _written(schedule: Schedule, session: Session) -> dict[str, Any]:
    return {**{name: getattr(schedule, name) for name in _INSTANTS}, **document(session), "arn": session.identity.arn}


def _read(written: Mapping[str, Any]) -> Held:
    until = datetime.fromisoformat(written["Expiration"])
    if until.tzinfo is None:
        raise ValueError("an expiration without a zone")
    key_id, secret, token = (str(written[name]) for name in ("AccessKeyId", "SecretAccessKey", "Token"))
    credentials = Credentials(key_id, Secret(secret), Secret(token), until)
    due, refreshed, expiration, lapse = (float(written[name]) for name in _INSTANTS)
    schedule = Schedule(due=due, refreshed=refreshed, expiration=expiration, lapse=lapse)
    return Held(schedule=schedule, session=Session(credentials, Identity.parse(written["arn"])))
