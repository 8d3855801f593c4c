"""The rules of the contract with clients that no module keeps alone: a whole daemon, asked over raw sockets.

`test_rN_…` shows rule N. Those that one module keeps stand in its own test module; `test_peers.py` counts them all.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar import log
from sidecar.contract import Refusal
from sidecar.emulator import Fault
from sidecar.events import Event, HopFailed, HopSucceeded, Skewed, Started
from sidecar.ledger import Ledger
from sidecar.model import Kind, Outside, Secret
from sidecar.refresher import Refresher
from sidecar.schedule import FLOOR
from sidecar.sts import Call, Grant
from tests.builders import HOUR, failure, session
from tests.harness import EPOCH, Life, in_virtual_time, usual_settings
from tests.leaks import leaks
from tests.ports import free_port
from tests.process import sidecar
from tests.test_end_to_end import cluster
from tests.test_endpoint import AUTHORIZED, FIRST, SECOND, TOKENS, room, walked
from tests.test_outages import OUTAGES, Outage
from tests.wire import HANG, Response, ask, connected, exchange, get, last, receive, responses

FIELDS = ["AccessKeyId", "SecretAccessKey", "Token", "Expiration", "AccountId"]
MINUTE = 60.0


def key(life: Life) -> str:
    """The header that opens the first target."""
    return f"Authorization: {life.authorization().reveal()}"


async def raw(life: Life, head: bytes) -> bytes:
    """What the credential endpoint answers to `head`, in the bytes it sends."""
    with life.clock.held():
        return await exchange(life.port("credentials"), head)


def troubled(home: Path, trouble: Callable[[Life], object], **settings: str) -> Life:
    """A life that begins with `trouble`: before the first walk."""

    def observe(event: Event) -> None:
        if isinstance(event, Started):
            trouble(life)

    life = Life(home, settings, observe=observe)
    return life


# R2, R10, R11: the request and the answer, byte for byte

WAYS = product(
    ("/v1/credentials", "/v1/credentials/", "/v1/credentials?", "/v1/credentials?a=b&a[]=%2F", "/v1/credentials/?x/"),
    ("127.0.0.1", "127.0.0.1:80", "127.0.0.1:9911", "localhost", "LOCALHOST:1", "[::1]:9911", "169.254.170.2",
     "169.254.170.23:80"),
)  # fmt: skip


async def test_r2_however_the_address_is_written_the_same_bytes_come_back() -> None:
    async with room(walked()) as r:
        plain = await exchange(r.port, last("/v1/credentials", AUTHORIZED))
        for path, host in WAYS:
            assert await exchange(r.port, last(path, AUTHORIZED, host=host)) == plain, (path, host)


WHOLE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 190\r\nCache-Control: no-store\r\n\r\n"
    b'{"AccessKeyId":"ASIAEXAMPLE000000002","SecretAccessKey":"secret/access+key/0000000000000000000002",'
    b'"Token":"session-token-2==","Expiration":"2033-05-18T03:33:20Z","AccountId":"444455556666"}'
)


@pytest.mark.parametrize(
    "lines",
    [
        [], ["Accept: */*"], ["Accept: text/html;q=1, application/json;q=0"], ["Accept:"], ["User-Agent:"],
        ["User-Agent: aws-sdk-cpp/1.11 \xe9"], ["Accept-Encoding: gzip, deflate, br, zstd"],
        ["Accept-Encoding: identity;q=0, *;q=0"], ["TE: trailers, chunked"], ["Connection: keep-alive"],
        ["If-None-Match: *"], ["Range: bytes=0-9"], ["Metadata: true"], ["Content-Length: 0"],
    ],
)  # fmt: skip
async def test_r10_r11_whatever_is_asked_with_these_are_the_bytes_of_the_answer(lines: list[str]) -> None:
    async with room(walked()) as r, connected(r.port) as (reader, writer):
        for _ in range(2):
            writer.write(get("/v1/credentials", *lines, AUTHORIZED))
            async with asyncio.timeout(HANG):
                assert await reader.readexactly(len(WHOLE)) == WHOLE


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/credentials HTTP/1.0\r\n%s\r\n\r\n",
        b"GET /v1/credentials HTTP/1.0\r\nHost: 127.0.0.1\r\n%s\r\n\r\n",
        b"GET /v1/credentials HTTP/1.0\r\nConnection: keep-alive\r\n%s\r\n\r\n",
        b"GET /v1/credentials HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n%s\r\n\r\n",
        b"GET /v1/credentials HTTP/1.1\r\nHost: 127.0.0.1\r\nconnection: Close\r\n%s\r\n\r\n",
    ],
    ids=["1.0", "1.0 with a host", "1.0 that would stay", "close", "close in another case"],
)
async def test_r10_http_1_0_and_whoever_closes_get_the_same_and_a_close(head: bytes) -> None:
    async with room(walked()) as r:
        got = await exchange(r.port, head % AUTHORIZED.encode())
        assert got == WHOLE.replace(b"no-store\r\n", b"no-store\r\nConnection: close\r\n")


async def test_r10_the_longest_session_token_leaves_the_body_under_10000_bytes() -> None:
    got = session(FIRST.hop)
    got = replace(got, credentials=replace(got.credentials, session_token=Secret("/+=x" * 2400)))
    ledger = walked().succeeded(FIRST.hop, got, lifetime=HOUR, now=0.0, chance=0.0)
    async with room(ledger) as r:
        response = await ask(r.port, last("/v1/credentials", AUTHORIZED))
        assert response.document["Token"] == "/+=x" * 2400
        assert len(response.body) < 10_000


@in_virtual_time
async def test_r10_a_connection_that_was_silent_for_a_minute_is_still_there(tmp_path: Path) -> None:
    async with Life(tmp_path) as life:
        await life.until(lambda: life.is_served)
        async with connected(life.port("credentials")) as (reader, writer):
            for _ in range(3):
                with life.clock.held():
                    writer.write(get("/v1/credentials", key(life)))
                    assert (await receive(reader)).status == 200
                await life.passes(MINUTE)


@in_virtual_time
async def test_r11_r12_no_client_can_misread_the_document_whatever_the_session_is_called(tmp_path: Path) -> None:
    async with Life(tmp_path, {"SIDECAR_SESSION_NAME": "a,b=c@d.e+f"}) as life:
        await life.until(lambda: life.is_served)
        body = (await life.request()).body
    assert re.fullmatch(
        rb'\{"AccessKeyId":"ASIA[A-Z0-9]+","SecretAccessKey":"[A-Za-z0-9/+]{40}","Token":"[A-Za-z0-9/+=]+",'
        rb'"Expiration":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ","AccountId":"\d{12}"\}',
        body,
    )
    texts = [text for pair in json.loads(body).items() for text in pair]
    # Fluent Bit compares over the length of what it reads, s3fs splits at every comma.
    wanted = FIELDS[:4]
    assert [text for text in texts if text not in wanted and any(name.startswith(text) for name in wanted)] == []
    assert body.count(b",") == len(FIELDS) - 1


# R8: the authorization token


@in_virtual_time
async def test_r8_the_token_lies_there_before_anything_is_served(tmp_path: Path) -> None:
    seen: list[tuple[bytes, int]] = []
    path = tmp_path / "authorization" / "default" / "token"
    async with troubled(tmp_path, lambda life: seen.append((path.read_bytes(), len(life.events)))) as life:
        assert seen == [(life.authorization().reveal().encode(), 1)]  # the first event: nothing has happened yet


async def test_r8_no_restart_of_the_daemon_changes_the_token(tmp_path: Path) -> None:
    path = tmp_path / "authorization" / "default" / "token"
    settings = usual_settings(tmp_path, f"http://127.0.0.1:{free_port()}", tmp_path / "no-token")
    seen = set()
    for end in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        async with sidecar(settings) as running:
            token, found = path.read_bytes(), path.stat()
            seen.add((token, found.st_ino, found.st_mtime_ns, found.st_mode & 0o777))
            held = await ask(running.port("credentials"), last("/v1/credentials", f"Authorization: {token.decode()}"))
            assert held.status == 503  # and not 401
            running.signal(end)
            await running.ended()
    ((token, _, _, mode),) = seen
    assert re.fullmatch(rb"[A-Za-z0-9_-]{43}", token)  # 256 bits that no header, URL or shell minds
    assert mode == 0o444


# R13: never 200 without keys

PATHS = ("/v1/credentials", "/v1/credentials/t0", "/v1/credentials/t1", "/v1/credentials/t1/?a", "/v1", "*", "/")
LINES = (
    AUTHORIZED, f"Authorization: Bearer {TOKENS[SECOND.name].reveal()}", "Authorization: wrong", "Authorization:",
    "Accept-Encoding: gzip", "Origin: null", "Via: 1.1 a", "Content-Length: 5", "Connection: close",
    "Host: evil.example", "Transfer-Encoding: chunked", "Expect: 100-continue",
)  # fmt: skip


def _head(method: str, path: str, lines: list[str], host: str, cut: int) -> bytes:
    whole = get(path, *lines, method=method, host=host)
    return whole[: len(whole) - cut]


HEADS = st.builds(
    _head,
    st.sampled_from(["GET", "GET", "GET", "POST", "OPTIONS", "get"]),
    st.sampled_from(PATHS),
    st.lists(st.sampled_from(LINES), max_size=3),
    st.sampled_from(["127.0.0.1", "127.0.0.1", "localhost:9911", "evil.example", ""]),
    st.sampled_from([0, 0, 0, 0, 1, 30]),
)
GOOD = [get(f"/v1/credentials/{name}", f"Authorization: {token.reveal()}") for name, token in TOKENS.items()]
REQUESTS = st.lists(st.one_of(HEADS, st.binary(max_size=60)), min_size=1, max_size=3).map(b"".join)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """After `gap` seconds a hop's call failed as `kind`, or (None) brought a session; a `hollow` one lacks a field."""

    gap: float
    hop: int
    kind: Kind | None
    lifetime: float
    hollow: str


