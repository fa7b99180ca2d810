// Who did what, when, why and from where.

import { $, code, h, row, table, time } from "./dom.js";
import { api } from "./session.js";

const COLUMNS = [["When", ""], ["Who", ""], ["Did", "id"], ["To", "what"], ["Why", "why"], ["From", ""]];

let list = null;

export function begin() {
  $("audit-again").addEventListener("click", () => show());
}

export function clear() {
  list = null;
  $("audit-list").replaceChildren();
}

/** The log from its newest record. */
export async function show() {
  list = table("Audit log", COLUMNS, []);
  $("audit-list").replaceChildren(list.element);
  await more(list, null);
}

async function more(mine, cursor) {
  const page = await api("GET", `/admin/audit${cursor ? `?cursor=${encodeURIComponent(cursor)}` : ""}`);
  if (mine !== list) return;
  list.body.append(...page.records.map((record) => row(COLUMNS, [
    time(record.at), record.actor, code(record.action), code(record.target), h("span", {}, record.reason), record.address,
  ])));
  if (page.next_cursor === null) return;
  const older = h("button", { type: "button", onclick: () => { older.remove(); more(mine, page.next_cursor); } }, "Older");
  $("audit-list").append(older);
}
