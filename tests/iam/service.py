"""IAM as a service on loopback, as far as the commands that `iam` prints ask it: what is there, and what is made of it.

Whose account it is, is in the access key id. Policies are read as the emulator reads them, and a role that a trust
policy names must be there, as with AWS. Whatever else is asked is an error.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from aiohttp import web

from sidecar.emulator.policy import check_identity, check_trust

Parameters = Mapping[str, str]
VERSIONS: Final = {
    "2010-05-08": "https://iam.amazonaws.com/doc/2010-05-08/",
    "2011-06-15": "https://sts.amazonaws.com/doc/2011-06-15/",
}


class Refused(Exception):
    """The code of an error, and the status that it comes with."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.code, self.status = code, status


@dataclass(slots=True)
class Service:
    """Every account's providers (audiences by ARN) and roles (by ARN), and the actions that were asked."""

    providers: dict[str, list[str]] = field(default_factory=dict)
    roles: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, account: str, action: str, given: Parameters) -> str:
        """The inside of the result of `action`; raises Refused."""
        self.asked.append(action)
        if action == "GetCallerIdentity":
            return f"<Account>{account}</Account>"
        if action not in _ACTIONS:
            raise Refused("InvalidAction", 400)
        return _ACTIONS[action](self, account, given) or ""

    def role(self, account: str, given: Parameters) -> dict[str, Any]:
        """The role of that name in the account."""
        for arn, role in self.roles.items():
            if f"::{account}:" in arn and arn.rpartition("/")[2] == given["RoleName"]:
                return role
        raise Refused("NoSuchEntity", 404)

    def trust(self, text: str) -> Any:
        """The trust policy that is written there."""
        policy = json.loads(text)
        check_trust(policy)
        named = [each["Principal"]["AWS"] for each in policy["Statement"] if "AWS" in each["Principal"]]
        if not set(named) <= set(self.roles):
            raise Refused("MalformedPolicyDocument", 400)  # AWS: "Invalid principal in policy"
        return policy

    def _get_provider(self, account: str, given: Parameters) -> None:
        if given["OpenIDConnectProviderArn"] not in self.providers:
            raise Refused("NoSuchEntity", 404)

    def _create_provider(self, account: str, given: Parameters) -> str:
        arn = f"arn:aws:iam::{account}:oidc-provider/{given['Url'].removeprefix('https://')}"
        if arn in self.providers:
            raise Refused("EntityAlreadyExists", 409)
        self.providers[arn] = [given["ClientIDList.member.1"]]
        return f"<OpenIDConnectProviderArn>{arn}</OpenIDConnectProviderArn>"

    def _add_audience(self, account: str, given: Parameters) -> None:
        self._get_provider(account, given)
        held = self.providers[given["OpenIDConnectProviderArn"]]
        held += [given["ClientID"]] if given["ClientID"] not in held else []

    def _get_role(self, account: str, given: Parameters) -> None:
        self.role(account, given)

    def _create_role(self, account: str, given: Parameters) -> None:
        arn = f"arn:aws:iam::{account}:role{given['Path']}{given['RoleName']}"
        if arn in self.roles:
            raise Refused("EntityAlreadyExists", 409)
        self.roles[arn] = {"trust_policy": self.trust(given["AssumeRolePolicyDocument"])}

    def _update_trust(self, account: str, given: Parameters) -> None:
        self.role(account, given)["trust_policy"] = self.trust(given["PolicyDocument"])

    def _update_role(self, account: str, given: Parameters) -> None:
        self.role(account, given)["max_session_duration"] = int(given["MaxSessionDuration"])

    def _put_policy(self, account: str, given: Parameters) -> None:
        policy = json.loads(given["PolicyDocument"])
        check_identity(policy)
        self.role(account, given)["permission_policy"] = policy


_ACTIONS: Final[Mapping[str, Callable[[Service, str, Parameters], str | None]]] = {
    "GetOpenIDConnectProvider": Service._get_provider,
    "CreateOpenIDConnectProvider": Service._create_provider,
    "AddClientIDToOpenIDConnectProvider": Service._add_audience,
    "GetRole": Service._get_role,
    "CreateRole": Service._create_role,
    "UpdateAssumeRolePolicy": Service._update_trust,
    "UpdateRole": Service._update_role,
    "PutRolePolicy": Service._put_policy,
}


@asynccontextmanager
async def served(service: Service) -> AsyncIterator[str]:
    """The URL at which `service` answers."""

    async def handle(request: web.Request) -> web.Response:
        given = dict(parse_qsl(await request.text()))
        action, space = given["Action"], VERSIONS[given["Version"]]
        account = request.headers["Authorization"].split("Credential=AKIA")[1][:12]
        try:
            inside, status = f"<{action}Result>{service.answer(account, action, given)}</{action}Result>", 200
            body = f'<{action}Response xmlns="{space}">{inside}</{action}Response>'
        except Refused as refused:
            error = f"<Error><Code>{refused.code}</Code><Message>{action}</Message></Error>"
            body, status = f'<ErrorResponse xmlns="{space}">{error}</ErrorResponse>', refused.status
        return web.Response(text=body, status=status, content_type="text/xml")

    app = web.Application()
    app.router.add_post("/", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield "http://{}:{}".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()
