// The console: a door, and behind it the views. What one looks at stands in the address.

import { $, h, time } from "./dom.js";
import * as audit from "./audit.js";
import * as find from "./find.js";
import * as health from "./health.js";
import * as keys from "./keys.js";
import * as locked from "./locked.js";
import * as revocations from "./revocations.js";
import { farewell, forget, remember } from "./revoke.js";
import { api, events, heard, resume, signIn, signOut, username } from "./session.js";
import * as words from "./words.js";

const VIEWS = ["find", "revocations", "locked", "keys", "audit", "health"];
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
  if (now === "locked") attempt(locked.show);
  if (now === "keys") attempt(keys.show);
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
  explain($("alarm"), refusal);
  if (refusal.status === 0 || refusal.status === 503) health.pulse("not well", "refused");
}

/** Say what was refused, and of an outage since when it is one and what to do. */
function explain(place, refusal) {
  const isOut = refusal.reason === "denylist_unavailable";
  const text = refusal.status === 0 ? "The service cannot be reached. Trying again."
    : isOut ? "Redis does not answer. Nothing can be seen or revoked until it does; requests that have to ask it are refused with 503, not let in. Trying again."
    : refusal.message;
  // What is read aloud is drawn once, and not with each attempt.
  if (place.dataset.said === text && !place.hidden) return;
  place.dataset.said = text;
  place.replaceChildren(h("p", {}, text));
  place.hidden = false;
  if (isOut) outage(place);
}

/** Since when Redis is silent, by what a process of the service last heard of it, and what to do about it. */
async function outage(place) {
  const mend = h("p", { class: "mend" }, `What to do: ${$("desk").dataset.mend}. `, h("code", {}, "revocation doctor"), " on a host of the service says more.");
  place.append(mend);
  const last = await heard();
  if (last !== null && mend.isConnected) mend.before(h("p", { class: "quiet small" }, "Since ", time(last), "."));
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
  attempt(learn);
  remember(() => turn({ focus: false }));
  follow();
  examine();
}

async function learn() {
  words.learn((await api("GET", "/admin/kinds")).kinds, [$("any-kind"), $("kind")]);
}

function leave(message) {
  inside = false;
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  for (const part of [find, revocations, locked, keys, audit, health]) part.clear();
  $("desk").hidden = $("account").hidden = true;
  $("door").hidden = false;
  say(farewell() || message);
  $("username").focus();
}

function say(message) {
  delete $("door-message").dataset.said;
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
    if (refusal.status === undefined) throw refusal;
    explain($("door-message"), refusal);
    $("password").select();
  } finally {
    button.disabled = false;
  }
});

$("sign-out").addEventListener("click", async () => {
  try {
    await signOut();
    forget();
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
keys.begin();
audit.begin();
try {
  if (await resume()) enter();
  else leave("");
} catch (refusal) {
  if (refusal.status === undefined) throw refusal;
  leave("");
  explain($("door-message"), refusal);
}
