"""The configuration as a whole: chains from settings, and every problem at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import Address, Authorization, Config, read, resolve, resolve_client
from sidecar.errors import ConfigError
from sidecar.model import Role, Secret
from sidecar.settings import SETTINGS
from tests.builders import REGION, ROLE_A, ROLE_B, TOKEN_FILE, chain, hop

PLAIN = {"AWS_ROLE_ARN": ROLE_A, "SIDECAR_TARGET_ROLE_ARN": ROLE_B, "AWS_REGION": REGION}
DIRECT = {**PLAIN, "SIDECAR_TARGET_ROLE_ARN": "direct"}


def config(environ: Mapping[str, str], **flags: str) -> Config:
    return resolve({f"SIDECAR_{name}": text for name, text in flags.items()}, environ)


def problems(environ: Mapping[str, str], **flags: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(environ, **flags)
    return str(caught.value).splitlines()


def without(environ: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: text for name, text in environ.items() if name not in names}


def test_what_the_eks_webhook_injects_and_a_target_role_make_a_chain_of_two() -> None:
    resolved = config({**PLAIN, "AWS_WEB_IDENTITY_TOKEN_FILE": TOKEN_FILE, "AWS_STS_REGIONAL_ENDPOINTS": "regional"})
    assert [(target.name, target.hop) for target in resolved.targets] == [("default", chain())]


def test_direct_asks_for_the_chain_of_one_hop() -> None:
    (target,) = config(DIRECT).targets
    assert target.hop == hop(ROLE_A)


def test_everything_has_a_default_but_roles_and_region() -> None:
    resolved = config(PLAIN)
    assert resolved.listen == Address(host="127.0.0.1", port=9911)
    assert resolved.status_listen == Address(host="*", port=9912)
    assert (resolved.authorization, resolved.authorization_token) == (Authorization.TOKEN, None)
    assert resolved.authorization_dir == "/var/run/credential-sidecar"
    assert (resolved.state_dir, resolved.drain) == (None, 0.0)
    assert (resolved.log_level, resolved.log_format) == ("info", None)
    assert resolved.warnings == ()


def test_settings_shape_the_hops_that_they_are_about() -> None:
    (target,) = config(
        {
            **PLAIN,
            "SIDECAR_SESSION_NAME": "ledger",
            "SIDECAR_DURATION": "3000",
            "SIDECAR_SOURCE_DURATION": "43200",
            "SIDECAR_EXTERNAL_ID": "tenant-1",
            "SIDECAR_SOURCE_IDENTITY": "ledger@payments",
            "SIDECAR_SESSION_TAGS": "team=blue,stage=prod",
            "SIDECAR_POLICY": '{"Version": "2012-10-17", "Statement": []}',
            "SIDECAR_POLICY_ARNS": "arn:aws:iam::aws:policy/ReadOnlyAccess",
            "SIDECAR_STS_FALLBACK_REGIONS": "eu-central-1,eu-west-1,us-east-1",
            "AWS_WEB_IDENTITY_TOKEN_FILE": "/token",
        }
    ).targets
    everywhere = {"session_name": "ledger", "regions": ("eu-west-1", "eu-central-1", "us-east-1")}
    assert target.hop == hop(
        ROLE_B,
        source=hop(ROLE_A, duration=43_200, token_file="/token", **everywhere),
        duration=3000,
        external_id="tenant-1",
        source_identity="ledger@payments",
        tags=(("team", "blue"), ("stage", "prod")),
        policy='{"Version": "2012-10-17", "Statement": []}',
        policy_arns=("arn:aws:iam::aws:policy/ReadOnlyAccess",),
        **everywhere,
    )


def test_a_direct_chain_may_ask_for_twelve_hours_and_a_session_policy() -> None:
    extra = {"SIDECAR_DURATION": "43200", "SIDECAR_POLICY_ARNS": "arn:aws:iam::aws:policy/ReadOnlyAccess"}
    (target,) = config({**DIRECT, **extra}).targets
    assert (target.hop.duration, len(target.hop.policy_arns)) == (43_200, 1)


def test_aws_names_serve_where_ours_say_nothing() -> None:
    environ = {**without(PLAIN, "AWS_REGION"), "AWS_DEFAULT_REGION": "eu-north-1", "AWS_ROLE_SESSION_NAME": "theirs"}
    assert config(environ).targets[0].hop.regions == ("eu-north-1",)
    assert config(environ).targets[0].hop.session_name == "theirs"
    assert config({**environ, "SIDECAR_SESSION_NAME": "ours"}).targets[0].hop.session_name == "ours"
    assert config(environ, SESSION_NAME="flag").targets[0].hop.session_name == "flag"


@pytest.mark.parametrize("partition", ["aws-cn", "aws-us-gov", "aws-iso-b", "aws-eusc"])
def test_any_partition_is_taken(partition: str) -> None:
    environ = {name: text.replace("arn:aws:", f"arn:{partition}:") for name, text in PLAIN.items()}
    assert config(environ).targets[0].hop.role.partition == partition


FILE = "SIDECAR_CREDENTIALS_FILE"
BAD: list[tuple[str, Mapping[str, str], str, tuple[str, ...]]] = [
    (
        "no target",
        without(PLAIN, "SIDECAR_TARGET_ROLE_ARN"),
        "SIDECAR_TARGET_ROLE_ARN",
        ("`direct`", "SIDECAR_PROFILES"),
    ),
    ("empty target", {**PLAIN, "SIDECAR_TARGET_ROLE_ARN": " "}, "SIDECAR_TARGET_ROLE_ARN", ("no target", "`direct`")),
    ("no first role", without(PLAIN, "AWS_ROLE_ARN"), "AWS_ROLE_ARN", ("hop 1 is not set", "OIDC provider")),
    ("malformed ARN", {**PLAIN, "AWS_ROLE_ARN": "role-a"}, "AWS_ROLE_ARN", ("'role-a'", "not the ARN of an IAM role")),
    (
        "a user",
        {**PLAIN, "SIDECAR_TARGET_ROLE_ARN": "arn:aws:iam::444455556666:user/bob"},
        "SIDECAR_TARGET_ROLE_ARN",
        ("its kind is user, and only a role can be assumed", "role/NAME"),
    ),
    (
        "another partition",
        {**PLAIN, "SIDECAR_TARGET_ROLE_ARN": ROLE_B.replace("aws", "aws-cn")},
        "SIDECAR_TARGET_ROLE_ARN",
        ("not in the partition of", ROLE_A, "across partitions"),
    ),
    ("899 s", {**PLAIN, "SIDECAR_DURATION": "899"}, "SIDECAR_DURATION", ("'899'", "900 to 43200 seconds")),
    ("3601 s on hop 2", {**PLAIN, "SIDECAR_DURATION": "3601"}, "SIDECAR_DURATION", ("hop 2", "more than 3600 seconds")),
    ("43201 s on hop 1", {**DIRECT, "SIDECAR_DURATION": "43201"}, "SIDECAR_DURATION", ("900 to 43200 seconds",)),
    (
        "43201 s before",
        {**PLAIN, "SIDECAR_SOURCE_DURATION": "43201"},
        "SIDECAR_SOURCE_DURATION",
        ("900 to 43200 seconds",),
    ),
    (
        "no seconds before, though direct",
        {**DIRECT, "SIDECAR_SOURCE_DURATION": "an hour"},
        "SIDECAR_SOURCE_DURATION",
        ("'an hour'", "not a whole number of seconds"),
    ),
    (
        "session name",
        {**PLAIN, "AWS_ROLE_SESSION_NAME": "system:serviceaccount:payments:ledger"},
        "SIDECAR_SESSION_NAME",
        ("environment, AWS_ROLE_SESSION_NAME", "not a legal role session name"),
    ),
    ("no region", without(PLAIN, "AWS_REGION"), "AWS_REGION", ("no region", "AWS_DEFAULT_REGION")),
    ("bad region", {**PLAIN, "AWS_REGION": "Ireland"}, "AWS_REGION", ("'Ireland'", "not the name of an AWS region")),
    (
        "external id in direct mode",
        {**DIRECT, "SIDECAR_EXTERNAL_ID": "tenant"},
        "SIDECAR_EXTERNAL_ID",
        ("AssumeRoleWithWebIdentity has no such parameter", "a second hop"),
    ),
    (
        "source identity in direct mode",
        {**DIRECT, "SIDECAR_SOURCE_IDENTITY": "ledger"},
        "SIDECAR_SOURCE_IDENTITY",
        ("AssumeRoleWithWebIdentity has no such parameter",),
    ),
    (
        "tags in direct mode",
        {**DIRECT, "SIDECAR_SESSION_TAGS": "team=blue"},
        "SIDECAR_SESSION_TAGS",
        ("AssumeRoleWithWebIdentity has no such parameter",),
    ),
    (
        "open to the world",
        {**PLAIN, "SIDECAR_LISTEN": "0.0.0.0:9911"},
        "SIDECAR_LISTEN",
        ("loopback only", "127.0.0.1"),
    ),
    (
        "a Service named sidecar-listen",
        {**PLAIN, "SIDECAR_LISTEN": "tcp://10.0.0.1:80"},
        "SIDECAR_LISTEN",
        ("kubelet injected this", "enableServiceLinks: false"),
    ),
    (
        "a slip of the pen",
        {**PLAIN, "SIDECAR_EXTERNALID": "tenant"},
        "SIDECAR_EXTERNALID",
        ("no such setting", "Did you mean SIDECAR_EXTERNAL_ID?"),
    ),
    (
        "fallback with an endpoint",
        {**PLAIN, "SIDECAR_STS_FALLBACK_REGIONS": "eu-central-1", "AWS_ENDPOINT_URL_STS": "https://sts.example"},
        "SIDECAR_STS_FALLBACK_REGIONS",
        ("AWS_ENDPOINT_URL_STS sends all regions' calls to one endpoint",),
    ),
    (
        "fallback with a general endpoint",
        {**PLAIN, "SIDECAR_STS_FALLBACK_REGIONS": "eu-central-1", "AWS_ENDPOINT_URL": "https://aws.example"},
        "SIDECAR_STS_FALLBACK_REGIONS",
        ("AWS_ENDPOINT_URL sends",),
    ),
    (
        "instance metadata for the world",
        {**PLAIN, "SIDECAR_IMDS_LISTEN": "169.254.169.254:80"},
        "SIDECAR_IMDS_LISTEN",
        ("loopback only", "127.0.0.1"),
    ),
    (
        "instance metadata of short sessions",
        {**PLAIN, "SIDECAR_IMDS_LISTEN": "127.0.0.1:9913", "SIDECAR_DURATION": "3599"},
        "SIDECAR_IMDS_LISTEN",
        ("target default asks for 3599 s", "at least 3600 s"),
    ),
    (
        "metadata tokens",
        {**PLAIN, "SIDECAR_IMDS_LISTEN": "127.0.0.1:9913", "SIDECAR_IMDS_TOKENS": "v1"},
        "SIDECAR_IMDS_TOKENS",
        ("no such choice", "Write required or optional."),
    ),
    (
        "a relative credentials file",
        {**PLAIN, "SIDECAR_CREDENTIALS_FILE": ".aws/credentials"},
        "SIDECAR_CREDENTIALS_FILE",
        ("not the absolute path of a file", "/credentials"),
    ),
    (
        "a directory as credentials file",
        {**PLAIN, "SIDECAR_CREDENTIALS_FILE": "/var/run/"},
        "SIDECAR_CREDENTIALS_FILE",
        ("not the absolute path of a file",),
    ),
    (
        "instance metadata at the endpoint's own address",
        {**PLAIN, "SIDECAR_IMDS_LISTEN": "127.0.0.1:9911"},
        "SIDECAR_IMDS_LISTEN",
        ("the credential endpoint listens there", "another port"),
    ),
    (
        "instance metadata at the status port",
        {**PLAIN, "SIDECAR_IMDS_LISTEN": "127.0.0.1:9912", "SIDECAR_STATUS_LISTEN": "*:9912"},
        "SIDECAR_STATUS_LISTEN",
        ("instance metadata are served there", "another port"),
    ),
    (
        "the status at the endpoint's own port",
        {**PLAIN, "SIDECAR_STATUS_LISTEN": "*:9911"},
        "SIDECAR_STATUS_LISTEN",
        ("the credential endpoint listens there", "another port"),
    ),
    (
        "a port alone for the status",
        {**PLAIN, "SIDECAR_STATUS_LISTEN": "9912"},
        "SIDECAR_STATUS_LISTEN",
        ("not a literal IP address", "*:9912"),
    ),
    (
        "metadata tokens of what is off",
        {**PLAIN, "SIDECAR_IMDS_TOKENS": "optional"},
        "SIDECAR_IMDS_TOKENS",
        ("it says nothing while SIDECAR_IMDS_LISTEN is not set",),
    ),
    (
        "the mode of what is off",
        {**PLAIN, f"{FILE}_MODE": "0640"},
        f"{FILE}_MODE",
        ("it says nothing while SIDECAR_CREDENTIALS_FILE is not set",),
    ),
    *(
        (f"mode {mode}", {**PLAIN, FILE: "/f/c", f"{FILE}_MODE": mode}, f"{FILE}_MODE", ("0600",))
        for mode in ("0666", "0620", "0700", "600x", "4600", "0800", "-rw", "0040", "0000")
    ),
    *(
        (f"owner {who}", {**PLAIN, FILE: "/f/c", f"{FILE}_OWNER": who}, f"{FILE}_OWNER", ("UID:GID",))
        for who in ("app", "1000:app", "-1", "1000:", "1:2:3", ":", "4294967295", "0:9999999999")
    ),
]


@pytest.mark.parametrize(
    ("text", "owner"),
    [("1000", (1000, -1)), ("1000:2000", (1000, 2000)), (":1000620000", (-1, 1_000_620_000)), ("0:0", (0, 0))],
)
def test_an_owner_is_a_uid_a_gid_or_both(text: str, owner: tuple[int, int]) -> None:
    assert config({**PLAIN, FILE: "/f/c", f"{FILE}_OWNER": text}).credentials_file_owner == owner


def test_the_sidecar_does_not_read_what_it_writes(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[profile a]\nrole_arn = x\n")
    environ = {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": "$HOME/credentials",
        "SIDECAR_PROFILES": "a",
        FILE: "/home/app/credentials",
        "HOME": "/home/app",
    }
    assert [line for line in problems(environ) if "would read what it writes" in line]


@pytest.mark.parametrize(("environ", "setting", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_every_bad_input_has_its_own_message(environ: Mapping[str, str], setting: str, words: tuple[str, ...]) -> None:
    (line,) = problems(environ)
    assert line.split("=")[0].split(" ")[0] == setting
    assert [word for word in words if word not in line] == []


def test_without_anything_it_says_what_is_needed_and_no_more() -> None:
    assert [line.split(" ")[0] for line in problems({})] == ["SIDECAR_TARGET_ROLE_ARN", "AWS_REGION"]


def test_all_problems_are_reported_at_once() -> None:
    environ = {
        "AWS_ROLE_ARN": "role-a",
        "SIDECAR_TARGET_ROLE_ARN": ROLE_B,
        "SIDECAR_DURATION": "3601",
        "SIDECAR_LISTEN": "*:9911",
        "SIDECAR_LOG_LEVEL": "loud",
        "SIDECAR_DURATON": "900",
    }
    named = {line.split("=")[0].split(" ")[0] for line in problems(environ)}
    assert named == {*environ} - {"SIDECAR_TARGET_ROLE_ARN"} | {"AWS_REGION"}


def test_d16_the_authorization_token_is_in_no_message_and_no_repr() -> None:
    wrong, right = "too;short", "0123456789abcdef"
    assert wrong not in "".join(problems({**PLAIN, "SIDECAR_AUTHORIZATION_TOKEN": wrong}))
    resolved = config({**PLAIN, "SIDECAR_AUTHORIZATION_TOKEN": right})
    assert resolved.authorization_token == Secret(right)
    assert right not in f"{resolved}"


@pytest.mark.parametrize(("duration", "count"), [("2699", 1), ("2700", 0), ("3600", 0)])
def test_a_life_that_sdks_would_not_keep_is_warned_of(duration: str, count: int) -> None:
    warnings = config({**PLAIN, "SIDECAR_DURATION": duration}).warnings
    assert len(warnings) == count
    assert all(duration in warning for warning in warnings)


def test_a_target_is_found_by_name_and_the_first_without_one() -> None:
    resolved = config(PLAIN)
    assert resolved.target() == resolved.target("default") == resolved.targets[0]
    with pytest.raises(ConfigError, match=r"no such target.* The targets are default\."):
        resolved.target("other")


def test_every_setting_has_its_origin() -> None:
    resolved = config(PLAIN, DRAIN="5")
    assert resolved.origins["AWS_ROLE_ARN"].source == "environment"
    assert resolved.origins["SIDECAR_DRAIN"].source == "flag --drain"
    assert resolved.origins["SIDECAR_LISTEN"].source == "default"
    assert [*resolved.origins] == [setting.name for setting in SETTINGS]


@pytest.mark.parametrize(("status", "listen"), [("[::]", "127.0.0.1"), ("0.0.0.0", "[::1]")])
def test_one_port_in_two_families_is_two_places(status: str, listen: str) -> None:
    places = {"SIDECAR_STATUS_LISTEN": f"{status}:9911", "SIDECAR_LISTEN": f"{listen}:9911"}
    assert resolve({}, {**PLAIN, **places}).status_listen.port == 9911


def test_a_client_needs_no_chain() -> None:
    target, listen, directory = resolve_client(
        {}, {"SIDECAR_LISTEN": "127.0.0.1:1", "SIDECAR_TARGET_ROLE_ARN": "nonsense"}
    )
    assert (target, listen.port, directory) == ("default", 1, "/var/run/credential-sidecar")


def test_a_client_needs_no_directory_where_no_token_is_asked_for() -> None:
    assert resolve_client({}, {"SIDECAR_AUTHORIZATION": "none"})[2] is None


def test_a_client_asks_for_the_first_target_or_the_one_that_is_named() -> None:
    environ = {"SIDECAR_PROFILES": "one,two"}
    assert resolve_client({}, environ)[0] == "one"
    assert resolve_client({}, environ, "two")[0] == "two"


@pytest.mark.parametrize("target", ["", "..", "a/b", "../../etc", "x" * 65])
def test_a_client_takes_no_path_for_a_target(target: str) -> None:
    with pytest.raises(ConfigError, match="no such target"):
        resolve_client({}, {}, target)


def test_a_client_hears_of_what_is_wrong_with_its_own_settings() -> None:
    with pytest.raises(ConfigError, match="loopback only"):
        resolve_client({}, {"SIDECAR_LISTEN": "*:9911"})


def test_a_probe_needs_the_status_address_alone() -> None:
    assert read({}, {"SIDECAR_DURATION": "nonsense"}, "SIDECAR_STATUS_LISTEN") == (Address(host="*", port=9912),)
    with pytest.raises(ConfigError, match="SIDECAR_STATUS_LISTEN"):
        read({}, {"SIDECAR_STATUS_LISTEN": "nonsense"}, "SIDECAR_STATUS_LISTEN")


TEXTS = st.text(max_size=20) | st.sampled_from(
    ["direct", ROLE_A, ROLE_B, "*:1", "[::1]:2", "a=b,c=d", "{}", "3601", "none"]
)


@given(st.dictionaries(st.sampled_from([setting.name for setting in SETTINGS]), TEXTS))
def test_whatever_is_given_the_answer_is_a_configuration_or_its_problems(environ: dict[str, str]) -> None:
    found: tuple[object, ...]
    try:
        found = resolve({}, {**environ, "HOME": "/none"}).targets
    except ConfigError as error:
        found = tuple(problem for problem in error.problems if problem.wrong and problem.remedy)
    assert found


GUIDE = f"""\
[profile account_b_role]
source_profile = account_a_role
role_arn={ROLE_B}
[profile account_a_role]
web_identity_token_file = {TOKEN_FILE}
role_arn={ROLE_A}
"""


@pytest.fixture
def guide(tmp_path: Path) -> dict[str, str]:
    """The environment that points to the guide's own file."""
    path = tmp_path / "config"
    path.write_text(GUIDE)
    return {"AWS_CONFIG_FILE": str(path), "SIDECAR_PROFILES": "account_b_role", "AWS_REGION": REGION, "HOME": "/none"}


