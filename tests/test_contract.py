from __future__ import annotations

import ast
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from http import HTTPStatus
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar import contract
from sidecar.contract import BROKEN, DENIAL, Answer, Door, Entry, Refusal, Request, answer, entry, path, refuse
from sidecar.ledger import Ledger
from sidecar.model import Kind, Secret, Session
from sidecar.schedule import FLOOR
from tests.builders import EXPIRATION, HOUR, failure, held, session, target

TOKEN = "a-token-of-43-characters-as-base64url-has-it"
DOOR = Door(target="default", token=Secret(TOKEN))
OPEN = Door(target="default", token=None)
TARGET = target()


def request(method: str = "GET", where: str = "/v1/credentials", **headers: str) -> Request:
    """A request that is granted, but for what a test changes; a header changed to the empty string is left out."""
    said = {"host": "127.0.0.1:9911", "authorization": TOKEN}
    said |= {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method=method, target=where, headers={n: v for n, v in said.items() if v})


def served(change: Session | None = None, *, now: float = 0.0, lifetime: float = HOUR) -> Ledger:
    """A ledger whose target holds a session, `change` if given, since `now`."""
    got = change or session(TARGET.hop)
    return Ledger().succeeded(TARGET.hop, got, lifetime=lifetime, now=now, chance=0.0)


def document(given: Answer) -> dict[str, str]:
    """The JSON of an answer."""
    found = json.loads(given.body)
    assert isinstance(found, dict)
    return found


# Who is refused


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.0.0.1:9911", "127.1.2.3:80", "localhost", "LocalHost:9911", "[::1]", "[::1]:9911",
        "169.254.170.2", "169.254.170.23:80",
    ],
)  # fmt: skip
def test_r2_a_loopback_host_is_served_with_and_without_a_port(host: str) -> None:
    assert refuse(request(host=host), DOOR) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "127.0.0.1.evil.example", "evil.example:9911", "127.0.0.1@evil.example", "localhost.",
        "127.0.0.1, evil.example", "0.0.0.0", "10.0.0.7:9911", "[::]", "::1", "127.0.0.1:", "127.0.0.1:99x",
        " 127.0.0.1", "127.0.0.1\n", "localhost.evil.example", "[::1].evil.example", "169.254.170.24",
        "\u0661\u0662\u0667.0.0.1",
    ],
)  # fmt: skip
def test_d10_d11_host_checks_refuse_every_foreign_host(host: str) -> None:
    assert refuse(request(host=host), DOOR) is Refusal.HOST


def test_r10_a_request_without_a_host_is_http_1_0_and_served() -> None:
    assert refuse(request(host=""), DOOR) is None


@pytest.mark.parametrize(
    ("header", "refusal"),
    [
        ("x_forwarded_for", Refusal.FORWARDED),
        ("x_forwarded_host", Refusal.FORWARDED),
        ("forwarded", Refusal.FORWARDED),
        ("via", Refusal.FORWARDED),
        ("origin", Refusal.BROWSER),
        ("sec_fetch_site", Refusal.BROWSER),
        ("sec_fetch_mode", Refusal.BROWSER),
    ],
)
def test_r9b_what_a_proxy_or_a_browser_sends_is_refused_with_the_right_token(header: str, refusal: Refusal) -> None:
    assert refuse(request(**{header: "127.0.0.1"}), DOOR) is refusal


@pytest.mark.parametrize("where", ["http://127.0.0.1:9911/v1/credentials", "https://127.0.0.1/v1/credentials"])
def test_d10_absolute_form_is_refused_even_if_it_names_us(where: str) -> None:
    assert refuse(request(where=where), DOOR) is Refusal.PROXIED


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "get"])
def test_d12_every_method_but_get_and_head_is_refused(method: str) -> None:
    assert refuse(request(method), DOOR) is Refusal.METHOD


