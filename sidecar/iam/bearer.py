"""Whose token hop 1 spends: read from the token itself, or said, where the token is out of reach."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from sidecar.errors import ConfigError, Problem, TokenError, TokenTrouble
from sidecar.iam.documents import Bearer
from sidecar.model import Claims
from sidecar.rules import Form, Illegal
from sidecar.token_file import Reading
from sidecar.token_file import read as look

_AS_EKS = "Write it as `aws eks describe-cluster --query cluster.identity.oidc.issuer` prints it: https://…"
# CreateOpenIDConnectProvider takes an https URL without port, query and fragment; a client id has up to 255 characters.
_URL, _NO_URL = r"(?a)https://[\w.-]+(/[\w.~%/-]*)?", "not the https URL of an issuer, without port, query and fragment"
# Conditions compare whole: neither a pattern nor a policy variable has a meaning there.
_EXACT = r"(?a)[\w.:/@+=~-]{1,255}"
# Of every projected token (Kubernetes' names are DNS labels): whatever else is said, hop 1 would be denied.
_ACCOUNT = r"(?a)system:serviceaccount:[a-z0-9-]{1,63}:[a-z0-9.-]{1,253}"
FORMS: Mapping[str, Form] = {
    "issuer": Form(_URL, _NO_URL, _AS_EKS),
    "audience": Form(
        _EXACT, "not an audience", "Write the one of the projected volume, for instance sts.amazonaws.com."
    ),
    "subject": Form(_ACCOUNT, "not one subject", "Write one service account: system:serviceaccount:NAMESPACE:NAME."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What stands in for the token's claims; None: the token says it."""

    issuer: str | None = None
    audience: str | None = None
    subject: str | None = None

    @classmethod
    def parse(cls, flags: Mapping[str, str | None]) -> Self:
        """What the flags say, by their names without dashes; raises ConfigError with every one that is not legal."""
        problems = [*_problems(flags)]
        if problems:
            raise ConfigError(problems)
        return cls(**{name: flags.get(name) for name in FORMS})

    @property
    def missing(self) -> tuple[str, ...]:
        """The flags that are not given."""
        return tuple(f"--{name}" for name in FORMS if getattr(self, name) is None)


def read(path: str, said: Said) -> Bearer:
    """The bearer of the token at `path`, which is not looked at where everything is said.

    Raises:
        TokenError: it cannot be read, or has no audience, and that is not said either.
    """
    if not said.missing:
        return Bearer(issuer=said.issuer or "", audiences=(said.audience or "",), subject=said.subject or "")
    elsewhere = f"where there is no token, give {', '.join(said.missing)}"
    token, error = (found := look(path, Reading())).token, found.error
    if token is None:
        assert error is not None, "there is a token or what is wrong with it"
        raise TokenError(error.reason, path, f"{error.detail}; {elsewhere}")
    claims: Claims = token.claims
    audiences = (said.audience,) if said.audience else claims.audience
    if not audiences:
        raise TokenError(TokenTrouble.MALFORMED, path, "it has no audience; give --audience")
    return Bearer(issuer=said.issuer or claims.issuer, audiences=audiences, subject=said.subject or claims.subject)


def _problems(flags: Mapping[str, str | None]) -> Iterator[Problem]:
    for name, form in FORMS.items():
        value: Any = flags.get(name)
        try:
            if value is not None:
                form(value)
        except Illegal as illegal:
            flag = f"--{name}"
            yield Problem(setting=flag, value=value, source=f"flag {flag}", wrong=illegal.wrong, remedy=illegal.remedy)
