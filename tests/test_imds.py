from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.contract import Answer, Refusal, Request
from sidecar.http import Limits
from sidecar.imds import LONGEST, Imds
from sidecar.ledger import Ledger
from sidecar.model import Kind, MetadataTokens, Secret, Target
from sidecar.schedule import FLOOR
from tests.builders import EXPIRATION, HOUR, ROLE_B, failure, held, hop, target
from tests.test_endpoint import Clock, Counts
from tests.wire import Response, ask, last, serving

TARGET = target()
TOKEN, LIST = "/latest/api/token", "/latest/meta-data/iam/security-credentials"
DOCUMENT = f"{LIST}/account-b-role"
TTL = "X-aws-ec2-metadata-token-ttl-seconds: 60"
KEY = Secret("the key of this process")


def imds(
    tokens: MetadataTokens = MetadataTokens.REQUIRED, of: Target = TARGET, *, key: Secret = KEY, now: float = 0.0
) -> tuple[Imds, Clock, Counts]:
    """The face for `of`, which holds a session for an hour from 0, and its clock and counts."""
    clock, counts = Clock(now), Counts()
    made = Imds(of, tokens, key, clock=clock, wall=lambda: EXPIRATION - HOUR + clock.now, meter=counts)
    made.publish(held(*of.hop.chain))
    return made, clock, counts


def said(face: Imds, where: str, method: str = "GET", **headers: str) -> Answer:
    """The answer to one request, which must come at once."""
    fields = {"host": "127.0.0.1:9913", **{name.replace("_", "-"): value for name, value in headers.items()}}
    given = face.handle(Request(method=method, target=where, headers=fields))
    assert isinstance(given, Answer)
    return given