OUTCOMES = st.lists(
    st.builds(
        Outcome,
        gap=st.floats(0, 2000),
        hop=st.integers(0, 1),
        kind=st.sampled_from([None, None, None, None, *Kind]),
        lifetime=st.floats(60, 7200),
        hollow=st.sampled_from(["", "", "access_key_id", "secret_access_key", "session_token"]),
    ),
    min_size=1,
    max_size=6,
)


def told(outcomes: list[Outcome], ends: dict[str, float]) -> tuple[Ledger, float]:
    """The ledger after `outcomes`, and the instant; `ends` gets the expiration of every session by its key."""
    ledger, now = Ledger(), 0.0
    for serial, each in enumerate(outcomes, start=1):
        now, hop = now + each.gap, (FIRST, SECOND)[each.hop].hop
        if each.kind:
            ledger = ledger.failed(hop, failure(each.kind), now=now, chance=0.0)
            continue
        got = session(hop, serial, EPOCH + now + each.lifetime)
        ends[got.credentials.access_key_id] = now + each.lifetime
        if each.hollow:
            empty = "" if each.hollow == "access_key_id" else Secret("")
            got = replace(got, credentials=replace(got.credentials, **{each.hollow: empty}))  # type: ignore[arg-type]
        ledger = ledger.succeeded(hop, got, lifetime=each.lifetime, now=now, chance=0.0)
    return ledger, now


