"""The page of the clients is of the table's clients; what was seen of them is compared by `make clients`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clients import results
from tests.clients.table import CLIENTS, client

NAMED = (
    *(
        "boto3",
        "aiobotocore",
        "botocore 1.13",
        "awscrt",
        "AWS CLI v2",
        "SDK for JavaScript v3",
        "SDK for JavaScript v2",
    ),
    *("SDK for Go v2", "SDK for Go v1", "SDK for Java v2", "SDK for Java v1", "SDK for Rust", "SDK for Ruby"),
    *("minio-go", "minio-py", "pyarrow", "obstore", "opendal", "s3fs", "rclone", "restic"),
)
ROW = "| boto3 | Python | 1.2.3 | works | yes | yes | 3.0 s | |"
SEEN = {"version": "1.2.3", "file": True, "variable": True, "sessions": 3, "early": True, "waits": 3.0}


def test_the_zoo_has_at_least_twenty_clients_in_seven_languages() -> None:
    assert set(NAMED) <= {each.name for each in CLIENTS}
    assert len(CLIENTS) == len({each.name for each in CLIENTS}) >= 20
    assert len({each.language.split(" (")[0] for each in CLIENTS}) >= 7


def test_the_page_has_every_client_with_its_version_and_a_good_verdict() -> None:
    rows = {row["name"]: row for row in map(results.ROW.match, results.PAGE.read_text().splitlines()) if row}
    assert list(rows) == [each.name for each in CLIENTS]
    for each in CLIENTS:
        assert rows[each.name]["verdict"] == (results.EXPLAINED if each.face else results.WORKS)
        assert rows[each.name]["version"].strip(" ?")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, ""),
        ({"version": "1.2.4"}, "version is 1.2.4, and the page says 1.2.3"),
        ({"variable": False}, "verdict is FAILS"),
        ({"sessions": None}, "verdict is FAILS"),
        ({"early": None}, "verdict is FAILS"),
        ({"waits": None}, "verdict is FAILS"),
    ],
)
def test_a_version_or_a_verdict_that_drifts_is_told(change: dict[str, object], says: str, tmp_path: Path) -> None:
    facts = {name: value for name, value in {**SEEN, **change}.items() if value is not None}
    (tmp_path / "one.json").write_text(json.dumps({"client": "boto3", **facts}))
    told = [*results.drift(ROW, results.found(tmp_path))]
    assert [says in each for each in told] == ([True] if says else [])


def test_a_client_that_another_face_serves_is_explained_only_when_that_was_seen() -> None:
    assert results.verdict(client("boto 2"), {"face": True}) == results.EXPLAINED
    assert results.verdict(client("boto 2"), {"version": "2.49.0"}) == results.FAILS
