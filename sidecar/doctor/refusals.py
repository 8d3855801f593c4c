"""What a refusal means, code by code: the causes that STS answers alike, what tells them apart, what settles all."""

from collections.abc import Mapping

from sidecar.doctor.facts import Clue, Outcome
from sidecar.doctor.findings import Finding, Step, problem
from sidecar.model import Hop, Role
from sidecar.remedies import anchor

# By what is set right and whose it is, the commands that do it: see `iam.pieces`.
Commands = Mapping[tuple[str, str], str]

# What stands above everything that role and trust can grant (IAM user guide, "Troubleshoot access denied error
# messages").
_ABOVE = {
    Clue.BY_DENY: "a statement with Effect Deny",
    Clue.BY_CONTROL: "a service control policy of the organization",
    Clue.BY_RESOURCE_CONTROL: "a resource control policy of the organization",
    Clue.BY_BOUNDARY: "the permissions boundary of the source role",
    Clue.BY_ENDPOINT: "the policy of the VPC endpoint for STS",
    Clue.BY_SESSION: "the session policy of the hop before",
}
_NAMED = {Clue.TAG: "sts:TagSession", Clue.IDENTIFY: "sts:SetSourceIdentity", Clue.ASSUME: "sts:AssumeRole"}
_REPLACES = "in place of its trust policy: where it has others to trust, add the statement to theirs"


def access_denied_first(check: str, seen: str, hop: Hop, outcome: Outcome, commands: Commands) -> Finding:
    """Hop 1: STS has one answer for every way in which trust policy and token disagree, and for no role at all."""
    if above := _above(outcome):
        return _forbidden(check, seen, above)
    causes = (
        "sub of another service account or namespace: it must be the token's whole subject",
        "a pattern (* or ?) under StringEquals, which compares whole: patterns want StringLike",
        "the condition keys, or the provider's ARN, are of another issuer (another cluster, region or account)",
        "aud is not the token's audience",
        "there is no role of this ARN: another account, another path, or letters of another case",
    )
    tell = _look(hop.role, "the trust policy shows which (NoSuchEntity: there is no such role)")
    why = "Role A must trust exactly this token: its issuer's provider, its audience, its subject"
    fix = (_trust(hop.role, commands), _exactly(hop))
    return problem(check, _code(outcome, 1), seen, why, *fix, causes=causes, tell=(tell,))


def access_denied_later(check: str, seen: str, hop: Hop, outcome: Outcome, commands: Commands) -> Finding:
    """Hop 2 and later: the source's permission, the role's trust, and what the call carries."""
    assert hop.source is not None
    if above := _above(outcome):
        return _forbidden(check, seen, above)
    if outcome.without:
        return _carried(check, seen, hop, outcome.without, commands)
    both = _both_sides(hop, commands)
    if Clue.BY_IDENTITY in outcome.clues:
        why = f"STS says that no policy of {hop.source.role.arn} allows it"
        return problem(check, "permission-missing", seen, why, *both[:1])
    if Clue.BY_RESOURCE in outcome.clues:
        why = f"STS says that the trust policy of {hop.role.arn} does not allow it"
        return problem(check, "trust-missing", seen, why, *both[-1:], *_external_id(hop))
    named = next((name for clue, name in _NAMED.items() if clue in outcome.clues), "no action")
    why = (
        f"STS has one answer for all of these (it names {named}, which says no more: a missing external id, too, can "
        "be reported as sts:TagSession)"
    )
    causes, tell = _causes(hop), _tell(hop)
    return problem(
        check,
        _code(outcome, hop.position),
        seen,
        why,
        *both,
        *_external_id(hop),
        _exactly(hop),
        causes=causes,
        tell=tell,
    )


