"""STS itself, without a socket: who asks, what is asked, and whether the world's policies allow it.

`answer` judges one request by values and either raises a `Refusal` or returns what is granted. Order of judgement for
AssumeRole: signature, parameters, partition, chaining cap, tags and source identity, trust and permissions, the
role's own maximum, packed size. A role that does not exist is refused in the words of one that does not trust you.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sidecar.emulator import limits
from sidecar.emulator.hosts import StsHost, partition_of
from sidecar.emulator.limits import Asked
from sidecar.emulator.oidc import Issuer, read_claims
from sidecar.emulator.policy import Caller, Context, Policy, Request, Verdict, judge_identity, judge_trust
from sidecar.emulator.refusals import Refusal
from sidecar.emulator.sessions import Keys, RoleSession, Vault
from sidecar.emulator.signature import HttpRequest, Signature
from sidecar.emulator.world import RoleSpec, World, bare

VERSION: Final = "2011-06-15"
CHAINING_CAP: Final = 3600  # seconds; AssumeRole.DurationSeconds: "role chaining limits ... to a maximum of one hour"
_TAGS_CLAIM: Final = "https://aws.amazon.com/tags"  # IAM guide, Passing session tags using AssumeRoleWithWebIdentity
_SOURCE_IDENTITY_CLAIM: Final = "https://aws.amazon.com/source_identity"
_NO_KEY: Final = (
    "Couldn't retrieve verification key from your identity provider,  "
    "please reference AssumeRoleWithWebIdentity documentation for requirements"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request and everything it is judged by; `lifetime` turns the seconds asked for into the seconds issued."""

    world: World
    issuer: Issuer
    vault: Vault
    now: float
    host: StsHost | None
    http: HttpRequest
    parameters: Mapping[str, str]
    draw: Callable[[], Keys]
    lifetime: Callable[[int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A new role session, and what the response says beside its credentials."""

    session: RoleSession
    packed_size: int | None = None
    subject: str | None = None
    audience: str | None = None
    provider: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The answer to GetCallerIdentity."""

    session: RoleSession


def answer(action: str, case: Case) -> Granted | Identity:
    """What STS answers to `action`; raises Refusal."""
    if action not in _ACTIONS or case.parameters.get("Version") != VERSION:
        version = case.parameters.get("Version", "NO_VERSION_SPECIFIED")
        raise Refusal("InvalidAction", f"Could not find operation {action} for version {version}")
    return _ACTIONS[action](case)


def _get_caller_identity(case: Case) -> Identity:
    return Identity(session=_authenticate(case))


def _assume_role_with_web_identity(case: Case) -> Granted:
    asked = limits.read("AssumeRoleWithWebIdentity", case.parameters)
    if case.host is not None:
        _check_partition(asked, case.host.partition)
    claims = _verified_claims(case, asked)
    tags, transitive = limits.claimed_tags(claims.get(_TAGS_CLAIM, {}))
    source_identity = limits.claimed_source_identity(claims.get(_SOURCE_IDENTITY_CLAIM))
    provider = asked.role.provider(claims["iss"])
    context = {
        **_context(case, asked, tags, transitive, source_identity),
        f"{bare(claims['iss'])}:aud".lower(): tuple(_audiences(claims)),
        f"{bare(claims['iss'])}:sub".lower(): (claims["sub"],),
        "aws:federatedprovider": (provider,),
    }
    role = case.world.role(str(asked.role))
    for action in _actions("sts:AssumeRoleWithWebIdentity", tags, source_identity):
        request = Request(
            action=action,
            resource=str(asked.role),
            caller=Caller(kind="Federated", exact=frozenset({provider})),
            context=context,
        )
        if role is None or judge_trust(role.trust, request) is not Verdict.ALLOWED:
            raise Refusal("AccessDenied", f"Not authorized to perform {action}")
    assert role is not None
    packed = _final_checks(asked, role, tags)
    session = _issue(case, asked, role, hop=1, tags=tags, transitive=transitive, source_identity=source_identity)
    audience = _audiences(claims)[0]
    return Granted(session=session, packed_size=packed, subject=claims["sub"], audience=audience, provider=provider)


def _assume_role(case: Case) -> Granted:
    caller = _authenticate(case)
    asked = limits.read("AssumeRole", case.parameters)
    _check_partition(asked, caller.role.partition)
    if asked.duration > CHAINING_CAP:
        limit = "the 1 hour session limit for roles assumed by role chaining"
        raise Refusal("ValidationError", f"The requested DurationSeconds exceeds {limit}.")
    tags, transitive = _inherit_tags(caller, asked)
    source_identity = caller.source_identity or asked.source_identity
    role = case.world.role(str(asked.role))
    context = {**_context(case, asked, tags, transitive, source_identity), **_caller_context(caller)}
    wanted = _actions("sts:AssumeRole", tags, source_identity)
    if asked.source_identity not in (None, source_identity):  # IAM guide: once set, it cannot be changed
        raise _denied(caller, "sts:SetSourceIdentity", asked)
    for action in wanted:
        if role is None or not _authorized(case, caller, role, action, context):
            raise _denied(caller, action, asked)
    assert role is not None
    packed = _final_checks(asked, role, tags)
    session = _issue(
        case, asked, role, hop=caller.hop + 1, tags=tags, transitive=transitive, source_identity=source_identity
    )
    return Granted(session=session, packed_size=packed)


_ACTIONS: Final[Mapping[str, Callable[[Case], Granted | Identity]]] = {
    "AssumeRole": _assume_role,
    "AssumeRoleWithWebIdentity": _assume_role_with_web_identity,
    "GetCallerIdentity": _get_caller_identity,
}


def _authenticate(case: Case) -> RoleSession:
    signature = Signature.read(case.http)
    if signature is None:
        raise Refusal("MissingAuthenticationToken", "Request is missing Authentication Token")
    session = case.vault.find(signature.key)
    token = case.http.headers.get("x-amz-security-token")
    if session is None or token != session.session_token or case.world.role(str(session.role)) is None:
        raise Refusal("InvalidClientTokenId", "The security token included in the request is invalid.")
    partition = partition_of(signature.region)
    if partition != session.role.partition or (case.host is not None and signature.region != case.host.region):
        raise Refusal("SignatureDoesNotMatch", "Credential should be scoped to a valid region.")
    signature.verify(case.http, session, case.now)
    return session


def _check_partition(asked: Asked, partition: str) -> None:
    if asked.role.partition != partition:
        raise Refusal("ValidationError", "Request ARN is invalid")


def _verified_claims(case: Case, asked: Asked) -> dict[str, Any]:
    issuer = read_claims(asked.token)["iss"]
    provider = case.world.provider(asked.role.account, issuer)
    if provider is None:
        raise Refusal("InvalidIdentityToken", f"No OpenIDConnect provider found in your account for {issuer}")
    if issuer != case.issuer.url:  # registered, but not served here: its keys cannot be had
        raise Refusal("InvalidIdentityToken", _NO_KEY)
    return case.issuer.verify(asked.token, provider, case.now)


def _audiences(claims: Mapping[str, Any]) -> list[str]:
    audience = claims["aud"]
    return [audience] if isinstance(audience, str) else audience


def _actions(action: str, tags: Mapping[str, str], source_identity: str | None) -> list[str]:
    """Every action that must be allowed; TagSession first, as AWS names it first (grafana/grafana#127716)."""
    tag = ["sts:TagSession"] if tags else []
    return [*tag, *(["sts:SetSourceIdentity"] if source_identity else []), action]


def _inherit_tags(caller: RoleSession, asked: Asked) -> tuple[dict[str, str], frozenset[str]]:
    inherited = caller.inherited_tags
    if {key.casefold() for key in inherited} & {key.casefold() for key in asked.tags}:
        raise Refusal("ValidationError", "A requested tag has the key of an inherited transitive tag.")  # (ours)
    return {**inherited, **asked.tags}, frozenset(inherited) | asked.transitive_tags


def _context(
    case: Case, asked: Asked, tags: Mapping[str, str], transitive: frozenset[str], source_identity: str | None
) -> dict[str, tuple[str, ...]]:
    context = {
        "sts:rolesessionname": (asked.session_name,),
        "aws:tagkeys": tuple(tags),
        "sts:transitivetagkeys": tuple(sorted(transitive)),
        **{f"aws:requesttag/{key.lower()}": (value,) for key, value in tags.items()},
    }
    if asked.external_id is not None:
        context["sts:externalid"] = (asked.external_id,)
    if source_identity is not None:
        context["sts:sourceidentity"] = (source_identity,)
    if case.host is not None:
        context["aws:requestedregion"] = (case.host.region,)
    return context


def _caller_context(caller: RoleSession) -> dict[str, tuple[str, ...]]:
    context: dict[str, tuple[str, ...]] = {
        "aws:principalarn": (str(caller.role),),
        "aws:principalaccount": (caller.role.account,),
        "aws:principaltype": ("AssumedRole",),
        "aws:userid": (caller.user_id,),
        **{f"aws:principaltag/{key.lower()}": (value,) for key, value in caller.tags.items()},
    }
    if caller.source_identity is not None:
        context["aws:sourceidentity"] = (caller.source_identity,)
    return context


def _authorized(case: Case, caller: RoleSession, role: RoleSpec, action: str, context: Context) -> bool:
    """Trust and the caller's permissions together (IAM guide, policy evaluation within and across accounts).

    Across accounts both must allow. Within one account a trust policy that names the role or session is enough;
    one that names the account leaves it to the caller's permissions. Session policies cut in every case, also
    where AWS would let a trust policy that names the very session pass them by.
    """
    account = caller.role.account
    root = f"arn:{caller.role.partition}:iam::{account}:root"
    named = Caller(exact=frozenset({str(caller.role), caller.arn}), account=frozenset({root, account}))
    request = Request(action=action, resource=role.arn, caller=named, context=context)
    trust = judge_trust(role.trust, request)
    own = _own_verdict(case.world, caller, request)
    cut = Verdict.ALLOWED if caller.policies is None else judge_identity(caller.policies, request)
    if cut is not Verdict.ALLOWED or Verdict.DENIED in (trust, own):
        return False
    enough = trust is Verdict.ALLOWED and f"::{account}:" in role.arn
    return enough or (trust is not Verdict.SILENT and own is Verdict.ALLOWED)


def _own_verdict(world: World, caller: RoleSession, request: Request) -> Verdict:
    spec = world.role(str(caller.role))
    return Verdict.SILENT if spec is None else judge_identity(spec.permissions, request)


def _denied(caller: RoleSession, action: str, asked: Asked) -> Refusal:
    message = f"User: {caller.arn} is not authorized to perform: {action} on resource: {asked.role}"
    return Refusal("AccessDenied", message)


def _final_checks(asked: Asked, role: RoleSpec, tags: Mapping[str, str]) -> int | None:
    if asked.duration > role.max_session_duration:
        raise Refusal(
            "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
    return limits.packed_size(asked, tags)


def _issue(
    case: Case,
    asked: Asked,
    role: RoleSpec,
    *,
    hop: int,
    tags: Mapping[str, str],
    transitive: frozenset[str],
    source_identity: str | None,
) -> RoleSession:
    keys = case.draw()
    session = RoleSession(
        role=asked.role,
        role_id=role.unique_id,
        name=asked.session_name,
        hop=hop,
        expiration=float(int(case.now + case.lifetime(asked.duration))),  # STS speaks in whole seconds
        access_key_id=keys.access_key_id,
        secret_access_key=keys.secret_access_key,
        session_token=keys.session_token,
        tags=tags,
        transitive_tags=transitive,
        source_identity=source_identity,
        policies=_session_policies(case.world, asked),
    )
    case.vault.keep(session, case.now)
    return session


def _session_policies(world: World, asked: Asked) -> tuple[Policy, ...] | None:
    """Inline and managed session policies; a managed policy that the world does not hold grants nothing."""
    if asked.policy is None and not asked.policy_arns:
        return None
    managed = (world.managed_policies[arn] for arn in asked.policy_arns if arn in world.managed_policies)
    return (*managed, *([] if asked.policy is None else [asked.policy]))
