// What is in force, and what happens to it while one looks.

import { $, chip, code, count, distance, h, row, table, time } from "./dom.js";
import { undo } from "./revoke.js";
import { api } from "./session.js";
import * as words from "./words.js";

const COLUMNS = [["When", ""], ["What", "what"], ["Why", "why"], ["By", ""], ["Ends", ""], ["", "act"]];

const PAGE = 50;

let list = null;
let cursor = null;
let following = null;
let unseen = 0;
const rows = new Map();

export function begin() {
  $("kind").addEventListener("change", () => show());
}

/** Forget everything: somebody else may sign in. */
export function clear() {
  following = list = cursor = null;
  rows.clear();
  $("revocations-list").replaceChildren();
}

/** The list from its beginning. */
export async function show() {
  rows.clear();
  cursor = null;
  list = table("Revocations in force", COLUMNS, []);
  const older = h("button", { type: "button", hidden: true, onclick: () => more() }, "Older");
  const none = h("p", { class: "message", hidden: true }, "Nothing is revoked.");
  $("revocations-list").replaceChildren(list.element, none, older);
  list.older = older;
  list.none = none;
  await more();
}

/** What the log says since the last look. Called every two seconds while the page can be seen. */
export async function follow() {
  let answer;
  try {
    answer = await api("GET", following === null ? "/admin/changes" : `/admin/changes?cursor=${encodeURIComponent(following)}`);
    say("following", "ok");
  } catch (refusal) {
    say("not following", "refused");
    throw refusal;
  }
  following = answer.next_cursor;
  if (answer.changes.length === 0) return;
  for (const change of answer.changes) apply(change);
  const last = answer.changes.at(-1);
  const what = last.revocation ? words.title(last.revocation) : "a revocation";
  $("news").textContent = `${count(answer.changes.length, "change")}, the last: ${last.undone ? "undone" : "revoked"} ${what} by ${last.actor || "nobody"}`;
  if ($("revocations").hidden) mark(unseen + answer.changes.filter((change) => !change.undone).length);
}

function say(text, kind) {
  $("following").textContent = text;
  $("following").className = `chip ${kind}`;
}

/** The reader has seen them. */
export const seen = () => mark(0);

function mark(number) {
  unseen = number;
  $("unseen").textContent = number > 99 ? "99+" : `${number}`;
  $("unseen").hidden = number === 0;
}

async function more() {
  const mine = list;
  const query = new URLSearchParams();
  if ($("kind").value) query.set("kind", $("kind").value);
  if (cursor) query.set("cursor", cursor);
  // A page may be short where the log ends and older ones stand elsewhere.
  for (let read = 0; read < PAGE; ) {
    const page = await api("GET", `/admin/revocations?${query}`);
    if (mine !== list) return;
    for (const revocation of page.revocations) add(revocation, (line) => list.body.append(line));
    read += page.revocations.length;
    cursor = page.next_cursor;
    if (cursor === null) break;
    query.set("cursor", cursor);
  }
  list.older.hidden = cursor === null;
  settle();
}

function apply({ undone, revocation, revocation_id: id, actor, reason }) {
  if (list === null) return;
  if (!undone) {
    if (!$("kind").value || $("kind").value === revocation.kind) add(revocation, (line) => list.body.prepend(line), "new");
    settle();
    return;
  }
  const line = rows.get(id);
  if (!line) return;
  line.classList.add("undone");
  line.querySelector(".act").replaceChildren(chip("undone"));
  line.querySelector(".why").append(h("p", { class: "small" }, `Undone by ${actor || "nobody"}`, reason && ": ", reason && h("q", {}, reason)));
}

function add(revocation, place, kind = "") {
  if (rows.has(revocation.id)) return;
  const what = h("span", {}, h("span", { class: "kind" }, words.name(revocation.kind)), " ", revocation.value ? code(revocation.value) : code(revocation.issuer));
  if (revocation.value && revocation.issuer !== $("desk").dataset.issuer) what.append(h("p", { class: "quiet small" }, "of ", revocation.issuer));
  const line = row(COLUMNS, [
    time(revocation.created_at), what, h("span", {}, revocation.reason), revocation.actor || "nobody",
    revocation.expires_at ? distance(revocation.expires_at) : "when undone",
    h("button", { type: "button", class: "small", "aria-label": `Undo the revocation of ${words.title(revocation)}`, onclick: () => undo(revocation, follow) }, "Undo…"),
  ], { class: kind });
  rows.set(revocation.id, line);
  place(line);
}

function settle() {
  list.none.hidden = rows.size > 0 || cursor !== null;
  list.element.hidden = rows.size === 0;
}
