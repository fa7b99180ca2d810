// Revoking and undoing: what it hits, why, and a confirmation that grows with the damage.

import { ask, open } from "./dialog.js";
import { count, h } from "./dom.js";
import { api, username } from "./session.js";
import * as words from "./words.js";

const REASONS = ["Token leaked", "Device lost or stolen", "Suspicious activity", "Left the organisation", "Asked for by the user"];

/** Ask before a handle is revoked, revoke it, and show the receipt. `changed` is called when something was done. */
export function revoke(handle, changed) {
  const body = { kind: handle.kind, issuer: handle.issuer, ...(handle.kind === "issuer" ? {} : { value: handle.value }) };
  const preview = h("p", { class: "preview", role: "status" }, "Counting what it hits…");
  const reason = h("input", { id: "reason", maxlength: "256", required: true, autocomplete: "off", list: "reasons", autofocus: true });
  const confirm = h("div", { class: "confirm" });
  const problem = h("p", { class: "message refused", role: "alert", hidden: true });
  const button = h("button", { class: "danger", disabled: true }, "Revoke");
  let endsOwn = false;
  let needed = 3;
  let asked = false;
  let typed = null;

  const form = h("form", { onsubmit: submit },
    h("p", {}, words.meaning(handle.kind)), preview,
    h("label", {}, "Reason", reason),
    h("datalist", { id: "reasons" }, REASONS.map((text) => h("option", { value: text }))),
    confirm, problem,
    h("div", { class: "row end" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), button));
  const dialog = open(`Revoke ${words.title(handle)}`, form);
  look();
  return dialog;

  async function look() {
    try {
      const told = await api("POST", "/admin/revocations", { ...body, reason: "preview", dry_run: true });
      needed = words.level(handle.kind, told.would_end);
      preview.replaceChildren(h("strong", {}, words.hits(handle.kind, told.would_end)));
      endsOwn = told.includes_you;
      if (endsOwn) preview.append(" This includes your own session: you will have to sign in again.");
      confirmation();
    } catch (refusal) {
      preview.textContent = "What it hits is not known.";
      if (!refusal.reason?.startsWith("unknown_")) return say(refusal);
      // The service knows no such user, client, session or key, and yet there may be tokens.
      preview.replaceChildren(h("strong", {}, refusal.message), " Tokens of this name that exist all the same would be refused.");
      body.even_if_unknown = true;
      confirmation();
    }
  }

  function confirmation() {
    if (needed === 3) {
      const word = words.word(handle);
      typed = h("input", { autocomplete: "off", autocapitalize: "none", spellcheck: "false", oninput: () => { button.disabled = typed.value !== word; } });
      confirm.replaceChildren(h("label", {}, h("span", {}, "To confirm, type ", h("code", {}, word)), typed));
    } else button.disabled = false;
  }

  async function submit(event) {
    event.preventDefault();
    if (needed === 2 && !asked) {
      asked = true;
      button.textContent = `Yes, revoke ${words.title(handle)}`;
      button.classList.add("sure");
      return;
    }
    button.disabled = true;
    try {
      const answer = await api("POST", "/admin/revocations", { ...body, reason: reason.value });
      // The desk closes at the next question; what was done is told again behind the next door.
      if (endsOwn && answer.revocation) keep(answer);
      done(answer);
      changed();
    } catch (refusal) {
      button.disabled = false;
      say(refusal);
    }
  }

  function say(refusal) {
    problem.textContent = refusal.message;
    problem.hidden = false;
  }

  function done(answer) {
    const { parts, close } = told(answer, () => dialog.close(), changed);
    form.replaceWith(...parts);
    close.focus();
  }
}

/** What a revocation has reached, with the way back, and the button that closes it. */
function told({ revocation, receipt }, leave, changed) {
  const close = h("button", { class: "primary", onclick: leave }, "Close");
  const said = revocation
    ? h("p", { class: "message ok", role: "status" }, h("strong", {}, "Revoked. "), words.receipt(receipt))
    : h("p", { class: "message", role: "status" }, "Nothing had to be written: what it concerns has expired.");
  const back = revocation && h("button", { onclick: () => { leave(); undo(revocation, changed); } }, "Undo…");
  return { parts: [said, h("div", { class: "row end" }, back, close)], close };
}

// What ended one's own session is kept in this tab until one has read of it behind the next door: the id of the
// revocation and its receipt, which open nothing.
const PLACE = "revoked";

const keep = (answer) => sessionStorage.setItem(PLACE, JSON.stringify({ who: username(), answer }));

const kept = () => JSON.parse(sessionStorage.getItem(PLACE) ?? "null");

