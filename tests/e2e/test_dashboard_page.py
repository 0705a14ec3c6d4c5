"""The dashboard's page in a real browser, where one is installed: what it shows, at every width, and when the server goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from browser import browser
from fakes import World
from gateway_process import TOKEN, gateway
from mcp.client.extension import advertise
from servers import connected

from groq_fallback_mcp.mcp_server.limits_app import EXTENSION, LIMITS_URI, VIEW

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]
HELLO = {"model": "auto", "messages": [{"role": "user", "content": "Say hello"}]}
WIDTHS = (360, 768, 1280, 2560)


async def test_the_page_shows_a_call_at_every_width_by_keyboard_and_says_when_the_server_is_gone(tmp_path: Path) -> None:
    """In light and dark, without an error of a script or of the page's policy."""
    async with browser(tmp_path / "browser") as page, gateway(tmp_path) as (client, process, port):
        assert client.headers["authorization"] == f"Bearer {TOKEN}"
        link = (await client.post("/dashboard/link")).json()["path"]
        await page.command("Page.navigate", url=f"http://127.0.0.1:{port}{link}")
        await page.until("document.querySelector('#connection')?.textContent === 'Live'")
        await page.until("location.pathname === '/' && document.querySelectorAll('#limits .card').length > 0")
        assert await page.value("document.querySelector('#no-calls-now').hidden") is False

        # to the second view by keyboard: the link past the navigation, then the views
        for _ in range(3):
            await page.press("Tab", 9)
        await page.press("Enter", 13)
        await page.until("location.hash === '#calls' && !document.querySelector('#no-calls').hidden")
        assert "groq-fallback-mcp chat" in await page.value("document.querySelector('#no-calls').innerText")
        assert (await client.post("/v1/chat/completions", json=HELLO)).status_code == 200
        await page.until("document.querySelectorAll('.call').length === 1")
        await page.value("document.querySelector('.call summary').focus()")
        await page.press("Enter", 13)
        await page.until("document.querySelectorAll('.call[open] .steps li').length > 1")
        assert "answered after" in await page.value("document.querySelector('.steps').innerText")

        for width in WIDTHS:
            await page.command("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
            for scheme in ("light", "dark"):
                features = [{"name": "prefers-color-scheme", "value": scheme}]
                await page.command("Emulation.setEmulatedMedia", features=features)
                for view in ("now", "calls", "cost", "health"):
                    await page.value(f"location.hash = '{view}'")
                    await page.until(f"!document.querySelector('#view-{view}').hidden")
                    wider = await page.value("document.documentElement.scrollWidth - innerWidth")
                    assert wider <= 0, (width, view)
        assert page.problems == []

        process.kill()
        await page.until("document.querySelector('#connection').dataset.state === 'lost'")
        assert "Connection lost, trying again." in await page.value("document.querySelector('#connection').textContent")


# What the specification's hosts allow a page that names no address.
POLICY = "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'none'"
HOST = """
window.heard = [];
const frame = document.createElement("iframe");
frame.sandbox = "allow-scripts allow-same-origin";
frame.style.width = "100%";
frame.style.height = "600px";
frame.srcdoc = PAGE;
const send = (message) => frame.contentWindow.postMessage({ jsonrpc: "2.0", ...message }, "*");
window.addEventListener("message", ({ data }) => {
  heard.push(data);
  if (data.method === "ui/initialize") {
    const hostCapabilities = { serverTools: {} };
    const result = { protocolVersion: data.params.protocolVersion, hostCapabilities, hostInfo: {}, hostContext: { theme: "dark" } };
    send({ id: data.id, result });
  }
  if (data.method === "ui/notifications/initialized") {
    send({ method: "ui/notifications/tool-input", params: { arguments: { tokens: 900 } } });
    send({ method: "ui/notifications/tool-result", params: RESULT });
  }
  if (data.method === "tools/call") send({ id: data.id, result: { content: [{ type: "text", text: "only text" }] } });
});
document.body.append(frame);
window.inside = (selector) => frame.contentDocument?.querySelector(selector);
"""


async def test_a_host_of_mcp_apps_draws_the_limits_and_refreshes_them(tmp_path: Path) -> None:
    """Under the strictest policy of the specification; where a result has no view, its text is shown."""
    async with connected(World(), extensions=[advertise(EXTENSION)]) as client:
        found = await client.call_tool("check_limits", {})
        (page_text,) = (await client.read_resource(LIMITS_URI)).contents
    result = found.model_dump(mode="json", by_alias=True)
    assert VIEW in result["_meta"]
    html = page_text.model_dump()["text"].replace(
        "<head>", f'<head><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    )
    async with browser(tmp_path / "browser") as page:
        await page.value(HOST.replace("PAGE", json.dumps(html)).replace("RESULT", json.dumps(result)))
        await page.until("inside('#limits .card .bar') !== null && !inside('#view-now').hidden")
        assert "right now" in await page.value("inside('#fits').textContent")
        assert await page.value("inside(':root').style.colorScheme") == "dark"
        assert "ui/notifications/size-changed" in await page.value("heard.map((one) => one.method)")
        await page.value("inside('#refresh').click()")
        await page.until("inside('#plain').textContent === 'only text'")
        asked: Any = await page.value("heard.find((one) => one.method === 'tools/call').params")
        assert asked == {"name": "check_limits", "arguments": {"tokens": 900, "probe": False}}
        assert page.problems == []
