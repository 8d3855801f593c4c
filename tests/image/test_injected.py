"""A pod without a sidecar, injected by the image's own webhook, and run: it is who it asked to be."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from jsonpatch import apply_patch

from tests.authority import Authority, Mounted
from tests.builders import ROLE_A, ROLE_B
from tests.image.network import Network
from tests.image.pod import LIMIT, Document, pod, published
from tests.image.podman import HARD, MARKS, facts, log, podman, process_id, says
from tests.kube.pods import injected, injector
from tests.kube.test_webhook import ending, response, review
from tests.test_end_to_end import IDENTITY_B
from tests.wire import Response, ask, last
from tools.image import IMAGE

pytestmark = MARKS

WEBHOOK = "webhook"
AUTHORITY = Authority()


def bare() -> Document:
    """The published pod before anything of ours was in it, with what it asks for."""
    found = published()
    asked = {"source-role-arn": ROLE_A, "target-role-arn": ROLE_B, "region": "eu-west-1"}
    found["metadata"]["annotations"] = {f"credential-sidecar.io/{name}": text for name, text in asked.items()}
    found["metadata"]["labels"]["credential-sidecar.io/inject"] = "true"
    del found["spec"]["initContainers"], found["spec"]["volumes"]
    for container in found["spec"]["containers"]:
        del container["env"], container["volumeMounts"]
    return found


@asynccontextmanager
async def webhook(home: Path) -> AsyncIterator[Network]:
    """The network of a webhook that runs as the chart runs it, with the least memory."""
    mounted = Mounted(home / "tls", AUTHORITY.pair())
    options = ("--detach", f"--name={WEBHOOK}", "--network=none", f"--memory={LIMIT.removesuffix('i')}", *HARD)
    mount = f"--volume={mounted.folder}:/etc/credential-sidecar/tls:ro"
    try:
        await podman("run", *options, mount, IMAGE, "webhook", f"--image={IMAGE}")
        async with log(WEBHOOK) as running:
            await running.event("Listening", face="reviews")
            await running.event("Listening", face="status")
            yield Network(await process_id(WEBHOOK))
    finally:
        await podman("rm", "--force", "--ignore", "--time", "0", WEBHOOK)


async def admitted(network: Network, body: Document) -> dict[str, Any]:
    """What the webhook says of the creation of a pod."""
    with network.entered():
        answer: Response = await ask(9943, ending(review(body)), tls=AUTHORITY.client())
    said = response(answer)
    assert said["allowed"]
    assert "warnings" not in said
    return said


async def test_a_pod_that_the_webhook_injected_is_account_b(tmp_path: Path) -> None:
    (tmp_path / "webhook").mkdir()
    async with webhook(tmp_path / "webhook") as network:
        assert (await facts(WEBHOOK))["Uid"] == "59911 59911 59911 59911"
        with network.entered():
            assert (await ask(9912, last("/readyz"))).status == 200
        patch = json.loads(b64decode((await admitted(network, bare()))["patch"]))
        document = apply_patch(bare(), patch)
        assert "patch" not in await admitted(network, document)  # as when the API server asks again
    (tmp_path / "pod").mkdir()
    async with pod(tmp_path / "pod", document=document) as here, here.serving():
        await here.start("app")
        assert await says(here.container("app")) == IDENTITY_B


async def test_the_image_injects_manifests_too(tmp_path: Path) -> None:
    manifest = tmp_path / "pod.json"
    manifest.write_text(json.dumps(bare()))
    options = ("--rm", "--network=none", *HARD, f"--volume={manifest}:/pod.json:ro")
    out = await podman("run", *options, IMAGE, "inject", f"--image={IMAGE}", "/pod.json")
    assert json.loads(out) == injected(bare(), replace(injector(), image=IMAGE))
