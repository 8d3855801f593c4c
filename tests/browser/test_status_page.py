"""The status page as people meet it: a real daemon's, in a real Chromium, through outages and without JavaScript.

Every test looks at what was asked for and complained of on the way: nothing but the page itself, and nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from sidecar.emulator import Emulator, Fault, Kubelet, guide_world
from sidecar.page import duration
from tests.browser.chromium import Chromium, Tab, browser
from tests.builders import ROLE_A, ROLE_B
from tests.harness import usual_settings
from tests.process import ROOT, Sidecar, sidecar
from tests.wire import ask, last

pytestmark = pytest.mark.browser

IMAGES: Final = ROOT / "docs" / "images"
AXE: Final = ROOT / ".browser" / "node_modules" / "axe-core" / "axe.min.js"
LARGEST: Final = 60_000  # bytes of a picture: the repository is cloned by everybody
WIDTH, PHONE = 800, 360
# The shortest session that the emulator grants, in seconds; it is served until 30 s before its end.
SHORT: Final = 90.0
DENIED: Final = Fault.error("AccessDenied", 403).only(action="AssumeRole")
# What stands on the page of what is in the document.
SHOWN: Final = """(() => {
  const text = (part, selector) => part.querySelector(selector)?.textContent ?? null;
  const every = (part, selector, what) => Array.from(part.querySelectorAll(selector), what);
  const target = part => ({
    name: text(part, "h2").slice(0, -text(part, ".phase").length), phase: text(part, ".phase"),
    expiration: part.querySelector(".outlook time")?.getAttribute("datetime") ?? null,
    hops: every(part, ".hop", hop => ({role: text(hop, ".arn"), phase: text(hop, ".life b")})),
    error: part.querySelector(".error") && {
      code: text(part, ".error b"), class: text(part, ".kind"), message: text(part, ".remedy"),
      runbook: text(part, ".error code"),
      hop: every(part, ".hop", hop => hop.querySelector(".error") !== null).indexOf(true) + 1},
  });
  const event = row => ({
    at: row.querySelector("time").getAttribute("datetime"), event: text(row, "code"),
    level: text(row, ".level") ?? "info",
    message: row.lastChild.textContent.slice((text(row, ".level") ?? "").length, -text(row, "code").length).trim()});
  return {targets: every(document, ".target", target), events: every(document, "tbody tr", event)};
})()"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A pod's worth: STS, the daemon's process, a browser, and where the page is."""

    sts: Emulator
    running: Sidecar
    chromium: Chromium

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.running.port('status')}/"

    async def tab(self, **look: Any) -> Tab:
        """The page, opened."""
        tab = await self.chromium.tab(**look)
        await tab.open(self.url)
        return tab

    async def status(self) -> dict[str, Any]:
        """The document that the page is drawn from."""
        return dict((await ask(self.running.port("status"), last("/status"))).document)

    async def breaks(self, fault: Fault) -> None:
        """STS fails from now on, and a refresh is asked for."""
        self.sts.fault = fault
        self.running.signal(signal.SIGHUP)
        await self.running.event("HopFailed")


@asynccontextmanager
async def stage(
    home: Path, settings: Mapping[str, str] | None = None, *, issued_life: float | None = None
) -> AsyncIterator[Stage]:
    async with Emulator(guide_world) as sts, browser(home) as chromium:
        sts.issued_life = issued_life
        kubelet = Kubelet(home / "projected", sts)
        kubelet.project()
        usual = usual_settings(home, sts.url, kubelet.path)
        async with sidecar({**usual, **(settings or {})}) as running:
            yield Stage(sts=sts, running=running, chromium=chromium)


async def checked(here: Stage, tab: Tab) -> None:
    """The tab has asked for nothing but the page, complains of nothing, has no barrier, and shows what is so."""
    assert {*tab.requests} == {here.url}
    assert tab.complaints == []
    assert await barriers(tab) == []
    await as_the_status(here, tab)


async def as_the_status(here: Stage, tab: Tab) -> None:
    """What stands there is what is so: at the next look at the latest, since it may have changed after this one."""
    if await tab.value(SHOWN) != drawn(await here.status()):
        await tab.value("window.last = document.querySelector('main'); 0")
        await tab.until("document.querySelector('main') !== window.last")
    assert await tab.value(SHOWN) == drawn(await here.status())


