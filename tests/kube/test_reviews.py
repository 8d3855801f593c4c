"""Reviews: whatever comes is answered by a whole AdmissionReview, and never with an exception."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any, Final

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.kube.reviews import OUTCOMES, Answer, Reviewer
from tests.kube.pods import BY_NAME, CASES, DENIED, INJECTED, PREFIX, Case, injector

UID: Final = "705ab4f5-6393-11e8-b7cc-42010a800002"
POD: Final = {"group": "", "version": "v1", "kind": "Pod"}
PODS: Final = {"group": "", "version": "v1", "resource": "pods"}
WRONG: Final = [None, True, 7, -1.5, "", "x", "v1", [], [None], {}, {"kind": "Pod"}, "\ufffd", 10**300]


def review(pod: Any) -> dict[str, Any]:
    """As the API server asks about a pod."""
    user = {"username": "system:serviceaccount:kube-system:replicaset-controller", "groups": ["system:authenticated"]}
    request = {
        "uid": UID,
        "kind": POD,
        "resource": PODS,
        "requestKind": POD,
        "requestResource": PODS,
        "namespace": "shop",
        "operation": "CREATE",
        "userInfo": user,
        "object": pod,
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}


def answered(body: bytes, by: Reviewer | None = None) -> tuple[str, dict[str, Any]]:
    """The outcome and the response, which is whole whatever was asked."""
    answer = (by or Reviewer(injector())).answer(body)
    assert (answer.denied is None) == (answer.outcome != "denied")
    return answer.outcome, whole(answer)


def whole(answer: Answer) -> dict[str, Any]:
    """The response in an answer that the API server takes."""
    found = json.loads(answer.body)
    assert set(found) == {"apiVersion", "kind", "response"}
    assert (found["apiVersion"], found["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response: dict[str, Any] = found["response"]
    assert isinstance(response["uid"], str)
    if answer.outcome in ("injected", "unchanged"):
        assert response["allowed"] is True
        assert set(response) - {"warnings"} == {"uid", "allowed"} | (
            {"patch", "patchType"} if answer.outcome == "injected" else set()
        )
    else:
        assert answer.outcome in ("denied", "malformed")
        assert response["allowed"] is False
        assert set(response) == {"uid", "allowed", "status"}
        status = response["status"]
        assert (status["status"], 400 <= status["code"] < 500, bool(status["message"])) == ("Failure", True, True)
        assert status["reason"]
    return response


def written(found: Any) -> bytes:
    """As JSON; what UTF-8 cannot say is escaped."""
    return json.dumps(found).encode()


@pytest.mark.parametrize("case", INJECTED, ids=lambda case: case.name)
def test_what_is_injected_is_answered_with_the_patch_and_the_warnings(case: Case) -> None:
    outcome, response = answered(written(review(case.pod)), Reviewer(case.injector))
    assert outcome == ("unchanged" if case.pod == case.expected else "injected")
    assert response["uid"] == UID
    found = case.pod
    if outcome == "injected":
        assert response["patchType"] == "JSONPatch"
        found = jsonpatch.JsonPatch(json.loads(base64.b64decode(response["patch"], validate=True))).apply(found)
    assert found == case.expected
    said = response.get("warnings", [])
    assert [phrase for phrase in case.phrases("warnings.txt") if phrase not in "\n".join(said)] == []
    assert all(len(sentence) <= 256 for sentence in said)


@pytest.mark.parametrize("case", DENIED, ids=lambda case: case.name)
def test_what_is_denied_is_said(case: Case) -> None:
    outcome, response = answered(written(review(case.pod)), Reviewer(case.injector))
    assert (outcome, response["uid"], response["status"]["code"]) == ("denied", UID, 403)
    assert [phrase for phrase in case.phrases("denied.txt") if phrase not in response["status"]["message"]] == []


def test_a_rehearsal_is_answered_alike() -> None:
    found = review(BY_NAME["plain"].pod)
    found["request"]["dryRun"] = True
    assert answered(written(found)) == answered(written(review(BY_NAME["plain"].pod)))


@pytest.mark.parametrize("field", ["kind", "apiVersion", "request"])
def test_a_review_without_a_field_is_malformed(field: str) -> None:
    found = review(BY_NAME["plain"].pod)
    del found[field]
    outcome, response = answered(written(found))
    assert (outcome, response["status"]["code"]) == ("malformed", 400)
    assert response["uid"] == ("" if field == "request" else UID)


@pytest.mark.parametrize("field", sorted(review(None)["request"]))
def test_a_request_without_a_field_is_answered(field: str) -> None:
    found = review(BY_NAME["plain"].pod)
    del found["request"][field]
    outcome, response = answered(written(found))
    assert outcome == {"uid": "malformed", "kind": "malformed", "operation": "malformed", "object": "denied"}.get(
        field, "injected"
    )
    assert response["uid"] == ("" if field == "uid" else UID)


@pytest.mark.parametrize("value", WRONG, ids=lambda value: ascii(value)[:20])
def test_a_field_of_any_other_type_is_answered(value: Any) -> None:
    for field in review(None):
        outcome, _ = answered(written({**review(BY_NAME["plain"].pod), field: value}))
        assert outcome == "malformed"
    for field in review(None)["request"]:
        found = review(BY_NAME["plain"].pod)
        found["request"][field] = copy.deepcopy(value)
        outcome, response = answered(written(found))
        assert outcome in OUTCOMES
        assert outcome != "injected" or field not in ("kind", "operation", "object")
        uid = UID if field != "uid" else value if isinstance(value, str) else ""
        assert (response["uid"], outcome == "malformed") == (uid, outcome == "malformed" or not uid)


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("admission.k8s.io/v1beta1", "AdmissionReview"),
        ("admission.k8s.io/v2", "AdmissionReview"),
        ("v1", "AdmissionReview"),
        ("admission.k8s.io/v1", "admissionreview"),
        ("admission.k8s.io/v1", "ConversionReview"),
    ],
)
def test_another_version_or_kind_is_malformed(version: str, kind: str) -> None:
    found = {**review(BY_NAME["plain"].pod), "apiVersion": version, "kind": kind}
    outcome, response = answered(written(found))
    assert (outcome, response["uid"], response["status"]["code"]) == ("malformed", UID, 400)
    assert "admission.k8s.io/v1" in response["status"]["message"]


@pytest.mark.parametrize("operation", ["UPDATE", "DELETE", "CONNECT", "create", ""])
def test_what_is_no_creation_is_malformed(operation: str) -> None:
    found = review(BY_NAME["plain"].pod)
    found["request"]["operation"] = operation
    assert answered(written(found))[0] == "malformed"


@pytest.mark.parametrize("kind", ["Deployment", "pod", "PodTemplate"])
def test_what_is_no_pod_is_malformed(kind: str) -> None:
    found = review(BY_NAME["plain"].pod)
    found["request"]["kind"] = {**POD, "kind": kind}
    assert answered(written(found))[0] == "malformed"


_REVIEW: Final = written(review(BY_NAME["plain"].pod))
_UID: Final = json.dumps(UID).encode()


NO_REVIEWS: Final = [
    b"",
    b" ",
    b"null",
    b"true",
    b"7",
    b'"x"',
    b"[]",
    b"{}",
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b"apiVersion: v1",
    _REVIEW[:-1],
    _REVIEW[: len(_REVIEW) // 2],
    _REVIEW + b"x",
    _REVIEW.replace(b"orders", b"\xff"),
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b"9" * 100_000,
    b'{"request":{"uid":' + _UID + b',"object":' + b"[" * 100_000,
]


@pytest.mark.parametrize("body", NO_REVIEWS, ids=[str(number) for number, _ in enumerate(NO_REVIEWS)])
def test_what_is_no_review_is_malformed(body: bytes) -> None:
    outcome, response = answered(body)
    assert (outcome, response["status"]["code"]) == ("malformed", 400)
    assert response["uid"] == (UID if _UID in body else "")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b'"your-app"', b"9" * 300, "injected"),
        # Half a character, and what is no number: the API server's encoder writes neither.
        (b'"your-app"', b"NaN", "malformed"),
        (b'"your-app"', b"1e999", "malformed"),
        (b'"your-app"', b"9" * 4000, "malformed"),
        (b'"your-app"', b'"\\ud800"', "malformed"),
        (b'"app"', b'"\\ud800"', "malformed"),
        (b'"eu-west-1"', b'"\\ud800"', "malformed"),
        (b'"your-app"', b"[" * 300 + b"]" * 300, "injected"),
        (b'"your-app"', b"[" * 90_000 + b"]" * 90_000, "malformed"),
        (b'"apiVersion"', b'"apiVersion": "v1", "apiVersion"', "injected"),
        (b'"uid"', b'"uid": "another", "uid"', "injected"),
        (b'"object": {', b'"object": {"spec": 7, ', "injected"),
    ],
    ids=lambda value: ascii(value[:24]) if isinstance(value, bytes) else value,
)
def test_what_json_can_say_beside_what_it_should_is_answered(old: bytes, new: bytes, expected: str) -> None:
    assert old in _REVIEW
    outcome, response = answered(_REVIEW.replace(old, new))
    assert outcome == expected
    assert response["uid"] == ("another" if new.startswith(b'"uid": "another"') and outcome == "malformed" else UID)


@given(st.binary(max_size=200), st.integers(0, len(_REVIEW)), st.integers(0, 40))
def test_a_review_with_anything_in_the_middle_of_it_is_answered(noise: bytes, place: int, gone: int) -> None:
    answered(_REVIEW[:place] + noise + _REVIEW[place + gone :])


@given(st.sampled_from(CASES), st.integers(0), st.sampled_from(WRONG))
def test_a_pod_with_anything_in_the_middle_of_it_is_answered(case: Case, number: int, value: Any) -> None:
    found = review(case.pod)
    places: list[tuple[Any, Any]] = []

    def walk(inside: Any) -> None:
        for key in list(inside) if isinstance(inside, dict) else range(len(inside)):
            places.append((inside, key))
            if isinstance(inside[key], dict | list):
                walk(inside[key])

    walk(found["request"]["object"])
    inside, key = places[number % len(places)]
    inside[key] = copy.deepcopy(value)
    outcome, response = answered(written(found), Reviewer(case.injector))
    assert response["uid"] == UID
    assert outcome != "malformed"


def test_a_namespace_whose_label_says_neither_is_always_denied() -> None:
    reviewer = Reviewer(injector())
    for case in CASES:
        answer = reviewer.unclear(written(review(case.pod)))
        response = whole(answer)
        assert (answer.outcome, response["uid"], response["status"]["code"]) == ("denied", UID, 403)
        assert f"{PREFIX}inject" in response["status"]["message"]
    for body in (b"", b"{}", b"[" * 100_000, _REVIEW[:-1]):
        answer = reviewer.unclear(body)
        assert (answer.outcome, whole(answer)["status"]["code"]) == ("malformed", 400)


def test_what_is_too_large_is_answered_by_its_beginning() -> None:
    answer = Reviewer(injector()).oversized(_REVIEW[:300], 4_000_000)
    response = whole(answer)
    assert (answer.outcome, response["uid"], response["status"]["code"]) == ("malformed", UID, 413)
    assert "4000000" in response["status"]["message"]
