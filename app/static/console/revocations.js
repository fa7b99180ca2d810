// What is in force, and what happens to it while one looks. What was revoked together is one row, which unfolds.

import { $, chip, code, count, distance, h, row, table, time } from "./dom.js";
import { undo, undoTogether } from "./revoke.js";
import { api } from "./session.js";
import * as words from "./words.js";

const COLUMNS = [["When", ""], ["What", "what"], ["Why", "why"], ["By", ""], ["Ends", ""], ["", "act"]];

const PAGE = 50;

let list = null;
let cursor = null;
let following = null;
let unseen = 0;
const rows = new Map();
const batches = new Map();

export function begin() {
  $("kind").addEventListener("change", () => show());
  $("narrow").addEventListener("submit", (event) => {
    event.preventDefault();
    show();
  });
  $("text").addEventListener("search", () => { if (!$("text").value) show(); });
}

/** Forget everything: somebody else may sign in. */
export function clear() {
  following = list = cursor = null;
  rows.clear();
  batches.clear();
  $("narrow").reset();
  $("revocations-list").replaceChildren();
}

/** The list from its beginning. */
export async function show() {
  rows.clear();
  batches.clear();
  cursor = null;
  list = table("Revocations in force", COLUMNS, []);
  const older = h("button", { type: "button", hidden: true, onclick: () => more() }, "Older");
  const none = h("p", { class: "message", hidden: true }, $("text").value.trim() ? "Nothing in force has this in its value, reason, actor or address." : "Nothing is revoked.");
  $("revocations-list").replaceChildren(list.element, none, older);
  list.older = older;
  list.none = none;
  // What the list shows from its beginning must not be counted a second time as news.
  following = (await api("GET", "/admin/changes")).next_cursor;
  await more();
}

