// A user or a client as an account: failures to sign in, and keeping it out or letting it in again.

import { open } from "./dialog.js";
import { count, h } from "./dom.js";
import { api } from "./session.js";

const PATHS = { subject: "/admin/users/", client: "/admin/clients/" };
const NAMES = { subject: "username", client: "client_id" };

/** What can be done to the account that was found, or nothing where it is none; `changed` is called when it was. */
export function account(one, changed) {
  if (!one.user && !one.client) return null;
  const failures = h("p", { class: "row small", hidden: true });
  look(one, failures);
  const isDisabled = one.state === "disabled";
  return h("div", {},
    h("div", { class: "row" }, h("button", {
      type: "button", class: isDisabled ? "small" : "danger small",
      onclick: () => (isDisabled ? set(one, false).then(changed) : disable(one, changed)),
    }, isDisabled ? "Enable" : "Disable…")),
    failures);
}

const set = (one, disabled) => api("PATCH", PATHS[one.kind] + encodeURIComponent(one.value), { disabled });

/** Ask once more, since everything that the account holds is taken back. */
function disable(one, changed) {
  const problem = h("p", { class: "message refused", role: "alert", hidden: true });
  const button = h("button", { class: "danger" }, "Disable");
  const form = h("form", { onsubmit: submit },
    h("p", {}, "It is kept out until somebody enables it, and everything that it holds is refused."), problem,
    h("div", { class: "row end" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), button));
  const dialog = open(`Disable ${one.client?.name ?? one.value}`, form);

  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    try {
      await set(one, true);
    } catch (refusal) {
      problem.textContent = refusal.message;
      problem.hidden = false;
      return;
    }
    dialog.close();
    changed();
  }
}

async function look(one, place) {
  const path = `/admin/throttle?${NAMES[one.kind]}=${encodeURIComponent(one.value)}`;
  const { buckets } = await api("GET", path);
  const where = buckets.filter(({ of }) => of === "place" || of === "device");
  const failed = where.reduce((sum, { failures }) => sum + failures, 0);
  if (failed === 0) return;
  const full = buckets.some(({ free_at: freeAt }) => freeAt !== null);
  place.replaceChildren(
    h("span", {}, `${count(failed, "failure")} to sign in${full ? ", and somebody has to wait" : ""}.`),
    h("button", { type: "button", class: "small", onclick: () => api("DELETE", path).then(() => { place.hidden = true; }) }, "Unlock"));
  place.hidden = false;
}
