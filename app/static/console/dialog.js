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
