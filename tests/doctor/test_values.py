"""The pure rooms by values: what is skipped, what is one cause, how it is said, and whom a file is for."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from sidecar import client
from sidecar.cli import main
from sidecar.contract import Answer, Refusal, Request, compact
from sidecar.doctor import asking, clock, disk, examine, hops, network, reach, report, token
from sidecar.doctor.endpoint import crooked, is_readable
from sidecar.doctor.facts import Clue, Listener, Outcome, Reach, Seen, Step, TokenFile, TokenHeld, Walk, Workload
from sidecar.doctor.findings import CODES, Finding, Part, State, ok, problem, skipped
from sidecar.doctor.findings import Step as Do
from sidecar.doctor.refusals import Commands
from sidecar.errors import ConfigError
from sidecar.model import Failure, Kind, Outside, Secret
from sidecar.remedies import anchor, known, remedy
from sidecar.settings import Address
from sidecar.token_file import Reading
from tests.builders import EXPIRATION, REGION, targets, write_token
from tests.builders import token as projected
from tests.wire import serving


def reached(step: Step = Step.ARRIVED) -> dict[str, Reach]:
    return {REGION: Reach(region=REGION, url="https://sts.eu-west-1.amazonaws.com", proxy=None, step=step)}


def failed(code: str, position: int, *clues: Clue) -> Outcome:
    return Outcome(failure=Failure(kind=Kind.DENIED, code=code, hint=remedy(code, position)), clues=frozenset(clues))


def said(walk: Walk, count: int = 1, commands: Commands | None = None) -> list[Finding]:
    return [*hops.findings(targets(count), walk, reached(), {}, commands or {})]


def test_a_hop_that_two_targets_share_is_said_once_and_what_follows_is_skipped() -> None:
    one, _ = targets(2)
    first = one.hop.chain[0]
    found = said(Walk(outcomes={first: failed("AccessDenied", 1)}), 2)
    assert [each.state for each in found] == [State.PROBLEM, *[State.UNKNOWN] * 4]
    assert all("hop 1 comes first" in each.seen for each in found[1:])


def test_where_the_way_is_broken_no_hop_is_looked_at() -> None:
    found = [*hops.findings(targets(1), Walk(), reached(Step.NAME), {}, {})]
    assert {each.code for each in found} == {"not-looked-at"}


def test_a_wrong_signature_is_the_clocks_only_where_the_clock_is_wrong() -> None:
    (one,) = targets(1)
    outcomes = {one.hop.chain[0]: Outcome(arn="a", lifetime=3600.0), one.hop: failed("SignatureDoesNotMatch", 2)}
    assert [each.code for each in said(Walk(outcomes=outcomes, skew=600.0))][1] == "not-looked-at"
    assert [each.code for each in said(Walk(outcomes=outcomes, skew=0.0))][1] == "signaturedoesnotmatch"


@pytest.mark.parametrize("position", [1, 2])
def test_every_code_that_a_hop_can_fail_with_has_words_a_fix_and_a_page(position: int) -> None:
    (one,) = targets(1)
    hop = one.hop.chain[position - 1]
    for code in [*known(position), "InternalFailure"]:
        outcomes = {one.hop.chain[0]: Outcome(arn="a", lifetime=3600.0)} | {hop: failed(code, position)}
        found = said(Walk(outcomes=outcomes))[position - 1]
        assert (found.code, found.state) == (anchor(code, position), State.PROBLEM)
        assert found.seen.endswith(f"failed: {code}: {remedy(code, position)}")
        assert found.why
        assert found.fix
        assert found.page == f"docs/runbook.md#{found.code}"


@pytest.mark.parametrize("clue", [Clue.BY_DENY, Clue.BY_CONTROL, Clue.BY_BOUNDARY, Clue.BY_ENDPOINT, Clue.BY_SESSION])
@pytest.mark.parametrize("position", [1, 2])
def test_what_stands_above_the_roles_is_no_matter_of_their_statements(clue: Clue, position: int) -> None:
    (one,) = targets(1)
    outcomes = {one.hop.chain[0]: Outcome(arn="a", lifetime=3600.0)}
    outcomes[one.hop.chain[position - 1]] = failed("AccessDenied", position, Clue.ASSUME, clue)
    found = said(Walk(outcomes=outcomes))[position - 1]
    assert found.code == "forbidden-above"
    assert not [step for step in found.fix if step.paste]


def test_each_part_has_an_exit_code_of_its_own_and_one_belongs_to_failures_of_ours() -> None:
    assert sorted(part.exit for part in Part) == [2, 3, 4, 5, 6, 7, 8]
    assert set(CODES.values()) == set(Part)


def test_the_first_problem_is_the_cause_and_the_exit_code() -> None:
    first = problem("endpoint", "port-taken", "held", "so", Do(says="stop it", paste="kill it"))
    found = (ok("settings", "fine"), skipped("token", "it"), first, problem("x", "static-keys", "a", "b", Do(says="c")))
    text = report.text(found)
    assert [line[0] for line in text.splitlines() if line[:1] in "✓✗?" and line] == ["✓", "?", "✗", "✗"]
    assert "The cause: port-taken" in text
    document = json.loads(report.document(found))
    assert (document["cause"], document["exit"], report.code(found)) == ("port-taken", 7, 7)


def test_what_is_wrong_with_a_setting_is_said_once_and_what_to_do_once() -> None:
    nowhere = Outside(clock=float, wall=float, chance=float, random_token=str, boot="")
    found = [each for each in examine({}, {}, nowhere, lambda _: {}, container=None) if each.fix]
    assert [each.code for each in found] == ["settings-wrong", "region-missing"]
    assert [each.fix[0].says for each in found if each.fix[0].says in each.seen] == []


def test_a_path_is_said_once() -> None:
    seen = "projected token /t/token is missing: no such file"
    text = report.text([problem("token /t/token", "tokenmissing", seen, "so")])
    assert text.splitlines()[0] == f"✗ {seen}"


def test_what_cannot_be_told_is_not_called_well() -> None:
    assert report.text([skipped("token", "it")]).endswith("Nothing is wrong that can be told here.")
    assert report.code([skipped("token", "it")]) == 0


@pytest.mark.parametrize(
    ("uid", "groups", "mode", "may"),
    [
        (None, set(), 0o444, True),
        (None, set(), 0o440, False),
        (0, set(), 0o400, True),
        (10, set(), 0o400, True),
        (11, set(), 0o400, False),
        (11, {20}, 0o440, True),
        (11, {21}, 0o440, False),
        (10, {20}, 0o040, False),  # the owner is not helped by the group
    ],
)
def test_whom_a_file_is_for(uid: int | None, groups: set[int], mode: int, may: bool) -> None:
    folder = Seen(path="/a", mode=0o755, uid=0, gid=0)
    seen = Seen(path="/a/token", mode=mode, uid=10, gid=20, is_regular=True, above=(folder,))
    assert is_readable(seen, Workload(environ={}, uid=uid, groups=frozenset(groups))) is may


def test_an_environment_is_read_as_env_prints_it_and_as_proc_has_it(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("A=1\nB=x=y\n\nC=\n")
    (tmp_path / "zeros").write_bytes(b"A=1\0B=x=y\0C=\0")
    for name in ("lines", "zeros"):
        assert disk.environ_file(str(tmp_path / name)).environ == {"A": "1", "B": "x=y", "C": ""}
    with pytest.raises(ConfigError, match="--environ"):
        disk.environ_file(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="--pid"):
        disk.process(1, str(tmp_path))


def test_a_process_is_looked_at_whatever_it_calls_itself(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "environ").write_bytes(b"A=1\0")
    (tmp_path / "7" / "status").write_bytes(b"Name:\tcaf\xc3\nUid:\t1\t2\t1\t1\nGid:\t3\t4\t3\t3\nGroups:\t5 6\n")
    found = disk.process(7, str(tmp_path))
    assert (found.environ, found.uid, found.groups) == ({"A": "1"}, 2, frozenset({4, 5, 6}))


@pytest.mark.parametrize(("said", "issued"), [(10**9, 1e9), (10**400, None), (float("nan"), None), ("soon", None)])
def test_an_instant_of_issue_that_cannot_be_says_nothing(said: object, issued: float | None, tmp_path: Path) -> None:
    write_token(tmp_path / "token", iat=said)
    assert disk.token_file(str(tmp_path / "token")).issued == issued


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"error: no such container\n"])
def test_a_file_without_a_variable_is_no_environment(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "env").write_bytes(data)  # what `kubectl exec … > FILE` leaves where it fails
    with pytest.raises(ConfigError, match="there is no variable in it"):
        disk.environ_file(str(tmp_path / "env"))


@pytest.mark.parametrize("argv", [["--environ", ""], ["--pid", "0"], ["--explain", ""]], ids=" ".join)
def test_a_flag_that_a_script_left_empty_is_not_passed_over(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", *argv]) == 2
    assert f"(from flag {argv[0]})" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://user:password@127.0.0.2:1"}, "127.0.0.2:1"),
        ({"https_proxy": "127.0.0.3:1", "HTTPS_PROXY": "http://127.0.0.2:1"}, "127.0.0.3:1"),
        ({"HTTPS_PROXY": "http://127.0.0.2:1", "NO_PROXY": "127.0.0.1"}, None),
        ({"HTTP_PROXY": "http://127.0.0.2:1"}, None),
    ],
)
def test_the_proxy_is_the_one_that_botocore_takes_and_its_password_is_not_kept(
    environ: dict[str, str], proxy: str | None
) -> None:
    found = network.reach("r", "https://127.0.0.1:1", "/nowhere", environ)  # a port that nobody listens on
    assert (found.proxy, found.step) == (proxy, Step.PROXY if proxy else Step.ROUTE)
    assert "password" not in repr(found)


@pytest.mark.parametrize("said", ["http://user:password@[::1", "127.0.0.2:port"])
def test_a_proxy_whose_url_is_none_is_what_is_in_the_way(said: str) -> None:
    found = network.reach(REGION, "https://127.0.0.1:1", "/nowhere", {"HTTPS_PROXY": said})
    assert (found.step, found.elsewhere) == (Step.PROXY, None)
    assert "the proxy of HTTPS_PROXY does not lead to https://127.0.0.1:1: its URL" in reach.finding(found).seen
    assert "password" not in repr(found)


@pytest.mark.parametrize(
    ("url", "step", "paste", "says"),
    [
        ("https://sts.test", Step.ROUTE, " https://sts.test/", "port 443 through"),
        ("http://127.0.0.1:4566/sts", Step.ROUTE, " http://127.0.0.1:4566/", "port 4566 through"),
        ("http://sts.test", Step.ROUTE, " http://sts.test/", "port 80 through"),
        ("http://[::1]:4566", Step.ROUTE, " 'http://[::1]:4566/'", "port 4566 through"),
        ("http://sts.test/sts", Step.PROXY, "NO_PROXY=sts.test", "HTTP_PROXY says"),
        ("https://sts.test:4566", Step.PROXY, "NO_PROXY=sts.test", "HTTPS_PROXY says"),
        ("https://sts.test:4566", Step.AUTHORITY, "-connect sts.test:4566 -servername sts.test </dev/null", "vouches"),
    ],
    ids=str,
)
def test_the_fix_of_the_way_is_for_the_scheme_and_port_of_the_endpoints_url(
    url: str, step: Step, paste: str, says: str
) -> None:
    found = reach.finding(Reach(region=REGION, url=url, proxy=None, step=step, peer="sts.test"))
    assert found.fix[0].paste.endswith(paste)
    assert says in f"{found.why} {found.fix[0].says}"


@pytest.mark.parametrize(
    ("skew", "code"),
    [
        *((None, "clock-unknown"), (59.0, "ok"), (-59.0, "ok")),
        *((60.0, "clock-skewed"), (-60.0, "clock-skewed"), (-600.0, "clock-skewed")),
    ],
)
def test_a_clock_is_wrong_that_is_behind_and_one_that_is_ahead(skew: float | None, code: str) -> None:
    assert clock.finding(Walk(skew=skew)).code == code


@pytest.mark.parametrize(
    ("step", "elsewhere", "code"),
    [
        (Step.NAME, False, "sts-name"),
        (Step.NAME, None, "sts-name"),
        (Step.NAME, True, "region-unknown"),
        (Step.ROUTE, None, "sts-route"),
        (Step.PROXY, None, "sts-proxy"),
        (Step.AUTHORITY, None, "sts-authority"),
        (Step.ARRIVED, None, "ok"),
    ],
)
@pytest.mark.parametrize("is_silent", [True, False], ids=["silent", "refused"])
def test_wherever_the_way_ends_is_a_cause_of_its_own(
    step: Step, elsewhere: bool | None, code: str, is_silent: bool
) -> None:
    url = f"https://sts.{REGION}.amazonaws.com"
    found = Reach(region=REGION, url=url, proxy=None, step=step, is_silent=is_silent, elsewhere=elsewhere)
    finding = reach.finding(found)
    assert finding.code == code
    assert code == "ok" or remedy("Timeout" if is_silent else "ConnectionError", 1) in finding.why


@pytest.mark.parametrize(
    ("code", "position", "clue", "settles"),
    [
        ("AccessDenied", 1, Clue.ASSUME, ["A's trust"]),
        ("AccessDenied", 2, Clue.ASSUME, ["A's permission", "B's trust"]),
        ("AccessDenied", 2, Clue.BY_IDENTITY, ["A's permission"]),
        ("AccessDenied", 2, Clue.BY_RESOURCE, ["B's trust"]),
        ("InvalidIdentityToken", 1, Clue.NO_PROVIDER, ["A's provider"]),
        ("InvalidIdentityToken", 1, Clue.AUDIENCE, ["the provider's audience"]),
        ("ValidationError", 1, Clue.LONGEST, ["A's duration"]),
    ],
)
def test_the_statements_that_are_printed_are_those_that_settle_it(
    code: str, position: int, clue: Clue, settles: list[str]
) -> None:
    (one,) = targets(1)
    first, last = one.hop.chain
    commands = {
        ("permissions", first.role.arn): "A's permission",
        ("trust", first.role.arn): "A's trust",
        ("trust", last.role.arn): "B's trust",
        ("provider", first.role.account): "A's provider",
        ("audience", first.role.account): "the provider's audience",
        ("duration", first.role.arn): "A's duration",
    }
    outcomes = {first: Outcome(arn="a", lifetime=3600.0)} | {one.hop.chain[position - 1]: failed(code, position, clue)}
    found = said(Walk(outcomes=outcomes), commands=commands)[position - 1]
    assert [each.paste for each in found.fix if each.paste in commands.values()] == settles


@pytest.mark.parametrize(
    ("answer", "listener"),
    [
        (Refusal.AUTHORIZATION.answer, Listener.OURS),
        (Answer.of(200, compact({"AccessKeyId": "A", "Expiration": "E"})), Listener.OURS),
        (Answer.of(200, compact({"status": "ok"})), Listener.FOREIGN),
        (Answer.of(404, compact({"message": "Not Found"})), Listener.FOREIGN),
        (Answer.of(200, b"It works!"), Listener.FOREIGN),
        (Answer.of(200, b"[" * 60_000), Listener.FOREIGN),
    ],
    ids=["who refuses", "who serves", "another's JSON", "another's error", "no JSON", "JSON without an end"],
)
async def test_who_answers_is_told_by_the_form_of_the_answer(answer: Answer, listener: Listener) -> None:
    def handle(_: Request) -> Answer:
        return answer

    async with serving(handle) as server:
        assert await asyncio.to_thread(asking.listener, Address(host="127.0.0.1", port=server.port)) is listener


async def test_a_sidecar_that_answers_later_than_a_workload_waits_is_taken_for_no_other_program() -> None:
    async def late() -> Answer:
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        answered.get_loop().call_later(client.SECONDS + 0.1, answered.set_result, Refusal.AUTHORIZATION.answer)
        return await answered

    async with serving(lambda _: late()) as server:
        address = Address(host="127.0.0.1", port=server.port)
        assert await asyncio.to_thread(asking.listener, address) is Listener.OURS


@pytest.mark.parametrize(
    ("text", "is_newline"), [("a-secret-that-nobody-sees\n", True), ("a-secret-that-nobody-sees to-day", False)]
)
def test_what_is_wrong_with_an_authorization_token_is_said_without_it(text: str, is_newline: bool) -> None:
    found = crooked("token", TokenHeld(path="/a/token", seen=None, value=Secret(text)))
    assert found is not None
    assert ("ends with a newline" in found.seen) is is_newline
    assert "a-secret" not in repr(found) + report.text([found]) + report.document([found])


def test_what_is_seen_of_a_workload_prints_no_variable() -> None:
    assert "a-secret-key" not in repr(Workload(environ={"AWS_SECRET_ACCESS_KEY": "a-secret-key"}))


def test_a_path_of_the_workload_is_looked_at_in_its_own_root(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    ours, theirs = tmp_path / "ours" / "token", tmp_path / "theirs" / str(tmp_path / "ours" / "token").lstrip("/")
    theirs.parent.mkdir(parents=True)
    ours.write_text("the-one-of-the-sidecar")
    theirs.write_text("the-one-of-the-workload")
    found = disk.authorization(str(ours), str(tmp_path / "theirs"))
    assert found.value is not None
    assert (found.path, found.value.reveal()) == (str(ours), "the-one-of-the-workload")


ISSUED = EXPIRATION - 86_400


@pytest.mark.parametrize(
    ("age", "codes"),
    [
        (0, ["ok", "ok", "ok"]),
        (77_000, ["ok", "ok", "ok"]),
        (78_000, ["ok", "token-not-rotated", "ok"]),
        (86_400, ["tokenexpired", "not-looked-at", "not-looked-at"]),
    ],
)
def test_a_token_of_a_day_should_be_replaced_by_nine_tenths_of_it(age: int, codes: list[str]) -> None:
    reading, seen = Reading(token=projected()), Seen(path="/a/token", mode=0o644, uid=0, gid=0, is_regular=True)
    file = TokenFile(path="/a/token", reading=reading, seen=seen, dangling=None, pinned=None, issued=ISSUED)
    found = [*token.findings(file, ISSUED + age)]
    assert [each.code for each in found] == codes
    assert projected().value.reveal().rpartition(".")[2] not in report.text(found)
