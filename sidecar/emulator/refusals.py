"""What the emulator refuses with: every error code it answers of its own accord, its HTTP status and its source.

`MODELLED` are the error shapes of botocore's STS model that the emulator uses; `COMMON` are codes of the AWS query
API that no service models. Whatever is not in one of the two cannot be raised.
Wording is AWS's where a public report quotes it; the rest is marked (ours).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MODELLED: Final[Mapping[str, int]] = {
    "ExpiredTokenException": 400,
    "IDPCommunicationError": 400,
    "IDPRejectedClaim": 403,
    "InvalidIdentityToken": 400,
    "MalformedPolicyDocument": 400,
    "PackedPolicyTooLarge": 400,
    "RegionDisabledException": 403,
}

_QUERY = "STS API reference, Common Error Types"

COMMON: Final[Mapping[str, tuple[int, str]]] = {
    "AccessDenied": (
        403,
        "IAM user guide, Troubleshoot IAM roles: what AWS answers where the reference has AccessDeniedException",
    ),
    "ExpiredToken": (
        403,
        "aws-cli and SDKs list it beside ExpiredTokenException: botocore retries and refreshes on both",
    ),
    "IncompleteSignature": (400, _QUERY),
    "InternalFailure": (500, _QUERY),
    "InvalidAction": (400, _QUERY),
    "InvalidClientTokenId": (403, _QUERY),
    "MissingAuthenticationToken": (403, _QUERY),
    "ServiceUnavailable": (503, _QUERY),
    "SignatureDoesNotMatch": (403, "aws/aws-cli#6676, quoted from STS"),
    "Throttling": (400, "STS API reference, Common Error Types (ThrottlingException); botocore's retry table has both"),
    "ValidationError": (400, _QUERY),
}


def status_of(code: str) -> int:
    """The HTTP status that belongs to `code`; KeyError for a code that is in neither table."""
    return MODELLED[code] if code in MODELLED else COMMON[code][0]


class Refusal(Exception):
    """STS understood the request and says no, with one of the codes above."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status_of(code)