@settings(max_examples=50)
@given(outcomes=OUTCOMES, later=st.floats(0, 4000), odd=st.lists(REQUESTS, min_size=8, max_size=8))
def test_r13_200_is_whole_and_alive_whoever_asks_for_whatever_is_held(
    outcomes: list[Outcome], later: float, odd: list[bytes]
) -> None:
    ends: dict[str, float] = {}
    ledger, now = told(outcomes, ends)
    asked = [*GOOD, *odd]

    async def answered() -> list[bytes]:
        async with room(ledger, patience=0.01, head=0.25) as r:
            r.clock.now = now + later
            return await asyncio.gather(*(exchange(r.port, raw, is_half_closed=True) for raw in asked))

    for sent, received in zip(asked, in_virtual_time(answered)(), strict=True):
        for response in responses(received):
            _is_sound(sent, response, ends, now + later)


def _is_sound(sent: bytes, response: Response, ends: dict[str, float], now: float) -> None:
    """An error that says so, or credentials to who may have them."""
    if response.status != 200:
        assert response.status in {400, 401, 403, 404, 405, 408, 431, 503}
        assert response.code
        return
    found = response.document
    assert list(found) == FIELDS
    assert all(found.values())
    assert ends[found["AccessKeyId"]] - now > FLOOR
    assert datetime.fromisoformat(found["Expiration"]).timestamp() <= EPOCH + ends[found["AccessKeyId"]]
    assert any(token.reveal().encode() in sent for token in TOKENS.values())


