"""Chains from an AWS config file: what the AWS CLI reads, what it reads elsewhere, and what a pod has no use for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.session import Session
from hypothesis import HealthCheck, given
from hypothesis import settings as tuned
from hypothesis import strategies as st

from sidecar.errors import Problem
from sidecar.model import Hop, Target
from sidecar.profiles import chains, expand
from sidecar.settings import SETTINGS
from sidecar.values import Values
from tests.builders import REGION, ROLE_A, ROLE_B, TOKEN_FILE, chain, hop
from tests.users import unprivileged

A = f"[profile a]\nrole_arn = {ROLE_A}\nweb_identity_token_file = {TOKEN_FILE}\n"
B = f"[profile b]\nrole_arn = {ROLE_B}\nsource_profile = a\n"
KEYS = "aws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = hunter2\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """What was read."""

    targets: tuple[Target, ...]
    problems: tuple[Problem, ...]


Read = Callable[..., Chains]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads chains from the text of a config file, and of a credentials file where one is given."""

    def read(
        config: str | None,
        *names: str,
        credentials: str | None = None,
        region: str | None = REGION,
        credentials_file: str = "~/credentials",
    ) -> Chains:
        for name, text in {"config": config, "credentials": credentials}.items():
            if text is not None:
                (tmp_path / name).write_text(text)
        files = {"AWS_CONFIG_FILE": "~/config", "AWS_SHARED_CREDENTIALS_FILE": credentials_file}
        given = {**files, "SIDECAR_PROFILES": ",".join(names), "AWS_REGION": region or ""}
        values = Values(SETTINGS, {}, given)
        found = chains(values, names, {"HOME": str(tmp_path)})
        hops = {name: values.chain(links, ()) for name, links in found.items()}
        served = tuple(Target(name=name, hop=hop) for name, hop in hops.items() if hop)
        return Chains(targets=served, problems=tuple(values.problems))

    return read


def only_hop(found: Chains) -> Hop:
    assert not found.problems
    (target,) = found.targets
    return target.hop


def only_problem(found: Chains) -> str:
    assert not found.targets or found.problems
    (problem,) = found.problems
    return str(problem)


def test_source_profile_is_followed_to_the_token(read: Read) -> None:
    assert only_hop(read(A + B, "b")) == chain()
    assert only_hop(read(A + B, "a")) == hop(ROLE_A)


def test_a_chain_may_have_any_number_of_hops(read: Read) -> None:
    more = "".join(f"[profile p{n}]\nrole_arn={ROLE_B}-{n}\nsource_profile=p{n - 1}\n" for n in range(1, 9))
    last = only_hop(read(A.replace("profile a", "profile p0") + more, "p8"))
    assert [each.role.name[-2:] for each in last.chain] == ["le", *(f"-{n}" for n in range(1, 9))]


def test_targets_share_the_hops_that_their_profiles_share(read: Read) -> None:
    found = read(A + B + B.replace("profile b", "profile c").replace("account-b", "account-c"), "b", "c")
    first, second = (target.hop for target in found.targets)
    assert [target.name for target in found.targets] == ["b", "c"]
    assert first != second
    assert first.source == second.source


def test_every_key_shapes_its_hop(read: Read) -> None:
    text = (
        A
        + "duration_seconds = 43200\nrole_session_name = first\nregion = us-east-1\n"
        + B
        + "duration_seconds = 3000\nrole_session_name = second\nexternal_id = tenant/1\nregion = eu-central-1\n"
        + "sidecar_source_identity = ledger\nsidecar_session_tags = team=blue,stage=prod\n"
        + 'sidecar_transitive_tags = team\nsidecar_policy = {"Statement":\n  []}\n'
        + "sidecar_policy_arns = arn:aws:iam::aws:policy/ReadOnlyAccess\n"
    )
    regions = ("eu-central-1",)
    assert only_hop(read(text, "b", region=None)) == hop(
        ROLE_B,
        source=hop(ROLE_A, duration=43_200, session_name="first", regions=regions),
        duration=3000,
        session_name="second",
        external_id="tenant/1",
        source_identity="ledger",
        tags=(("team", "blue"), ("stage", "prod")),
        transitive_tags=("team",),
        policy='{"Statement":\n[]}',
        policy_arns=("arn:aws:iam::aws:policy/ReadOnlyAccess",),
        regions=regions,
    )


