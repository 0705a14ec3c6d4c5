// Draws the overview that the server sends.

import { bar, byId, count, dollars, el, keyed, percent, plural, say, seconds, show, words } from "./elements.js";
import { VERY_LOW, drawLimits } from "./limits.js";

const RETRY_MS = 3000;
const POLL_MS = 5000;
const VIEWS = ["now", "calls", "cost", "health"];
const COMMAND = "groq-fallback-mcp dashboard";

const clockTime = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const dayTime = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const fullTime = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });
const data = {};
// Server time minus ours, in seconds.
let offset = 0;

const now = () => Date.now() / 1000 + offset;

// --- now --------------------------------------------------------------------------------------------------------------------

function drawNow({ models, under_way, calls_now, tokens, degraded }) {
  drawLimits({ models, calls_now, tokens, degraded });
  show(byId("no-calls-now"), under_way.length === 0);
  keyed(byId("calls-now"), under_way, (call) => call.id, makeCallNow, updateCallNow);
}

function makeCallNow(call) {
  return el("li", {}, el("time", { "data-since": call.started_at }), el("span"), el("span"), el("span", { class: "soft" }));
}

function updateCallNow(item, call) {
  const [time, who, model, doing] = item.children;
  say(time, seconds(Math.max(now() - call.started_at, 0)));
  say(who, `${call.client || "unknown client"}, ${call.kind}`);
  say(model, call.model || "no model yet");
  say(doing, call.attempts > 1 ? `${call.doing} (attempt ${call.attempts})` : call.doing);
}

// --- calls ------------------------------------------------------------------------------------------------------------------

const filters = { client: "", model: "", outcome: "" };
const modelsOf = (call) => new Set([call.model, ...call.attempts.map((attempt) => attempt.model)].filter(Boolean));
const outcomeOf = (call) => (call.outcome === "answered" && call.fallback ? "answered (fallback)" : words(call.outcome));

function matches(call) {
  return (
    (!filters.client || call.client === filters.client) &&
    (!filters.model || modelsOf(call).has(filters.model)) &&
    (!filters.outcome || outcomeOf(call) === filters.outcome)
  );
}

function drawCalls({ calls, more, kept }) {
  drawFilter("client", calls.map((call) => call.client));
  drawFilter("model", calls.flatMap((call) => [...modelsOf(call)]));
  drawFilter("outcome", calls.map(outcomeOf));
  const shown = calls.filter(matches);
  show(byId("filters"), calls.length > 0);
  show(byId("no-calls"), calls.length === 0 && kept);
  show(byId("no-match"), calls.length > 0 && shown.length === 0);
  show(byId("more-calls"), more);
  say(byId("calls-count"), calls.length ? `${count.format(shown.length)} of the last ${plural(calls.length, "call")}, newest first.` : "");
  keyed(byId("call-list"), shown, (call) => call.id, makeCall);
}

function drawFilter(name, values) {
  const select = byId("filters").elements[name];
  const wanted = [...new Set(values.filter(Boolean))].sort();
  // what is chosen stays, even when the last such call is no longer among those shown
  if (filters[name] && !wanted.includes(filters[name])) wanted.push(filters[name]);
  const options = ["", ...wanted];
  if (options.join("\n") === [...select.options].map((option) => option.value).join("\n")) return;
  select.replaceChildren(...options.map((value) => el("option", { value }, value || "all")));
  select.value = filters[name];
}

function whenOf(started) {
  return (started.toDateString() === new Date().toDateString() ? clockTime : dayTime).format(started);
}

function makeCall(call) {
  const tokens = call.input_tokens + call.output_tokens;
  const started = new Date(call.started_at * 1000);
  const level = call.outcome === "answered" ? "good" : call.outcome === "cancelled" ? "warn" : "bad";
  const text = outcomeOf(call);
  const summary = el(
    "summary",
    {},
    el("span", { class: "time", title: fullTime.format(started) }, whenOf(started)),
    el("span", { class: "client" }, call.client || "unknown client"),
    el("span", { class: "model", title: call.model }, call.model || "no model answered"),
    el("span", { class: `outcome ${level}`, title: text }, text),
    lanes(call),
    el("span", { class: "number duration" }, seconds(call.duration_s)),
    el("span", { class: "number tokens" }, tokens ? `${count.format(tokens)} tok` : ""),
    el("span", { class: "number cost" }, dollars(call.usd)),
  );
  const details = el("details", { class: "call", role: "listitem" }, summary);
  // most are never opened
  details.addEventListener("toggle", () => {
    if (details.children.length === 1) details.append(el("p", { class: "facts" }, factsOf(call)), steps(call));
  });
  return details;
}

