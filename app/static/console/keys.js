// The keys that sign the tokens: the next one, and withdrawing one that leaked.

import { ask } from "./dialog.js";
import { $, chip, code, h, row, table, time } from "./dom.js";
import { api } from "./session.js";
import * as words from "./words.js";

const COLUMNS = [["Key", "id"], ["Algorithm", ""], ["State", ""], ["Signs from", ""], ["", "act"]];

const STATES = {
  signs: ["signs now", "ok", "New tokens are signed with it."],
  next: ["is next", "", "It is published, and has signed nothing yet."],
  verifies: ["verifies", "", "The tokens that it signed are accepted until they end."],
};

let keys = [];

export function begin() {
  $("rotate").addEventListener("click", rotate);
}

export function clear() {
  keys = [];
  $("keys-list").replaceChildren();
}

export async function show() {
  ({ keys } = await api("GET", "/admin/keys"));
  $("keys-list").replaceChildren(table("Keys", COLUMNS, keys.map((key) => row(COLUMNS, [
    code(key.key_id), key.algorithm, h("span", { title: STATES[key.state][2] }, chip(...STATES[key.state])), time(key.signs_from),
    h("button", { type: "button", class: "danger small", "aria-label": `Withdraw key ${key.key_id}`, onclick: () => withdraw(key.key_id, show) }, "Withdraw…"),
  ]))).element);
}

function rotate() {
  const next = keys.find(({ state }) => state === "next");
  const button = ask("Rotate the key", "Publish the next key", "primary", [
    h("p", {}, "The next key is published now. It signs in ten minutes, when everybody has had time to fetch it. Nobody is signed out: tokens of the key before are accepted until they end."),
    next && h("p", { class: "message" }, "It is published already: key ", code(next.key_id), " signs from ", time(next.signs_from), " on."),
    h("p", { class: "quiet small" }, "A key that leaked must be withdrawn instead."),
  ], async () => {
    const key = await api("POST", "/admin/keys");
    return ["Key ", code(key.key_id), " is published, and signs from ", time(key.signs_from), " on."];
  }, show);
  button.disabled = Boolean(next);
}

/** Ask before a key is withdrawn, and say what that has reached. */
export async function withdraw(id, changed) {
  const { keys: all } = await api("GET", "/admin/keys");
  const state = all.find(({ key_id: one }) => one === id)?.state;
  const word = id.slice(0, 8);
  const reason = h("input", { maxlength: "256", required: true, autocomplete: "off", value: "key leaked" });
  const typed = h("input", { autocomplete: "off", autocapitalize: "none", spellcheck: "false", autofocus: true, oninput: () => { button.disabled = typed.value !== word; } });
  const button = ask(`Withdraw key ${id}`, "Withdraw", "danger", [
    h("p", { class: "message warn" }, h("strong", {}, "For a key that leaked. "), "Every access token that it signed is refused from now on. Sessions go on: they refresh, and get tokens of another key. The key does not come back, also where its revocation is undone."),
    state === "signs" && h("p", {}, "It signs now, so a new key takes its place at once. For up to five seconds some processes go on with the old one: who gets such a token refreshes once more. Other services refuse the new tokens until they fetch the keys again, within five minutes."),
    h("label", {}, "Reason", reason),
    h("label", {}, h("span", {}, "To confirm, type ", h("code", {}, word)), typed),
  ], async () => {
    const query = new URLSearchParams({ reason: reason.value });
    const { receipt } = await api("DELETE", `/admin/keys/${encodeURIComponent(id)}?${query}`);
    return [h("strong", {}, "Withdrawn. "), words.receipt(receipt)];
  }, changed);
  button.disabled = true;
}
