"""The pure rooms by values: what is skipped, what is one cause, how it is said, and whom a file is for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sidecar.doctor import disk, examine, hops, network, reach, report
from sidecar.doctor.endpoint import is_readable
from sidecar.doctor.facts import Clue, Outcome, Reach, Seen, Step, Walk, Workload
from sidecar.doctor.findings import CODES, Finding, Part, State, ok, problem, skipped
from sidecar.doctor.findings import Step as Do
from sidecar.errors import ConfigError
from sidecar.model import Failure, Kind, Outside
from sidecar.remedies import anchor, known, remedy
from tests.builders import REGION, targets


def reached(step: Step = Step.ARRIVED) -> dict[str, Reach]:
    return {REGION: Reach(region=REGION, url="https://sts.eu-west-1.amazonaws.com", proxy=None, step=step)}


def failed(code: str, position: int, *clues: Clue) -> Outcome:
    return Outcome(failure=Failure(kind=Kind.DENIED, code=code, hint=remedy(code, position)), clues=frozenset(clues))


def said(walk: Walk, count: int = 1) -> list[Finding]:
    return [*hops.findings(targets(count), walk, reached(), {}, {})]


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
    found = reach.finding(Reach(region=REGION, url=url, proxy=None, step=step))
    assert found.fix[0].paste.endswith(paste)
    assert says in f"{found.why} {found.fix[0].says}"