/** What the log says since the last look. Called every two seconds while the page can be seen. */
export async function follow() {
  const from = following;
  let answer;
  try {
    answer = await api("GET", from === null ? "/admin/changes" : `/admin/changes?cursor=${encodeURIComponent(from)}`);
    say("following", "ok");
  } catch (refusal) {
    say("not following", "refused");
    throw refusal;
  }
  if (following !== from) return;
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

/** The question for those that the reader asked for. */
function asked(more = {}) {
  const query = new URLSearchParams(more);
  if ($("kind").value) query.set("kind", $("kind").value);
  if ($("text").value.trim()) query.set("text", $("text").value.trim());
  return query;
}

/** Whether one that arrives now is among those that the reader asked for. */
function isAsked({ kind, value, reason, actor, address }) {
  const text = $("text").value.trim().toLowerCase();
  return (!$("kind").value || $("kind").value === kind) && [value ?? "", reason, actor, address].some((one) => one.toLowerCase().includes(text));
}

async function more() {
  const mine = list;
  const query = asked({ fold: true });
  if (cursor) query.set("cursor", cursor);
  list.older.disabled = true;
  // A page may be short where the log ends and older ones stand elsewhere.
  for (let read = 0; read < PAGE; ) {
    const page = await api("GET", `/admin/revocations?${query}`);
    if (mine !== list) return;
    for (const revocation of page.revocations) {
      if (revocation.stands_for) together(revocation, revocation.stands_for, (line) => list.body.append(line));
      else add(revocation, (line) => list.body.append(line));
    }
    read += page.revocations.length;
    cursor = page.next_cursor;
    if (cursor === null) break;
    query.set("cursor", cursor);
  }
  list.older.disabled = false;
  list.older.hidden = cursor === null;
  for (const batch of batches.values()) tell(batch);
  settle();
}

function apply({ undone, revocation, revocation_id: id, actor, reason }) {
  if (list === null) return;
  const batch = batches.get(revocation?.batch);
  if (!undone) {
    if (!isAsked(revocation)) return;
    if (!revocation.batch) add(revocation, (line) => list.body.prepend(line), "new");
    else {
      together(revocation, 1, (line) => list.body.prepend(line), "new");
      const shown = batches.get(revocation.batch);
      tell(shown);
      if (shown.members) add(revocation, (line) => shown.line.after(line), "member new");
    }
    settle();
    return;
  }
  if (batch) {
    batch.number -= 1;
    tell(batch);
    if (batch.number <= 0) cross(batch.line, actor, reason);
  }
  const line = rows.get(id);
  if (line) cross(line, actor, reason);
}

/** Show that what the line tells of was undone. */
function cross(line, actor, reason) {
  line.classList.add("undone");
  line.querySelector(".act").replaceChildren(chip("undone"));
  line.querySelector(".why").append(h("p", { class: "small" }, `Undone by ${actor || "nobody"}`, reason && ": ", reason && h("q", {}, reason)));
}

function add(revocation, place, kind = "") {
  if (rows.has(revocation.id)) return;
  const what = h("span", {}, h("span", { class: "kind" }, words.name(revocation.kind)), " ", revocation.value ? code(revocation.value) : code(revocation.issuer));
  if (revocation.value && revocation.issuer !== $("desk").dataset.issuer) what.append(h("p", { class: "quiet small" }, "of ", revocation.issuer));
  const line = drawn(revocation, what, kind,
    h("button", { type: "button", class: "small", "aria-label": `Undo the revocation of ${words.title(revocation)}`, onclick: () => undo(revocation, follow) }, "Undo…"));
  rows.set(revocation.id, line);
  place(line);
}

const drawn = (revocation, what, kind, act) => row(COLUMNS, [
  time(revocation.created_at), what, h("span", {}, revocation.reason), who(revocation),
  revocation.expires_at ? distance(revocation.expires_at) : "when undone", act,
], { class: kind });

const who = ({ actor, address }) => h("span", {}, actor || "nobody", address && h("p", { class: "quiet small" }, "from ", address));

/** So many more of a batch, in its one row. */
function together(revocation, number, place, kind = "") {
  const known = batches.get(revocation.batch);
  if (known) {
    known.number += number;
    return;
  }
  const batch = { of: revocation.kind, id: revocation.batch, number, members: null };
  batch.told = h("span", {});
  batch.opener = h("button", { type: "button", class: "plain small unfold", "aria-expanded": "false", onclick: () => (batch.members ? fold(batch) : unfold(batch)) }, "Show them");
  batch.line = drawn(revocation, h("span", {}, batch.told, " ", batch.opener), kind,
    h("button", { type: "button", class: "small", onclick: () => undoTogether(revocation, show) }, "Undo all…"));
  batches.set(revocation.batch, batch);
  tell(batch);
  place(batch.line);
}

function tell(batch) {
  // The list may go on with more of the batch that it ends with.
  const goesOn = cursor !== null && batch.line.parentNode && !batch.line.nextSibling;
  batch.told.textContent = `${goesOn ? "at least " : ""}${count(batch.number, words.name(batch.of))} together`;
}

/** Show the rows of a batch beneath it. */
async function unfold(batch) {
  batch.members = [];
  batch.opener.textContent = "Hide them";
  batch.opener.setAttribute("aria-expanded", "true");
  await members(batch, null);
}

function fold(batch) {
  for (const [id, line] of rows) if (batch.members.includes(line)) rows.delete(id);
  for (const line of batch.members) line.remove();
  batch.members = null;
  batch.opener.textContent = "Show them";
  batch.opener.setAttribute("aria-expanded", "false");
}

async function members(batch, after) {
  const mine = batch.members;
  const query = asked({ batch: batch.id });
  const place = (line) => {
    (mine.at(-1) ?? batch.line).after(line);
    mine.push(line);
  };
  // A page may be short, and not be the last.
  for (let read = 0; read < PAGE; ) {
    if (after) query.set("cursor", after);
    const page = await api("GET", `/admin/revocations?${query}`);
    if (batch.members !== mine) return;
    for (const revocation of page.revocations) add(revocation, place, "member");
    read += page.revocations.length;
    after = page.next_cursor;
    if (after === null) return;
  }
  const next = h("button", { type: "button", class: "small", onclick: () => {
    mine.splice(mine.indexOf(line), 1);
    line.remove();
    members(batch, after);
  } }, "More of them");
  const line = row(COLUMNS, [null, next, null, null, null, null], { class: "member" });
  place(line);
}

function settle() {
  const empty = rows.size === 0 && batches.size === 0;
  list.none.hidden = !empty || cursor !== null;
  list.element.hidden = empty;
}