def test_the_environments_region_outranks_the_profiles(read: Read) -> None:
    assert only_hop(read(A + "region = us-east-1\n", "a", region="eu-north-1")).regions == ("eu-north-1",)


def test_a_region_of_a_source_serves_where_the_target_has_none(read: Read) -> None:
    assert only_hop(read(A + "region = us-east-1\n" + B, "b", region=None)).regions == ("us-east-1",)


@pytest.mark.parametrize("section", ["[default]", "[profile default]", '[profile "default"]'])
def test_the_default_profile_is_named_either_way(read: Read, section: str) -> None:
    assert only_hop(read(A.replace("[profile a]", section), "default")) == hop(ROLE_A)


def test_names_in_quotes_may_hold_spaces(read: Read) -> None:
    text = A.replace("[profile a]", '[profile "team a"]') + B.replace("_profile = a", "_profile = team a")
    assert only_hop(read(text, "b")) == chain()


def test_comments_and_blocks_of_other_services_are_passed_over(read: Read) -> None:
    text = "# ours\n" + A + "s3 =\n  max_concurrent_requests = 20\noutput = json\n" + B
    assert only_hop(read(text, "b")) == chain()


def test_the_credentials_file_is_merged_and_wins(read: Read) -> None:
    found = read(A + B, "b", credentials=f"[b]\nrole_arn = {ROLE_B}-2\n[c]\nrole_arn = x\n")
    assert only_hop(found).role.arn == f"{ROLE_B}-2"


def test_profiles_of_the_credentials_file_alone_are_profiles(read: Read) -> None:
    assert only_hop(read(None, "b", credentials=(A + B).replace("[profile ", "["))) == chain()


def test_the_aws_cli_reads_the_same_profiles_from_the_same_files(read: Read, tmp_path: Path) -> None:
    text = A + B + '[profile "team c"]\nregion = x\n[default]\nregion = y\n[other]\nregion = z\n'
    assert only_hop(read(text, "b", credentials="[d]\nrole_arn = x\n")) == chain()
    session = Session()
    session.set_config_variable("config_file", str(tmp_path / "config"))
    session.set_config_variable("credentials_file", str(tmp_path / "credentials"))
    for name in session.available_profiles:
        assert "there is no profile" not in str(read(text, name).problems)
    assert "other" not in session.available_profiles
    assert "there is no profile other" in only_problem(read(text, "other"))


