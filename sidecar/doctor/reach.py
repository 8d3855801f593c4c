"""The way to STS: name, route, proxy, certificate authority and region, each told apart from the others."""

from shlex import quote
from urllib.parse import urlsplit

from sidecar.doctor.facts import Reach
from sidecar.doctor.facts import Step as Way
from sidecar.doctor.findings import Finding, Step, ok, problem
from sidecar.remedies import remedy


def finding(found: Reach) -> Finding:
    """What is to be said of the way to STS in one region."""
    check = f"way to STS in {found.region}"
    if found.step is Way.ARRIVED:
        by = f", by the proxy {found.proxy}" if found.proxy else ""
        return ok(check, f"{found.url}{by}")
    code = _code(found)
    kind = "no-authorities" if found.step is Way.AUTHORITY and not found.peer else code
    effect = _EFFECTS[kind].format(scheme=urlsplit(found.url).scheme.upper())
    why = f"{effect}. {remedy('Timeout' if found.is_silent else 'ConnectionError', 1)}"
    return problem(check, code, f"{_SEEN[kind].format(found=found)}: {found.wrong}", why, *_fix(kind, found))


def _code(found: Reach) -> str:
    if found.step is Way.NAME and found.elsewhere:
        return "region-unknown"
    codes = {Way.NAME: "sts-name", Way.ROUTE: "sts-route", Way.PROXY: "sts-proxy", Way.AUTHORITY: "sts-authority"}
    return codes[found.step]


_SEEN = {
    "region-unknown": "{found.peer} has no address, and the STS of other regions has one",
    "sts-name": "{found.peer} has no address here",
    "sts-route": "{found.peer} has a name and does not answer",
    "sts-proxy": "the proxy {found.peer} does not lead to {found.url}",
    "sts-authority": "{found.peer} shows a certificate that {found.authorities} does not vouch for",
    "no-authorities": "the file of trusted authorities {found.authorities} cannot be used",
}
_EFFECTS = {
    "region-unknown": "There is no such region, or none with an STS of this name",
    "sts-name": "Nothing can be asked of a host that cannot be found",
    "sts-route": "The name is found, so DNS works; what lies between here and there does not let it through",
    "sts-proxy": "{scheme}_PROXY says that STS is reached through it",
    "sts-authority": "Something between here and STS opens TLS, or the wrong file of authorities is in use",
    "no-authorities": "Without authorities nobody's certificate is trusted, not STS's either",
}


def _fix(kind: str, found: Reach) -> tuple[Step, ...]:
    parts = urlsplit(found.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    known = {"root": quote(f"{parts.scheme}://{parts.netloc}/"), "name": parts.hostname, "port": port}
    return tuple(Step(says=says.format_map(known), paste=paste.format_map(known)) for says, paste in _FIXES[kind])


_FIXES = {
    "region-unknown": (
        ("Write the region as AWS does:", "aws ec2 describe-regions --query Regions[].RegionName"),
        ("and give it to the sidecar:", "AWS_REGION=…"),
    ),
    "sts-name": (
        ("Ask the cluster's DNS from a pod of this namespace:", "getent hosts {name}"),
        (
            "Let the NetworkPolicy reach the cluster's DNS, port 53. Without a way out: an interface endpoint for STS.",
            "",
        ),
    ),
    "sts-route": (
        (
            "Let port {port} through (NetworkPolicy, NAT, mesh, VPC endpoint's security group); then this ends with 0:",
            "curl --silent --show-error --max-time 5 --output /dev/null {root}",
        ),
    ),
    "sts-proxy": (("Let the proxy lead to STS, or go round it, in the sidecar's environment:", "NO_PROXY={name}"),),
    "sts-authority": (
        ("See who vouches for it:", "openssl s_client -connect {name}:{port} -servername {name} </dev/null"),
        (
            "Where that is a proxy of yours, name the file with its authority in the sidecar's environment:",
            "AWS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt",
        ),
    ),
    "no-authorities": (
        (
            "Mount it there, or name one that is there, in the sidecar's environment:",
            "AWS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt",
        ),
    ),
}
