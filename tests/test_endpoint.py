from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from sidecar.board import PATIENCE
from sidecar.contract import DENIAL, Refusal
from sidecar.endpoint import Endpoint
from sidecar.http import Limits
from sidecar.ledger import Ledger
from sidecar.model import Kind, Secret
from sidecar.schedule import FLOOR
from tests.builders import HOUR, failure, held, session, targets
from tests.wire import HANG, Served, ask, connected, exchange, get, last, logged, receive, responses, serving, until

FIRST, SECOND = targets(2)
TOKENS = {FIRST.name: Secret("token-of-the-first-target"), SECOND.name: Secret("token-of-the-second-target")}
AUTHORIZED = f"Authorization: {TOKENS[FIRST.name].reveal()}"
# What the endpoint is run with in a pod.
CONNECTIONS = 1024


@dataclass
class Clock:
    """The sidecar's clock, moved by hand; `looks` counts who looked, as every request does when it begins."""

    now: float = 0.0
    looks: int = 0

    def __call__(self) -> float:
        self.looks += 1
        return self.now


@dataclass
class Counts:
    """What was metered."""

    answers: list[tuple[str, int, float, float | None]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def answered(self, target: str, status: int, seconds: float, lifetime: float | None) -> None:
        self.answers.append((target, status, seconds, lifetime))

    def refused(self, reason: str) -> None:
        self.refusals.append(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """An endpoint behind a real server."""

    endpoint: Endpoint
    clock: Clock
    counts: Counts
    served: Served

    @property
    def port(self) -> int:
        return self.served.port

    async def waiting(self, requests: int) -> None:
        """Until as many requests have begun, and what they wait with has started."""
        await until(lambda: self.clock.looks >= requests)
        for _ in range(5):
            await asyncio.sleep(0)


@asynccontextmanager
async def room(
    ledger: Ledger | None = None, *, tokens: dict[str, Secret] | None = TOKENS, patience: float = 0.1, head: float = 5.0
) -> AsyncIterator[Room]:
    clock, counts = Clock(), Counts()
    endpoint = Endpoint([FIRST, SECOND], tokens, clock, counts)
    endpoint.board.patience = patience
    if ledger is not None:
        endpoint.publish(ledger)
    async with serving(endpoint.handle, Limits(connections=CONNECTIONS, head=head)) as served:
        yield Room(endpoint=endpoint, clock=clock, counts=counts, served=served)


def walked() -> Ledger:
    """Both targets hold a session for an hour from 0."""
    return held(*FIRST.hop.chain, SECOND.hop)


def denied(now: float = 0.0) -> Ledger:
    return Ledger().failed(FIRST.hop.chain[0], failure(Kind.DENIED), now=now, chance=0.0)


async def test_r1_the_first_target_is_served_by_its_name_and_without() -> None:
    async with room(walked()) as r:
        plain = await ask(r.port, last("/v1/credentials", AUTHORIZED))
        named = await ask(r.port, last(f"/v1/credentials/{FIRST.name}", AUTHORIZED))
        assert plain.status == named.status == 200
        assert plain.document == named.document
        assert plain.document["AccountId"] == "444455556666"


@pytest.mark.parametrize(
    "path", ["/v1/credentials/", "/v1/credentials?a=b", "/v1/credentials/t0/?x", "/v1/credentials#f"]
)
async def test_r2_a_trailing_slash_and_an_unknown_query_are_ignored(path: str) -> None:
    async with room(walked()) as r:
        assert (await ask(r.port, last(path, AUTHORIZED))).status == 200


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/credentials/nobody", "/v1/credentials/t0/x", "//v1/credentials", "/V1/credentials"]
)
async def test_r18_an_unknown_path_is_404(path: str) -> None:
    async with room(walked()) as r:
        response = await ask(r.port, last(path, AUTHORIZED))
        assert (response.status, response.code) == (404, "NotFound")


async def test_r28_a_credential_process_is_served_its_own_shape_at_its_own_path_for_the_same_token() -> None:
    async with room(walked()) as r:
        response = await ask(r.port, last(f"/v1/process/{FIRST.name}", AUTHORIZED))
        assert (response.status, response.fields["content-type"]) == (200, "application/json")
        assert response.body == (
            b'{"Version":1,'
            b'"AccessKeyId":"ASIAEXAMPLE000000002",'
            b'"SecretAccessKey":"secret/access+key/0000000000000000000002",'
            b'"SessionToken":"session-token-2==",'
            b'"Expiration":"2033-05-18T03:33:20Z",'
            b'"AccountId":"444455556666"}'
        )
        assert (await ask(r.port, last("/v1/process", AUTHORIZED))).body == response.body
        assert (await ask(r.port, last(f"/v1/process/{FIRST.name}"))).status == 401
        assert (await ask(r.port, last(f"/v1/process/{SECOND.name}", AUTHORIZED))).status == 401


async def test_r28_a_credential_process_gets_no_document_that_cannot_be_used() -> None:
    async with room(walked()) as r:
        r.clock.now = HOUR - FLOOR
        response = await ask(r.port, last("/v1/process/t0", AUTHORIZED))
        assert (response.status, response.code) == (503, "Expired")


async def test_r28_a_credential_process_waits_for_the_first_session_too() -> None:
    async with room(patience=HANG) as r:
        asked = asyncio.create_task(ask(r.port, last("/v1/process/t0", AUTHORIZED)))
        await r.waiting(1)
        r.endpoint.publish(walked())
        assert (await asked).document["SessionToken"] == "session-token-2=="


async def test_r9_the_token_opens_raw_or_as_a_bearer_under_any_case_of_the_name() -> None:
    token = TOKENS[FIRST.name].reveal()
    async with room(walked()) as r:
        for line in (f"authorization: {token}", f"AUTHORIZATION:  {token} \t", f"Authorization: Bearer {token}"):
            assert (await ask(r.port, last("/v1/credentials", line))).status == 200


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Authorization: wrong"],
        ["Authorization:"],
        [AUTHORIZED, AUTHORIZED],
        ["Authorization: wrong", AUTHORIZED],
        [f"Authorization: {TOKENS[SECOND.name].reveal()}"],
    ],
    ids=["none", "wrong", "empty", "twice", "wrong and right", "another target's"],
)
async def test_d11_without_the_targets_own_token_it_is_401(lines: list[str]) -> None:
    async with room(walked()) as r:
        response = await ask(r.port, last("/v1/credentials", *lines))
        assert (response.status, response.code) == (401, "Unauthorized")
        assert b"ASIA" not in response.body
        assert r.counts.refusals == ["authorization"]


