"""A strict STS emulator on loopback: STS, the OIDC provider it trusts, and the kubelet that projects tokens.

It checks what AWS checks and answers with AWS's codes and XML, and every fault can be switched on while it runs.

    async with Emulator(guide_world) as sts:
        kubelet = Kubelet(directory, sts)
        kubelet.project()
        sts.fault = Fault.hang().only(action="AssumeRole")

Rooms: world (IAM as values) · policy (the evaluator) · limits (parameters) · signature (SigV4) · oidc · sessions ·
sts (the judgement, no sockets) · wire (XML) · faults · server · proxy · kubelet.
"""

from sidecar.emulator.faults import Fault
from sidecar.emulator.kubelet import Kubelet
from sidecar.emulator.oidc import Issuer
from sidecar.emulator.server import Call, Emulator
from sidecar.emulator.world import Account, OidcProvider, RoleArn, RoleSpec, World, allow, federated_trust, guide_world

__all__ = [
    "Account",
    "Call",
    "Emulator",
    "Fault",
    "Issuer",
    "Kubelet",
    "OidcProvider",
    "RoleArn",
    "RoleSpec",
    "World",
    "allow",
    "federated_trust",
    "guide_world",
]