# R14 to R17: lifetime


@in_virtual_time
async def test_r14_what_lives_is_served_byte_for_byte_whatever_goes_wrong_at_once(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    async with Life(tmp_path, {"SIDECAR_STATE_DIR": str(tmp_path / "state")}) as life:
        await life.until(lambda: life.is_served)
        head, end = last("/v1/credentials", key(life)), life.schedule().expiration
        before = await raw(life, head)
        life.sts.fault = Fault.error("AccessDenied", 403)
        life.kubelet.path.unlink()
        shutil.rmtree(tmp_path / "state")
        shutil.rmtree(tmp_path / "authorization")
        life.step = 400.0
        while life.clock() < end - FLOOR:
            life.daemon.refresher.ask()
            assert await raw(life, head) == before
            await life.passes(MINUTE)
        assert life.happened(HopFailed)
        assert (await life.raw(head)).status == 403


@pytest.mark.parametrize(("duration", "least"), [(3600, 25), (2700, 20)])
@in_virtual_time
async def test_r15_hour_after_hour_enough_is_left_and_the_end_never_goes_back(
    duration: int, least: int, tmp_path: Path
) -> None:
    async with Life(tmp_path, {"SIDECAR_DURATION": str(duration)}, chance=0.0) as life:
        life.latency = 4.9  # the slowest STS that is not yet given up
        await life.until(lambda: life.is_served)
        head, seen = last("/v1/credentials", key(life)), [0.0]
        for _ in range(6 * 60):
            (response,) = responses(await raw(life, head))
            end = datetime.fromisoformat(response.document["Expiration"]).timestamp()
            assert end - life.wall() >= least * MINUTE
            assert end >= seen[-1]
            seen.append(end)
            await life.passes(MINUTE)
        assert len(set(seen)) > 10
        assert not life.happened(HopFailed)


@in_virtual_time
async def test_r15_a_session_that_ends_sooner_does_not_replace_one_that_lives(tmp_path: Path) -> None:
    async with Life(tmp_path) as life:
        await life.until(lambda: life.is_served)
        before = (await life.request()).document["Expiration"]
        life.sts.fault = Fault.short(120)
        await life.comes(life.schedule().due + 10)
        assert {failed.failure.code for failed in life.happened(HopFailed)} == {"ShortSession"}
        assert (await life.request()).document["Expiration"] == before
        life.sts.fault = Fault.none()
        await life.passes(60)
        assert (await life.request()).document["Expiration"] > before


@in_virtual_time
async def test_r15_sessions_that_are_too_short_for_sdks_are_warned_of_and_served(tmp_path: Path) -> None:
    async with Life(tmp_path, {"SIDECAR_DURATION": "2699"}) as life:
        await life.until(lambda: life.is_served)
        (started,) = life.happened(Started)
        assert [warning for warning in started.warnings if "2699" in warning]
        assert (await life.request()).status == 200


async def test_r16_it_is_served_until_thirty_seconds_before_its_end() -> None:
    async with room(walked()) as r:
        statuses = []
        for left in (60.0, 31.0, 30.001, 30.0, 10.0):
            r.clock.now = HOUR - left
            statuses.append((await ask(r.port, last("/v1/credentials", AUTHORIZED))).status)
        assert statuses == [200, 200, 200, 503, 503]


@in_virtual_time
async def test_r16_the_expiration_that_is_told_is_never_later_than_sts_said(tmp_path: Path) -> None:
    async with Life(tmp_path, issued_life=1000.7) as life:
        await life.until(lambda: life.is_served)
        for step in (-3600.0, 0.0, 3600.0):  # the node's clock changes nothing
            life.step = step
            end = datetime.fromisoformat((await life.request()).document["Expiration"]).timestamp()
            truth = life.true_wall() + life.schedule().expiration - life.clock()
            assert truth - 60 <= end <= truth


@pytest.mark.parametrize(("step", "severity"), [(-90.0, "warning"), (90.0, "warning"), (-270.0, "error")])
@in_virtual_time
async def test_r17_a_clock_that_is_wrong_is_told_before_signatures_fail(
    step: float, severity: str, tmp_path: Path
) -> None:
    async with Life(tmp_path) as life:
        await life.until(lambda: life.is_served)
        life.step = step
        life.daemon.refresher.ask()
        await life.until(lambda: bool(life.happened(Skewed)), within=5)
        (skewed,) = life.happened(Skewed)
        assert skewed.severity == severity
        assert abs(skewed.seconds + step) < 2
        assert abs(float((await life.status("/status")).document["skew_seconds"]) + step) < 2
        (metric,) = re.findall(
            rb"^credential_sidecar_clock_skew_seconds (.+)$", (await life.status("/metrics")).body, re.MULTILINE
        )
        assert abs(float(metric) + step) < 2
        assert not life.happened(HopFailed)
        assert (await life.request()).status == 200


# R18, R19: failures

CLASSES: dict[str, tuple[bytes, int, Refusal | None]] = {
    "no token": (last(), 401, Refusal.AUTHORIZATION),
    "a wrong token": (last("/v1/credentials", "Authorization: guessed-token-of-16"), 401, Refusal.AUTHORIZATION),
    "an unknown path": (last("/latest/meta-data/", AUTHORIZED), 404, Refusal.PATH),
    "an unknown target": (last("/v1/credentials/nobody", AUTHORIZED), 404, Refusal.PATH),
    "a wrong method": (last("/v1/credentials", AUTHORIZED, method="PUT"), 405, Refusal.METHOD),
    "a proxy's": (last("/v1/credentials", AUTHORIZED, "Via: 1.1 a"), 403, Refusal.FORWARDED),
    "a browser's": (last("/v1/credentials", AUTHORIZED, "Origin: null"), 403, Refusal.BROWSER),
    "another host's": (last("/v1/credentials", AUTHORIZED, host="evil.example"), 403, Refusal.HOST),
    "a proxy request": (last("http://127.0.0.1/v1/credentials", AUTHORIZED), 403, Refusal.PROXIED),
    "no HTTP": (b"\x16\x03\x01\r\n\r\n", 400, Refusal.MALFORMED),
    "too long": (last("/v1/credentials", "X: " + "a" * 20_000), 431, Refusal.OVERSIZED),
}


@pytest.mark.parametrize("case", CLASSES)
async def test_r18_r19_every_refusal_over_the_wire_has_its_status_its_shape_and_no_field_more(case: str) -> None:
    head, status, refusal = CLASSES[case]
    assert refusal is not None
    async with room(walked()) as r:
        received = await exchange(r.port, head)
        (response,) = responses(received)
    allowed = {"allow": "GET, HEAD"} if status == 405 else {}
    assert (response.status, response.code) == (status, json.loads(refusal.answer.body)["code"])
    assert response.fields == {
        "content-type": "application/json",
        "content-length": str(len(response.body)),
        "cache-control": "no-store",
        "connection": "close",
        **allowed,
    }
    assert b"guessed" not in received
    assert not any(token.reveal().encode() in received for token in TOKENS.values())


def _is_plain(response: Response) -> None:
    """R19: nothing in the head that a client would sleep on or follow."""
    assert response.fields.keys() == {"content-type", "content-length", "cache-control", "connection"}
    assert response.fields["content-type"] == "application/json"


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
@in_virtual_time
async def test_r18_r19_without_credentials_trouble_upstream_is_503_and_an_old_denial_403(
    outage: Outage, tmp_path: Path
) -> None:
    async with troubled(tmp_path, lambda life: setattr(life.sts, "fault", outage.fault)) as life:
        await life.until(lambda: bool(life.happened(HopFailed)))
        since = life.clock()
        for later, status in ((0, 503), (118, 503), (121, 403), (1800, 403)):
            await life.comes(since + later)
            response = await life.request()
            assert (response.status, response.code) == (status if outage.is_denial else 503, outage.code)
            _is_plain(response)


TROUBLES: dict[str, Callable[[Life], object]] = {
    "no token file": lambda life: life.kubelet.path.unlink(),
    "no token in it": lambda life: life.kubelet.project("garbage"),
    "a token that has expired": lambda life: life.kubelet.project(life.kubelet.mint(exp=int(EPOCH) - 60)),
}


@pytest.mark.parametrize("trouble", TROUBLES)
@in_virtual_time
async def test_r18_r19_without_credentials_trouble_with_the_token_file_stays_503(trouble: str, tmp_path: Path) -> None:
    async with troubled(tmp_path, TROUBLES[trouble]) as life:
        await life.until(lambda: bool(life.happened(HopFailed)))
        for _ in range(3):
            response = await life.request()
            assert (response.status, response.code[:5]) == (503, "Token")
            _is_plain(response)
            await life.passes(300)


@in_virtual_time
async def test_r18_r19_without_credentials_the_drain_answers_503(tmp_path: Path) -> None:
    async with troubled(tmp_path, lambda life: setattr(life.sts, "fault", Fault.http(500)), SIDECAR_DRAIN="25") as life:
        await life.until(lambda: bool(life.happened(HopFailed)))
        life.stop.set()
        for _ in range(24):
            await life.passes(1)
            response = await life.request()
            assert response.status == 503
            _is_plain(response)


# R20, R21: latency and load


async def _asked(life: Life, count: int) -> tuple[set[tuple[int, str]], float]:
    """What `count` at once are answered, and after how long."""
    began, head = life.clock(), last("/v1/credentials", key(life))
    found = await asyncio.gather(*(ask(life.port("credentials"), head) for _ in range(count)))
    return {(response.status, response.code) for response in found}, life.clock() - began


@in_virtual_time
async def test_r20_whoever_comes_too_early_is_answered_within_800_milliseconds(tmp_path: Path) -> None:
    async with troubled(tmp_path, lambda life: setattr(life.sts, "fault", Fault.hang())) as life:
        answers, seconds = await _asked(life, 100)
        assert answers == {(503, "NotReady")}
        assert 0.5 <= seconds <= 0.8


@in_virtual_time
async def test_r20_news_that_bring_no_credentials_do_not_prolong_the_wait(tmp_path: Path) -> None:
    async with troubled(tmp_path, lambda life: setattr(life, "latency", 0.9)) as life:
        answers, seconds = await _asked(life, 10)
        assert [event.attempt.hop.position for event in life.happened(HopSucceeded)] == [1]  # while they waited
        assert answers == {(503, "NotReady")}
        assert seconds <= 0.8


@pytest.mark.parametrize(
    "fault", [Fault.none(), Fault.http(500), Fault.error("AccessDenied", 403)], ids=["well", "down", "denied"]
)
@pytest.mark.parametrize("later", [0.0, 300.0], ids=["served", "expired"])
@in_virtual_time
async def test_r21_no_number_of_requests_calls_sts_or_moves_the_schedule(
    fault: Fault, later: float, tmp_path: Path
) -> None:
    async with Life(tmp_path, issued_life=150) as life:  # inside the window of every client
        await life.until(lambda: life.is_served)
        life.sts.fault = fault
        await life.passes(1 + later)
        before = (len(life.sts.calls), life.daemon.refresher.ledger)
        heads = get("/v1/credentials", key(life)) * 19 + last("/v1/credentials", key(life))
        found = await asyncio.gather(*(raw(life, heads) for _ in range(100)))
        after = (len(life.sts.calls), life.daemon.refresher.ledger)
        await life.passes(1)
    statuses = [response.status for received in found for response in responses(received)]
    assert len(statuses) == 2000
    assert set(statuses) == ({200} if not later or fault == Fault.none() else {403 if fault.code else 503})
    assert after == before


# R23, R24: the end and the next beginning


@in_virtual_time
async def test_r23_kept_and_new_connections_are_served_and_refreshed_through_the_drain(tmp_path: Path) -> None:
    async with Life(tmp_path, {"SIDECAR_DRAIN": "300"}, issued_life=150) as life:
        await life.until(lambda: life.is_served)
        async with connected(life.port("credentials")) as (reader, writer):
            for _ in range(29):
                with life.clock.held():
                    writer.write(get("/v1/credentials", key(life)))
                    kept = await receive(reader)
                assert (kept.status, "connection" in kept.fields) == (200, False)
                assert (await life.request()).body == kept.body
                life.stop.set()
                await life.passes(10)
            await life.until(life.serving.done, within=11)
            assert await reader.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await life.request()


@in_virtual_time
async def test_r23_a_refresh_asked_for_at_the_end_does_not_keep_the_daemon_from_ending() -> None:
    async def never(_: Call) -> Grant:
        raise AssertionError("nothing is to be called")

    outside = Outside(clock=lambda: 0.0, wall=lambda: EPOCH, chance=lambda: 0.0, random_token=str, boot="")
    endless = []
    for turns in range(6):
        refresher = Refresher([], never, outside, ledger=Ledger(), publish=lambda _: None, observe=lambda _: None)
        running = asyncio.create_task(refresher.run())
        await asyncio.sleep(0)
        refresher.ask()
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running}, timeout=0.2)
        endless += [] if running.done() else [turns]
        running.cancel()
    assert endless == []