function endOf(attempt) {
  if (!attempt.sent) return "skipped";
  return attempt.outcome === "answered" || attempt.outcome === "cancelled" ? attempt.outcome : "failed";
}

function place(mark, from, share) {
  mark.style.setProperty("--from", String(Math.min(Math.max(from, 0), 1)));
  mark.style.setProperty("--share", String(Math.min(Math.max(share, 0), 1)));
  return mark;
}

function marksOf(attempt, whole) {
  if (!attempt.sent) return [];
  const marks = [place(el("span", { "data-end": endOf(attempt) }), attempt.begun_s / whole, attempt.duration_s / whole)];
  if (attempt.first_token_s !== null) {
    marks.push(place(el("span", { class: "first" }), (attempt.begun_s + attempt.first_token_s) / whole, 0));
  }
  return marks;
}

const lengthOf = (call) => Math.max(call.duration_s, ...call.attempts.map((one) => one.begun_s + one.duration_s), 0.001);

function lanes(call) {
  const whole = lengthOf(call);
  return el("span", { class: "lanes", "aria-hidden": "true" }, ...call.attempts.flatMap((attempt) => marksOf(attempt, whole)));
}

function factsOf(call) {
  const facts = [
    call.endpoint && `through ${call.endpoint}`,
    call.requested ? `model requested: ${call.requested}` : call.use_case && `use case: ${words(call.use_case)}`,
    call.waited_s > 0 && `waited ${seconds(call.waited_s)} for limits`,
    call.input_tokens && `${count.format(call.input_tokens)} tokens in`,
    call.cached_tokens && `${count.format(call.cached_tokens)} of them cached`,
    call.output_tokens && `${count.format(call.output_tokens)} tokens out`,
    call.audio_s && `${seconds(call.audio_s)} of audio`,
    call.model && (call.usd === null ? "price not known" : dollars(call.usd)),
    call.simulated && "SIMULATED: not a real Groq answer",
  ];
  return facts.filter(Boolean).join(" · ");
}

function steps(call) {
  const whole = lengthOf(call);
  const list = el("ol", { class: "steps" });
  const add = (at, text, level, marks = []) =>
    list.append(
      el("li", {}, el("span", { class: "soft" }, seconds(at)), el("span", { class: level }, text), marks.length ? el("span", { class: "lane", "aria-hidden": "true" }, ...marks) : null),
    );
  for (const attempt of call.attempts) {
    // 200 is a stream that broke off
    const status = attempt.status === 200 ? null : attempt.status;
    const why = [status, words(attempt.reason || (attempt.outcome === "skipped" ? "" : attempt.outcome))].filter(Boolean).join(" ");
    if (!attempt.sent) {
      add(attempt.begun_s, `${attempt.model} skipped${why ? ` (${why})` : ""}`, "soft");
      continue;
    }
    const ended = endOf(attempt);
    const how = ended === "answered" ? "answered" : ended === "cancelled" ? "cancelled" : `failed (${why})`;
    const level = ended === "answered" ? "good" : ended === "cancelled" ? "warn" : "bad";
    add(attempt.begun_s, `${attempt.model} ${how} after ${seconds(attempt.duration_s)}`, level, marksOf(attempt, whole));
    if (attempt.first_token_s !== null) {
      add(attempt.begun_s + attempt.first_token_s, `first token of ${attempt.model}`, "");
    }
  }
  add(call.duration_s, call.outcome === "answered" ? "done" : `ended: ${words(call.outcome)}`, "");
  return list;
}

// --- cost -------------------------------------------------------------------------------------------------------------------