def identity_token(check: str, seen: str, hop: Hop, outcome: Outcome, commands: Commands) -> Finding:
    """Hop 1: the provider in the role's account, or its audiences."""
    account = hop.role.account
    if Clue.NO_PROVIDER in outcome.clues:
        causes = (
            "there is no OIDC provider for the issuer",
            "there is one whose URL differs: a slash at the end, another region, another id",
            "the cluster was made again and has another issuer",
        )
        tell = Step(says=_in(account, "see them"), paste="aws iam list-open-id-connect-providers")
        fix = Step(
            says=_in(account, "make the one for this token's issuer"), paste=commands.get(("provider", account), "")
        )
        why = f"Account {account} must know who signed the token, by exactly its issuer"
        return problem(check, "provider-missing", seen, why, fix, causes=causes, tell=(tell,))
    if Clue.AUDIENCE in outcome.clues:
        why = f"The provider in account {account} is there and does not list the token's audience"
        project = Step(
            says="Project the token for the audience that it has, in the pod's spec:",
            paste="serviceAccountToken: {path: token, audience: sts.amazonaws.com, expirationSeconds: 86400}",
        )
        says = _in(account, "or, where the audience is meant, add it to the provider")
        added = Step(says=says, paste=commands.get(("audience", account), ""))
        return problem(check, "audience-unknown", seen, why, project, added)
    return general(check, seen, hop, outcome, commands)


def validation(check: str, seen: str, hop: Hop, outcome: Outcome, commands: Commands) -> Finding:
    """A duration above what the role grants, or something that the checks of the settings do not know."""
    if Clue.LONGEST not in outcome.clues:
        return general(check, seen, hop, outcome, commands)
    why = f"{hop.duration} s were asked for, and the role's MaxSessionDuration is less"
    account, asked = hop.role.account, "SIDECAR_DURATION" if hop.source else "SIDECAR_SOURCE_DURATION (or _DURATION)"
    less = Step(says=f"Or ask for less: {asked}, or duration_seconds of the profile; 3600 is always granted.")
    command = commands.get(("duration", hop.role.arn), "")
    more = [Step(says=_in(account, "let the role grant it"), paste=command)] if command else []
    return problem(check, "duration-too-long", seen, why, *more, less)


def general(check: str, seen: str, hop: Hop, outcome: Outcome, _: Commands) -> Finding:
    """What the code alone says."""
    assert outcome.failure is not None
    code = outcome.failure.code
    says = _GENERAL.get(code, "STS answers it by itself, or its page says what it is; ask again.")
    paste = _PASTE.get(code, "").format(region=hop.regions[0], role=hop.role.name)
    why = "The chain ends here, and what comes after it is not reached"
    return problem(check, _code(outcome, hop.position), seen, why, Step(says=says, paste=paste))


_GENERAL = {
    "InvalidIdentityToken": "Compare the token's claims above with the account's OIDC providers:",
    "IDPRejectedClaim": "Look at the token's claims above and at the identity provider.",
    "IDPCommunicationError": "Make the issuer's discovery document public; it must answer from the internet:",
    "ValidationError": "Look at the settings of this hop; CloudTrail has AWS's own words.",
    "MalformedPolicyDocument": "Correct SIDECAR_POLICY, or sidecar_policy of the profile.",
    "PackedPolicyTooLarge": "Shorten session policy and tags; fewer policy ARNs help as well.",
    "RegionDisabledException": "Enable the region for the account, or choose another AWS_REGION:",
    "SignatureDoesNotMatch": "Set the node's clock; where it is right, look for a proxy that changes requests.",
    "Throttling": "See who else calls STS in the account and region.",
    "Timeout": "It answers a connection and not a call: look at proxy, mesh and the VPC endpoint's policy.",
    "ConnectionError": "It answers a connection and ends the call: look at proxy and mesh.",
    "BadAnswer": "What answers is not STS: look at AWS_ENDPOINT_URL_STS and the proxy.",
    "ShortSession": "What answers is not STS as it is: look at AWS_ENDPOINT_URL_STS and the proxy.",
    "WrongIdentity": "What answers is not STS as it is: look at AWS_ENDPOINT_URL_STS and the proxy.",
    "TokenExpired": "kubelet has not rotated it: see the volume's events.",
    "InvalidClientTokenId": "The session's role is gone, or was made again since: ask again, then look at the role.",
}
_PASTE = {
    "InvalidIdentityToken": "aws iam list-open-id-connect-providers",
    "IDPCommunicationError": "curl --fail ISSUER/.well-known/openid-configuration",
    "RegionDisabledException": "aws account enable-region --region-name {region}",
    "TokenExpired": "kubectl -n NS get events --field-selector involvedObject.name=POD",
}


def _code(outcome: Outcome, position: int) -> str:
    assert outcome.failure is not None
    return anchor(outcome.failure.code, position)


def _in(account: str, says: str) -> str:
    return f"In account {account}, {says}:"