async def test_r9_authorization_none_serves_without_a_token_but_not_a_browser() -> None:
    async with room(walked(), tokens=None) as r:
        assert (await ask(r.port, last())).status == 200
        assert (await ask(r.port, last("/v1/credentials", "Origin: http://127.0.0.1"))).status == 403


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (last("/v1/credentials", AUTHORIZED, host="evil.example"), 403),
        (last("/v1/credentials", AUTHORIZED, host="127.0.0.1.evil.example:9911"), 403),
        (last("http://127.0.0.1/v1/credentials", AUTHORIZED), 403),
        (last("/v1/credentials", AUTHORIZED, "Host: evil.example"), 400),
        (last("/v1/credentials", AUTHORIZED, host=""), 403),
        (last("/v1/credentials", AUTHORIZED).replace(b"Host: 127.0.0.1\r\n", b""), 400),
        (last("/v1/credentials", AUTHORIZED, host="127.0.0.1"), 200),
        (last("/v1/credentials", AUTHORIZED, host="localhost:1"), 200),
        (last("/v1/credentials", AUTHORIZED, host="[::1]:9911"), 200),
    ],
    ids=["foreign", "suffix", "absolute", "twice", "empty", "missing", "bare", "name", "v6"],
)
async def test_d10_host_checks_fire_on_what_is_really_sent(raw: bytes, status: int) -> None:
    async with room(walked()) as r:
        assert (await ask(r.port, raw)).status == status


@pytest.mark.parametrize(
    "line", ["X-Forwarded-For: 10.0.0.1", "via: 1.1 squid", "Forwarded: for=_", "sec-fetch-mode: cors"]
)
async def test_r9b_requests_of_proxies_and_browsers_are_403(line: str) -> None:
    async with room(walked()) as r:
        assert (await ask(r.port, last("/v1/credentials", AUTHORIZED, line))).status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
async def test_d12_every_other_method_is_405_with_allow(method: str) -> None:
    async with room(walked()) as r:
        response = await ask(r.port, last("/v1/credentials", AUTHORIZED, method=method))
        assert (response.status, response.fields["allow"]) == (405, "GET, HEAD")