def test_the_guides_own_file_works_unchanged(guide: Mapping[str, str]) -> None:
    (target,) = config(guide).targets
    assert (target.name, target.hop) == ("account_b_role", chain())


def test_aws_profile_counts_where_nothing_of_ours_is_said(guide: Mapping[str, str]) -> None:
    environ = {**without(guide, "SIDECAR_PROFILES"), "AWS_PROFILE": "account_b_role"}
    assert config(environ).targets[0].name == "account_b_role"
    assert config({**environ, "SIDECAR_PROFILES": "account_a_role"}).targets[0].name == "account_a_role"
    assert config({**environ, **PLAIN}).targets[0].name == "default"
    assert config({**PLAIN, "AWS_PROFILE": "no target's name"}).targets[0].name == "default"


def test_both_ways_at_once_is_a_problem_that_names_the_profiles_key(guide: Mapping[str, str]) -> None:
    (line,) = problems({**guide, "SIDECAR_TARGET_ROLE_ARN": ROLE_B})
    assert line.startswith("SIDECAR_TARGET_ROLE_ARN=")
    assert "role_arn = …" in line
    assert "unset SIDECAR_PROFILES" in line


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [
        ("SIDECAR_SESSION_NAME", "ledger", "role_session_name"),
        ("SIDECAR_DURATION", "3600", "duration_seconds"),
        ("SIDECAR_SOURCE_DURATION", "3600", "duration_seconds"),
        ("SIDECAR_EXTERNAL_ID", "tenant", "external_id"),
        ("SIDECAR_SOURCE_IDENTITY", "ledger", "sidecar_source_identity"),
        ("SIDECAR_SESSION_TAGS", "team=blue", "sidecar_session_tags"),
        ("SIDECAR_POLICY", "{}", "sidecar_policy"),
        ("SIDECAR_POLICY_ARNS", "arn:aws:iam::aws:policy/P", "sidecar_policy_arns"),
    ],
)
def test_what_a_profile_says_is_said_in_the_profile(guide: Mapping[str, str], name: str, text: str, key: str) -> None:
    (line,) = problems({**guide, name: text})
    assert line.startswith(f"{name}=")
    assert f"Say it in the profile ({key} = …)" in line