function drawCost({ total, failed, days, models, clients, budget }) {
  show(byId("no-cost"), total.calls === 0);
  show(byId("spent"), total.calls > 0);
  const figures = [
    ["Spent", dollars(total.usd)],
    ["Tokens", count.format(total.tokens)],
    ["Calls", count.format(total.calls)],
    ["Answered", answeredOf(total)],
    ["Saved by fallback", count.format(total.saved)],
    ["Not answered", count.format(Object.values(failed).reduce((sum, one) => sum + one, 0))],
    ["Cancelled", count.format(total.cancelled)],
  ];
  byId("tiles").replaceChildren(...figures.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  say(byId("saved"), savedText(total, failed));
  drawBudget(budget);
  const dearest = Math.max(...days.map((day) => day.usd), 0);
  const most = Math.max(...days.map((day) => day.calls), 1);
  const shareOf = (day) => (dearest > 0 ? day.usd / dearest : day.calls / most);
  const drawn = ["", (day) => bar(shareOf(day), "plain", dearest > 0 ? "share of the dearest day" : "share of the busiest day", dollars(day.usd)), "wide"];
  table("days", "Cost by day", days.filter((day) => day.calls > 0).reverse(), ["Day", (day) => day.name], [drawn, ...costColumns]);
  table("cost-models", "Cost by model", models, ["Model", (row) => row.name], costColumns.filter(([name]) => name !== "Answered"));
  table("cost-clients", "Cost by client", clients, ["Client", (row) => row.name], costColumns);
}

// A call that its client gave up says nothing about whether it could be answered.
const finished = (row) => row.calls - row.cancelled;
const answeredOf = (row) => percent(row.answered, finished(row));

const costColumns = [
  ["Cost", (row) => dollars(row.usd) + (row.unpriced ? ` + ${count.format(row.unpriced)} without a price` : "")],
  ["Tokens", (row) => count.format(row.tokens)],
  ["Calls", (row) => count.format(row.calls)],
  ["Answered", (row) => answeredOf(row)],
  ["Saved by fallback", (row) => count.format(row.saved)],
];

function savedText(total, failed) {
  const kinds = Object.entries(failed).map(([code, number]) => `${count.format(number)} ${words(code)}`);
  const lost = kinds.length ? ` Not answered: ${kinds.join(", ")}.` : "";
  return (
    `${answeredOf(total)} of the calls were answered; without fallback it would have been ` +
    `${percent(total.answered - total.saved, finished(total))}.${lost}`
  );
}

function drawBudget({ day, usd, usd_limit, tokens, tokens_limit, incomplete }) {
  const rows = [];
  const add = (name, spent, limit, format) => {
    const share = limit === null ? 0 : limit > 0 ? spent / limit : 1;
    const text = limit === null ? `${format(spent)}, no budget set` : `${format(spent)} of ${format(limit)} (${percent(spent, limit)})`;
    const row = el("div", { class: "limit" }, el("span", {}, name), el("span", { class: "figure" }, text));
    if (limit !== null) row.append(bar(share, share >= 1 ? "out" : share > 1 - VERY_LOW ? "low" : "ok", `${name} of today's budget`, text));
    rows.push(row);
  };
  add("US dollars", usd, usd_limit, dollars);
  add("Tokens", tokens, tokens_limit, (value) => count.format(value));
  if (incomplete !== null) rows.push(el("p", { class: "warn" }, incomplete));
  const broken = "A call that broke off or was cancelled counts here with the most that it can have cost, and below with nothing.";
  rows.push(el("p", { class: "note" }, `Since midnight UTC (${day}). ${broken}`));
  byId("budget").replaceChildren(...rows);
}

// --- health -----------------------------------------------------------------------------------------------------------------

function drawHealth({ models, store, place: where, degraded, drift, catalog_update }) {
  table(
    "health-models",
    "Errors and latencies by model",
    models,
    ["Model", (row) => row.model],
    [
      ["Requests", (row) => count.format(row.sent)],
      ["Errors", (row) => errorsOf(row), "words"],
      ["First token: median, 95th percentile", (row) => latency(row.first_token)],
      ["Answer: median, 95th percentile", (row) => latency(row.whole)],
      ["Cooldown", (row) => cooldownOf(row), "words"],
    ],
    "No requests in the last 24 hours.",
  );
  const shared = store === "memory" ? "in memory, for this process only" : `${store}, shared through ${where}`;
  const ledger = byId("ledger");
  say(ledger, degraded === null ? `Working: ${shared}.` : `DEGRADED (${degraded}). Normally ${shared}.`);
  ledger.className = degraded === null ? "good" : "bad";
  byId("drift").replaceChildren(...driftOf(drift, catalog_update));
}

function errorsOf(row) {
  const kinds = Object.entries(row.failed).map(([kind, number]) => `${count.format(number)} ${words(kind)}`);
  return kinds.length ? `${percent(Object.values(row.failed).reduce((sum, one) => sum + one, 0), row.sent)}: ${kinds.join(", ")}` : "none";
}

function latency({ half_s, most_s }) {
  return half_s === null ? "-" : `≤ ${seconds(half_s)}, ≤ ${seconds(most_s)}`;
}

function cooldownOf(row) {
  if (row.cooldown_reason === null) return "none";
  return row.cooldown_s === null ? row.cooldown_reason : `${seconds(row.cooldown_s)}, ${row.cooldown_reason}`;
}

function driftOf(drift, update) {
  if (drift === null) return [el("p", { class: "soft" }, "Groq's live list is not known: no key, or it cannot be read.")];
  const kinds = Object.entries(drift);
  if (!kinds.length) return [el("p", { class: "good" }, "The catalog agrees with Groq's live list.")];
  return [
    ...kinds.map(([name, ids]) => el("p", { class: "warn" }, `${name[0].toUpperCase()}${name.slice(1)}: ${ids.join(", ")}`)),
    update
      ? el("p", { class: "note" }, "Write the differences for review: ", el("code", {}, "groq-fallback-mcp catalog update"))
      : el("p", { class: "note" }, "Models are used as long as they are live."),
  ];
}

// --- tables -----------------------------------------------------------------------------------------------------------------

function table(id, caption, rows, [first, nameOf], columns, empty = "Nothing in this time.") {
  const holder = byId(id);
  if (!rows.length) {
    holder.replaceChildren(el("p", { class: "empty" }, empty));
    return;
  }
  const head = el(
    "tr",
    {},
    el("th", { scope: "col" }, first),
    ...columns.map(([name, , kind]) => el("th", { scope: "col", class: kind }, name)),
  );
  const body = rows.map((row) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, nameOf(row)),
      ...columns.map(([name, cell, kind]) => el("td", { class: kind, "data-label": name }, cell(row))),
    ),
  );
  const made = el("table", { "aria-label": caption }, el("thead", {}, head), el("tbody", {}, ...body));
  holder.replaceChildren(el("div", { class: "table" }, made));
}

