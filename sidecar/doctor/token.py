"""The projected token: is it there, does it follow rotations, can it be read, what does it say, is it alive?"""

from collections.abc import Iterator

from sidecar.doctor.facts import TokenFile
from sidecar.doctor.findings import Finding, Step, ok, problem, skipped
from sidecar.errors import TokenError, TokenTrouble
from sidecar.formats import utc_of
from sidecar.model import Token
from sidecar.remedies import anchor, remedy

# kubelet asks for a new token at 80 % of its life, or when it is a day old: what is past these has not been rotated.
_AGED, _OLD = 0.9, 26 * 3600.0
_VOLUME = """\
volumes:
  - name: credential-sidecar-projected-token
    projected:
      sources:
        - serviceAccountToken: {{path: {name}, audience: sts.amazonaws.com, expirationSeconds: 86400}}
# and in the sidecar's container, the whole directory and no subPath:
volumeMounts:
  - {{name: credential-sidecar-projected-token, mountPath: {folder}, readOnly: true}}"""
_ROTATES = (
    "kubelet replaces it in time: the node's kubelet, or its way to the API server, is broken, or this is a copy of a "
    "token that nobody rotates"
)


def findings(file: TokenFile, now: float) -> Iterator[Finding]:
    """What is to be said of one token file; `now` is Unix seconds, by STS's clock where that is known."""
    check, rest = f"token {file.path}", [f"rotation of {file.path}", f"claims in {file.path}"]
    if broken := _broken(check, file, now):
        yield broken
        yield from (skipped(each, broken.code) for each in rest)
        return
    token = file.reading.token
    assert token is not None, "there is a token or what is wrong with it"
    yield ok(check, f"{file.seen}; a JSON Web Token")
    yield _rotation(rest[0], file, token, now)
    claims = token.claims
    audience = ", ".join(claims.audience) or "none"
    yield ok(rest[1], f"issuer {claims.issuer}, audience {audience}, subject {claims.subject}")


def _broken(check: str, file: TokenFile, now: float) -> Finding | None:
    error, token = file.reading.error, file.reading.token
    if file.dangling is not None:
        seen = f"{file.path} is a link to {file.dangling}, which is not there"
        why = f"{remedy('TokenMissing', 1)}: a link of kubelet's leads to ..data beside it, which a subPath leaves out"
        return problem(check, "token-dangling", seen, why, _mounted(file.path))
    if file.pinned is not None:
        seen = f"it is mounted by itself (from {file.pinned}): a subPath, or a mount of one file"
        why = "kubelet rotates by swapping the link ..data, which such a mount never sees: the token is not replaced"
        if token and token.claims.expiration <= now:
            why = f"{why}; {remedy('TokenExpired', 1)}"
        return problem(check, "token-by-subpath", seen, why, _mounted(file.path))
    if error is not None:
        return _unusable(check, error, is_file=file.seen is None or file.seen.is_regular)
    return _expired(check, file, token, now) if token and token.claims.expiration <= now else None


def _unusable(check: str, error: TokenError, *, is_file: bool) -> Finding:
    named = Step(
        says="Name the token's own file (web_identity_token_file in a profile); in kubelet's projection:",
        paste=f"AWS_WEB_IDENTITY_TOKEN_FILE={error.path.rstrip('/')}/token",
    )
    shared = Step(
        says="Let kubelet give it to a group that the sidecar is in, in the pod's spec:",
        paste="securityContext:\n  fsGroup: 59911",
    )
    fixes = {
        TokenTrouble.MISSING: _mounted(error.path),
        TokenTrouble.UNREADABLE: shared if is_file else named,
        TokenTrouble.MALFORMED: _mounted(error.path),
    }
    fix = fixes.get(error.reason, _rotated())
    return problem(check, anchor(error.code, 1), str(error), remedy(error.code, 1), fix)


def _expired(check: str, file: TokenFile, token: Token, now: float) -> Finding:
    end = token.claims.expiration
    seen = f"projected token {file.path} is expired: since {utc_of(end)}, for {_span(now - end)}"
    return problem(check, "tokenexpired", seen, f"{remedy('TokenExpired', 1)}; {_ROTATES}", _rotated())


def _rotation(check: str, file: TokenFile, token: Token, now: float) -> Finding:
    end = token.claims.expiration
    if file.issued is None:
        return ok(check, f"it ends at {utc_of(end)}; it does not say when it was issued")
    life, age = end - file.issued, now - file.issued
    seen = f"issued {_span(age)} ago for {_span(life)}, until {utc_of(end)}"
    if age > min(_AGED * life, _OLD):
        why = f"it should be younger: {_ROTATES}"
        return problem(check, "token-not-rotated", seen, why, _rotated())
    return ok(check, seen)


def _mounted(path: str) -> Step:
    folder, _, name = path.rpartition("/")
    return Step(says="Project it into the sidecar:", paste=_VOLUME.format(folder=folder or "/", name=name))


def _rotated() -> Step:
    says = "See what kubelet says of the volume; where the pod is all that is old, a new one has a new token:"
    paste = (
        "kubectl -n NS describe pod POD\n"
        "kubectl -n NS get events --field-selector involvedObject.name=POD\n"
        "kubectl -n NS delete pod POD"
    )
    return Step(says=says, paste=paste)


def _span(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if abs(seconds) >= 5400 else f"{seconds / 60:.0f} min"