async def test_d12_head_has_the_fields_of_get() -> None:
    async with room(walked()) as r:
        full = await ask(r.port, last("/v1/credentials", AUTHORIZED))
        head = await ask(r.port, last("/v1/credentials", AUTHORIZED, method="HEAD"))
        assert (head.status, head.fields, head.body) == (200, full.fields, b"")


async def test_d1_r14_a_failed_refresh_leaves_the_served_bytes_as_they_were() -> None:
    async with room(walked()) as r:
        before = await exchange(r.port, last("/v1/credentials", AUTHORIZED))
        r.clock.now = 2_000.0
        for kind in Kind:
            r.endpoint.publish(walked().failed(FIRST.hop, failure(kind), now=1_900.0, chance=0.0))
            assert await exchange(r.port, last("/v1/credentials", AUTHORIZED)) == before


async def test_d2_r16_below_the_floor_it_is_503_with_a_code_and_no_old_key() -> None:
    async with room(walked()) as r:
        r.clock.now = HOUR - FLOOR - 0.001
        assert (await ask(r.port, last("/v1/credentials", AUTHORIZED))).status == 200
        r.clock.now = HOUR - FLOOR
        response = await ask(r.port, last("/v1/credentials", AUTHORIZED))
        assert (response.status, response.code) == (503, "Expired")
        assert b"ASIA" not in response.body


async def test_d13_r18_an_old_denial_is_403_with_its_code_and_a_young_one_503() -> None:
    async with room(denied()) as r:
        young = await ask(r.port, last("/v1/credentials", AUTHORIZED))
        r.clock.now = DENIAL
        old = await ask(r.port, last("/v1/credentials", AUTHORIZED))
        assert [(each.status, each.code) for each in (young, old)] == [(503, "AccessDenied"), (403, "AccessDenied")]


async def test_d5_a_new_session_replaces_the_old_in_one_step() -> None:
    async with room(walked()) as r, connected(r.port) as (reader, writer):
        for serial in (2, 3, 4):
            new = session(FIRST.hop, serial=serial)
            ledger = walked().succeeded(FIRST.hop, new, lifetime=HOUR, now=0.0, chance=0.0)
            r.endpoint.publish(ledger)
            writer.write(get("/v1/credentials", AUTHORIZED))
            assert (await receive(reader)).document["AccessKeyId"] == f"ASIAEXAMPLE{serial:09d}"


# The first answer


async def test_r22_d7_cold_requests_wait_for_the_first_session_and_all_get_it() -> None:
    async with room(patience=HANG) as r:
        asked = [asyncio.create_task(ask(r.port, last("/v1/credentials", AUTHORIZED))) for _ in range(50)]
        await r.waiting(len(asked))
        assert not any(task.done() for task in asked)
        r.endpoint.publish(walked())
        assert {response.status for response in await asyncio.gather(*asked)} == {200}


async def test_r20_a_cold_request_waits_no_longer_than_its_patience() -> None:
    loop = asyncio.get_running_loop()
    async with room(patience=0.2) as r:
        began = loop.time()
        response = await ask(r.port, last("/v1/credentials", AUTHORIZED))
        assert (response.status, response.code) == (503, "NotReady")
        assert loop.time() - began >= 0.2
    assert PATIENCE < 0.8


async def test_r20_a_first_failure_ends_the_wait_at_once() -> None:
    async with room(patience=10 * HANG) as r:
        asked = asyncio.create_task(ask(r.port, last("/v1/credentials", AUTHORIZED)))
        await r.waiting(1)
        r.endpoint.publish(denied())
        assert (await asked).code == "AccessDenied"


async def test_r20_after_a_failure_nobody_waits() -> None:
    async with room(denied(), patience=10 * HANG) as r:
        assert (await ask(r.port, last("/v1/credentials", AUTHORIZED))).status == 503


async def test_a_session_of_another_target_does_not_end_the_wait_but_its_own_does() -> None:
    async with room(patience=HANG) as r:
        asked = asyncio.create_task(ask(r.port, last("/v1/credentials", AUTHORIZED)))
        await r.waiting(1)
        r.endpoint.publish(held(SECOND.hop))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not asked.done()
        r.endpoint.publish(walked())
        assert (await asked).status == 200


