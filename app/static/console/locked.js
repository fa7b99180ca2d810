// Who is kept out, and why: by too many failures to sign in, or by an administrator. And letting them in again.

import { enable, unlock } from "./account.js";
import { $, chip, code, h, row, table, time } from "./dom.js";
import { api } from "./session.js";

const LOCKED = [["Account", "id"], ["Failures", ""], ["Who waits", ""], ["May try again", ""], ["", "act"]];
const DISABLED = [["Account", "id"], ["Role", ""], ["Scope", ""], ["", "act"]];

const WHO = {
  place: ({ value }) => `whoever is at ${value}`,
  device: () => "one device of its own",
  devices: () => "all devices of its own",
  account: () => "everybody at a new device, in turns",
  turn: ({ value }) => `${value}, for its turn`,
};

let mine = null;

export function clear() {
  mine = null;
  $("locked-list").replaceChildren();
}

export async function show() {
  const place = mine = h("div", { class: "lists" });
  const locked = h("div", {}, h("h3", {}, "Too many failures to sign in"));
  const disabled = h("div", {}, h("h3", {}, "Disabled by an administrator"));
  place.append(locked, disabled);
  await Promise.all([
    list(locked, LOCKED, "/admin/throttle/locked", ({ locked: found }) => found.map(waiting), "Nobody has to wait."),
    list(disabled, DISABLED, "/admin/users?disabled=true", ({ users }) => users.map(kept), "No account is disabled."),
  ]);
  if (mine === place) $("locked-list").replaceChildren(place);
}

/** A page of rows behind its heading, and a button for the next one. */
async function list(place, columns, path, rows, none) {
  const { element, body } = table(place.textContent, columns, []);
  await more(null);

  async function more(cursor) {
    const page = await api("GET", cursor === null ? path : `${path}${path.includes("?") ? "&" : "?"}cursor=${encodeURIComponent(cursor)}`);
    body.append(...rows(page));
    if (cursor === null) place.append(body.children.length || page.next_cursor !== null ? element : h("p", { class: "quiet" }, none));
    if (page.next_cursor === null) return;
    const older = h("button", { type: "button", onclick: () => { older.remove(); more(page.next_cursor); } }, "More");
    place.append(older);
  }
}

const waiting = ({ username, buckets }) => row(LOCKED, [
  code(username),
  lines(buckets, ({ failures, limit }) => `${failures} of ${limit}`),
  lines(buckets, (bucket) => WHO[bucket.of](bucket)),
  lines(buckets, ({ free_at: freeAt }) => time(freeAt)),
  h("button", { type: "button", class: "small", "aria-label": `Unlock ${username}`, onclick: () => unlock("username", username).then(show) }, "Unlock"),
]);

const kept = ({ username, scope }) => row(DISABLED, [
  code(username), scope.split(" ").includes("revocation:admin") && chip("administrator", "warn"), scope || "none",
  h("button", { type: "button", class: "small", "aria-label": `Enable ${username}`, onclick: () => enable("subject", username).then(show) }, "Enable"),
]);

const lines = (buckets, text) => h("div", {}, buckets.map((bucket) => h("div", {}, text(bucket))));