def test_a_flag_for_hop_one_beside_profiles_is_a_problem_too(guide: Mapping[str, str]) -> None:
    with pytest.raises(ConfigError, match="flag --role-arn"):
        resolve({"AWS_ROLE_ARN": ROLE_A}, guide)


def test_what_a_webhook_injects_beside_profiles_is_ignored_with_a_line(guide: Mapping[str, str]) -> None:
    resolved = config({**guide, "AWS_ROLE_ARN": "not even an ARN of a role", "AWS_WEB_IDENTITY_TOKEN_FILE": "/x"})
    assert [warning.split(" ")[0] for warning in resolved.warnings] == ["AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"]
    assert resolved.targets[0].hop == chain()


def test_problems_of_settings_and_of_profiles_come_together(guide: Mapping[str, str]) -> None:
    lines = problems({**guide, "SIDECAR_PROFILES": "account_c_role", "SIDECAR_DRAIN": "soon"})
    assert [line.split("=")[0] for line in lines] == ["SIDECAR_DRAIN", "SIDECAR_PROFILES"]


def test_regions_of_the_settings_hold_for_profiles_too(guide: Mapping[str, str]) -> None:
    (target,) = config({**guide, "SIDECAR_STS_FALLBACK_REGIONS": "us-east-1"}).targets
    assert [each.regions for each in target.hop.chain] == [(REGION, "us-east-1")] * 2


def test_a_role_is_never_guessed_from_the_first_hop() -> None:
    with pytest.raises(ConfigError):
        config(without(PLAIN, "SIDECAR_TARGET_ROLE_ARN"))
    assert config(PLAIN).targets[0].hop.role == Role.parse(ROLE_B)
