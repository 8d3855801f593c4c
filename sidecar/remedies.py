"""Our words for every failure: what a code means on a hop and where to look. Shown in answers, log and status.

Never AWS's message: it may name resources, and CloudTrail has it under the request id.
"""

_FIRST_DENIED = "the role refused: its trust policy must match the OIDC provider, the token's audience and subject"
_LATER_DENIED = "the role refused its source: see the source's sts:AssumeRole, and this role's trust and external id"
_TRANSIENT = "STS could not answer; it is asked again"

# By code, and where it matters by the hop's position (1 spends the token).
_BY_CODE = {
    "InvalidIdentityToken": "the account needs an OIDC provider for the token's issuer that lists its audience",
    "IDPRejectedClaim": "the identity provider rejected the token's claims",
    "IDPCommunicationError": "STS could not reach the cluster's OIDC issuer",
    "ValidationError": "STS finds a parameter out of bounds: often a duration above the role's MaxSessionDuration",
    "MalformedPolicyDocument": "the session policy is not a valid policy",
    "PackedPolicyTooLarge": "session policy and tags together are too large",
    "RegionDisabledException": "STS is not activated in this region for the account",
    "SignatureDoesNotMatch": "the signature's time is not STS's: check the node's clock",
    "ShortSession": "STS granted a session that is about to expire",
    "WrongIdentity": "STS answered for another role than was asked for",
    "Timeout": "STS did not answer in time: check DNS, route, proxy and the endpoint's security group",
    "ConnectionError": "STS could not be reached: check DNS, route, proxy and the endpoint's security group",
    "BadAnswer": "what answered for STS is not STS's answer: check proxy and endpoint URL",
    "ExpiredTokenException": "STS says the token has expired: kubelet should have rotated it",
    "TokenMissing": "there is no projected token",
    "TokenUnreadable": "the projected token may not be read: see the log for mode and owner",
    "TokenMalformed": "the projected token's file holds no token",
    "TokenExpired": "the projected token has expired: kubelet should have rotated it",
    "ExpiredToken": "the source session has expired; it is renewed",
    "InvalidClientTokenId": "STS does not know the source session; it is renewed",
}


def remedy(code: str, position: int) -> str:
    """One sentence for `code` on the hop at `position`; the general one for a code that is not in the table."""
    if code == "AccessDenied":
        return _FIRST_DENIED if position == 1 else _LATER_DENIED
    if code == "ExpiredTokenException" and position > 1:  # AWS has one code for both tokens
        return _BY_CODE["ExpiredToken"]
    return _BY_CODE.get(code, _TRANSIENT)
