"""A real Chromium over its own protocol (DevTools): no driver beside it, nothing that it fetches goes unseen.

async with browser(home) as chromium:
    tab = await chromium.tab(width=360)
    await tab.open("http://127.0.0.1:9912/")
    await tab.until("document.title.startsWith('expired')", within=90)
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

# Real seconds for anything a browser does by itself; its start takes two on a busy machine.
PATIENCE: Final = 30.0
_FLAGS: Final = (
    *(
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--hide-scrollbars",
        "--disable-lcd-text",
    ),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server"),
    *("--remote-debugging-port=0", "about:blank"),
)
# Resolves once EXPRESSION is true; asked at every frame and at every change of the page.
_UNTIL: Final = "new Promise(done => {{ const look = () => ({}) ? done(true) : setTimeout(look, 50); look(); }})"


class Tab:
    """One page: what it asked for, what it complained of, and what can be done to it."""

    def __init__(self, chromium: Chromium, session: str) -> None:
        self._chromium, self.session = chromium, session
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.loaded = asyncio.Condition()
        self.loads = 0

    async def send(self, method: str, **parameters: object) -> dict[str, Any]:
        """What the browser answers to a command."""
        return await self._chromium.send(method, self.session, **parameters)

    async def hear(self, method: str, facts: dict[str, Any]) -> None:
        """What the browser tells by itself."""
        match method:
            case "Network.requestWillBeSent":
                self.requests.append(facts["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(f"{facts['entry']['level']}: {facts['entry']['text']}")
            case "Runtime.exceptionThrown":
                self.complaints.append(str(facts["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self.complaints.append(f"console: {facts['args']}")
            case "Page.loadEventFired":
                async with self.loaded:
                    self.loads += 1
                    self.loaded.notify_all()
            case _:
                pass

    async def open(self, url: str) -> None:
        """Goes there, and is there."""
        before = self.loads
        await self.send("Page.navigate", url=url)
        await self.load(before + 1)

    async def load(self, number: int) -> None:
        """It has been loaded so many times."""
        async with asyncio.timeout(PATIENCE), self.loaded:
            await self.loaded.wait_for(lambda: self.loads >= number)

    async def value(self, expression: str, within: float = PATIENCE) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        async with asyncio.timeout(within):
            found = await self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, expression: str, within: float = PATIENCE) -> None:
        """The expression has become true."""
        await self.value(_UNTIL.format(expression), within)

    async def texts(self, selector: str) -> list[str]:
        """What stands in the elements, spaces as a reader takes them."""
        collected = f"Array.from(document.querySelectorAll({json.dumps(selector)}), each => each.textContent)"
        return [" ".join(text.split()) for text in await self.value(collected)]

    async def picture(self, width: int, height: int) -> bytes:
        """The top of the page as a PNG."""
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        taken = await self.send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(taken["data"])


class Chromium:
    """A running browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tabs: dict[str, Tab] = {}

    async def send(self, method: str, session: str | None = None, **parameters: object) -> dict[str, Any]:
        """What the browser answers to a command."""
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        whose = {"sessionId": session} if session else {}
        await self._socket.send_json({"id": number, "method": method, "params": parameters, **whose})
        return await answer

    async def listen(self) -> None:
        """Hands on what the browser says, until it says no more."""
        async for message in self._socket:
            said = json.loads(message.data)
            if answer := self._waiting.pop(said.get("id", 0), None):
                assert "error" not in said, said
                answer.set_result(said["result"])
            elif tab := self._tabs.get(said.get("sessionId", "")):
                await tab.hear(said["method"], said["params"])

    async def tab(self, *, width: int = 800, scale: float = 1, theme: str = "light", has_scripts: bool = True) -> Tab:
        """A new page of `width` CSS pixels, `scale` pixels each, in a light or dark theme."""
        target = await self.send("Target.createTarget", url="about:blank")
        attached = await self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        tab = self._tabs[attached["sessionId"]] = Tab(self, attached["sessionId"])
        for domain in ("Page", "Network", "Log", "Runtime"):
            await tab.send(f"{domain}.enable")
        size = {"width": width, "height": 640, "deviceScaleFactor": scale, "mobile": width < 500}
        await tab.send("Emulation.setDeviceMetricsOverride", **size)
        await tab.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        await tab.send("Emulation.setScriptExecutionDisabled", value=not has_scripts)
        return tab


@asynccontextmanager
async def browser(home: Path) -> AsyncIterator[Chromium]:
    """A browser with a profile of its own below `home`; skips where there is none."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium: apt install chromium")
    process = await asyncio.create_subprocess_exec(
        program, *_FLAGS, f"--user-data-dir={home / 'profile'}", stdout=DEVNULL, stderr=PIPE
    )
    assert process.stderr
    try:
        async with aiohttp.ClientSession() as http, http.ws_connect(await _address(process.stderr)) as socket:
            chromium = Chromium(socket)
            listening = asyncio.create_task(chromium.listen(), name="chromium")
            quiet = asyncio.create_task(_drain(process.stderr), name="what chromium mutters")
            yield chromium
            await chromium.send("Browser.close")
            await asyncio.wait([listening, quiet])
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _address(stderr: asyncio.StreamReader) -> str:
    async with asyncio.timeout(PATIENCE):
        while line := (await stderr.readline()).decode():
            if line.startswith("DevTools listening on "):
                return line.split()[-1]
    raise AssertionError("chromium ended before it listened")


async def _drain(stderr: asyncio.StreamReader) -> None:
    while await stderr.read(65536):
        pass