def test_what_is_ours_in_a_profile_leaves_the_aws_cli_working(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(A + B + "sidecar_session_tags = team=blue\nsidecar_policy_arns = arn:aws:iam::aws:policy/P\n")
    session = Session(profile="b")
    session.set_config_variable("config_file", str(path))
    assert session.get_scoped_config()["source_profile"] == "a"


@pytest.mark.parametrize(
    ("line", "key", "words"),
    [
        ("aws_access_key_id = AKIAEXAMPLE", "aws_access_key_id", "static keys are not used"),
        ("aws_session_token = hunter2", "aws_session_token", "static keys are not used"),
        ("credential_process = /bin/echo hunter2", "credential_process", "programs are never run"),
        ("credential_source = Ec2InstanceMetadata", "credential_source", "not with the credentials of a machine"),
        ("mfa_serial = arn:aws:iam::111122223333:mfa/bob", "mfa_serial", "nobody is there to type an MFA code"),
        ("sso_session = corp", "sso_session", "nobody is there to sign in"),
        ("sso_start_url = https://corp.example", "sso_start_url", "nobody is there to sign in"),
        ("login_session = bob", "login_session", "nobody is there to sign in"),
        ("endpoint_url = https://x", "endpoint_url", "AWS_ENDPOINT_URL_STS says it for all"),
    ],
)
def test_other_ways_to_credentials_are_refused_wherever_they_stand(
    read: Read, tmp_path: Path, line: str, key: str, words: str
) -> None:
    for text, profile in ((f"{A}{B}{line}\n", "b"), (f"{A}{line}\n{B}", "a")):
        problem = only_problem(read(text, "b"))
        assert problem.startswith(f"{key} (from {tmp_path / 'config'}, profile {profile})")
        assert words in problem
        assert "hunter2" not in problem


def test_d16_static_keys_are_one_problem_that_shows_neither(read: Read) -> None:
    problem = only_problem(read("[profile a]\n" + KEYS + B, "b"))
    assert "static keys are not used" in problem
    assert "hunter2" not in problem
    assert "AKIAEXAMPLE" not in problem


def test_static_keys_of_the_credentials_file_are_static_keys(read: Read) -> None:
    assert "static keys are not used" in only_problem(read(A + B, "b", credentials="[a]\n" + KEYS))


def test_a_profile_that_is_its_own_source_with_static_keys_has_static_keys(read: Read) -> None:
    problem = only_problem(read(f"[profile b]\nrole_arn = {ROLE_B}\nsource_profile = b\n{KEYS}", "b"))
    assert "static keys are not used" in problem


def test_no_program_is_ever_run(read: Read, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    read(f"[profile a]\ncredential_process = touch {marker}\n{B}", "b")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (B, ("source_profile='a'", "profile b", "there is no profile a", "There is b")),
        (A.replace("profile a", "profile aa") + B, ("there is no profile a", "There is aa, b")),
        (
            A.replace("profile a", "a") + B,
            ("there is no profile a", "write the section of the config file as [profile a]"),
        ),
        (B.replace("_profile = a", "_profile = b"), ("source_profile='b'", "in a circle: b → b")),
        (
            B + f"[profile a]\nrole_arn={ROLE_A}\nsource_profile=b\n",
            ("source_profile='b'", "profile a", "in a circle: b → a → b", "web_identity_token_file instead"),
        ),
        (f"[profile b]\nsource_profile = a\n{A}", ("role_arn (", "profile b", "the profile assumes no role")),
        (
            f"[profile a]\nrole_arn = {ROLE_A}\n{B}",
            ("source_profile (", "profile a", "the chain ends here without a token", "web_identity_token_file = PATH"),
        ),
        (
            A + B + f"web_identity_token_file = {TOKEN_FILE}\n",
            ("web_identity_token_file=", "source_profile stands beside"),
        ),
        (A + B + "duration_seconds = 3601\n", ("duration_seconds='3601'", "profile b", "more than 3600 seconds")),
        (A + B + "duration_seconds = 899\n", ("duration_seconds='899'", "900 to 43200")),
        (A + "duration_seconds = 43201\n" + B, ("duration_seconds='43201'", "profile a", "900 to 43200")),
        (A + B + "role_session_name = a:b\n", ("role_session_name='a:b'", "not a legal role session name")),
        (A + "external_id = tenant\n" + B, ("external_id='tenant'", "profile a", "has no such parameter")),
        (A + "sidecar_session_tags = a=b\n" + B, ("sidecar_session_tags='a=b'", "has no such parameter")),
        (A + B + "sidecar_session_tags = team\n", ("sidecar_session_tags='team'", "is not a session tag")),
        (A + B + "sidecar_transitive_tags = a\n", ("sidecar_transitive_tags='a'", "not among the session tags")),
        (A + B + "sidecar_policy = {\n", ("sidecar_policy='{'", "not a policy document")),
        (A.replace("aws:iam", "aws-cn:iam") + B, ("role_arn=", "profile b", "across partitions")),
        (A + B.replace(":role/", ":user/"), ("role_arn=", "its kind is user")),
        (A + B + "external_id =\n  a = b\n", ("external_id=", "an indented block is no value")),
        (A + B.replace("profile = a", "profile =\n  a = b"), ("source_profile=", "an indented block is no value")),
        (A.replace("file = ", "file =\n  a = ") + B, ("web_identity_token_file=", "an indented block is no value")),
    ],
)
def test_every_bad_profile_has_its_own_message(read: Read, tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    problem = only_problem(read(text, "b"))
    assert [word for word in (*words, str(tmp_path / "config")) if word not in problem] == []


def test_a_target_that_is_no_profile_is_blamed_on_the_setting(read: Read) -> None:
    problem = only_problem(read(A, "b"))
    assert problem.startswith("SIDECAR_PROFILES='b' (from environment): there is no profile b.")


@pytest.mark.parametrize(("region", "key"), [("", "region ("), ("region = Ireland\n", "region='Ireland'")])
def test_a_region_is_needed_and_must_be_one(read: Read, region: str, key: str) -> None:
    problem = only_problem(read(A + region + B, "b", region=None))
    assert problem.startswith(key)
    assert "region" in problem


def test_all_problems_come_at_once_and_each_once(read: Read) -> None:
    text = A.replace(ROLE_A, "role-a") + B.replace(ROLE_B, "role-b") + "duration_seconds = 1\n"
    found = read(text + B.replace("profile b", "profile c"), "b", "c", "d")
    assert [(problem.setting, problem.source[-1:]) for problem in found.problems] == [
        ("SIDECAR_PROFILES", "t"),
        ("role_arn", "b"),
        ("duration_seconds", "b"),
        ("role_arn", "a"),
    ]


def test_a_missing_file_is_said_to_be_missing(read: Read, tmp_path: Path) -> None:
    problem = only_problem(read(None, "b"))
    assert problem.startswith(f"AWS_CONFIG_FILE='{tmp_path / 'config'}'")
    assert "there is no such file" in problem


def test_dev_null_is_no_credentials_file_as_for_the_aws_cli(read: Read) -> None:
    assert only_hop(read(A, "a", credentials_file="/dev/null")) == hop(ROLE_A)


def test_a_directory_is_no_file(read: Read, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    assert "cannot be read: Is a directory" in only_problem(read(None, "b"))


def test_a_closed_file_is_not_taken_for_an_empty_one(read: Read, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(A + B)
    (tmp_path / "config").chmod(0)
    with unprivileged():
        problem = only_problem(read(None, "b"))
    assert "cannot be read: Permission denied" in problem


@pytest.mark.parametrize(
    "text",
    [
        "aws_secret_access_key = hunter2\n",
        "[profile a]\nhunter2\n",
        "[profile a]\n[profile a]\n",
        "[profile a]\nregion = x\nregion = hunter2\n",
        "[profile a]\ns3 =\n  hunter2\n",
    ],
)
@pytest.mark.parametrize("name", ["config", "credentials"])
def test_d16_an_unparsable_file_is_named_and_not_quoted(read: Read, tmp_path: Path, name: str, text: str) -> None:
    found = read(text, "a") if name == "config" else read(A, "a", credentials=text)
    problem = only_problem(found)
    assert str(tmp_path / name) in problem
    assert "not an AWS config file: a line of it cannot be understood" in problem
    assert "hunter2" not in problem


def test_paths_are_expanded_from_the_environment_that_is_given() -> None:
    environ = {"HOME": "/h", "DIR": "/d", "NAME": "n"}
    paths = {"~/.aws/config": "/h/.aws/config", "$DIR/${NAME}": "/d/n", "/a/~/b": "/a/~/b", "$UNKNOWN": "$UNKNOWN"}
    assert {path: expand(path, environ) for path in paths} == paths
    assert expand("~/.aws/config", {}) == "$HOME/.aws/config"


LINES = st.sampled_from(
    [
        *("[profile a]", "[profile b]", "[b]", "[default]", "[profile 'x]", "[services s]", "services = s", "sts ="),
        *(f"role_arn = {ROLE_A}", "role_arn =", "source_profile = a", "source_profile = b", "source_profile ="),
        *("  a = b", "web_identity_token_file = /t", "duration_seconds = 1", "external_id = tenant", "region = r"),
        *("aws_access_key_id = AKIA", "endpoint_url = x", "=", "garbage", "# comment", ""),
    ]
)


@tuned(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, max_size=12), st.lists(LINES, max_size=4))
def test_whatever_stands_in_the_files_no_target_is_lost_in_silence(
    read: Read, config: list[str], credentials: list[str]
) -> None:
    found = read("\n".join(config), "a", "b", credentials="\n".join(credentials), region=None)
    assert found.problems or [target.name for target in found.targets] == ["a", "b"]
    assert all(target.hop.chain[0].token_file for target in found.targets if not found.problems)
