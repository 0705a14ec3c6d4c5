// Elements and words that the pages share. Texts of others are only ever put in as text.

export const byId = (id) => document.getElementById(id);
export const count = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

// --- elements ---------------------------------------------------------------------------------------------------------------

export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function show(element, shown) {
  element.hidden = !shown;
}

// Children of `parent` for the items, in order. Those that stay are kept: focus and what was opened stay with them.
export function keyed(parent, items, keyOf, make, update) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, index) => {
    const key = keyOf(item);
    const child = before.get(key) ?? make(item);
    before.delete(key);
    child.dataset.key = key;
    update?.(child, item);
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
  for (const child of before.values()) child.remove();
}

function setShare(bar, share) {
  bar.style.setProperty("--share", String(Math.min(Math.max(share, 0), 1)));
}

export function bar(share, level, label, text) {
  const made = el("div", { class: "bar", role: "meter", "aria-label": label }, el("span"));
  moveBar(made, share, level, text);
  return made;
}

export function moveBar(made, share, level, text) {
  made.dataset.level = level;
  made.setAttribute("aria-valuemin", "0");
  made.setAttribute("aria-valuemax", "100");
  made.setAttribute("aria-valuenow", String(Math.round(Math.min(Math.max(share, 0), 1) * 100)));
  made.setAttribute("aria-valuetext", text);
  setShare(made, share);
}

// --- words ------------------------------------------------------------------------------------------------------------------

export function seconds(value) {
  if (value === null || value === undefined) return "-";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 60) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  if (value < 600) return `${Math.floor(value / 60)} min ${Math.floor(value % 60)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min`;
  return `${Math.floor(value / 3600)} h ${Math.floor((value % 3600) / 60)} min`;
}

export function dollars(value) {
  if (value === null || value === undefined) return "-";
  if (value === 0) return "$0";
  if (value < 0.0001) return "<$0.0001";
  return `$${value.toFixed(value < 0.01 ? 4 : value < 1 ? 3 : 2)}`;
}

export const words = (code) => code.replaceAll("_", " ");
export const plural = (number, one, many = `${one}s`) => `${count.format(number)} ${number === 1 ? one : many}`;
export const percent = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)}\u00a0%` : "-");
