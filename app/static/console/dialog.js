// A question in front of everything else. The browser keeps the focus inside and gives it back.

import { h } from "./dom.js";

/** Open a dialog with this content; what it resolves to is for whoever closes it. */
export function open(title, content) {
  const id = `dialog-${document.querySelectorAll("dialog").length}`;
  const dialog = h("dialog", { "aria-labelledby": id },
    h("h2", { id }, title),
    content);
  const before = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    // What opened it may have been drawn anew since.
    if (!before.isConnected && !document.querySelector("dialog")) document.querySelector("#desk > section:not([hidden]) h2").focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * A question with one button, which is returned. What `act` resolves to takes the place of the question, and `changed`
 * is called.
 */
export function ask(title, verb, kind, parts, act, changed) {
  const problem = h("p", { class: "message refused", role: "alert", hidden: true });
  const button = h("button", { class: kind }, verb);
  const form = h("form", { onsubmit: submit }, parts, problem,
    h("div", { class: "row end" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), button));
  const dialog = open(title, form);
  return button;

  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    problem.hidden = true;
    let said;
    try {
      said = await act();
    } catch (refusal) {
      button.disabled = false;
      problem.textContent = refusal.message;
      problem.hidden = false;
      return;
    }
    const close = h("button", { class: "primary", onclick: () => dialog.close() }, "Close");
    form.replaceWith(h("p", { class: "message ok", role: "status" }, said), h("div", { class: "row end" }, close));
    close.focus();
    changed();
  }
}
