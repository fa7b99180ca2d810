// Finding something, and seeing what it holds.

import { account } from "./account.js";
import { $, chip, code, count, distance, facts, h, row, table, time } from "./dom.js";
import { withdraw } from "./keys.js";
import { revoke, undo } from "./revoke.js";
import { api } from "./session.js";
import * as words from "./words.js";

const STATES = { active: "ok", revoked: "refused", expired: "", ended: "", disabled: "warn" };
const COLUMNS = [["Session", "id"], ["Signed in", ""], ["Last used", ""], ["From", ""], ["With", "agent"], ["", "act"]];

let asked = "";

export function begin() {
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    find($("query").value);
  });
  $("any-kind").addEventListener("change", () => { $("any-value").disabled = $("any-kind").value === "issuer"; });
  $("any-handle").addEventListener("submit", (event) => {
    event.preventDefault();
    revoke({ kind: $("any-kind").value, value: $("any-value").value.trim(), issuer: $("any-issuer").value.trim() }, again);
  });
}

export function clear() {
  asked = "";
  $("query").value = "";
  $("found-status").textContent = "";
  $("found").replaceChildren();
}

async function find(text) {
  asked = text;
  let page;
  try {
    page = await api("POST", "/admin/search", { query: text });
  } catch (refusal) {
    $("found").replaceChildren();
    $("found-status").textContent = refusal.message;
    return;
  }
  if (asked !== text) return;
  const { found, total } = page;
  // A whole token does not stay on the screen.
  if (text.includes(".") && (found[0]?.token || found[0]?.session)) $("query").value = found[0].value;
  $("found-status").textContent = total ? `${total.toLocaleString("en-GB")} found.` : "Nothing has this name or id. It may have ended, or belong to another issuer.";
  $("found").replaceChildren();
  append(text, page);
}

/** Show a page of what was found, and a button for the next one. */
function append(text, { found, total, next_cursor: cursor }) {
  $("found").append(...found.map((one) => card(one, total)));
  if (cursor === null) return;
  const more = h("button", { type: "button", onclick: next }, "More");
  $("found").append(more);

  async function next() {
    more.disabled = true;
    let page;
    try {
      page = await api("POST", "/admin/search", { query: text, cursor });
    } finally {
      more.disabled = false;
    }
    if (asked !== text) return;
    more.remove();
    append(text, page);
  }
}

const again = () => (asked ? find(asked) : undefined);

function card(one, among) {
  const sessions = h("div", { class: "sessions" });
  const whose = one.kind === "subject" ? one.value : null;
  if (whose && among <= 5) show(whose, sessions);
  return h("article", { class: "card found", "aria-label": words.title(one) },
    h("header", { class: "bar" },
      h("h3", {}, h("span", { class: "kind" }, words.name(one.kind)), " ", h("span", { class: "mono" }, one.client?.name ?? one.value ?? one.issuer)),
      one.state && chip(one.state, STATES[one.state]),
      one.kind === "key" && one.issuer === $("desk").dataset.issuer
        ? h("button", { type: "button", class: "danger small", onclick: () => withdraw(one.value, again) }, "Withdraw…")
        : h("button", { type: "button", class: "danger small", onclick: () => revoke(one, again) }, "Revoke…")),
    details(one),
    among <= 5 && account(one, again),
    one.revocations.length > 0 && h("ul", { class: "in-force" }, one.revocations.map((revocation) =>
      h("li", {},
        h("span", {}, h("strong", {}, "Revoked "), time(revocation.created_at), ` by ${revocation.actor || "nobody"}: `, h("q", {}, revocation.reason)),
        h("button", { type: "button", class: "small", onclick: () => undo(revocation, again) }, "Undo…")))),
    whose && among > 5 && h("button", { type: "button", class: "plain small", onclick: (event) => { event.target.remove(); show(whose, sessions); } }, "Sessions"),
    sessions);
}

function details({ token, session, user, client, kind, value, state }) {
  if (token) {
    return facts([["User", token.subject], ["Client", token.client_id], ["Scope", token.scope], ["Issued", time(token.issued_at)],
      ["Expires", time(token.expires_at)], ["Session", token.session_id && code(token.session_id)]]);
  }
  if (session) {
    return facts([["User", session.subject], ["Client", session.client_id], ["Signed in", time(session.created_at)], ["Last used", distance(session.last_used_at)],
      ["From", session.ip], ["With", session.user_agent]]);
  }
  if (user) return facts([["Scope", user.scope || "none"], ["Role", user.administers && chip("administrator", "warn")], ["Made", time(user.created_at)]]);
  if (client) return facts([["Id", code(value)], ["Scope", client.scope || "none"], ["Made", time(client.created_at)]]);
  if (kind === "token" && state === null) return h("p", { class: "quiet small" }, "Of tokens nothing is stored. If one has this jti, it can be revoked by it.");
  return null;
}

async function show(subject, place) {
  place.replaceChildren(h("p", { class: "quiet small" }, "Looking for sessions…"));
  await more(subject, place, table(`Sessions of ${subject}`, COLUMNS, []), null);
}

async function more(subject, place, list, cursor) {
  const query = new URLSearchParams(cursor === null ? { subject } : { subject, cursor });
  const page = await api("GET", `/admin/sessions?${query}`);
  if (cursor === null) {
    const shown = page.sessions.length;
    if (shown === 0) {
      place.replaceChildren(h("p", { class: "quiet small" }, "No session lives."));
      return;
    }
    const title = page.next_cursor === null ? count(shown, "living session") : `More than ${shown} living sessions`;
    place.replaceChildren(h("h4", {}, title), list.element);
  }
  list.body.append(...page.sessions.map((one) => row(COLUMNS, [
    code(one.session_id), time(one.created_at), distance(one.last_used_at), one.ip,
    h("span", { title: one.user_agent }, one.user_agent || "unknown"),
    h("button", {
      type: "button", class: "danger small", "aria-label": `Revoke session ${one.session_id}`,
      onclick: () => revoke({ kind: "session", value: one.session_id, issuer: $("desk").dataset.issuer }, again),
    }, "Revoke…"),
  ])));
  if (page.next_cursor === null) return;
  const older = h("button", { type: "button", onclick: () => { older.remove(); more(subject, place, list, page.next_cursor); } }, "Older");
  place.append(older);
}
