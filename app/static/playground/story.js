/** The playground: one story in seven steps, told with the visitor's own tokens. */

import { element } from "../element.js";
import { call, demand } from "./api.js";
import { Board } from "./board.js";
import { Brief } from "./brief.js";
import { Entries } from "./entries.js";
import { coloured, explained } from "./reading.js";
import { changed, read } from "./token.js";

const $ = (id) => document.getElementById(id);

/** How many announcements stay, for a screen reader that is still reading. */
const ANNOUNCEMENTS = 8;

/** Kept in memory only: reload, and you are a stranger. */
const laptop = { name: "Laptop", token: "", refreshToken: "", sessionId: "" };
const phone = { name: "Phone", token: "", refreshToken: "", sessionId: "" };

let board;
let forgeries = 0;
const entries = new Entries($("entries"), (count) => board.counted(count));
const brief = new Brief($("lives"), showBrief, briefEnded);

$("sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(event.submitter, () => begin("token"));
});

// A link to a step: whoever follows it is signed in first.
const linked = document.querySelector(`section.step[id="${CSS.escape(location.hash.slice(1))}"]`);
if (linked?.hidden) attempt($("sign-in-form").querySelector("button"), () => begin(linked.id));

on("forge-button", async () => {
  const part = ["claims", "signature", "header"][forgeries % 3];
  forgeries += 1;
  await showForgery(changed(laptop.token, part));
});

on("pause", async () => {
  board.paused = !board.paused;
  $("pause").textContent = board.paused ? "Resume the calls" : "Pause the calls";
});

on("revoke-token", async () => {
  await revoke([board.stateless, board.hybrid], () => demand("/demo/revoke", { token: laptop.token, json: {} }),
    "With the deny-list the laptop’s token is refused from now on. The JWT alone goes on working, because nobody is asked "
    + "about it, until it expires. A session has no smaller part that could be taken back. And the laptop is not logged "
    + "out: its refresh token fetches another access token. Try it.");
  after({ token: false, session: true, refresh: true });
});

on("end-session", async () => {
  await revoke(board.ways, () => inBoth([laptop], () => demand("/auth/logout", { json: { refresh_token: laptop.refreshToken } })),
    "Now the laptop is logged out: its session is gone, every access token of this login is on the deny-list, and its refresh "
    + "token gives no more. The phone is another login, and goes on. The JWT alone still works: nobody is asked.");
  after({ token: false, session: false, refresh: true });
});

on("log-out-everywhere", async () => {
  await revoke(board.ways, () => inBoth([laptop, phone], () => demand("/auth/logout-all", { token: phone.token, json: {} })),
    "Everything this user was given before this moment is refused, on every device. Sessions had to be found and deleted one by "
    + "one. On the deny-list it took one entry, however many tokens there are: it holds the moment, and each token knows when "
    + "it was made. Signing in again works at once.");
  after({ token: false, session: false, everywhere: false, refresh: true });
});

on("stop-redis", async () => {
  const { session, stateless, bounded, strict } = await board.stopRedis();
  learn(`While Redis was away: a session ${session}. The JWT alone ${stateless}. With the deny-list, deciding from memory: `
    + `${bounded}; asking Redis each time: ${strict}. What cannot be looked up is never let in, and how long memory may do `
    + "is for you to set: it is how old its knowledge may be.");
});

on("use-refresh-token", async () => {
  const answer = await call("/auth/refresh", { json: { refresh_token: laptop.refreshToken } });
  if (answer.status === 200) {
    hold(laptop, answer.body);
    learn("The refresh token fetched a new access token, and the API is open again. To shut somebody out, end the session.");
    after({ token: true, session: true });
  } else {
    learn(`${answer.status}: the refresh token gives nothing any more. Only the password does.`);
    after({ refresh: false });
  }
});

on("start-again", async () => {
  await signIn();
  $("receipt").hidden = true;
  $("revoke-learnt").hidden = true;
  $("after-revoking").hidden = true;
  announce("Signed in again on both devices.");
  $("revoke-token").focus();
});

on("fetch-brief", async () => {
  await brief.fetch(laptop.token);
  $("brief-life").hidden = false;
  $("brief-learnt").hidden = true;
  $("refresh-brief").hidden = true;
  $("revoke-brief").setAttribute("aria-disabled", "false");
});