def drawn(document: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be seen of the document."""
    return {"targets": [_drawn(each) for each in document["targets"]], "events": document["events"]}


def _drawn(target: Mapping[str, Any]) -> dict[str, Any]:
    told = ("code", "class", "message", "hop", "runbook")
    wrong = target["error"] and {name: target["error"].get(name) for name in told}
    hops = [{"role": hop["role"], "phase": hop["phase"]} for hop in target["hops"]]
    expiration = target["expiration"] if target["phase"] in ("fresh", "stale") else None
    return {"name": target["name"], "phase": target["phase"], "expiration": expiration, "hops": hops, "error": wrong}


async def barriers(tab: Tab) -> list[str]:
    """What axe finds: rule, impact and place of each."""
    if not AXE.is_file():
        pytest.skip("no axe-core: `make browser` fetches it by npm (apt install nodejs npm)")
    await tab.value(AXE.read_text("utf-8") + ";0")
    found = await tab.value("axe.run(document, {resultTypes: ['violations']})")
    assert len(found["passes"]) > 15
    return [f"{each['id']} ({each['impact']}): {each['nodes'][0]['html']}" for each in found["violations"]]


async def pictured(tab: Tab, name: str, height: int, width: int = WIDTH) -> None:
    """Takes the picture of the docs, where that is asked for by WRITE=1."""
    if not os.environ.get("WRITE"):
        return
    if shutil.which("pngquant") is None:
        pytest.skip("no pngquant: apt install pngquant")
    quantised = ("pngquant", "--strip", "--speed", "1", "--nofs", "64", "-")
    made = subprocess.run(quantised, input=await tab.picture(width, height), capture_output=True, check=True).stdout
    assert len(made) <= LARGEST, name
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / f"status-{name}.png").write_bytes(made)


async def test_the_page_follows_an_outage_by_itself(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        await here.running.served()
        tab = await here.tab()
        assert await tab.value("document.title") == "fresh: default – credential-sidecar"
        await checked(here, tab)
        await pictured(tab, "healthy", 920)
        await here.breaks(Fault.error("ServiceUnavailable", 503))
        await tab.until("document.title.startsWith('stale: default')")
        assert await tab.texts("#news") == ["default is stale"]
        await checked(here, tab)
        await pictured(tab, "stale", 660)
        here.sts.fault = Fault.none()
        await tab.until("document.title.startsWith('fresh: default')")
        assert await tab.texts("#news") == ["default is fresh"]
        await checked(here, tab)
        assert tab.loads == 1  # it was never loaded again as a whole


async def test_the_time_that_is_left_runs_down_between_two_looks(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        await here.running.served()
        tab = await here.tab()
        await tab.value("getSelection().selectAllChildren(document.querySelector('.arn'))")  # then there is no look
        times = "Array.from(document.querySelectorAll('.outlook .time, .life .time'), each => each.textContent)"
        bars = "Array.from(document.querySelectorAll('.left'), each => Number(each.getAttribute('width')))"
        seen = [await tab.value(times), await tab.value(bars), len(tab.requests)]
        assert all(seen)
        await tab.until(f"{times}.every((text, at) => text !== {json.dumps(seen[0])}[at])")
        await tab.until(f"{bars}.every((width, at) => width < {seen[1]}[at])")
        assert len(tab.requests) == seen[2]


async def test_an_outage_that_outlives_the_session_is_seen_to_the_end(tmp_path: Path) -> None:
    async with stage(tmp_path, issued_life=SHORT) as here:
        await here.running.served()
        await here.breaks(Fault.error("Throttling"))
        tab = await here.tab()
        await tab.until("document.title.startsWith('expired: default')", within=SHORT)
        # A phase is told at the loop's next turn, and that at the page's next look.
        await here.running.event("PhaseChanged", after="expired")
        await tab.until("document.querySelector('tbody code').textContent === 'PhaseChanged'")
        await checked(here, tab)
        assert await tab.texts(".unserved") == ["Nothing is served"]
        await pictured(tab, "expired", 700)


async def test_a_denial_is_shown_with_its_remedy_in_every_look(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        await here.running.served()
        await here.breaks(DENIED)
        looks: Mapping[str, Mapping[str, Any]] = {
            "denied": {"width": WIDTH},
            "dark": {"width": WIDTH, "theme": "dark"},
            "phone": {"width": PHONE, "scale": 2},
        }
        for name, look in looks.items():
            tab = await here.tab(**look)
            await checked(here, tab)
            (remedy,) = await tab.texts(".remedy")
            assert remedy.startswith("the role refused its source")
            await pictured(tab, name, 690, look["width"])


async def test_nothing_is_wider_than_a_phone(tmp_path: Path) -> None:
    role = f"arn:aws:iam::444455556666:role/{'long-path/' * 40}{'x' * 64}"
    async with stage(tmp_path, {"SIDECAR_TARGET_ROLE_ARN": role}) as here:
        await here.running.event("HopFailed", hop=2)
        tab = await here.tab(width=PHONE)
        await checked(here, tab)
        assert await tab.value("document.documentElement.scrollWidth") <= PHONE


async def test_two_targets_are_told_apart_and_the_worse_one_is_in_the_title(tmp_path: Path) -> None:
    first = f"role_arn = {ROLE_A}\nweb_identity_token_file = {tmp_path}/projected/token\n"
    others = "".join(
        f"[profile {name}]\nsource_profile = a\nrole_arn = {role}\n"
        for name, role in (("orders", ROLE_B), ("invoices", f"{ROLE_B}-of-invoices"))
    )
    (tmp_path / "config").write_text(f"[profile a]\n{first}{others}")
    unset = dict.fromkeys(("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "SIDECAR_TARGET_ROLE_ARN"), "")
    profiles = {"SIDECAR_PROFILES": "orders,invoices", "AWS_CONFIG_FILE": str(tmp_path / "config")}
    async with stage(tmp_path, {**unset, **profiles}) as here:
        await here.running.event("HopFailed", hop=2)
        tab = await here.tab()
        await tab.until("document.querySelector('h1').textContent === '1 of 2 targets is empty: invoices'")
        await checked(here, tab)
        await pictured(tab, "two-targets", 1080)


async def test_without_javascript_the_page_is_whole_and_loads_itself_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        await here.running.served()
        tab = await here.tab(has_scripts=False)
        await as_the_status(here, tab)
        await here.breaks(DENIED)
        await tab.load(tab.loads + 2)  # the next may have been asked for before
        assert await tab.texts("h1") == ["default is stale"]
        await as_the_status(here, tab)
        assert {*tab.requests} == {here.url}
        assert tab.complaints == []


async def test_a_sidecar_that_is_gone_is_said_to_be_gone(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        await here.running.served()
        tab = await here.tab()
        here.running.signal(signal.SIGTERM)
        await tab.until("document.title.startsWith('no answer')")
        assert await tab.texts("#news") == ["The sidecar does not answer. What is below was so when it last did."]
        assert {*tab.requests} == {here.url}


async def test_the_keyboard_finds_the_links_and_shows_where_it_is(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        tab = await here.tab()
        for _ in range(2):
            for kind in ("keyDown", "keyUp"):
                await tab.send("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        assert await tab.value("document.activeElement.textContent") == "metrics"
        assert await tab.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"


async def test_what_somebody_is_copying_stays_where_it_is(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        await here.running.served()
        tab = await here.tab()
        await tab.value("getSelection().selectAllChildren(document.querySelector('.arn'))")
        await here.breaks(DENIED)
        await tab.until("performance.now() > 6000")  # at five seconds it would have been drawn anew
        assert await tab.value("String(getSelection())") == ROLE_A
        await tab.value("getSelection().removeAllRanges()")
        await tab.until("document.title.startsWith('stale')")


async def test_what_somebody_selects_while_the_answer_is_under_way_stays_too(tmp_path: Path) -> None:
    held = "window.fetch = (...asked) => new Promise(go => { window.go = go; }).then(() => fetched = ask(...asked))"
    async with stage(tmp_path) as here:
        await here.running.served()
        tab = await here.tab()
        await tab.value(f"var ask = window.fetch, fetched; {held}; 0")
        await tab.until("window.go")
        await tab.value("getSelection().selectAllChildren(document.querySelector('.arn')); go()")
        await tab.until("fetched")
        await tab.value("fetched.then(answer => new Promise(done => setTimeout(done, 500)))")
        assert await tab.value("String(getSelection())") == ROLE_A


async def test_script_and_server_say_durations_alike(tmp_path: Path) -> None:
    script = (ROOT / "sidecar" / "page.js").read_text("utf-8")
    parts = [re.search(rf"  const {name} = .*?;\n(?=\n|  const)", script, re.DOTALL) for name in ("UNITS", "duration")]
    source = "".join(part.group() for part in parts if part)
    seconds = [-1, 0, 0.9, 59.9, 60, 61, 3599, 3600, 3660, 86_399, 86_400, 90_000, 1e6]
    async with browser(tmp_path) as chromium:
        tab = await chromium.tab()
        said = await tab.value(f"(() => {{ {source} return {seconds}.map(duration); }})()")
    assert said == [duration(each) for each in seconds]


async def test_what_is_not_the_pages_own_is_neither_run_nor_fetched(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        tab = await here.tab()
        planted = "Object.assign(document.createElement('script'), {textContent: 'window.planted = 1'})"
        await tab.value(f"document.body.append({planted})")
        await tab.value("fetch('https://example.com/').catch(() => 0)")
        assert await tab.value("window.planted ?? null") is None
        assert len([each for each in tab.complaints if "Content Security Policy" in each]) >= 2
        assert {*tab.requests} == {here.url}