async def test_r24_a_restart_takes_its_port_at_once_and_serves_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    port = free_port()
    settings = {"SIDECAR_STATE_DIR": str(tmp_path / "state"), "SIDECAR_LISTEN": f"127.0.0.1:{port}"}
    bodies: list[bytes] = []
    async with cluster(tmp_path, settings=settings) as here, AsyncExitStack() as kept:
        for end in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
            async with sidecar(here.settings) as running:
                if not bodies:
                    await running.served()
                # What the sidecar leaves, its port keeps for a minute.
                reader, writer = await kept.enter_async_context(connected(port))
                writer.write(get("/v1/credentials", f"Authorization: {here.token_file().read_text()}"))
                bodies.append((await receive(reader)).body)
                here.sts.fault = Fault.hang()
                running.signal(end)
                await running.ended()
        assert len(here.sts.calls) == 2
    assert list(json.loads(bodies[0])) == FIELDS
    assert len(set(bodies)) == 1


@in_virtual_time
async def test_r24_without_a_state_readiness_waits_for_the_first_session(tmp_path: Path) -> None:
    def look(life: Life) -> None:
        life.latency = 2.0

    async with troubled(tmp_path, look) as life:
        while not life.is_served:
            assert (await life.status("/readyz")).status == 503
            await life.passes(0.1)
        assert (await life.status("/readyz")).status == 200


