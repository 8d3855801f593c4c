"""Manifests in, manifests out: the pod of every workload is injected where it stands in its text, and what was done is
said.

What needs nothing is given as it was, byte for byte. With any problem nothing is given at all.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sidecar.errors import ConfigError, Problem
from sidecar.kube import patches
from sidecar.kube.annotations import INJECT
from sidecar.kube.documents import Document, Unreadable, plain, read
from sidecar.kube.edits import Refused, rewrite
from sidecar.kube.injection import Injection, is_wanted
from sidecar.kube.workloads import Stranger, Workload, objects

_BY_HAND = "Write it out in blocks, without aliases, or inject it by hand."
_CORRECT = "Correct it: Kubernetes would not take it either."

# What injects one pod, as `injection.inject` does.
Inject = Callable[[Any], Injection]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One file or stream, by what it is called, before and after."""

    name: str
    before: str
    after: str = ""


def inject_all(
    given: Sequence[Manifest], inject: Inject, *, is_labelled_only: bool = False
) -> tuple[Sequence[Manifest], Sequence[str]]:
    """All of them injected, and in sentences what was done.

    Raises:
        ConfigError: with every problem of every manifest, and where it is.
    """
    problems: list[Problem] = []
    injected, sentences = [], list[str]()
    for each in given:
        with _uncollected():
            one = _Injected(each, inject, is_labelled_only=is_labelled_only)
        injected.append(replace(each, after=one.text))
        problems += one.problems
        sentences += one.sentences
    if problems:
        raise ConfigError(problems)
    return injected, sentences or ["there is no workload in what was given: it was left as it was"]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Trees have no circles, and looking for them in one that grows takes as long as all else."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Injected:
    """One manifest's text, what was done to it, and what is wrong with it."""

    def __init__(self, given: Manifest, inject: Inject, *, is_labelled_only: bool) -> None:
        self._name, self._inject, self._is_labelled_only = given.name, inject, is_labelled_only
        self.text = given.before
        self.problems: list[Problem] = []
        self.sentences: list[str] = []
        try:
            documents = read(given.before)
        except Unreadable as error:
            self._refuse("YAML", f"{error.line}:{error.column}", error.wrong, _CORRECT)
            return
        wants = [self._wanted(document) for document in documents]
        if not self.problems and any(is_changed for is_changed, _ in wants):
            try:
                self.text = rewrite(given.before, documents, [want for _, want in wants])
            except Refused as error:
                self._refuse("YAML", str(error.line), error.wrong, _BY_HAND)

    def _wanted(self, document: Document) -> tuple[bool, Any]:
        """Whether anything is to be changed, and what the document is to say."""
        for error in document.twice:
            self._refuse("YAML", f"{error.line}:{error.column}", error.wrong, _CORRECT)
        data, is_changed = plain(document.root), False
        for each in () if document.twice else objects(data):
            match each:
                case Workload():
                    is_changed |= self._patch(each)
                case Stranger():
                    self.sentences.append(f"{each.who}: warning: left alone: what pods it makes is for the webhook")
        return is_changed, data

    def _patch(self, workload: Workload) -> bool:
        """Injects the pod into its data, and says so; whether there was anything to do."""
        try:
            injection = self._injection(workload)
        except ConfigError as error:
            place = f"{self._name}:{workload.line}, {workload.who}"
            self.problems += [replace(each, source=f"{place}, {each.source}") for each in error.problems]
            return False
        if isinstance(injection, str):
            self.sentences.append(f"{workload.who}: left alone: {injection}")
            return False
        patches.apply(injection.operations, workload.pod)
        done = f"injected: {'; '.join(injection.changes)}" if injection.operations else "as it was: it has everything"
        warnings = (*workload.strays, *injection.warnings)
        self.sentences += [f"{workload.who}: {each}" for each in (done, *(f"warning: {each}" for each in warnings))]
        return bool(injection.operations)

    def _injection(self, workload: Workload) -> Injection | str:
        """What its pod lacks, or why nobody asks."""
        labels = workload.labels
        if not is_wanted(labels):
            return f'its pods are labelled {INJECT}: "false"'
        if self._is_labelled_only and INJECT not in labels:
            return f"its pods have no label {INJECT}"
        return self._inject(workload.pod)

    def _refuse(self, setting: str, place: str, wrong: str, remedy: str) -> None:
        source = f"{self._name}:{place}"
        self.problems.append(Problem(setting=setting, value=None, source=source, wrong=wrong, remedy=remedy))
