/** The playground: one story in seven steps, told with the visitor's own tokens. */

import { element } from "../element.js";
import { call, demand } from "./api.js";
import { Board } from "./board.js";
import { Entries, clock } from "./entries.js";
import { coloured, explained } from "./reading.js";
import { changed, read } from "./token.js";

const $ = (id) => document.getElementById(id);

/** How many announcements stay, for a screen reader that is still reading. */
const ANNOUNCEMENTS = 8;

/** Kept in memory only: reload, and you are a stranger. */
const laptop = { name: "Laptop", token: "", refreshToken: "" };
const phone = { name: "Phone", token: "", refreshToken: "" };

let board;
let forgeries = 0;
const entries = new Entries($("entries"), $("lives"));

$("sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(event.submitter, async () => {
    await signIn();
    $("sign-in-learnt").hidden = false;
    reveal("token", "forge", "ask", "revoke");
    board ??= new Board($("board"), $("verdicts"), [laptop, phone], announce, expired);
    $("token-title").focus();
  });
});

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
  await revoke(laptop.token, () => demand("/demo/revoke", { token: laptop.token, json: {} }),
    "Bounded and strict refuse the laptop’s token from now on. Stateless goes on accepting it, because it asks nobody, "
    + `for another ${clock(read(laptop.token, "claims").exp - Date.now() / 1000)}. And the laptop is not logged out: `
    + "its refresh token fetches another access token. Try it.");
  after({ token: false, session: true, refresh: true });
});

on("end-session", async () => {
  await revoke(laptop.token, () => demand("/auth/logout", { json: { refresh_token: laptop.refreshToken } }),
    "Now the laptop is logged out: every access token of this login is refused, and its refresh token gives no more. "
    + "The phone is another login, and goes on.");
  after({ token: false, session: false, refresh: true });
});

on("log-out-everywhere", async () => {
  await revoke(laptop.token, () => demand("/auth/logout-all", { token: phone.token, json: {} }),
    "Everything this user was given before this moment is refused, on every device. It took one entry, however many "
    + "sessions there are: it holds the moment, and each token knows when it was made. Signing in again works at once.");
  after({ token: false, session: false, everywhere: false, refresh: true });
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

async function signIn() {
  const json = { username: $("username").value, password: $("password").value };
  const first = await demand("/auth/login", { json });
  hold(phone, await demand("/auth/login", { json }));
  hold(laptop, first);
  $("lifetime").textContent = inWords(first.expires_in);
  showToken();
  after({ token: true, session: true, everywhere: true });
}

function hold(device, tokens) {
  device.token = tokens.access_token;
  device.refreshToken = tokens.refresh_token;
}

/** Take something back, and show how far it got. `watched` is the token whose entries are shown afterwards. */
async function revoke(watched, ask, learnt) {
  board.hurry();
  board.mark();
  const { receipt } = await ask();
  const { confirmed, total } = receipt.followers;
  $("receipt-figure").textContent =
    `${receipt.enforced ? "Enforced" : "Confirmed"} by ${confirmed} of ${total} workers in ${milliseconds(receipt.elapsed_seconds)}.`;
  $("receipt-detail").textContent = receipt.enforced
    ? "That is the service’s own receipt: when it answered, no worker accepted the token any more, save where nobody asks."
    : "The others ask Redis until they have caught up, so they refuse it as well within the bound.";
  $("receipt").hidden = false;
  learn(learnt, $("receipt-figure").textContent);
  reveal("entry", "next");
  // The entries of a token that has expired are nobody's to see.
  await entries.watch(watched).catch(() => {});
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

function showToken() {
  $("the-token").replaceChildren(...coloured(laptop.token));
  for (const part of ["header", "claims"]) $(`token-${part}`).replaceChildren(...explained(read(laptop.token, part)));
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
