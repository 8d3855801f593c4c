"""The webhook over real TLS: what is answered to whom, certificates that change under load, its end, and its bounds."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import ssl
import subprocess
import sys
from asyncio.subprocess import PIPE
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from jsonpatch import apply_patch
from prometheus_client.parser import text_string_to_metric_families as families

from sidecar.errors import ConfigError
from sidecar.events import MOST_TOLD, Event, HandlerFailed, Listening, Stopping
from sidecar.http import LONG_ONES, Limits
from sidecar.kube import webhook
from sidecar.kube.certificates import CertificateLoaded
from sidecar.kube.injection import Injector
from sidecar.kube.metrics import DEFINITIONS
from sidecar.kube.reviews import OUTCOMES, Answer, PodDenied, Reviewer
from sidecar.kube.webhook import LARGEST, TOLD, Options, Place, Webhook, WebhookStarted
from sidecar.metrics import PREFIX
from sidecar.model import Outside
from sidecar.settings import Address
from tests.authority import DAY, Authority, Mounted
from tests.builders import ROLE_A, ROLE_B
from tests.process import ROOT, Sidecar, environment
from tests.wire import HANG, Response, ask, connected, exchange, get, last, post, receive, responses, until

AUTHORITY = Authority()
CLIENT = AUTHORITY.client()
ANNOTATIONS = {"credential-sidecar.io/source-role-arn": ROLE_A, "credential-sidecar.io/target-role-arn": ROLE_B}
MEGABYTE = 2**20
CLIENTS = 8  # while certificates change


def pod(**metadata: Any) -> dict[str, Any]:
    """A pod that asks for the sidecar."""
    said = {"labels": {"credential-sidecar.io/inject": "true"}, "annotations": ANNOTATIONS, **metadata}
    spec = {"containers": [{"name": "app", "image": "i"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": said, "spec": spec}


def review(body: object, **request: Any) -> bytes:
    """What an API server sends when `body` is to be created."""
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    said = {"uid": "u-1", "kind": kind, "namespace": "shop", "operation": "CREATE", "object": body, **request}
    return json.dumps({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": said}).encode()


def ending(body: bytes, path: str = "/v1/pods?timeout=5s") -> bytes:
    """A review as the connection's last request."""
    return post(body, path, "Connection: close")