export const forget = () => sessionStorage.removeItem(PLACE);

/** What the door says to whoever has ended their own session. */
export function farewell() {
  const last = kept();
  return last && `You revoked ${words.title(last.answer.revocation)}, and your own session with it. Sign in again: what it has reached, and the way back, is shown then.`;
}

/** Tell who signs in again of the revocation that ended their session, until they have closed it. */
export function remember(changed) {
  const last = kept();
  if (!last || last.who !== username()) return;
  const leave = () => {
    forget();
    dialog.close();
  };
  const { parts, close } = told(last.answer, leave, changed);
  const dialog = open(`You revoked ${words.title(last.answer.revocation)}`, h("div", {}, parts));
  dialog.addEventListener("cancel", forget);
  close.focus();
}

/** Ask why, take exactly this revocation back, and say so. */
export function undo(revocation, changed) {
  const reason = h("input", { maxlength: "256", autocomplete: "off", autofocus: true });
  ask(`Undo the revocation of ${words.title(revocation)}`, "Undo", "primary", [
    h("p", {}, "What it took comes back, unless another revocation took it too. It was revoked by ",
      h("strong", {}, revocation.actor || "nobody"), ": ", h("q", {}, revocation.reason)),
    h("label", {}, "Reason", reason),
  ], async () => {
    const answer = await api("DELETE", `/admin/revocations/${encodeURIComponent(revocation.id)}?reason=${encodeURIComponent(reason.value)}`);
    return [h("strong", {}, "Undone. "), "It is not revoked by this any more.",
      answer.still_disabled && ` But ${revocation.value} is disabled, and stays out until somebody enables it.`];
  }, changed);
}

/** Ask twice, and take back everything that was revoked together with this. */
export function undoTogether(revocation, changed) {
  const reason = h("input", { maxlength: "256", autocomplete: "off", autofocus: true });
  const preview = h("p", { class: "preview", role: "status" }, "Counting them…");
  const problem = h("p", { class: "message refused", role: "alert", hidden: true });
  const button = h("button", { class: "primary", disabled: true }, "Undo all");
  const form = h("form", { onsubmit: submit },
    h("p", {}, "What they took comes back, unless other revocations took it too. They were revoked by ",
      h("strong", {}, revocation.actor || "nobody"), ": ", h("q", {}, revocation.reason)), preview,
    h("label", {}, "Reason", reason), problem,
    h("div", { class: "row end" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), button));
  const dialog = open("Undo what was revoked together", form);
  const address = `/admin/batches/${encodeURIComponent(revocation.batch)}`;
  const noun = words.name(revocation.kind);
  let asked = false;
  look();
  return dialog;

  async function look() {
    let number = 0;
    const query = new URLSearchParams({ batch: revocation.batch, fold: true });
    try {
      do {
        const page = await api("GET", `/admin/revocations?${query}`);
        for (const one of page.revocations) number += one.stands_for ?? 1;
        query.set("cursor", page.next_cursor ?? "");
      } while (query.get("cursor") && dialog.isConnected);
      preview.replaceChildren(h("strong", {}, `It undoes ${count(number, "revocation")} of kind ${noun}.`));
      button.disabled = false;
    } catch (refusal) {
      say(refusal.message);
    }
  }

  function say(text) {
    problem.textContent = text;
    problem.hidden = false;
  }

  async function submit(event) {
    event.preventDefault();
    if (!asked) {
      asked = true;
      button.textContent = "Yes, undo all of them";
      return;
    }
    button.disabled = true;
    let undone = 0;
    let stuck = 0;
    const query = new URLSearchParams({ reason: reason.value });
    try {
      do {
        const answer = await api("DELETE", `${address}?${query}`);
        undone += answer.undone;
        stuck += answer.kept;
        preview.textContent = `${count(undone, "revocation")} undone so far…`;
        query.set("cursor", answer.next_cursor ?? "");
      } while (query.get("cursor"));
    } catch (refusal) {
      button.disabled = false;
      say(`${refusal.message} ${count(undone, "revocation")} undone so far: undo all again, and it goes on.`);
      return;
    }
    const close = h("button", { class: "primary", onclick: () => dialog.close() }, "Close");
    form.replaceWith(h("p", { class: "message ok", role: "status" }, h("strong", {}, `${count(undone, "revocation")} undone. `),
      stuck > 0 && `${count(stuck, "revocation")} cannot be undone: merged with others of the same ${noun}, or of a client that is disabled.`),
      h("div", { class: "row end" }, close));
    close.focus();
    changed();
  }
}
