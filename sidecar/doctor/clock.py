"""The node's clock against STS's, which is the only other one there is to ask."""

from sidecar.doctor.facts import Walk
from sidecar.doctor.findings import Finding, Step, ok, problem, unknown
from sidecar.events import Skewed, sentence
from sidecar.refresher import SKEW_WARNING

_CHECK = "clock of the node"


def finding(walk: Walk) -> Finding:
    """What is to be said of the clock."""
    if walk.skew is None:
        return unknown(_CHECK, "clock-unknown", "STS has said no time")
    if abs(walk.skew) < SKEW_WARNING:
        return ok(_CHECK, f"within {abs(walk.skew):.0f} s of STS's")
    why = "A signature's time must be within 5 minutes of STS's; hop 1 is not signed and does not notice"
    fix = Step(
        says="Set the node's clock, and have it kept (chrony, systemd-timesyncd); a pod has that of its node:",
        paste="chronyc makestep && chronyc tracking",
    )
    seen = sentence(Skewed(seconds=walk.skew, severity="warning"))
    return problem(_CHECK, "clock-skewed", seen, why, fix)