# R25: probes, metrics and the log


@pytest.mark.usefixtures("_logging")
@in_virtual_time
async def test_r25_probes_and_metrics_have_their_own_port_that_knows_no_credentials(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    guess, shown = "guessed-authorization-token-0123", ""
    async with Life(tmp_path, observe=log.subscriber("debug", "json")) as life:
        await life.until(lambda: life.is_served)
        served = (await life.request()).document
        for path in ("/livez", "/readyz", "/readyz/default", "/metrics", "/status"):
            response = await life.status(path)
            assert response.status == 200  # who asks shows nothing
            assert (await life.request(path)).status == 404
            shown += f"{response.fields}{response.body.decode()}"
        for path in ("/v1/credentials", "/v1/credentials/default"):
            with life.clock.held():
                response = await ask(life.port("status"), last(path, key(life)))
            assert response.status == 404
        for line in (f"Authorization: {guess}", f"X-Odd: {guess}"):
            assert (await life.raw(last("/v1/credentials", line))).status == 401
        secrets = {life.authorization().reveal(), guess, served["SecretAccessKey"], served["Token"]}
    out, error = capfd.readouterr()
    assert '"event": "HopSucceeded"' in error
    assert served["AccessKeyId"] not in shown
    assert not leaks("\n".join([shown, out, error]), secrets)
