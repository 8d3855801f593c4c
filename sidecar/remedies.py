"""Our words for every failure: what a code means on a hop and where to look. Shown in answers, log and status.

Never AWS's message: it may name resources, and CloudTrail has it under the request id.
"""

from collections.abc import Mapping

# The page with a section for every failure; what was never told apart has one in common.
PAGE, _ANY_OTHER = "docs/runbook.md", "any-other-code"
_TRANSIENT = "STS could not answer; it is asked again"
_ANY_HOP = {
    "ValidationError": "STS finds a parameter out of bounds: often a duration above the role's MaxSessionDuration",
    "MalformedPolicyDocument": "the session policy is not a valid policy",
    "PackedPolicyTooLarge": "session policy and tags together are too large",
    "RegionDisabledException": "STS is not activated in this region for the account",
    "ShortSession": "STS granted a session that is about to expire, or ends before the one that is served",
    "WrongIdentity": "STS answered for another role than was asked for",
    "Throttling": _TRANSIENT,
    "Timeout": "STS did not answer in time: check DNS, route, proxy and the endpoint's security group",
    "ConnectionError": "STS could not be reached: check DNS, route, proxy and the endpoint's security group",
    "BadAnswer": "what answered for STS is not STS's answer: check proxy and endpoint URL",
}
# The hop that spends the token. AWS has one code for an expired token and an expired session.
_FIRST_HOP = _ANY_HOP | {
    "AccessDenied": "the role refused: its trust policy must match the OIDC provider, the token's audience and subject",
    "InvalidIdentityToken": "the account needs an OIDC provider for the token's issuer that lists its audience",
    "IDPRejectedClaim": "the identity provider rejected the token's claims",
    "IDPCommunicationError": "STS could not reach the cluster's OIDC issuer",
    "ExpiredTokenException": "STS says the token has expired: kubelet should have rotated it",
    "TokenMissing": "there is no projected token",
    "TokenUnreadable": "the projected token cannot be read: the log says why",
    "TokenMalformed": "the projected token's file holds no token",
    "TokenExpired": "the projected token has expired: kubelet should have rotated it",
}
_LATER_HOP = _ANY_HOP | {
    "AccessDenied": "the role refused its source: see the source's sts:AssumeRole, this role's trust and external id",
    "SignatureDoesNotMatch": "the signature's time is not STS's: check the node's clock",
    "ExpiredToken": "the source session has expired; it is renewed",
    "ExpiredTokenException": "the source session has expired; it is renewed",
    "InvalidClientTokenId": "STS does not know the source session; it is renewed",
}


def known(position: int) -> Mapping[str, str]:
    """Every code that a hop at `position` (1 spends the token) fails with and that is worth telling apart."""
    return _FIRST_HOP if position == 1 else _LATER_HOP


def remedy(code: str, position: int) -> str:
    """One sentence for `code` on the hop at `position`; the general one for a code that is not known."""
    return known(position).get(code, _TRANSIENT)


def anchor(code: str, position: int) -> str:
    """The section of `PAGE` on `code`: its name in lower case, and the hop where it means something else on another."""
    if code not in known(position):
        return _ANY_OTHER
    is_told_apart = len({hop.get(code, remedy(code, position)) for hop in (_FIRST_HOP, _LATER_HOP)}) > 1
    return f"{code.lower()}-on-hop-{min(position, 2)}" if is_told_apart else code.lower()


def page(code: str, position: int) -> str:
    """Where to read more on `code` on the hop at `position`."""
    return section(anchor(code, position))


def section(name: str) -> str:
    """Where to read more on what has that name: a finding, a phase, an event."""
    return f"{PAGE}#{name.lower()}"