def test_r2_query_fragment_and_trailing_slash_do_not_change_the_path() -> None:
    for where in (
        "/v1/credentials",
        "/v1/credentials/",
        "/v1/credentials?a=b/",
        "/v1/credentials/?a#b",
        "/v1/credentials#",
    ):
        assert path(where) == "/v1/credentials"


def test_r18_a_path_that_leads_nowhere_is_refused() -> None:
    assert refuse(request(where="/v1/nowhere"), None) is Refusal.PATH


@pytest.mark.parametrize("value", [TOKEN, f" {TOKEN}\t", f"Bearer {TOKEN}", f"bearer  {TOKEN}"])
def test_r9_the_token_is_accepted_raw_trimmed_and_as_a_bearer(value: str) -> None:
    assert refuse(request(authorization=value), DOOR) is None


@pytest.mark.parametrize(
    "value",
    [
        "", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), f"Basic {TOKEN}", f"Bearer{TOKEN}", f"{TOKEN}, {TOKEN}",
        "Bearer", "Bearer ", "\udcff" + TOKEN, TOKEN.replace("a", "\u0430"), f'"{TOKEN}"',
    ],
)  # fmt: skip
def test_d11_any_other_authorization_is_refused(value: str) -> None:
    assert refuse(request(authorization=value), DOOR) is Refusal.AUTHORIZATION


def test_r9_the_token_is_revealed_to_a_comparison_in_constant_time_and_nowhere_else() -> None:
    calls = [node for node in ast.walk(ast.parse(Path(contract.__file__).read_text())) if isinstance(node, ast.Call)]
    (revealed,) = (call for call in calls if ast.unparse(call.func).endswith(".reveal"))
    compared = [call for call in calls if ast.unparse(call.func) == "compare_digest"]
    assert [revealed in ast.walk(call) for call in compared] == [True]


def test_r9_without_authorization_every_caller_on_loopback_is_served() -> None:
    assert refuse(request(authorization=""), OPEN) is None
    assert refuse(request(host="evil.example"), OPEN) is Refusal.HOST


# How everything is said


@pytest.mark.parametrize("refusal", Refusal)
def test_r18_d13_every_refusal_is_json_that_every_sdk_reads(refusal: Refusal) -> None:
    said = document(refusal.answer)
    assert list(said) == ["code", "message", "Code", "Message"]
    assert (said["code"], said["message"]) == (said["Code"], said["Message"])


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (Refusal.AUTHORIZATION, 401), (Refusal.FORWARDED, 403), (Refusal.BROWSER, 403), (Refusal.HOST, 403),
        (Refusal.PROXIED, 403), (Refusal.PATH, 404), (Refusal.METHOD, 405), (Refusal.MALFORMED, 400),
        (Refusal.OVERSIZED, 431), (Refusal.SLOW, 408), (Refusal.CROWDED, 503),
    ],
)  # fmt: skip
def test_r18_every_refusal_has_the_status_of_its_class(refusal: Refusal, status: int) -> None:
    assert refusal.answer.status == status


def test_d12_a_wrong_method_is_told_the_right_ones() -> None:
    assert b"\r\nAllow: GET, HEAD\r\n" in Refusal.METHOD.answer.fields


def _every_answer() -> list[Answer]:
    denied = Ledger().failed(TARGET.hop, failure(Kind.DENIED), now=0.0, chance=0.0)
    entries = [entry(ledger, TARGET) for ledger in (Ledger(), served(), denied)]
    given = [answer(each, now) for each in entries for now in (1.0, DENIAL + 1, HOUR)]
    return [*(refusal.answer for refusal in Refusal), BROKEN, *given]


def test_d14_every_answer_has_a_true_length_and_the_exact_json_type() -> None:
    for each in _every_answer():
        assert f"\r\nContent-Length: {len(each.body)}\r\n".encode() in each.fields
        assert b"\r\nContent-Type: application/json\r\n" in each.fields
        assert b"\r\nCache-Control: no-store\r\n" in each.fields


