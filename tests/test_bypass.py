"""What makes a workload pass the sidecar by: what is seen of it, and what `exec` does not hand on."""

from __future__ import annotations

import pytest

from sidecar import config
from sidecar.bypass import WAYS, in_sight, outranking
from tests.builders import REGION, ROLE_A, ROLE_B, TOKEN_FILE

ENDPOINT = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
INJECTED = {"AWS_ROLE_ARN": ROLE_A, "AWS_WEB_IDENTITY_TOKEN_FILE": TOKEN_FILE, "AWS_STS_REGIONAL_ENDPOINTS": "regional"}


@pytest.mark.parametrize(
    ("environ", "name", "remedy"),
    [
        ({"AWS_ACCESS_KEY_ID": "x"}, "AWS_ACCESS_KEY_ID", "Unset it"),
        ({"AWS_SESSION_TOKEN": "x"}, "AWS_SESSION_TOKEN", "Unset it"),
        (INJECTED, "AWS_WEB_IDENTITY_TOKEN_FILE", "eks.amazonaws.com/skip-containers"),
        ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x"}, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "Unset it"),
        ({ENDPOINT: "http://169.254.170.23/v1/credentials"}, ENDPOINT, "the sidecar's endpoint"),
        ({ENDPOINT: "http://[fd00:ec2::23]/v1/credentials"}, ENDPOINT, "the sidecar's endpoint"),
        ({ENDPOINT: "http://127.0.0.1.example.com/"}, ENDPOINT, "the sidecar's endpoint"),
        ({"HTTP_PROXY": "http://proxy:3128"}, "HTTP_PROXY", "Add 127.0.0.1 to NO_PROXY"),
        ({"http_proxy": "http://proxy:3128", "NO_PROXY": "10.0.0.0/8"}, "http_proxy", "Add 127.0.0.1 to NO_PROXY"),
        ({"ALL_PROXY": "socks5://proxy"}, "ALL_PROXY", "Add 127.0.0.1 to NO_PROXY"),
    ],
    ids=str,
)
def test_what_a_workload_may_have_too_is_a_sentence_with_a_remedy(
    environ: dict[str, str], name: str, remedy: str
) -> None:
    (sentence,) = in_sight(environ)
    assert sentence.startswith(f"{name} is set: a workload that has it too ")
    assert remedy in sentence


@pytest.mark.parametrize(
    "environ",
    [
        {},
        # By hand, for the sidecar alone, as the manifests have it.
        {"AWS_ROLE_ARN": ROLE_A},
        {"AWS_ROLE_ARN": ROLE_A, "AWS_WEB_IDENTITY_TOKEN_FILE": TOKEN_FILE},
        {**INJECTED, "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/other/token"},
        # The sidecar's own setting.
        {"AWS_PROFILE": "account_b_role"},
        {"AWS_ACCESS_KEY_ID": "", "HTTP_PROXY": ""},
        {ENDPOINT: "http://127.0.0.1:9911/v1/credentials"},
        {ENDPOINT: "http://localhost/v1/credentials"},
        {ENDPOINT: "http://[::1]:9911/v1/credentials"},
        {"HTTPS_PROXY": "http://proxy:3128"},
        {"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "localhost, 127.0.0.1"},
        {"http_proxy": "http://proxy:3128", "no_proxy": "127.0.0.0/8"},
        {"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "*"},
    ],
    ids=str,
)
def test_what_says_nothing_of_a_workload_is_silent(environ: dict[str, str]) -> None:
    assert in_sight(environ) == ()


def test_d16_values_are_not_shown() -> None:
    environ = dict.fromkeys((name for way in WAYS for name in way.names), "hunter2-of-the-proxy")
    sentences = in_sight({**environ, **INJECTED})
    assert len(sentences) == 5
    assert not [sentence for sentence in sentences if "hunter2" in sentence or ROLE_A in sentence]


def test_the_daemon_warns_of_it() -> None:
    plain = {"AWS_ROLE_ARN": ROLE_A, "SIDECAR_TARGET_ROLE_ARN": ROLE_B, "AWS_REGION": REGION}
    environ = {**plain, "AWS_ACCESS_KEY_ID": "x"}
    assert config.resolve({}, plain).warnings == ()
    assert config.resolve({}, environ).warnings == in_sight(environ) != ()


def test_whatever_outranks_keys_is_not_handed_on_even_where_it_is_empty() -> None:
    names = [
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        *("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
        *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", ENDPOINT, "AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
        *("AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        *("AWS_SECURITY_TOKEN", "AWS_CREDENTIAL_EXPIRATION", "AWS_ACCESS_KEY", "AWS_SECRET_KEY"),
        *("AMAZON_ACCESS_KEY_ID", "AMAZON_SECRET_ACCESS_KEY", "AMAZON_SESSION_TOKEN"),
    ]
    assert outranking(dict.fromkeys(reversed(names), "")) == tuple(names)


def test_the_rest_of_the_environment_is() -> None:
    kept = {"AWS_REGION": "eu-west-1", "AWS_CONFIG_FILE": "/x", "HTTP_PROXY": "x", "ALL_PROXY": "x", "PATH": "/bin"}
    assert outranking(kept) == ()
