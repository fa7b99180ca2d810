// The console: a door, and behind it four views. What one looks at stands in the address.

import { $ } from "./dom.js";
import * as audit from "./audit.js";
import * as find from "./find.js";
import * as health from "./health.js";
import * as revocations from "./revocations.js";
import { remember } from "./revoke.js";
import { events, resume, signIn, signOut, username } from "./session.js";

const VIEWS = ["find", "revocations", "audit", "health"];
const FOLLOW_MS = 2000;
const HEALTH_MS = 5000;

let inside = false;

function view() {
  const wanted = location.hash.slice(1);
  return VIEWS.includes(wanted) ? wanted : "find";
}

function turn({ focus }) {
  if (!inside) return;
  const now = view();
  for (const name of VIEWS) $(name).hidden = name !== now;
  for (const link of $("views").children) {
    if (link.hash === `#${now}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (focus) (now === "find" ? $("query") : $(`${now}-title`)).focus();
  if (now === "revocations") {
    revocations.seen();
    attempt(revocations.show);
  }
  if (now === "audit") attempt(audit.show);
  if (now === "health") attempt(health.look);
}

/** Do it; a refusal is shown above the view, and goes when something works again. */
async function attempt(task) {
  try {
    await task();
    $("alarm").hidden = true;
  } catch (refusal) {
    if (refusal.status === undefined) throw refusal;
    if (refusal.status === 401) return;
    alarm(refusal);
  }
}

function alarm(refusal) {
  const text = refusal.status === 0 ? "The service cannot be reached. Trying again."
    : refusal.reason === "denylist_unavailable" ? "Redis does not answer. Nothing can be seen or revoked until it does; requests that have to ask it are refused with 503, not let in. Trying again."
    : refusal.message;
  if ($("alarm").textContent !== text || $("alarm").hidden) $("alarm").textContent = text;
  $("alarm").hidden = false;
  if (refusal.status === 0 || refusal.status === 503) health.pulse("not well", "refused");
}

/** Again and again, one after the other, while somebody is signed in and can see the page. */
function every(pause, task) {
  let timer = null;
  async function again() {
    clearTimeout(timer);
    if (inside && !document.hidden) await attempt(task);
    timer = setTimeout(again, pause);
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden) again(); });
  return again;
}

const follow = every(FOLLOW_MS, revocations.follow);
const examine = every(HEALTH_MS, health.look);

function enter() {
  inside = true;
  $("door").hidden = true;
  $("desk").hidden = $("account").hidden = false;
  $("who").textContent = username();
  turn({ focus: true });
  remember(() => turn({ focus: false }));
  follow();
  examine();
}

function leave(message) {
  inside = false;
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  for (const part of [find, revocations, audit, health]) part.clear();
  $("desk").hidden = $("account").hidden = true;
  $("door").hidden = false;
  say(message);
  $("username").focus();
}

function say(message) {
  $("door-message").textContent = message;
  $("door-message").hidden = !message;
}

$("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.target.querySelector("button");
  button.disabled = true;
  say("");
  try {
    await signIn($("username").value, $("password").value);
    $("password").value = "";
    enter();
  } catch (refusal) {
    say(refusal.message);
    $("password").select();
  } finally {
    button.disabled = false;
  }
});

$("sign-out").addEventListener("click", async () => {
  try {
    await signOut();
    leave("");
  } catch (refusal) {
    alarm(refusal);
  }
});

events.addEventListener("over", (event) => leave(event.detail));
window.addEventListener("hashchange", () => turn({ focus: true }));
// A click's refusal is told like any other.
window.addEventListener("unhandledrejection", (event) => {
  if (event.reason?.status === undefined) return;
  event.preventDefault();
  if (inside) alarm(event.reason);
});

find.begin();
revocations.begin();
audit.begin();
try {
  if (await resume()) enter();
  else leave("");
} catch (refusal) {
  leave(refusal.message);
}
