// Elements made of text. Names and reasons come from anybody, so nothing here reads HTML.

/** An element. Attributes that begin with "on" are listeners; null, undefined and false leave an attribute out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** The element with this id. */
export const $ = (id) => document.getElementById(id);

export const chip = (text, kind = "") => h("span", { class: `chip ${kind}` }, text);

/** Long text in one line that can be selected whole and read in the tooltip. */
export const code = (text) => h("code", { class: "value", title: text }, text);

export const facts = (pairs) =>
  h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(
    ([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)),
  ));

/**
 * A table that can be scrolled by keyboard where it is too wide; a column is [heading, class]. The roles are said
 * because a phone's style sheet makes lists of the rows, and browsers take the style for the meaning.
 */
export function table(label, columns, rows) {
  const head = h("tr", { role: "row" }, columns.map(([name]) =>
    h("th", { scope: "col", role: "columnheader" }, name || h("span", { class: "visually-hidden" }, "Actions"))));
  const body = h("tbody", { role: "rowgroup" }, rows);
  return {
    element: h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
      h("table", { role: "table" }, h("thead", { role: "rowgroup" }, head), body)),
    body,
  };
}

/** A row of a table; on a phone, where there are no columns, each cell says what it is. */
export const row = (columns, cells, attributes = {}) => h("tr", { role: "row", ...attributes }, cells.map((cell, i) =>
  h("td", { role: "cell", "data-name": columns[i][0] || null, class: columns[i][1] || null }, cell)));

const exact = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit",
});
const dated = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
const relative = new Intl.RelativeTimeFormat("en-GB", { numeric: "auto", style: "short" });

/** An instant in the reader's time zone; UTC in the tooltip. */
export function time(iso) {
  if (!iso) return null;
  const at = new Date(iso);
  const near = Math.abs(Date.now() - at) < 180 * 86400e3;
  return h("time", { datetime: iso, title: iso }, (near ? exact : dated).format(at));
}

/** How long ago, or in how long. */
export function distance(iso) {
  if (!iso) return null;
  const seconds = (new Date(iso) - Date.now()) / 1000;
  const [unit, length] = [["day", 86400], ["hour", 3600], ["minute", 60]].find(([, l]) => Math.abs(seconds) >= l) ?? ["second", 1];
  return h("time", { datetime: iso, title: iso }, relative.format(Math.round(seconds / length), unit));
}

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en-GB")} ${number === 1 ? one : many}`;
