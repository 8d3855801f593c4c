"""`credential-sidecar inject` as people call it: files and pipes, exit codes, what goes to which stream."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from sidecar.cli import main
from tests.house import ROOT
from tests.kube.charts import CHARTS, expected
from tests.kube.opinions import PLAIN, injected

SETS = [word for name, value in PLAIN.items() for word in ("--set", f"{name}={value}")]
INJECT = [sys.executable, "-m", "sidecar", "inject"]
Output = pytest.CaptureFixture[bytes]


@pytest.fixture
def out(capfdbinary: Output) -> Output:
    return capfdbinary


def ran(argv: Sequence[str], data: bytes = b"", environ: dict[str, str] | None = None) -> tuple[int, bytes, str]:
    """Exit code, standard output and standard error, in an environment that says nothing of locales."""
    done = subprocess.run(
        [*INJECT, *argv], input=data, env=environ or {}, capture_output=True, check=False, cwd=ROOT, timeout=30
    )
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.mark.parametrize("argv", [[], ["-"]])
def test_manifests_go_through_a_pipe_byte_for_byte(argv: list[str]) -> None:
    for path in CHARTS:
        code, out, err = ran([*SETS, *argv], path.read_bytes(), {"LC_ALL": "C", "PYTHONUTF8": "0"})
        assert (code, out) == (0, expected(path).read_bytes())
        assert all(line.startswith("credential-sidecar: ") for line in err.splitlines())


def test_files_are_given_as_one_stream(out: Output) -> None:
    paths = [str(path) for path in CHARTS]
    assert main(["inject", *SETS, *paths]) == 0
    assert out.readouterr().out.count(b"\n---\n{") == 1


def test_a_diff_is_given_instead(out: Output) -> None:
    assert main(["inject", *SETS, "--diff", str(CHARTS[0])]) == 0
    printed = out.readouterr().out.decode()
    assert printed.startswith(f"--- {CHARTS[0]}\n+++ {CHARTS[0]}\n@@ ")


@pytest.mark.parametrize("image", ["", "a b", "name:tag\n"])
def test_what_is_no_image_is_refused_before_a_pod_has_it(image: str) -> None:
    code, out, err = ran([*SETS, "--image", image], CHARTS[0].read_bytes())
    assert (code, out) == (2, b"")
    assert err.startswith(f"credential-sidecar: --image={image!r} (from command line): not the name of an image.")


def test_the_image_and_only_what_is_labelled(out: Output, tmp_path: Path) -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {labels: %s}\nspec: {containers: [{name: app}]}\n"
    text = pod % '{credential-sidecar.io/inject: "true"}' + "---\n" + pod % "{}"
    (tmp_path / "it.yaml").write_text(text)
    image = "registry.example.com/credential-sidecar:1"
    assert main(["inject", *SETS, "--image", image, "--labelled", str(tmp_path / "it.yaml")]) == 0
    printed = out.readouterr().out.decode()
    assert printed.endswith("---\n" + pod % "{}")
    assert printed.count(f'image: "{image}"') == 1


def test_with_a_problem_nothing_is_given_and_the_exit_code_is_2(out: Output, tmp_path: Path) -> None:
    (tmp_path / "it.yaml").write_text("a: [\n")
    assert main(["inject", *SETS, str(CHARTS[0]), str(tmp_path / "it.yaml")]) == 2
    printed = out.readouterr()
    assert printed.out == b""
    assert printed.err.startswith(b"credential-sidecar: YAML (from ")
    assert main(["inject", str(tmp_path / "it.yaml"), str(tmp_path / "none.yaml")]) == 2
    assert b"there is no such file" in out.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--set", "region"], "'region' is not NAME=VALUE"),
        (["--set", "region=a", "--set", "region=b"], "region is set twice"),
        (["--set", "regoin=x", str(CHARTS[0])], "Did you mean credential-sidecar.io/region?"),
        (["--set", "duration=1", str(CHARTS[0])], "credential-sidecar.io/duration='1' (from the injector's --set)"),
    ],
)
def test_a_set_that_is_no_pair_or_says_nothing_known_is_refused(argv: list[str], words: str) -> None:
    code, out, err = ran(argv)
    assert (code, out) == (2, b"")
    assert err.count(words) == 1, "not once for each pod"


def test_what_is_set_twice_is_not_repeated() -> None:
    code, _, err = ran(["--set", "https-proxy=http://proxy", "--set", "https-proxy=http://user:password@proxy"])
    assert code == 2
    assert "password" not in err


def test_a_value_may_have_equals_signs(out: Output, tmp_path: Path) -> None:
    (tmp_path / "it.yaml").write_text("apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: app}]\n")
    assert main(["inject", *SETS, "--set", "session-tags=a=b,c=d", str(tmp_path / "it.yaml")]) == 0
    assert b'{name: SIDECAR_SESSION_TAGS, value: "a=b,c=d"}' in out.readouterr().out


def test_what_pods_have_to_complete_may_be_set_for_all(out: Output, tmp_path: Path) -> None:
    asked = {f"credential-sidecar.io/{name}": text for name, text in (("profiles", "orders"), ("region", "eu-west-1"))}
    metadata = {"name": "orders", "annotations": asked}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "app"}]}}
    (tmp_path / "it.json").write_text(json.dumps(body))
    assert main(["inject", "--set", "config-map=orders-profiles", str(tmp_path / "it.json")]) == 0
    assert b'"configMap": {"name": "orders-profiles"}' in out.readouterr().out


def test_on_a_terminal_nothing_is_waited_for() -> None:
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            INJECT, stdin=theirs, env={}, capture_output=True, text=True, check=False, cwd=ROOT, timeout=30
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no manifest is given. Name files, or give manifests on standard input." in done.stderr


def test_who_reads_no_further_is_told_nothing(tmp_path: Path) -> None:
    (tmp_path / "many.yaml").write_text("---\n".join(["a: " + "x" * 1000 + "\n"] * 500))  # more than a pipe holds
    inject = subprocess.Popen(
        [*INJECT, str(tmp_path / "many.yaml")], env={}, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert inject.stdout
    assert inject.stderr
    with inject, inject.stderr:
        assert inject.stdout.read(1) == b"a"
        inject.stdout.close()
        told = inject.stderr.read()
    assert inject.returncode == 1
    assert told.splitlines() == [b"credential-sidecar: there is no workload in what was given: it was left as it was"]


@pytest.mark.parametrize(
    ("argv", "who", "package"),
    [(["inject"], "inject", "yaml"), (["webhook", "--tls-dir", "/"], "the webhook", "orjson")],
)
def test_without_its_extra_it_says_what_to_install(tmp_path: Path, argv: list[str], who: str, package: str) -> None:
    folder = tmp_path / package.partition(".")[0]
    folder.mkdir()
    (folder / "__init__.py").write_text(f"raise ModuleNotFoundError(name={package!r})\n")
    command = [sys.executable, "-m", "sidecar", *argv]
    env = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=env, capture_output=True, check=False, cwd=ROOT, timeout=30, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{who} needs the package {package}: pip install 'credential-sidecar[kube]'" in done.stderr


def test_what_is_injected_by_the_command_is_injected_by_the_function(out: Output) -> None:
    (path, *_) = CHARTS
    assert main(["inject", *SETS, str(path)]) == 0
    assert out.readouterr().out.decode() == injected(path.read_text())
