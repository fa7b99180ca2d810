// A user or a client as an account: failures to sign in, a new password, and keeping it out or letting it in again.

import { ask } from "./dialog.js";
import { count, h } from "./dom.js";
import { api } from "./session.js";
import * as words from "./words.js";

const PATHS = { subject: "/admin/users/", client: "/admin/clients/" };
const NAMES = { subject: "username", client: "client_id" };

/** What can be done to the account that was found, or nothing where it is none; `changed` is called when it was. */
export function account(one, changed) {
  if (!one.user && !one.client) return null;
  const failures = h("p", { class: "row small", hidden: true });
  look(one, failures);
  const isDisabled = one.state === "disabled";
  return h("div", {},
    h("div", { class: "row" },
      h("button", {
        type: "button", class: isDisabled ? "small" : "danger small",
        onclick: () => (isDisabled ? enable(one.kind, one.value).then(changed) : disable(one, changed)),
      }, isDisabled ? "Enable" : "Disable…"),
      one.user && h("button", { type: "button", class: "small", onclick: () => setPassword(one.value, changed) }, "Set a password…")),
    failures);
}

const set = (kind, value, what) => api("PATCH", PATHS[kind] + encodeURIComponent(value), what);

export const enable = (kind, value) => set(kind, value, { disabled: false });

const failuresOf = (holder, name) => `/admin/throttle?${holder}=${encodeURIComponent(name)}`;

/** Forget the failures to sign in. */
export const unlock = (holder, name) => api("DELETE", failuresOf(holder, name));

const disable = (one, changed) => ask(`Disable ${one.client?.name ?? one.value}`, "Disable", "danger",
  h("p", {}, "It is kept out until somebody enables it, and everything that it holds is refused."),
  async () => done(await set(one.kind, one.value, { disabled: true })), changed);

const done = ({ receipt }) => [h("strong", {}, "Done. "), receipt && words.receipt(receipt)];

function setPassword(username, changed) {
  const password = h("input", { type: "password", autocomplete: "new-password", minlength: "8", maxlength: "1024", required: true, autofocus: true });
  const shown = h("input", { type: "checkbox", onchange: () => { password.type = shown.checked ? "text" : "password"; } });
  ask(`Set a password for ${username}`, "Set it", "primary", [
    h("p", {}, "The password of before is good for nothing from then on, and everything that the account holds is refused: it signs in with the new one."),
    h("label", {}, "New password", password),
    h("label", { class: "tick" }, shown, " Show it"),
    h("p", { class: "quiet small" }, "At least 8 characters, and none that somebody would guess first. Tell it to nobody but its owner, who should change it."),
  ], async () => done(await set("subject", username, { password: password.value })), changed);
}

async function look(one, place) {
  const { buckets } = await api("GET", failuresOf(NAMES[one.kind], one.value));
  const where = buckets.filter(({ of }) => of === "place" || of === "device");
  const failed = where.reduce((sum, { failures }) => sum + failures, 0);
  if (failed === 0) return;
  const full = buckets.some(({ free_at: freeAt }) => freeAt !== null);
  place.replaceChildren(
    h("span", {}, `${count(failed, "failure")} to sign in${full ? ", and somebody has to wait" : ""}.`),
    h("button", { type: "button", class: "small", onclick: () => unlock(NAMES[one.kind], one.value).then(() => { place.hidden = true; }) }, "Unlock"));
  place.hidden = false;
}
