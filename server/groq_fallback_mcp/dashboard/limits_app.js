// Draws the result of check_limits in a host of MCP Apps (revision 2026-01-26), to which it speaks JSON-RPC by messages.

import { byId, say, show } from "./elements.js";
import { drawLimits } from "./limits.js";

const PROTOCOL = "2026-01-26";
const VIEW = "groq-fallback-mcp/limits";
const ANSWERED = new Set(["ping", "ui/resource-teardown"]);
const host = window.parent;
const waiting = new Map();
let lastId = 0;
let asked = {};

function send(message) {
  // the host's origin is not known, and nothing sent is secret
  host.postMessage({ jsonrpc: "2.0", ...message }, "*");
}

function request(method, params) {
  lastId += 1;
  const id = lastId;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    send({ id, method, params });
  });
}

function drawResult(result) {
  const view = result?._meta?.[VIEW];
  show(byId("waiting"), false);
  show(byId("view-now"), view !== undefined);
  show(byId("plain"), view === undefined);
  if (view !== undefined) drawLimits(view);
  else say(byId("plain"), (result?.content ?? []).map((block) => block.text ?? "").join("\n"));
}

function useTheme(theme) {
  if (theme === "light" || theme === "dark") document.documentElement.style.colorScheme = theme;
}

const NOTIFICATIONS = {
  "ui/notifications/tool-input": ({ arguments: given }) => {
    asked = given ?? {};
  },
  "ui/notifications/tool-result": drawResult,
  "ui/notifications/tool-cancelled": () => say(byId("waiting"), "The call was cancelled."),
  "ui/notifications/host-context-changed": ({ theme }) => useTheme(theme),
};

window.addEventListener("message", ({ source, data }) => {
  if (source !== host || data?.jsonrpc !== "2.0") return;
  if (data.method === undefined) {
    const answer = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.error) answer?.reject(new Error(data.error.message));
    else answer?.resolve(data.result);
  } else if (data.id !== undefined) {
    // at the end of the page nothing is to be kept
    if (ANSWERED.has(data.method)) send({ id: data.id, result: {} });
    else send({ id: data.id, error: { code: -32601, message: `unknown method ${data.method}` } });
  } else {
    NOTIFICATIONS[data.method]?.(data.params ?? {});
  }
});

async function refresh() {
  const button = byId("refresh");
  button.disabled = true;
  say(byId("fault"), "");
  try {
    drawResult(await request("tools/call", { name: "check_limits", arguments: { ...asked, probe: false } }));
  } catch (error) {
    say(byId("fault"), `The limits could not be read again: ${error.message}`);
  } finally {
    button.disabled = false;
  }
}

byId("refresh").addEventListener("click", refresh);

try {
  const started = await request("ui/initialize", {
    protocolVersion: PROTOCOL,
    appInfo: { name: "groq-fallback-mcp", version: "1" },
    appCapabilities: {},
  });
  useTheme(started?.hostContext?.theme);
  show(byId("refresh"), started?.hostCapabilities?.serverTools !== undefined);
  send({ method: "ui/notifications/initialized" });
  new ResizeObserver(() => {
    const { offsetWidth: width, offsetHeight: height } = document.body;
    send({ method: "ui/notifications/size-changed", params: { width, height } });
  }).observe(document.body);
} catch (error) {
  say(byId("waiting"), `This page could not be started: ${error.message}`);
}
