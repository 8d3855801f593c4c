"""Each hop, and what STS's refusal of one means: as far as it can be known, and what to look at where it cannot.

The sentence for a code is that of `remedies`; AWS's own is only looked through for clues.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from sidecar.doctor.facts import Outcome, Reach, Walk
from sidecar.doctor.findings import Finding, ok, skipped
from sidecar.doctor.refusals import (
    Commands,
    access_denied_first,
    access_denied_later,
    general,
    identity_token,
    validation,
)
from sidecar.model import Hop, Kind, Target
from sidecar.refresher import SKEW_CAUSE

Decoder = Callable[[str, str, Hop, Outcome, Commands], Finding]


def findings(
    targets: Sequence[Target], walk: Walk, ways: Mapping[str, Reach], broken: Mapping[str, str], commands: Commands
) -> Iterator[Finding]:
    """What is to be said of every hop, each once, and of who the last one makes of us.

    `broken` are the codes of the token files that no hop can be paid with, by their path.
    """
    told: set[Hop] = set()
    for target in targets:
        because = broken.get(target.hop.chain[0].token_file, "")
        if not ways[target.hop.regions[0]].is_open:
            because = because or "the way to STS"
        for hop in target.hop.chain:
            outcome = walk.outcomes.get(hop)
            if hop not in told:
                yield _finding(hop, outcome, because, walk.skew, commands)
            told.add(hop)
            if outcome is None or outcome.failure:
                because = because or f"hop {hop.position}"
        yield _identity(target, walk.outcomes.get(target.hop), because)


def _finding(hop: Hop, outcome: Outcome | None, because: str, skew: float | None, commands: Commands) -> Finding:
    check = f"hop {hop.position} to {hop.role.arn}"
    if outcome is None:
        return skipped(check, because or "what is before it")
    if outcome.failure is None:
        return ok(check, f"assumed for {outcome.lifetime:.0f} s")
    if because and outcome.failure.kind is Kind.TOKEN:
        return skipped(check, because)
    code, hint = outcome.failure.code, outcome.failure.hint
    if code == "SignatureDoesNotMatch" and abs(skew or 0.0) >= SKEW_CAUSE:
        return skipped(check, "clock-skewed")
    seen = f"hop {hop.position} to {hop.role.arn} failed: {code}: {hint}"
    return _decoder(code, hop)(check, seen, hop, outcome, commands)


def _decoder(code: str, hop: Hop) -> Decoder:
    if code == "AccessDenied":
        return access_denied_later if hop.source else access_denied_first
    return {"InvalidIdentityToken": identity_token, "ValidationError": validation}.get(code, general)


def _identity(target: Target, outcome: Outcome | None, because: str) -> Finding:
    check = f"identity of {target.name}"
    return ok(check, outcome.arn) if outcome and outcome.arn else skipped(check, because or "the walk")
