"""docs/migrate.md: what it says of precedence is what botocore does and what the sidecar warns of."""

from __future__ import annotations

import re

from botocore.credentials import create_credential_resolver
from botocore.session import Session

from sidecar.bypass import WAYS
from tests.test_docs import ROOT, rows, text

PAGE = "docs/migrate.md"
# What botocore calls the source of each row; it asks for web identity before the shared files, as the page says.
SOURCES = {
    "static keys": "env",
    "the shared files": "shared-credentials-file",
    "web identity: IRSA": "assume-role-with-web-identity",
    "a container endpoint: **the sidecar**, EKS Pod Identity, ECS": "container-role",
    "instance metadata: kube2iam, kiam, the node's role": "iam-role",
}


def order() -> list[str]:
    """The methods that botocore tries, in its order."""
    return [each.METHOD for each in create_credential_resolver(Session()).providers]


def test_botocore_tries_the_sources_in_the_order_of_the_page_but_for_web_identity() -> None:
    table = {source: exceptions for _, source, _, exceptions in rows(PAGE, "What outranks what")}
    assert table.keys() == SOURCES.keys()
    assert "after web identity in botocore" in table["the shared files"]
    tried = [method for method in order() if method in SOURCES.values()]
    env, files, web, container, metadata = (SOURCES[source] for source in table)
    assert tried == [env, web, files, container, metadata]


def test_every_variable_that_outranks_the_endpoint_is_on_the_page() -> None:
    names = {name for way in WAYS if way.outranks for name in way.names}
    spared = {"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_PROFILE"}  # those that come with another
    assert names - spared <= set(re.findall(r"AWS_[A-Z_]+", text(PAGE)))


def test_the_canary_of_an_annotated_service_account_is_the_published_spec() -> None:
    (asking,) = (cells[1] for cells in rows(PAGE, "From IRSA") if cells[0] == "canary, asking")
    (skipped,) = re.findall(r"^`([\w,-]+)`", asking.strip())
    spec = (ROOT / "deploy" / "examples" / "annotated.yaml").read_text("utf-8")
    assert f"eks.amazonaws.com/skip-containers: {skipped} " in spec