def test_r19_no_answer_makes_a_client_sleep_or_go_elsewhere() -> None:
    for each in _every_answer():
        assert b"retry-after" not in each.fields.lower()
        assert b"location" not in each.fields.lower()
        assert each.status in {200, 400, 401, 403, 404, 405, 408, 431, 500, 503}
        assert each.fields.startswith(f"HTTP/1.1 {each.status} {HTTPStatus(each.status).phrase}\r\n".encode())


def test_an_answer_does_not_print_what_it_holds() -> None:
    given = answer(entry(served(), TARGET), 0.0)
    assert given.status == 200
    assert "secret" not in repr(given)
    assert "Content" not in repr(given)
    assert "secret" not in repr(entry(served(), TARGET))


# What is served


def test_r11_a_session_is_exactly_these_bytes() -> None:
    assert answer(entry(served(), TARGET), 0.0).body == (
        b'{"AccessKeyId":"ASIAEXAMPLE000000001",'
        b'"SecretAccessKey":"secret/access+key/0000000000000000000001",'
        b'"Token":"session-token-1==",'
        b'"Expiration":"2033-05-18T03:33:20Z",'
        b'"AccountId":"444455556666"}'
    )


@pytest.mark.parametrize(
    ("expiration", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, 999999, UTC), "2026-01-02T03:04:05Z"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T01:04:05Z"),
        (datetime(2026, 7, 2, 3, 4, 5, tzinfo=timezone(-timedelta(hours=9, minutes=30))), "2026-07-02T12:34:05Z"),
    ],
)
def test_r12_d15_expiration_is_utc_in_whole_seconds_rounded_down(expiration: datetime, text: str) -> None:
    got = session(TARGET.hop)
    got = replace(got, credentials=replace(got.credentials, expiration=expiration))
    assert document(answer(entry(served(got), TARGET), 0.0))["Expiration"] == text


@given(microseconds=st.integers(0, 4_000_000_000_000_000), minutes=st.integers(-14 * 60, 14 * 60))
def test_r12_no_expiration_is_told_later_than_it_is_or_a_second_earlier(microseconds: int, minutes: int) -> None:
    expiration = datetime.fromtimestamp(0, timezone(timedelta(minutes=minutes))) + timedelta(microseconds=microseconds)
    got = session(TARGET.hop)
    got = replace(got, credentials=replace(got.credentials, expiration=expiration))
    text = document(answer(entry(served(got), TARGET), 0.0))["Expiration"]
    told = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)  # as boto 2 reads it
    assert timedelta(0) <= expiration - told < timedelta(seconds=1)


def test_r10_a_session_token_of_4_kib_stays_far_below_10000_bytes() -> None:
    got = session(TARGET.hop)
    got = replace(got, credentials=replace(got.credentials, session_token=Secret("x" * 4096)))
    assert len(answer(entry(served(got), TARGET), 0.0).body) < 5_000


@pytest.mark.parametrize("field", ["access_key_id", "secret_access_key", "session_token"])
def test_d1_never_200_with_an_empty_field(field: str) -> None:
    empty = "" if field == "access_key_id" else Secret("")
    got = session(TARGET.hop)
    got = replace(got, credentials=replace(got.credentials, **{field: empty}))  # type: ignore[arg-type]
    assert answer(entry(served(got), TARGET), 0.0).status == 503


# When it is served


@given(lifetime=st.floats(60, 43_200), elapsed=st.floats(0, 50_000), kinds=st.lists(st.sampled_from(Kind), max_size=5))
def test_d2_r14_r16_200_exactly_while_above_the_floor_whatever_is_wrong_upstream(
    lifetime: float, elapsed: float, kinds: list[Kind]
) -> None:
    ledger = served(lifetime=lifetime)
    for kind in kinds:
        ledger = ledger.failed(TARGET.hop, failure(kind), now=1.0, chance=0.0)
    given = answer(entry(ledger, TARGET), elapsed)
    assert (given.status == 200) == (elapsed < lifetime - FLOOR)


