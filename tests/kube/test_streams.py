"""Files and standard input, one stream or a diff."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest

from sidecar.errors import ConfigError
from sidecar.kube.manifests import Manifest
from sidecar.kube.streams import diff, gather, joined
from tests.kube.opinions import loaded


def stdin(data: bytes = b"") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data), "ascii")


def refused(*names: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        gather(names, stdin(b"\xff"))
    return str(caught.value).splitlines()


def after(*texts: str) -> list[Manifest]:
    return [Manifest(name=str(at), before="", after=text) for at, text in enumerate(texts)]


def test_files_and_standard_input_are_read_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes("\ufeffa: é\r\n".encode())
    found = gather([str(tmp_path / "a.yaml"), "-"], stdin(b"b: 1"))
    assert [(each.name, each.before) for each in found] == [
        (str(tmp_path / "a.yaml"), "\ufeffa: é\r\n"),
        ("<stdin>", "b: 1"),
    ]
    assert gather([str(tmp_path / "a.yaml")], stdin(b"\xff"))
    assert [each.before for each in gather([], stdin(b"c: 1"))] == ["c: 1"]


def test_everything_that_cannot_be_read_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"a: b\nc: \xe9\n")
    (tmp_path / "circle").symlink_to("circle")
    names = [str(tmp_path / name) for name in ("none.yaml", "latin", "circle")]
    found = refused("-", *names, "-", str(tmp_path), "a\0b")
    for words, line in zip(
        (
            "FILE='<stdin>' (from command line): line 1 is not UTF-8",
            "there is no such file",
            "line 2 is not UTF-8. Convert the file to UTF-8.",
            "it cannot be read: Too many levels of symbolic links",
            "standard input can be read once",
            f"it is a directory. Name its files: {tmp_path}/*.yaml",
            "it cannot be read: embedded null byte",
        ),
        found,
        strict=True,
    ):
        assert words in line


@pytest.mark.parametrize(
    ("texts", "whole"),
    [
        (["a: 1\n", "b: 2\n"], "a: 1\n---\nb: 2\n"),
        (["a: 1", "b: 2"], "a: 1\n---\nb: 2"),
        (["a: 1\n", "---\nb: 2\n"], "a: 1\n---\nb: 2\n"),
        (["a: 1\n", "# c\n\n--- # c\nb: 2\n"], "a: 1\n# c\n\n--- # c\nb: 2\n"),
        (["a: 1\n", "# c\nb: 2\n---\n"], "a: 1\n---\n# c\nb: 2\n---\n"),
        (["a: 1\n---\n", "b: 2\n"], "a: 1\n---\nb: 2\n"),
        (["a: 1\n... # c", "b: 2\n"], "a: 1\n... # c\n---\nb: 2\n"),
        (["a: 1\n--- # c", "b: 2\n"], "a: 1\n--- # c\nb: 2\n"),
        (["a: 1\n", "%YAML 1.1\n---\nb: 2\n"], "a: 1\n...\n%YAML 1.1\n---\nb: 2\n"),
        (["\ufeffa: 1\n", "\ufeffb: 2\n"], "\ufeffa: 1\n---\nb: 2\n"),
        (["", "b: 2\n", "\n", ""], "b: 2\n\n"),
        (['{"a": 1}', '{"b": 2}'], '{"a": 1}\n---\n{"b": 2}'),
    ],
)
def test_files_become_one_stream_of_all_their_documents(texts: list[str], whole: str) -> None:
    assert joined(after(*texts)) == whole
    said = [each for text in texts for each in loaded(text) if each is not None]
    assert [each for each in loaded(whole) if each is not None] == said


def test_one_file_is_given_as_it_is() -> None:
    assert joined(after("\ufeff\r\n# c\n...")) == "\ufeff\r\n# c\n..."


def test_a_diff_is_empty_where_nothing_changes() -> None:
    assert diff([Manifest(name="a", before="a: 1", after="a: 1")]) == ""


@pytest.mark.parametrize(
    ("before", "changed"),
    [("a: 1\n", "a: 1\nb: 2\n"), ("a: 1", "a: 1\nb: 2"), ("a: 1\r\n", "a: 1\r\nb: 2\r\n"), ("a: \x852", "a: \x853")],
)
def test_a_diff_can_be_applied(before: str, changed: str, tmp_path: Path) -> None:
    (tmp_path / "it.yaml").write_bytes(before.encode())
    text = diff([Manifest(name="it.yaml", before=before, after=changed)])
    apply = ["git", "apply", "-p0", "--whitespace=nowarn", "-"]
    subprocess.run(apply, input=text.encode(), cwd=tmp_path, check=True, timeout=30)
    assert (tmp_path / "it.yaml").read_bytes() == changed.encode()