// --- views ------------------------------------------------------------------------------------------------------------------

const DRAW = { now: drawNow, calls: drawCalls, cost: drawCost, health: drawHealth };
const viewOf = () => (VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "now");

function draw(section) {
  if (data[section] === undefined) return;
  // the banner about the ledger is in every view
  if (section === "now" || section === viewOf()) DRAW[section](data[section]);
  show(byId(`view-${section}`), section === viewOf());
}

function showView() {
  const view = viewOf();
  for (const name of VIEWS) show(byId(`view-${name}`), name === view && data[name] !== undefined);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${view[0].toUpperCase()}${view.slice(1)} - groq-fallback-mcp`;
  draw(view);
}

// --- connection -------------------------------------------------------------------------------------------------------------

let lastNews = null;

function connection(state, text) {
  const line = byId("connection");
  line.dataset.state = state;
  say(line, text);
  document.body.classList.toggle("stale", state === "lost" || state === "ended");
}

function take(section, value) {
  if (section === "server") {
    offset = value.at - Date.now() / 1000;
    lastNews = value.at;
    say(byId("version"), value.version);
    return;
  }
  if (section === "fault") {
    show(byId("fault"), true);
    say(byId("fault"), `Cannot show what is happening now: ${value.error}. Next step: ${value.next_step}.`);
    connection("waiting", "Connected, without data");
    return;
  }
  data[section] = value;
  // the banner about the history is in every view, as the one about the ledger
  if (section === "calls") show(byId("not-kept"), !value.kept);
  draw(section);
}

function lost() {
  const since = lastNews === null ? "" : ` Shown as of ${clockTime.format(new Date(lastNews * 1000))}.`;
  connection("lost", `Connection lost, trying again.${since}`);
}

function follow() {
  const source = new EventSource("/dashboard/events");
  const listen = (section) => source.addEventListener(section, (event) => take(section, JSON.parse(event.data)));
  for (const section of ["server", "fault", ...VIEWS]) listen(section);
  source.addEventListener("server", () => {
    show(byId("fault"), false);
    connection("live", "Live");
  });
  source.addEventListener("ended", () => {
    source.close();
    ended();
  });
  source.addEventListener("error", () => {
    // refused rather than lost: the browser neither tries again by itself nor says why
    if (source.readyState === EventSource.CLOSED) readOnce();
    else lost();
  });
}

function ended() {
  connection("ended", `The session has ended. Run ${COMMAND} for a new link.`);
}

async function readOnce() {
  try {
    const response = await fetch("/dashboard/data", { cache: "no-store" });
    if (response.status === 401) {
      ended();
      return;
    }
    if (!response.ok) throw new Error(String(response.status));
    for (const [section, value] of Object.entries(await response.json())) take(section, value);
    connection("polling", "Live updates are not available, reading every 5 s.");
    setTimeout(follow, POLL_MS);
  } catch {
    lost();
    setTimeout(readOnce, RETRY_MS);
  }
}

// --- start ------------------------------------------------------------------------------------------------------------------

byId("filters").addEventListener("change", (event) => {
  filters[event.target.name] = event.target.value;
  draw("calls");
});
byId("filters").addEventListener("reset", () => {
  for (const name of Object.keys(filters)) filters[name] = "";
  // the fields are reset after this
  setTimeout(() => draw("calls"));
});
window.addEventListener("hashchange", showView);
setInterval(() => {
  for (const time of document.querySelectorAll("[data-since]")) say(time, seconds(Math.max(now() - time.dataset.since, 0)));
}, 1000);
showView();
follow();