def test_d2_the_floor_itself_is_no_longer_served() -> None:
    found = entry(served(), TARGET)
    assert answer(found, HOUR - FLOOR - 0.001).status == 200
    assert answer(found, HOUR - FLOOR).status == 503


def test_r14_a_failure_changes_not_a_byte_of_what_is_served() -> None:
    before = answer(entry(served(), TARGET), 2_000.0)
    failed = served().failed(TARGET.hop, failure(Kind.DENIED), now=1_900.0, chance=0.0)
    assert answer(entry(failed, TARGET), 2_000.0) == before


def test_nothing_held_and_nothing_failed_is_not_ready_and_worth_a_wait() -> None:
    found = entry(Ledger(), TARGET)
    assert found.waits
    given = answer(found, 0.0)
    assert (given.status, document(given)["code"]) == (503, "NotReady")


def test_a_failure_or_a_session_ends_the_wait() -> None:
    failed = Ledger().failed(TARGET.hop.chain[0], failure(), now=0.0, chance=0.0)
    assert not entry(failed, TARGET).waits
    assert not entry(served(), TARGET).waits


def test_r18_a_denial_is_503_for_two_minutes_and_403_after() -> None:
    ledger = Ledger()
    for now in (10.0, 20.0, 40.0):
        ledger = ledger.failed(TARGET.hop, failure(Kind.DENIED), now=now, chance=0.0)
    found = entry(ledger, TARGET)
    assert [answer(found, now).status for now in (41.0, 10.0 + DENIAL - 0.001, 10.0 + DENIAL)] == [503, 503, 403]
    assert document(answer(found, 10.0 + DENIAL))["code"] == "AccessDenied"


def test_r18_a_denial_counts_from_the_first_of_its_kind() -> None:
    ledger = Ledger().failed(TARGET.hop, failure(Kind.UNAVAILABLE), now=0.0, chance=0.0)
    ledger = ledger.failed(TARGET.hop, failure(Kind.DENIED), now=300.0, chance=0.0)
    found = entry(ledger, TARGET)
    assert [answer(found, now).status for now in (301.0, 300.0 + DENIAL)] == [503, 403]


@pytest.mark.parametrize("kind", [Kind.UNAVAILABLE, Kind.SOURCE_GONE, Kind.TOKEN])
def test_r18_every_failure_but_a_denial_stays_503(kind: Kind) -> None:
    found = entry(Ledger().failed(TARGET.hop, failure(kind), now=0.0, chance=0.0), TARGET)
    given = answer(found, 100 * DENIAL)
    assert (given.status, document(given)["code"]) == (503, failure(kind).code)


def test_r18_the_message_is_ours_and_names_the_hop_and_its_role() -> None:
    first = TARGET.hop.chain[0]
    wrong = replace(failure(Kind.DENIED), hint="look at the trust policy")
    found = entry(Ledger().failed(first, wrong, now=0.0, chance=0.0), TARGET)
    message = document(answer(found, 1.0))["message"]
    assert "Hop 1" in message
    assert first.role.arn in message
    assert message.endswith("look at the trust policy")


def test_r18_expired_credentials_without_a_failure_say_so() -> None:
    given = answer(entry(served(), TARGET), HOUR + 1.0)
    assert (given.status, document(given)["code"]) == (503, "Expired")


def test_d3_the_expiration_is_the_last_hops_own() -> None:
    ledger = held(*TARGET.hop.chain)
    later = session(TARGET.hop, serial=7, expiration=EXPIRATION + 60)
    ledger = ledger.succeeded(TARGET.hop, later, lifetime=HOUR, now=1.0, chance=0.0)
    assert document(answer(entry(ledger, TARGET), 2.0))["Expiration"] == "2033-05-18T03:34:20Z"


def test_an_entry_is_a_value() -> None:
    first, second = entry(served(), TARGET), entry(served(), TARGET)
    assert isinstance(first, Entry)
    assert first == second