on("revoke-brief", async () => {
  await brief.revoke();
  $("revoke-brief").setAttribute("aria-disabled", "true");
  learnBrief("Revoked: the API says no at once. The entry is needed for as long as the token could be used, and no longer.");
});

on("refresh-brief", async () => {
  const answer = await call("/auth/refresh", { json: { refresh_token: laptop.refreshToken } });
  if (answer.status !== 200) throw new Error(`${answer.status}: this login has ended. Sign in again above.`);
  hold(laptop, answer.body);
  after({ token: true, session: true });
  await brief.fetch(laptop.token);
  $("refresh-brief").hidden = true;
  $("revoke-brief").setAttribute("aria-disabled", "false");
  learnBrief("The refresh token fetched another access token, and the user noticed nothing. The step where you read the token shows the new one.");
});

$("own-token").addEventListener("input", () => {
  const text = $("own-token").value.trim().replace(/^authorization:\s*/i, "").replace(/^bearer\s+/i, "");
  const trouble = text ? unreadable(text) : "";
  $("own-trouble").textContent = trouble;
  $("own-trouble").hidden = !trouble;
  if (!trouble) showToken(text || laptop.token);
});

/** Sign in, open all steps, and go to one of them. */
async function begin(step) {
  await signIn();
  $("sign-in-learnt").hidden = false;
  board ??= new Board($("board"), [laptop, phone], announce, expired);
  reveal("token", "forge", "ask", "entry", "brief", "next");
  await entries.watch(laptop.token);
  $(`${step}-title`).focus();
}

async function signIn() {
  const json = { username: $("username").value, password: $("password").value };
  const first = await demand("/auth/login", { json });
  hold(phone, await demand("/auth/login", { json }));
  hold(laptop, first);
  for (const device of [laptop, phone]) {
    device.sessionId = (await demand("/demo/session", { token: device.token, json: {} })).session_id;
  }
  $("lifetime").textContent = inWords(first.expires_in);
  after({ token: true, session: true, everywhere: true });
}

function hold(device, tokens) {
  device.token = tokens.access_token;
  device.refreshToken = tokens.refresh_token;
  if (device !== laptop) return;
  // Every step is about the token of today.
  $("own-token").value = "";
  showToken(laptop.token);
  $("forgery").hidden = true;
  if (board) entries.watch(laptop.token).catch(() => {});
}

/** The answer to taking back the tokens, when the sessions of these devices have ended as well. */
async function inBoth(devices, ask) {
  const [answer] = await Promise.all([
    ask(), ...devices.map(({ sessionId }) => call("/demo/session", { session: sessionId, method: "DELETE" })),
  ]);
  return answer;
}

/** Take something back from the ways that it concerns, and show how far it got. */
async function revoke(concerned, ask, learnt) {
  const watched = laptop.token;
  board.hurry();
  board.mark(concerned);
  const { receipt } = await ask();
  const { confirmed, total } = receipt.followers;
  $("receipt-figure").textContent =
    `${receipt.enforced ? "Enforced" : "Confirmed"} by ${confirmed} of ${total} workers in ${milliseconds(receipt.elapsed_seconds)}.`;
  $("receipt-detail").textContent = receipt.enforced
    ? "That is the service’s own receipt: when it answered, no worker accepted the token any more, save where nobody asks."
    : "The others ask Redis until they have caught up, so they refuse it as well within the bound.";
  $("receipt").hidden = false;
  learn(learnt, $("receipt-figure").textContent);
  // The entries of a token that has expired are nobody's to see.
  await entries.watch(watched).catch(() => {});
}

function showBrief(kind, verdict) {
  const chip = $("brief-verdict");
  if (chip.textContent === verdict) return;
  chip.className = `chip ${kind}`;
  chip.textContent = verdict;
  announce(`The API says ${verdict}.`);
}

function briefEnded(wasRevoked) {
  $("revoke-brief").setAttribute("aria-disabled", "true");
  $("refresh-brief").hidden = false;
  learnBrief(wasRevoked
    ? "The token is dead, and its entry is gone: time refuses it now, so the deny-list forgot it. That is why it stays small."
    : "It died by itself, and nobody was asked. An app does now what keeps its user signed in: it sends its refresh token.");
}

