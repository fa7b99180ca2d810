// Who did what, when, why and from where.

import { $, code, h, row, table, time } from "./dom.js";
import { api } from "./session.js";

const COLUMNS = [["When", ""], ["Who", ""], ["Did", "id"], ["To", "what"], ["Why", "why"], ["From", ""]];

let list = null;

export function begin() {
  $("audit-search").addEventListener("submit", (event) => {
    event.preventDefault();
    show();
  });
  $("audit-text").addEventListener("search", () => { if (!$("audit-text").value) show(); });
}

export function clear() {
  list = null;
  $("audit-search").reset();
  $("audit-list").replaceChildren();
}

/** The log from its newest record. */
export async function show() {
  list = table("Records", COLUMNS, []);
  $("audit-list").replaceChildren(list.element);
  await more(list, null);
}

async function more(mine, cursor) {
  const query = new URLSearchParams();
  if ($("audit-text").value.trim()) query.set("text", $("audit-text").value.trim());
  if (cursor) query.set("cursor", cursor);
  const page = await api("GET", `/admin/audit?${query}`);
  if (mine !== list) return;
  if (cursor === null && page.records.length === 0) {
    $("audit-list").replaceChildren(h("p", { class: "message" }, "No record has this in it."));
    return;
  }
  list.body.append(...page.records.map((record) => row(COLUMNS, [
    time(record.at), record.actor, code(record.action), code(record.target), h("span", {}, record.reason), record.address,
  ])));
  if (page.next_cursor === null) return;
  const older = h("button", { type: "button", onclick: () => { older.remove(); more(mine, page.next_cursor); } }, "Older");
  $("audit-list").append(older);
}