def token(face: Imds, seconds: int = 60) -> str:
    """A metadata token for so many seconds."""
    given = said(face, TOKEN, "PUT", x_aws_ec2_metadata_token_ttl_seconds=str(seconds))
    assert given.status == 200
    return given.body.decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The face behind a real server."""

    face: Imds
    clock: Clock
    port: int

    async def ask(self, where: str, *lines: str, method: str = "GET", host: str = "127.0.0.1") -> Response:
        return await ask(self.port, last(where, *lines, method=method, host=host))

    async def shown(self) -> str:
        """The header line with a token that was asked for."""
        return f"X-aws-ec2-metadata-token: {(await self.ask(TOKEN, TTL, method='PUT')).body.decode()}"


@asynccontextmanager
async def room(tokens: MetadataTokens = MetadataTokens.REQUIRED) -> AsyncIterator[Room]:
    face, clock, _ = imds(tokens)
    async with serving(face.handle, Limits(connections=64)) as served:
        yield Room(face=face, clock=clock, port=served.port)


# The way of every client, over raw sockets


async def test_r27_a_client_gets_a_token_the_role_and_its_credentials() -> None:
    async with room() as r:
        first = await r.ask(TOKEN, TTL, method="PUT")
        assert (first.status, first.fields["x-aws-ec2-metadata-token-ttl-seconds"]) == (200, "60")
        assert first.fields["content-type"] == "text/plain"
        line = f"X-aws-ec2-metadata-token: {first.body.decode()}"
        for where in (LIST, f"{LIST}/"):
            listed = await r.ask(where, line)
            assert (listed.status, listed.body, listed.fields["content-type"]) == (200, b"account-b-role", "text/plain")
        response = await r.ask(DOCUMENT, line)
        assert (response.status, response.fields["content-type"]) == (200, "application/json")
        assert response.document == {
            "Code": "Success",
            "LastUpdated": "2033-05-18T02:33:20Z",
            "Type": "AWS-HMAC",
            "AccessKeyId": "ASIAEXAMPLE000000002",
            "SecretAccessKey": "secret/access+key/0000000000000000000002",
            "Token": "session-token-2==",
            "Expiration": "2033-05-18T03:33:20Z",
        }


async def test_r27_without_a_token_it_is_401_and_not_a_byte_of_a_key() -> None:
    async with room() as r:
        for lines in ((), ("X-aws-ec2-metadata-token: ",), ("X-aws-ec2-metadata-token: 99999999-00",)):
            response = await r.ask(DOCUMENT, *lines)
            assert (response.status, response.code) == (401, "Unauthorized")
            assert b"ASIA" not in response.body


async def test_r27_a_put_with_a_body_of_no_length_and_a_second_put_are_answered() -> None:
    async with room() as r:
        first = await r.ask(TOKEN, TTL, "Content-Length: 0", method="PUT")
        second = await r.ask(TOKEN, TTL, method="PUT")
        assert (first.status, second.status) == (200, 200)


@pytest.mark.parametrize("line", ["X-Forwarded-For: 10.0.0.1", "Via: 1.1 squid", "Origin: http://127.0.0.1"])
async def test_r27_what_a_proxy_or_a_browser_sends_is_refused_on_every_path(line: str) -> None:
    async with room(MetadataTokens.OPTIONAL) as r:
        assert (await r.ask(TOKEN, TTL, line, method="PUT")).status == 403
        assert (await r.ask(DOCUMENT, line)).status == 403


async def test_r27_a_foreign_host_is_refused_and_the_fixed_address_of_redirected_clients_is_not() -> None:
    async with room() as r:
        assert (await r.ask(TOKEN, TTL, method="PUT", host="evil.example")).status == 403
        for host in ("169.254.169.254", "[fd00:ec2::254]", "127.0.0.1:9913"):
            assert (await r.ask(TOKEN, TTL, method="PUT", host=host)).status == 200


# Metadata tokens


@pytest.mark.parametrize("asked", ["1", "21600", " 300 "])
def test_r27_a_lifetime_of_up_to_six_hours_is_granted_as_it_is_asked(asked: str) -> None:
    face, _, _ = imds()
    given = said(face, TOKEN, "PUT", x_aws_ec2_metadata_token_ttl_seconds=asked)
    assert given.status == 200
    assert f"x-aws-ec2-metadata-token-ttl-seconds: {asked.strip()}\r\n".encode() in given.fields


@pytest.mark.parametrize("asked", ["", "0", "-1", "21601", "x", "1e3", "60.0", "\u0661", "999999"])
def test_r27_any_other_lifetime_is_400(asked: str) -> None:
    face, _, counts = imds()
    assert said(face, TOKEN, "PUT", x_aws_ec2_metadata_token_ttl_seconds=asked).status == 400
    assert said(face, TOKEN, "PUT").status == 400
    assert counts.refusals == [Refusal.TTL, Refusal.TTL]


def test_r27_a_token_is_good_for_as_long_as_was_asked_and_no_longer() -> None:
    face, clock, _ = imds()
    clock.now = 0.9
    held_token = token(face, 60)
    clock.now = 60.8
    assert said(face, DOCUMENT, x_aws_ec2_metadata_token=held_token).status == 200
    clock.now = 61.0
    assert said(face, DOCUMENT, x_aws_ec2_metadata_token=held_token).status == 401


@given(st.text(st.characters(codec="latin-1"), max_size=120), st.integers(0, 2 * LONGEST))
def test_r27_nobody_makes_a_token_himself(noise: str, end: int) -> None:
    face, _, _ = imds()
    good = token(face)
    signature = good.partition("-")[2]
    for forged in (noise, f"{end}-{noise}", f"{end}-{signature}", f"0{good}", f"{good}0", f"+{good}"):
        if forged != good:
            assert said(face, DOCUMENT, x_aws_ec2_metadata_token=forged).status == 401


def test_r27_a_token_of_another_process_opens_nothing() -> None:
    other, _, _ = imds(key=Secret("another"))
    face, _, _ = imds()
    assert said(face, DOCUMENT, x_aws_ec2_metadata_token=token(other)).status == 401


def test_r27_the_document_says_when_the_credentials_arrived() -> None:
    face, clock, _ = imds(MetadataTokens.OPTIONAL)
    clock.now = 600.0
    face.publish(held(*TARGET.hop.chain, now=60.0))
    assert b'"LastUpdated":"2033-05-18T02:34:20Z"' in said(face, DOCUMENT).body


def test_r27_only_credentials_are_counted_as_served() -> None:
    face, _, counts = imds(MetadataTokens.OPTIONAL)
    for where in (LIST, "/latest/meta-data/placement/region", DOCUMENT):
        said(face, where)
    token(face)
    assert counts.answers == [(TARGET.name, 200, 0.0, float(HOUR))]


def test_r27_tokens_fill_no_table() -> None:
    face, _, _ = imds()
    before = {name: repr(value) for name, value in vars(face).items() if name != "board"}
    for seconds in range(1, 2_000):
        token(face, seconds)
    assert {name: repr(value) for name, value in vars(face).items() if name != "board"} == before


def test_imdsv1_is_served_only_where_it_is_asked_for() -> None:
    required, _, _ = imds()
    optional, _, _ = imds(MetadataTokens.OPTIONAL)
    assert said(required, LIST).status == 401
    assert [said(optional, where).status for where in (LIST, DOCUMENT)] == [200, 200]
    assert said(optional, DOCUMENT, x_aws_ec2_metadata_token="wrong").status == 401
    assert said(optional, DOCUMENT, x_aws_ec2_metadata_token=token(optional)).status == 200


# The tree


def test_the_region_is_told_in_the_three_ways_that_clients_ask_for_it() -> None:
    face, _, _ = imds(MetadataTokens.OPTIONAL)
    assert said(face, "/latest/meta-data/placement/region").body == b"eu-west-1"
    assert said(face, "/latest/meta-data/placement/availability-zone/").body == b"eu-west-1a"
    assert said(face, "/latest/dynamic/instance-identity/document").body == (
        b'{"region":"eu-west-1","accountId":"444455556666"}'
    )


@pytest.mark.parametrize(
    "where", ["/", "/latest", "/latest/meta-data/", f"{LIST}/other", "/latest/user-data", "/v1/credentials"]
)
def test_r27_the_rest_of_the_tree_is_404_at_once(where: str) -> None:
    face, _, _ = imds(MetadataTokens.OPTIONAL)
    assert said(face, where).status == 404


@pytest.mark.parametrize(("method", "where"), [("GET", TOKEN), ("PUT", DOCUMENT), ("POST", TOKEN), ("DELETE", LIST)])
def test_r27_a_wrong_method_is_405_with_allow(method: str, where: str) -> None:
    face, _, _ = imds(MetadataTokens.OPTIONAL)
    given = said(face, where, method)
    assert given.status == 405
    assert f"\r\nAllow: {'PUT' if where == TOKEN else 'GET, HEAD'}\r\n".encode() in given.fields


def test_r27_an_endpoint_with_a_slash_at_its_end_works_for_clients_that_add_one() -> None:
    face, _, _ = imds()
    given = said(face, f"/{TOKEN}", "PUT", x_aws_ec2_metadata_token_ttl_seconds="60")
    shown = given.body.decode()
    assert [said(face, f"/{where}", x_aws_ec2_metadata_token=shown).status for where in (LIST, DOCUMENT)] == [200, 200]


def test_r27_a_role_that_clients_would_misread_is_listed_under_a_plain_name() -> None:
    odd = target(last=hop(f"{ROLE_B}+a=b,c.d@e", source=hop()))
    face, _, _ = imds(MetadataTokens.OPTIONAL, odd)
    assert said(face, LIST).body == b"account-b-role-a-b-c-d-e"
    assert said(face, f"{LIST}/account-b-role-a-b-c-d-e").status == 200


# What it shares with the endpoint


def test_r27_expired_credentials_are_not_served_here_either() -> None:
    face, clock, counts = imds(MetadataTokens.OPTIONAL)
    clock.now = HOUR - FLOOR
    given = said(face, DOCUMENT)
    assert given.status == 503
    assert b"ASIA" not in given.body
    assert counts.answers == [(TARGET.name, 503, 0.0, None)]


def test_r27_what_is_wrong_has_the_statuses_of_the_endpoint_and_never_500() -> None:
    face, clock, _ = imds(MetadataTokens.OPTIONAL)
    face.publish(Ledger().failed(TARGET.hop, failure(Kind.DENIED), now=0.0, chance=0.0))
    assert said(face, DOCUMENT).status == 503
    clock.now = 120.0
    assert said(face, DOCUMENT).status == 403
    assert said(face, LIST).status == 200


async def test_r27_the_first_credentials_are_waited_for() -> None:
    face, _, _ = imds(MetadataTokens.OPTIONAL)
    face.publish(Ledger())
    pending = face.handle(Request(method="GET", target=DOCUMENT, headers={}))
    assert not isinstance(pending, Answer)
    asyncio.get_running_loop().call_soon(face.publish, held(*TARGET.hop.chain))
    assert (await pending).status == 200