def _above(outcome: Outcome) -> str:
    return next((kind for clue, kind in _ABOVE.items() if clue in outcome.clues), "")


def _forbidden(check: str, seen: str, above: str) -> Finding:
    why = f"STS says that it is {above} that forbids it: no statement of the two roles mends that"
    fix = Step(says=f"Have whoever owns {above} allow it. CloudTrail has AWS's own words under the call's request id.")
    return problem(check, "forbidden-above", seen, why, fix)


def _trust(role: Role, commands: Commands) -> Step:
    says = _in(role.account, f"let {role.name} trust it ({_REPLACES})")
    return Step(says=says, paste=commands.get(("trust", role.arn), ""))


def _both_sides(hop: Hop, commands: Commands) -> tuple[Step, ...]:
    """The source's permission, where the hop leaves its account, and the role's trust."""
    assert hop.source is not None
    source, command = hop.source.role, commands.get(("permissions", hop.source.role.arn), "")
    says = _in(source.account, f"let {source.name} assume it")
    return (*([Step(says=says, paste=command)] if command else []), _trust(hop.role, commands))


def _exactly(hop: Hop) -> Step:
    """For a role that is not there: IAM's own spelling."""
    setting = "SIDECAR_TARGET_ROLE_ARN" if hop.source else "AWS_ROLE_ARN"
    says = "Or, where there is no such role, give the sidecar the right ARN, letter for letter (role_arn in a profile):"
    return Step(says=says, paste=f"{setting}=…")


def _external_id(hop: Hop) -> tuple[Step, ...]:
    """What the statement cannot know: the external id that the role's owner has agreed on."""
    demanded = "sts:ExternalId, keep it so and" if hop.external_id is None else "another sts:ExternalId than is set,"
    says = f"Or, where the trust policy demands {demanded} set that value (external_id in a profile):"
    return (Step(says=says, paste="SIDECAR_EXTERNAL_ID=…"),)


def _causes(hop: Hop) -> tuple[str, ...]:
    assert hop.source is not None
    source, role = hop.source.role, hop.role
    carried = [
        f"{action} is missing in the permission or in the trust policy (for {what})"
        for action, what, has in (
            ("sts:TagSession", "session tags", hop.tags or any(each.transitive_tags for each in hop.chain)),
            ("sts:SetSourceIdentity", "a source identity", any(each.source_identity for each in hop.chain)),
        )
        if has
    ]
    return (
        f"{source.arn} has no permission for sts:AssumeRole on exactly {role.arn}",
        f"the trust policy of {role.name} names another principal than {source.arn}",
        f"the trust policy names account {source.account} (root), which leaves it to the permission that is missing",
        f"{source.name} was deleted and made again: the trust policy then shows an id (AROA…) instead of its ARN",
        "the trust policy demands an external id, and "
        + ("none is set" if hop.external_id is None else "another one than is set"),
        *carried,
        f"there is no role {role.arn}: another account, another path, or letters of another case",
    )


def _tell(hop: Hop) -> tuple[Step, ...]:
    assert hop.source is not None
    shows = "the trust policy shows principal and external id (AROA…: a role made again; NoSuchEntity: no role)"
    allowed = f"aws iam simulate-principal-policy --policy-source-arn {hop.source.role.arn}"
    allowed = f"{allowed} --action-names sts:AssumeRole --resource-arns {hop.role.arn}"
    says = _in(hop.source.role.account, "see whether the permission is there")
    return _look(hop.role, shows), Step(says=says, paste=allowed)


def _look(role: Role, says: str) -> Step:
    paste = f"aws iam get-role --role-name {role.name} --query Role.AssumeRolePolicyDocument"
    return Step(says=_in(role.account, says), paste=paste)


def _carried(check: str, seen: str, hop: Hop, without: tuple[str, ...], commands: Commands) -> Finding:
    what = {"sts:TagSession": "session tags", "sts:SetSourceIdentity": "a source identity"}
    codes = {"sts:TagSession": "tagsession-missing", "sts:SetSourceIdentity": "setsourceidentity-missing"}
    carried = " and ".join(what[action] for action in without)
    why = (
        f"The same call without {carried} is granted: {' and '.join(without)} must be allowed by the source's "
        "permission and by the role's trust policy, and one of them does not"
    )
    return problem(check, codes[without[0]], seen, why, *_both_sides(hop, commands))
