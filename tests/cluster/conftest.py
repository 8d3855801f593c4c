"""One cluster for all tests, and the injector in it as its chart installs it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.authority import Authority
from tests.builders import REGION
from tests.cluster.node import ADDRESS, PATIENCE, TAG, Cluster, cluster
from tests.cluster.objects import namespace, secret, service_account
from tests.deploy import tools
from tests.deploy.charts import CHART, NAMESPACE, RELEASE
from tools import image

_WANTED = ("bridge", "containerd", "ctr", "runc")


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Who signs the injector's certificates."""
    return Authority()


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster without anything of ours but images, and a namespace for orders."""
    found = os.pathsep.join((os.environ["PATH"], "/usr/lib/cni"))
    if missing := [name for name in _WANTED if shutil.which(name, path=found) is None]:
        pytest.skip(f"no {', '.join(missing)}: apt install containerd containernetworking-plugins runc")
    with socket.socket() as sock:
        try:
            sock.bind((ADDRESS, 0))
        except OSError:
            pytest.skip("not in namespaces of its own: `make cluster` makes them, as root")
    if not image.is_built():
        pytest.skip("no image: `make image` makes it, as root on Debian")
    if not (tools.BUILT / "kubernetes").exists():
        pytest.skip("no cluster's programs: `make cluster` builds them, with Go 1.26 or later")
    home = tmp_path_factory.mktemp("node")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", home], check=True)  # gone with the namespace, and all below it
    with cluster(home) as here:
        here.apply(namespace("shop"), service_account("shop"))
        yield here


@pytest.fixture(scope="session")
def injector(kubernetes: Cluster, authority: Authority) -> Cluster:
    """The same with the injector, of which all pods have STS's address."""
    kubernetes.apply(namespace(NAMESPACE), secret(authority))
    authority.write(kubernetes.home / "ca.crt")
    values = {
        "image.repository": image.IMAGE,
        "image.tag": TAG,
        "certificates.mode": "secret",
        "certificates.secretName": "injector-certificate",
        "injection.defaults.region": REGION,
        "injection.defaults.sts-endpoint-url": kubernetes.sts.url,
    }
    words = [f"--set={name}={value}" for name, value in values.items()]
    words += [f"--set-file=certificates.caBundle={kubernetes.home}/ca.crt", "--wait", f"--timeout={PATIENCE}s"]
    done = kubernetes.asked("helm", "install", RELEASE, CHART, "--namespace", NAMESPACE, *words)
    assert done.returncode == 0, done.stderr
    return kubernetes