function learnBrief(text) {
  $("brief-learnt").textContent = text;
  $("brief-learnt").hidden = false;
  announce(text);
}

/** Nobody took it back: this is how a token ends by itself. */
function expired() {
  $("receipt").hidden = true;
  learn("The laptop’s access token has expired, and even stateless refuses it now. This is the only end that a token has "
    + "where nobody can take it back. Its refresh token fetches another one, unless the session was ended.");
  after({ token: false, session: true, everywhere: false, refresh: true });
  $("start-again").hidden = false;
}

/** Which of the ways on are open now. What is left out stays as it is, but for the two that follow a revocation. */
function after({ token, session, everywhere, refresh = false }) {
  const open = { "revoke-token": token, "end-session": session, "log-out-everywhere": everywhere };
  for (const [id, isOpen] of Object.entries(open)) if (isOpen !== undefined) $(id).setAttribute("aria-disabled", String(!isOpen));
  $("use-refresh-token").hidden = !refresh;
  $("start-again").hidden = $("end-session").getAttribute("aria-disabled") === "false";
  $("after-revoking").hidden = !refresh && $("start-again").hidden;
}

function learn(text, before = "") {
  $("revoke-learnt").textContent = text;
  $("revoke-learnt").hidden = false;
  announce(`${before} ${text}`.trim());
}

function showToken(token) {
  $("the-token").replaceChildren(...coloured(token));
  for (const part of ["header", "claims"]) $(`token-${part}`).replaceChildren(...explained(read(token, part)));
}

/** Why this is no token that can be read; "" where it can. */
function unreadable(text) {
  const parts = text.split(".");
  if (parts.length !== 3) return `A JWT has three parts with dots between them; this has ${parts.length}.`;
  for (const part of ["header", "claims"]) {
    try {
      const value = read(text, part);
      if (value === null || typeof value !== "object") return `The ${part} of this token: no JSON object.`;
    } catch {
      return `The ${part} of this token cannot be read: no JSON in base64url.`;
    }
  }
  return "";
}

async function showForgery({ token, part, at, name }) {
  const answer = await call("/demo/stateless", { token });
  $("forged-token").replaceChildren(...coloured(token, at));
  $("forged-claim").textContent = name
    ? `It now says that it speaks for “${name}”.` : `One character of the ${part} is another one now.`;
  $("forged-exchange").textContent = [
    "GET /demo/stateless", `Authorization: Bearer ${token.slice(0, 12)}…${token.slice(-6)}`, "",
    `${answer.status} ${answer.title}`, answer.challenge && `WWW-Authenticate: ${answer.challenge}`,
    answer.serverTiming && `Server-Timing: ${answer.serverTiming}`,
  ].join("\n");
  $("forgery").hidden = false;
  $("forge-learnt").hidden = false;
  $("forge-button").textContent = "Change another one";
  announce(`${$("forged-claim").textContent} The answer is ${answer.status}: ${answer.body.detail ?? answer.title}`);
}

function inWords(seconds) {
  return seconds % 60 ? `${seconds} seconds` : `${seconds / 60} minutes`;
}

function milliseconds(seconds) {
  return seconds < 0.01 ? `${(seconds * 1000).toFixed(1)} ms` : `${Math.round(seconds * 1000)} ms`;
}

function reveal(...ids) {
  for (const id of ids) $(id).hidden = false;
}

/** Two things may happen at once, so what is said is added: a screen reader reads each addition, and none is lost. */
function announce(text) {
  const log = $("announcement");
  log.append(element("p", {}, text));
  while (log.children.length > ANNOUNCEMENTS) log.firstChild.remove();
}

function on(id, act) {
  $(id).addEventListener("click", () => attempt($(id), act));
}

/** One act at a time; what goes wrong is said next to the button that was pressed. */
async function attempt(button, act) {
  if (button.getAttribute("aria-disabled") === "true" || button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  const trouble = $("trouble");
  trouble.hidden = true;
  try {
    await act();
  } catch (error) {
    const message = error instanceof TypeError ? "The service does not answer. Is it still running?" : error.message;
    button.closest("form, p, div").after(trouble);
    trouble.textContent = message;
    trouble.hidden = false;
  } finally {
    button.removeAttribute("aria-busy");
  }
}
