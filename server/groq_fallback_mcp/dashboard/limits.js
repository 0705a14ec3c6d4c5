// The limits: how many calls fit, a card a model with a bar a limit, and the models that cannot be used.

import { bar, byId, count, el, keyed, moveBar, plural, say, seconds, show } from "./elements.js";

// Below these shares of a limit its bar is yellow, then red.
const LOW = 0.5;
export const VERY_LOW = 0.15;

export function drawLimits({ models, calls_now, tokens, degraded }) {
  say(
    byId("fits"),
    calls_now === null ? "" : `${plural(calls_now, "chat call")} of ${count.format(tokens)} tokens ${calls_now === 1 ? "fits" : "fit"} right now.`,
  );
  show(byId("degraded"), degraded !== null);
  if (degraded !== null) {
    say(
      byId("degraded"),
      `DEGRADED: the ledger cannot be used (${degraded}). Until it can, each process counts for itself, at a quarter of each limit.`,
    );
  }
  const usable = models.filter((model) => model.available);
  const others = models.filter((model) => !model.available);
  show(byId("no-limits"), usable.length === 0);
  keyed(byId("limits"), usable, (model) => model.model, makeModel, updateModel);
  show(byId("unavailable"), others.length > 0);
  say(byId("unavailable").querySelector("summary"), `${plural(others.length, "model")} not available`);
  keyed(
    byId("unavailable").querySelector("ul"),
    others,
    (model) => model.model,
    () => el("li"),
    (item, model) => say(item, `${model.model}: ${model.blocked_by ?? "not available"}`),
  );
}

function makeModel(model) {
  return el("article", { class: "card" }, el("h3", {}, model.model), el("p"), el("div"));
}

function updateModel(card, model) {
  const [, state, limits] = card.children;
  const [text, level] = stateOf(model);
  say(state, model.in_flight ? `${text} · ${plural(model.in_flight, "call")} in progress` : text);
  state.className = level;
  keyed(limits, model.limits, (limit) => limit.limit, (limit) => makeLimit(model, limit), updateLimit);
}

function stateOf(model) {
  if (model.cooldown_reason !== null) {
    const left = model.cooldown_s === null ? "" : ` for ${seconds(model.cooldown_s)}`;
    return [`Cooling down${left}: ${model.cooldown_reason}`, "bad"];
  }
  if (model.next_call_in_s === null) return [`Does not fit: ${model.blocked_by ?? "too large"}`, "soft"];
  if (model.next_call_in_s > 0) return [`Next call in ${seconds(model.next_call_in_s)}: ${model.blocked_by ?? "limited"}`, "warn"];
  if (model.calls_now === null) return ["No known limit", "soft"];
  return [`${plural(model.calls_now, "call")} now`, "good"];
}

function makeLimit(model, limit) {
  return el(
    "div",
    { class: "limit", title: `${limit.name}, ${limit.knowledge}` },
    el("span"),
    el("span", { class: "figure" }),
    bar(0, "ok", `${model.model}, ${limit.name}`, ""),
  );
}

function updateLimit(row, limit) {
  const [name, figure, meter] = row.children;
  const share = limit.capacity > 0 ? limit.level / limit.capacity : 0;
  const full = limit.full_in_s > 0 ? `full in ${seconds(limit.full_in_s)}` : "full";
  const left = `${count.format(Math.floor(limit.level))} of ${count.format(limit.capacity)}`;
  say(name, limit.shared_by === null ? limit.name : `${limit.name} (shared by ${limit.shared_by})`);
  say(figure, `${left}, ${full}`);
  moveBar(meter, share, share < VERY_LOW ? "out" : share < LOW ? "low" : "ok", `${left} left, ${full}`);
}
