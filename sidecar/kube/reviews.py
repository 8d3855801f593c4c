"""AdmissionReviews of admission.k8s.io/v1: bytes in, bytes out, and an answer to everything.

What cannot be read is answered as well, with the review's uid where one can be seen, and never with an exception: the
API server would report that as a failure of the webhook, and not what is wrong.
"""

import re
from base64 import b64encode
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from sidecar.errors import ConfigError
from sidecar.events import Event
from sidecar.kube.annotations import INJECT
from sidecar.kube.injection import Injector, inject
from sidecar.kube.rollouts import Rollouts, Said

# How a review was answered; the label of the metric.
INJECTED, UNCHANGED, DENIED, MALFORMED = OUTCOMES = ("injected", "unchanged", "denied", "malformed")

_VERSION, _KIND = "admission.k8s.io/v1", "AdmissionReview"
_POD = {"group": "", "version": "v1", "kind": "Pod"}
_UID = re.compile(rb'"uid"\s*:\s*"([0-9A-Za-z-]{1,64})"')
_BAD_REQUEST, _FORBIDDEN, _TOO_LARGE = (400, "BadRequest"), (403, "Forbidden"), (413, "RequestEntityTooLarge")
_UNCLEAR = f'the namespace\'s label {INJECT} is neither true nor false. Correct it, or label the pod {INJECT}: "false".'
# Of what a denial says, in characters: more than one problem, and not what somebody fills a log with.
_LONGEST = 1000


class PodDenied(Event, says="pod {name} in {namespace} denied: {reason}"):
    """A pod was denied; `name` is how it begins where the API server completes it."""

    namespace: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a review was answered, by which AdmissionReview, and what is to be told of a denial."""

    outcome: str
    body: bytes
    denied: PodDenied | None = None


class Reviewer:
    """Answers reviews by what `injector` was told."""

    def __init__(self, injector: Injector) -> None:
        self._rollouts = Rollouts(partial(say, injector))

    def answer(self, body: bytes) -> Answer:
        """The answer to the review in `body`: a patch, nothing to do, or a denial that says why."""
        try:
            request = _request(body)
            pod = _pod(request)
        except _Malformed as error:
            return _malformed(error.uid, str(error))
        try:
            said = self._rollouts.said(pod)
        except ConfigError as error:
            return _denied(request, str(error))
        return Answer(outcome=said.outcome, body=_review({"uid": request["uid"], **said.response}))

    def unclear(self, body: bytes) -> Answer:
        """The answer to a review of a namespace whose label says neither: always a denial."""
        try:
            return _denied(_request(body), _UNCLEAR)
        except _Malformed as error:
            return _malformed(error.uid, str(error))

    def oversized(self, prefix: bytes, size: int) -> Answer:
        """The answer to a review of `size` bytes, which are too many, that begins with `prefix`."""
        message = f"the review has {size} bytes, and more than a megabyte is not read. Take something out of the pod."
        return _malformed(_seen(prefix), message, _TOO_LARGE)


def say(injector: Injector, pod: Any) -> Said:
    """What is said of a pod that is no reason for a denial; raises ConfigError with the reasons."""
    injection, response = inject(pod, injector), dict[str, Any](allowed=True)
    if injection.operations:
        patch = b64encode(orjson.dumps(injection.operations)).decode("ascii")
        response |= {"patchType": "JSONPatch", "patch": patch}
    if injection.warnings:
        response["warnings"] = [f"credential-sidecar: {sentence}" for sentence in injection.warnings]
    outcome = INJECTED if injection.operations else UNCHANGED
    return Said(outcome=outcome, response=response, is_drawn=injection.is_drawn)


class _Malformed(Exception):
    """What is no review of a pod; `uid` is empty where none was seen."""

    def __init__(self, wrong: str, uid: str) -> None:
        super().__init__(wrong)
        self.uid = uid


def _request(body: bytes) -> dict[str, Any]:
    """The request in a review, with a uid that is a text."""
    try:
        review = orjson.loads(body)
    except ValueError:
        raise _Malformed("the body is not JSON", _seen(body)) from None
    if not isinstance(review, dict):
        raise _Malformed("the body is no object", "")
    request = review.get("request")
    uid = request.get("uid") if isinstance(request, dict) else None
    if not isinstance(uid, str) or not uid or not isinstance(request, dict):
        raise _Malformed("the review has no request with a uid", "")
    if (review.get("apiVersion"), review.get("kind")) != (_VERSION, _KIND):
        raise _Malformed(f"it is no {_KIND} of {_VERSION}", uid)
    return request


def _pod(request: dict[str, Any]) -> Any:
    uid = request["uid"]
    if request.get("kind") != _POD or request.get("subResource"):
        raise _Malformed("it is not about a pod: the webhook is registered for the creation of pods alone", uid)
    if request.get("operation") != "CREATE":
        raise _Malformed("it is not about a creation: the webhook is registered for the creation of pods alone", uid)
    return request.get("object")


def _seen(text: bytes) -> str:
    """The first uid in it: the request's stands before its object."""
    found = _UID.search(text[:4096])
    return found[1].decode() if found else ""


def _malformed(uid: str, message: str, status: tuple[int, str] = _BAD_REQUEST) -> Answer:
    return Answer(outcome=MALFORMED, body=_denial(uid, status, message))


def _denied(request: dict[str, Any], message: str) -> Answer:
    pod = request.get("object")
    metadata = pod.get("metadata") if isinstance(pod, dict) else None
    said = metadata if isinstance(metadata, dict) else {}
    name = next((each for each in (request.get("name"), said.get("name"), said.get("generateName")) if each), "")
    reason = " ".join(message.split())[:_LONGEST]
    told = PodDenied(namespace=_short(request.get("namespace")), name=_short(name), reason=reason)
    return Answer(outcome=DENIED, body=_denial(request["uid"], _FORBIDDEN, message), denied=told)


def _short(name: Any) -> str:
    """A name as Kubernetes has them, whatever was sent."""
    return name[:253] if isinstance(name, str) else ""


def _denial(uid: str, status: tuple[int, str], message: str) -> bytes:
    code, reason = status
    wrong = {"status": "Failure", "code": code, "reason": reason, "message": message}
    return _review({"uid": uid, "allowed": False, "status": wrong})


def _review(response: dict[str, Any]) -> bytes:
    return orjson.dumps({"apiVersion": _VERSION, "kind": _KIND, "response": response})