async def test_d7_a_client_that_hangs_up_disturbs_neither_the_others_nor_the_server() -> None:
    async with room(patience=HANG) as r:
        stays = asyncio.create_task(ask(r.port, last("/v1/credentials", AUTHORIZED)))
        async with connected(r.port) as (_, writer):
            writer.write(get("/v1/credentials", AUTHORIZED))
            await writer.drain()
            await r.waiting(2)
        r.endpoint.publish(walked())
        assert (await stays).status == 200
        assert r.served.failures == []


async def test_d6_readers_are_served_while_the_next_session_is_awaited() -> None:
    async with room(walked()) as r:
        hanging = asyncio.create_task(asyncio.Event().wait())  # a call to STS that does not come back
        for _ in range(100):
            assert (await ask(r.port, last("/v1/credentials", AUTHORIZED))).status == 200
        hanging.cancel()


# Bounds and counts


async def test_d20_the_1025th_connection_gets_503_and_a_close_while_1024_are_served() -> None:
    async with room(walked(), head=60.0) as r:
        held_open = [socket.create_connection(("127.0.0.1", r.port)) for _ in range(CONNECTIONS)]
        try:
            response = await ask(r.port, last("/v1/credentials", AUTHORIZED))
            assert (response.status, response.code) == (503, "TooManyConnections")
            async with AsyncExitStack() as stack:
                for sock in held_open[:: CONNECTIONS // 16]:
                    sock.close()
                await until(lambda: len(r.served.server.connections) <= CONNECTIONS - 16)
                for _ in range(16):
                    reader, writer = await stack.enter_async_context(connected(r.port))
                    writer.write(get("/v1/credentials", AUTHORIZED))
                    assert (await receive(reader)).status == 200
        finally:
            for sock in held_open:
                sock.close()


async def test_d21_what_is_kept_is_fixed_by_the_configuration() -> None:
    async with room(walked()) as r:
        for n in range(200):
            await ask(r.port, last(f"/v1/credentials/{n}", f"Authorization: {n}", f"X-{n}: {n}"))
        assert {target for target, _ in r.endpoint.board._entries} == {FIRST.name, SECOND.name}
        assert len(r.endpoint._doors) == 6
        assert len(r.served.server.connections) <= 1


async def test_every_request_is_counted_once_as_answered_or_refused() -> None:
    async with room(walked()) as r:
        r.clock.now = 600.0
        await ask(r.port, last("/v1/credentials", AUTHORIZED))
        await ask(r.port, last("/v1/credentials"))
        r.clock.now = HOUR
        await ask(r.port, last("/v1/credentials", AUTHORIZED))
        assert r.counts.answers == [("t0", 200, 0.0, HOUR - 600.0), ("t0", 503, 0.0, None)]
        assert r.counts.refusals == [Refusal.AUTHORIZATION]


async def test_d32_no_request_writes_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", logger="asyncio")  # its debug mode tells of every connection
    caplog.set_level("DEBUG")  # the last call's level is the handler's
    async with room(walked()) as r:
        for raw in (last("/v1/credentials", AUTHORIZED), last(), last("/nowhere"), b"\x00\r\n\r\n"):
            await exchange(r.port, raw)
        assert logged(caplog) == []
        assert r.served.failures == []


async def test_r23_a_kept_connection_is_served_until_the_server_has_closed() -> None:
    async with room(walked()) as r, connected(r.port) as (reader, writer):
        for _ in range(3):
            writer.write(get("/v1/credentials", AUTHORIZED))
            assert (await receive(reader)).status == 200
        await r.served.server.close()
        assert await reader.read() == b""


async def test_r13_no_request_whatever_gets_200_without_the_five_fields() -> None:
    for ledger in (Ledger(), denied(), walked()):
        async with room(ledger, patience=0.01) as r:
            for now in (0.0, DENIAL, HOUR - FLOOR, HOUR, 10 * HOUR):
                r.clock.now = now
                (response,) = responses(await exchange(r.port, last("/v1/credentials", AUTHORIZED)))
                if response.status == 200:
                    assert list(response.document) == [
                        "AccessKeyId",
                        "SecretAccessKey",
                        "Token",
                        "Expiration",
                        "AccountId",
                    ]
                    assert all(response.document.values())
                    assert now < HOUR - FLOOR


def test_no_refusal_tells_a_token() -> None:
    for refused in (refusal.answer for refusal in Refusal):
        assert all(token.reveal().encode() not in refused.fields + refused.body for token in TOKENS.values())