def response(answer: Response) -> dict[str, Any]:
    """The response in an AdmissionReview, which is what every review gets."""
    assert (answer.status, answer.fields["content-type"]) == (200, "application/json")
    said: dict[str, Any] = json.loads(answer.body)
    assert (said["apiVersion"], said["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    found: dict[str, Any] = said["response"]
    return found


@dataclass(kw_only=True)
class Life:
    """A webhook on free ports, with clocks that are turned by hand."""

    mounted: Mounted
    drain: float = 0.0
    now: float = 100.0
    wall: float = AUTHORITY.pair().expiration - DAY.total_seconds()
    events: list[Event] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    hook: Webhook = field(init=False)

    @property
    def options(self) -> Options:
        """Loopback, and any port."""
        place = Place(address=Address(host="127.0.0.1", port=0), setting="--listen", source="a test")
        folder = str(self.mounted.folder)
        return Options(image="sidecar:1", tls_dir=folder, reviews=place, status=place, drain=self.drain)

    def made(self) -> Webhook:
        """The webhook, not yet serving."""
        numbers = count()
        outside = Outside(
            clock=lambda: self.now,
            wall=lambda: self.wall,
            chance=lambda: 0.5,
            random_token=lambda: f"{next(numbers):043}",
            boot="boot",
        )
        defaults = {"region": "eu-central-1"}
        injector = Injector(image="sidecar:1", defaults=defaults, random_token=outside.random_token)
        return Webhook(self.options, Reviewer(injector), outside, self.events.append)

    def port(self, face: str) -> int:
        """Where `reviews` or `status` listens."""
        found = next(each for each in self.events if isinstance(each, Listening) and each.face == face)
        return int(found.addresses[0].rpartition(":")[2])

    async def ask(self, raw: bytes) -> Response:
        """The answer to a last request for a review."""
        return await ask(self.port("reviews"), raw, tls=CLIENT)

    async def probe(self, path: str) -> Response:
        """The answer of the status listener."""
        return await ask(self.port("status"), last(path))

    async def counted(self) -> dict[str, float]:
        """The reviews by their outcome."""
        text = (await self.probe("/metrics")).body.decode()
        name = f"{PREFIX}webhook_reviews_total"
        found = (sample for family in families(text) for sample in family.samples if sample.name == name)
        return {sample.labels["outcome"]: sample.value for sample in found}

    def happened(self, kind: type[Event]) -> list[Any]:
        """The events of that kind."""
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def living(tmp_path: Path, **changes: Any) -> AsyncIterator[Life]:
    """A webhook that serves until the end of the block."""
    life = Life(mounted=Mounted(tmp_path / "tls", AUTHORITY.pair()), **changes)
    life.hook = life.made()
    serving = asyncio.create_task(life.hook.serve(life.stop))
    await until(lambda: serving.done() or len(life.happened(Listening)) == 2)
    try:
        yield life
    finally:
        life.stop.set()
        await serving


# Reviews


async def test_a_pod_is_answered_with_a_patch_that_gives_it_the_sidecar(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        said = response(await life.ask(ending(review(pod()))))
    assert (said["uid"], said["allowed"], said["patchType"]) == ("u-1", True, "JSONPatch")
    patched = apply_patch(pod(), json.loads(b64decode(said["patch"])))
    assert [each["image"] for each in patched["spec"]["initContainers"]] == ["sidecar:1"]


async def test_reviews_follow_each_other_on_a_kept_connection(tmp_path: Path) -> None:
    async with living(tmp_path) as life, connected(life.port("reviews"), tls=CLIENT) as (reader, writer):
        for number in range(50):
            writer.write(post(review(pod(), uid=f"u-{number}"), "/v1/pods"))
            answer = await receive(reader)
            assert response(answer)["uid"] == f"u-{number}"
            assert "connection" not in answer.fields
        assert await life.counted() == {"injected": 50, "unchanged": 0, "denied": 0, "malformed": 0}


async def test_a_namespace_whose_label_is_unclear_is_denied(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        said = response(await life.ask(ending(review(pod()), "/v1/unclear")))
        assert (said["allowed"], said["status"]["code"]) == (False, 403)
        assert (await life.counted())["denied"] == 1


GARBAGE = [b"", b"{}", b"null", b"\xff\xfe", b"[" * 100_000, b'{"request":' * 9_000, b"\x00" * 99]


@pytest.mark.parametrize("body", GARBAGE)
async def test_garbage_gets_a_review_with_a_denial(body: bytes, tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        for path in ("/v1/pods", "/v1/unclear"):
            said = response(await life.ask(ending(body, path)))
            assert (said["allowed"], said["status"]["code"]) == (False, 400)
        assert (await life.counted())["malformed"] == 2
        assert life.happened(HandlerFailed) == []


async def test_a_review_that_comes_in_chunks_is_a_review(tmp_path: Path) -> None:
    body = review(pod())
    raw = get("/v1/pods", "Transfer-Encoding: chunked", method="POST") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    async with living(tmp_path) as life:
        assert response(await life.ask(raw))["allowed"] is True


@pytest.mark.parametrize("size", [LARGEST + 1, 3 * MEGABYTE])
async def test_a_review_that_is_too_large_is_denied_by_its_own_uid(size: int, tmp_path: Path) -> None:
    large = review(pod(annotations={"filler": "x" * size}), uid="705ab4f5-6393-11e8")
    async with living(tmp_path) as life, connected(life.port("reviews"), tls=CLIENT) as (reader, writer):
        for _ in range(2):  # the connection is kept
            writer.write(post(large, "/v1/pods"))
            said = response(await receive(reader))
            assert (said["uid"], said["allowed"], said["status"]["code"]) == ("705ab4f5-6393-11e8", False, 413)


async def test_a_bug_in_the_reviewer_is_a_500_and_told_by_its_place(tmp_path: Path) -> None:
    def broken(body: bytes) -> Answer:
        raise KeyError("a secret")

    async with living(tmp_path) as life:
        life.hook._answers = {"/v1/pods": broken}
        assert (await life.ask(ending(review(pod())))).status == 500
        (failed,) = life.happened(HandlerFailed)
        assert (failed.face, failed.error) == ("reviews", "KeyError")
        assert "secret" not in repr(failed)


WRONG = {
    "path": (ending(review({}), "/v1/other"), 404, "NotFound"),
    "root": (last("/"), 404, "NotFound"),
    "get": (last("/v1/pods"), 405, "MethodNotAllowed"),
    "put": (
        get("/v1/unclear", "Content-Length: 2", "Connection: close", method="PUT") + b"{}",
        405,
        "MethodNotAllowed",
    ),
    "no request": (b"hello\r\n\r\n", 400, "BadRequest"),
    "head": (get("/v1/pods", "X: " + "x" * 20_000, method="POST"), 431, "RequestTooLarge"),
    "metrics": (last("/metrics"), 404, "NotFound"),
}


@pytest.mark.parametrize(("raw", "status", "code"), WRONG.values(), ids=WRONG)
async def test_what_is_no_review_gets_the_one_shape_of_an_error(
    raw: bytes, status: int, code: str, tmp_path: Path
) -> None:
    async with living(tmp_path) as life:
        answer = await life.ask(raw)
        assert (answer.status, answer.code) == (status, code)
        assert answer.fields.get("allow") == ("POST" if status == 405 else None)
        assert sum((await life.counted()).values()) == 0


async def test_tls_below_1_2_is_refused(tmp_path: Path) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(AUTHORITY.write(tmp_path / "ca.crt"))
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with living(tmp_path) as life:
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            await exchange(life.port("reviews"), last(), tls=old)
        assert (await life.probe("/readyz")).status == 200


async def test_plain_http_to_the_port_of_reviews_gets_nothing(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        assert not (await exchange(life.port("reviews"), ending(review(pod())))).startswith(b"HTTP")
        assert response(await life.ask(ending(review(pod()))))["allowed"] is True


async def test_clients_that_stop_amid_a_review_hinder_nobody(tmp_path: Path) -> None:
    async with living(tmp_path) as life, AsyncExitStack() as stack:
        raw = ending(review(pod(annotations={**ANNOTATIONS, "filler": "x" * 100_000})))
        for size in (10, 300, 5_000, len(raw) - 1) * 4:
            _, writer = await stack.enter_async_context(connected(life.port("reviews"), tls=CLIENT))
            writer.write(raw[:size])
        async with asyncio.timeout(HANG):
            assert response(await life.ask(ending(review(pod()))))["allowed"] is True


async def test_a_flood_above_the_limit_is_told_so_and_the_rest_is_served(tmp_path: Path) -> None:
    async with living(tmp_path) as life, AsyncExitStack() as stack:
        raw, held = post(review(pod()), "/v1/pods"), []
        for _ in range(webhook.CONNECTIONS):
            held.append(await stack.enter_async_context(connected(life.port("reviews"), tls=CLIENT)))
            held[-1][1].write(raw)  # a connection that was used is kept for longer than this takes
            await receive(held[-1][0])
        for _ in range(5):
            found = await life.ask(ending(review(pod())))
            assert (found.status, found.code) == (503, "TooManyConnections")
        for reader, writer in held:
            writer.write(raw)
            assert response(await receive(reader))["allowed"] is True


def test_api_servers_close_what_is_idle_first() -> None:
    assert webhook.IDLE > 90  # Go's HTTP client; a request that meets the server's own close is an error
    assert Limits(connections=1).head <= 5  # as long as an API server waits


# Probes and metrics


async def test_liveness_and_readiness_are_in_the_clear(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        for path, status in (("/livez", "alive"), ("/readyz", "ready")):
            found = await life.probe(path)
            assert (found.status, found.document) == (200, {"status": status})
        assert (await life.probe("/v1/pods")).status == 404
        assert (await ask(life.port("status"), last("/livez", method="DELETE"))).status == 405


async def test_a_certificate_that_has_expired_is_no_reason_to_restart_and_none_to_send_reviews(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.wall += 10 * DAY.total_seconds()
        found = await life.probe("/readyz")
        assert (found.status, found.code) == (503, "CertificateExpired")
        assert (await life.probe("/livez")).status == 200


async def test_every_series_exists_from_the_first_scrape_and_none_comes_later(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        first = (await life.probe("/metrics")).body.decode()
        for raw in (ending(review(pod())), ending(b"{}"), ending(review(pod()), "/v1/unclear"), ending(review({}))):
            await life.ask(raw)
        later = (await life.probe("/metrics")).body.decode()
    names = [[line.rpartition(" ")[0] for line in text.splitlines() if line[0] != "#"] for text in (first, later)]
    assert names[0] == names[1]
    assert len(names[0]) < 50
    defined = {PREFIX + each.name.removesuffix("_total") for each in DEFINITIONS}
    assert defined <= {each.name for each in families(first)}
    assert not any("_created" in name for name in names[0])
    assert {f'{PREFIX}webhook_reviews_total{{outcome="{each}"}}' for each in OUTCOMES} <= {*names[0]}
    assert {"process_resident_memory_bytes", "process_open_fds"} <= {*names[0]}


async def test_openmetrics_is_given_to_who_asks_for_it(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        found = await ask(life.port("status"), last("/metrics", "Accept: application/openmetrics-text"))
    assert found.fields["content-type"].startswith("application/openmetrics-text")
    assert found.body.endswith(b"# EOF\n")


async def test_promtool_has_nothing_to_say(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool: apt install prometheus")
    async with living(tmp_path) as life:
        await life.ask(ending(review(pod())))
        text = (await life.probe("/metrics")).body
    ended = subprocess.run(["promtool", "check", "metrics"], input=text, check=False, capture_output=True)
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, b"")


async def test_the_expiration_is_the_certificates_in_use(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        pair = AUTHORITY.pair(5 * DAY)
        life.mounted.put(pair)
        await until(lambda: len(life.happened(CertificateLoaded)) == 2)  # at the next look
        text = (await life.probe("/metrics")).body.decode()
    found = {sample.name: sample.value for family in families(text) for sample in family.samples}
    assert found[f"{PREFIX}webhook_certificate_expiration_timestamp_seconds"] == pair.expiration
    assert f'{PREFIX}webhook_certificate_loads_total{{outcome="success"}} 2.0' in text


# What is told


async def test_denials_are_told_with_namespace_name_and_reason_each_once_in_a_while(tmp_path: Path) -> None:
    bad = pod(generateName="orders-", annotations={**ANNOTATIONS, "credential-sidecar.io/duration": "1"})
    bad["spec"]["containers"][0]["env"] = [{"name": "PASSWORD", "value": "hunter2"}]
    async with living(tmp_path) as life:
        for life.now in (0.0, 1.0, TOLD - 1, TOLD):
            await life.ask(ending(review(bad)))
        await life.ask(ending(review(pod(name="x"), name="x", namespace="other"), "/v1/unclear"))
    first, again, unclear = life.happened(PodDenied)
    assert first == again
    assert (first.namespace, first.name) == ("shop", "orders-")
    assert "credential-sidecar.io/duration" in first.reason
    assert "hunter2" not in repr(first)
    assert (unclear.namespace, unclear.name) == ("other", "x")


async def test_denials_that_are_told_are_bounded_in_number_and_in_length(tmp_path: Path) -> None:
    name = f"credential-sidecar.io/{'x' * 60}"
    bad = pod(annotations={f"{name}{number}": "\n" * 50 for number in range(200)})
    async with living(tmp_path) as life, connected(life.port("reviews"), tls=CLIENT) as (reader, writer):
        for number in range(MOST_TOLD + 10):
            writer.write(post(review(bad, namespace=f"n{number}" * 400, name=[number]), "/v1/unclear"))
            await receive(reader)
            writer.write(post(review(bad, namespace=number, object=number), "/v1/pods"))
            await receive(reader)
    told = life.happened(PodDenied)
    assert len(told) == MOST_TOLD
    assert max(len(repr(each)) for each in told) < 1500
    assert not any("\n" in each.reason for each in told)


async def test_a_denied_pod_that_nests_as_deep_as_can_be_read_is_told_of(tmp_path: Path) -> None:
    deep = review(pod(annotations={}, x="deep")).replace(b'"deep"', b"[" * 1000 + b"]" * 1000)
    async with living(tmp_path) as life:
        assert response(await life.ask(ending(deep, "/v1/pods")))["status"]["code"] == 403
    assert len(life.happened(PodDenied)) == 1


async def test_what_is_told_at_the_start_is_the_certificate_the_image_and_where_it_listens(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        told = [type(event) for event in life.events]
    assert told == [CertificateLoaded, WebhookStarted, Listening, Listening]
    assert [event.face for event in life.happened(Listening)] == ["reviews", "status"]


# Certificates that change under load


@dataclass(kw_only=True)
class Load:
    """Clients that ask without a pause, and what they saw."""

    port: int
    count: int = 0
    serials: set[int] = field(default_factory=set)
    is_over: bool = False

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, raw: bytes) -> None:
        writer.write(raw)
        assert response(await receive(reader))["allowed"] is True
        self.count += 1

    def has_seen(self, serial: int) -> bool:
        """Whether a new connection began with it; and a few answers came, for each client one."""
        return serial in self.serials and self.count > CLIENTS

    async def new(self) -> None:
        """On a new connection each time."""
        while not self.is_over:
            async with connected(self.port, tls=CLIENT) as (reader, writer):
                self.serials.add(int(writer.get_extra_info("peercert")["serialNumber"], 16))
                await self._ask(reader, writer, ending(review(pod())))

    async def kept(self) -> None:
        """On one connection."""
        async with connected(self.port, tls=CLIENT) as (reader, writer):
            while not self.is_over:
                await self._ask(reader, writer, post(review(pod()), "/v1/pods"))


async def test_certificates_are_replaced_under_load_and_no_handshake_fails(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        load = Load(port=life.port("reviews"))
        clients = [asyncio.create_task(client()) for client in (load.new, load.kept) * (CLIENTS // 2)]
        for _ in range(20):
            pair, load.count = AUTHORITY.pair(), 0
            life.mounted.put(replace(pair, key=AUTHORITY.pair().key))  # a look may fall between the two files
            life.hook._certificates.look()
            life.mounted.put(pair)
            life.hook._certificates.look()
            await until(partial(load.has_seen, int(pair.serial, 16)))
        load.is_over = True
        await asyncio.gather(*clients)
        assert len(life.happened(CertificateLoaded)) == 21
        assert life.happened(HandlerFailed) == []


# The end


async def test_the_drain_serves_on_says_so_and_lets_connections_go(tmp_path: Path) -> None:
    async with living(tmp_path, drain=30.0) as life, connected(life.port("reviews"), tls=CLIENT) as (reader, writer):
        writer.write(post(review(pod()), "/v1/pods"))
        assert "connection" not in (await receive(reader)).fields
        life.stop.set()
        await until(lambda: bool(life.happened(Stopping)))
        found = await life.probe("/readyz")
        assert (found.status, found.code) == (503, "Stopping")
        assert (await life.probe("/livez")).status == 200
        writer.write(post(review(pod()), "/v1/pods"))
        answer = await receive(reader)
        assert (response(answer)["allowed"], answer.fields["connection"]) == (True, "close")
        assert await reader.read() == b""
        assert response(await life.ask(post(review(pod()), "/v1/pods")))["allowed"] is True
        for task in asyncio.all_tasks():
            if task.get_name() == "certificates":  # nobody waits for the rest of the drain
                task.cancel()


async def test_a_bug_in_the_look_at_certificates_ends_the_webhook_with_it(tmp_path: Path) -> None:
    life = Life(mounted=Mounted(tmp_path / "tls", AUTHORITY.pair()))
    hook = life.made()
    hook._certificates._wall = None  # type: ignore[assignment]  # the bug
    with pytest.raises(TypeError):
        await hook.serve(life.stop)


async def test_a_port_that_is_taken_is_told_and_the_other_is_given_back(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        other = Life(mounted=life.mounted)
        taken = Place(address=Address(host="127.0.0.1", port=life.port("status")), setting="S", source="a test")
        hook = other.made()
        hook._options = replace(hook._options, status=taken)
        with pytest.raises(ConfigError, match="address already in use"):
            await hook.serve(other.stop)


# As a process

# With time for clients that stand still, as on a busy machine.
_PATIENT = """
import sys
from sidecar.cli import main
from sidecar.http import Limits
Limits.__init__.__kwdefaults__.update(head=60.0, arrival=60.0, answer=60.0)
sys.exit(main(sys.argv[1:]))
"""


@asynccontextmanager
async def process(tmp_path: Path, *flags: str, **environ: str) -> AsyncIterator[Sidecar]:
    """`credential-sidecar webhook` on free ports."""
    tls = Mounted(tmp_path / "tls", AUTHORITY.pair())
    places = ("--tls-dir", str(tls.folder), "--listen", "127.0.0.1:0", "--status-listen", "127.0.0.1:0")
    command = (sys.executable, "-c", _PATIENT, "webhook", *places, "--log-format", "json", *flags)
    made = await asyncio.create_subprocess_exec(*command, env=environment(environ), cwd=ROOT, stderr=PIPE)
    running = Sidecar(made)
    try:
        await running.event("Listening", face="status")
        yield running
    finally:
        with suppress(ProcessLookupError):
            made.kill()
        await running.ended()


async def test_sigterm_ends_the_process_after_what_is_in_flight(tmp_path: Path) -> None:
    async with (
        process(tmp_path, "--set", "region=eu-central-1") as running,
        connected(running.port("reviews"), tls=CLIENT) as (reader, writer),
    ):
        body = review(pod())
        writer.write(post(body, "/v1/pods"))
        assert response(await receive(reader))["allowed"] is True
        writer.write(get("/v1/pods", f"Content-Length: {len(body)}", "Expect: 100-continue", method="POST"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        running.signal(signal.SIGTERM)
        await running.event("Stopping")
        writer.write(body)
        answer = await receive(reader)
        assert (response(answer)["allowed"], answer.fields["connection"]) == (True, "close")
        assert await running.ended() == 0
    assert [line["event"] for line in running.log] == [
        *("CertificateLoaded", "WebhookStarted", "Listening", "Listening", "Stopping")
    ]


async def test_a_cluster_that_cannot_be_asked_is_a_warning_and_injection_goes_on(tmp_path: Path) -> None:
    api = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
    async with process(tmp_path, "--set", "region=eu-central-1", **api) as running:
        (doubted,) = [line for line in running.log if line["event"] == "ClusterDoubted"]
        assert doubted["level"] == "warning"
        assert "Connection refused" in doubted["message"]
        raw = await exchange(running.port("reviews"), ending(review(pod())), tls=CLIENT)
        assert response(responses(raw)[0])["allowed"] is True


def _resident(pid: int) -> Iterator[float]:
    """Megabytes that are resident now, and that were at most."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(("VmRSS", "VmHWM")):
            yield int(line.split()[1]) * 1024 / 1e6


async def test_32_reviews_of_a_megabyte_at_once_stay_within_64_mb(tmp_path: Path) -> None:
    large = review(pod(annotations={**ANNOTATIONS, "filler": "x" * (LARGEST - 1_000)}))
    assert LARGEST - 1_000 < len(large) <= LARGEST
    async with process(tmp_path, "--set", "region=eu-central-1") as running:
        asked = (exchange(running.port("reviews"), ending(large), tls=CLIENT) for _ in range(32))
        for raw in await asyncio.gather(*asked):
            assert response(responses(raw)[0])["allowed"] is True
        assert max(_resident(running.process.pid)) < 64
        # No pod, and sent by no API server: nothing of its size takes more memory once it is read.
        hostile = b'{"request":{"uid":"u","object":[' + b"[]," * (LARGEST // 3 - 20) + b"[]]}}"
        raw = ending(hostile)
        asked = (exchange(running.port("reviews"), raw, tls=CLIENT) for _ in range(2 * LONG_ONES))
        for answer in await asyncio.gather(*asked):
            assert response(responses(answer)[0])["allowed"] is False
        assert max(_resident(running.process.pid)) < 100  # the chart gives it 128 MiB


WRONG_COMMANDS = {
    "nothing there": (("--tls-dir", "/nonexistent"), "--tls-dir='/nonexistent'"),
    "a default of no annotation": (("--set", "regoin=x"), "Did you mean credential-sidecar.io/region?"),
    "a default that is wrong": (("--set", "duration=1"), "credential-sidecar.io/duration='1'"),
    "no default": (("--set", "region"), "'region' is not NAME=VALUE"),
    "no address": (("--listen", "localhost:1"), "'localhost:1' is not a literal IP address"),
    "a setting": (("--drain", "never"), "SIDECAR_DRAIN='never'"),
}


@pytest.mark.parametrize(("flags", "words"), WRONG_COMMANDS.values(), ids=WRONG_COMMANDS)
def test_what_cannot_work_is_told_with_exit_2(flags: tuple[str, ...], words: str) -> None:
    command = [sys.executable, "-m", "sidecar", "webhook", *flags]
    ended = subprocess.run(command, env=environment({}), cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_name_that_only_looks_like_a_setting_is_told() -> None:
    command = [sys.executable, "-m", "sidecar", "webhook"]
    env = environment({"SIDECAR_DRIAN": "5"})
    ended = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "Did you mean SIDECAR_DRAIN?" in ended.stderr
