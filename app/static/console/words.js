// What each kind of handle is called, and what taking it back means.

import { count, h } from "./dom.js";

/** The kinds of an application's own, and whether revoking one is unconditional. */
let own = new Map();

const NAMES = { token: "token", session: "session", subject: "user", client: "client", key: "key", issuer: "everyone" };

export const name = (kind) => NAMES[kind] ?? kind;

export const title = (handle) => (handle.kind === "issuer" ? `everyone of ${handle.issuer}` : `${name(handle.kind)} ${handle.value}`);

const MEANINGS = {
  token: "This one access token is refused. Its session goes on and can get a new one.",
  session: "Every token of this login is refused, and it gets no new ones.",
  subject: "Everything this user holds from before now is refused. Signing in again works.",
  client: "Everything issued to this client before now is refused, for all of its users. It can ask for new tokens.",
  key: "Every access token signed with this key is refused. Sessions go on and get tokens of the key that signs now.",
  issuer: "Every token issued before now is refused. Everyone has to sign in again.",
};

export const meaning = (kind) => MEANINGS[kind] ?? (own.get(kind)
  ? `Every token that names this ${kind} is refused, for good.`
  : `Every token issued before now that names this ${kind} is refused. New ones are accepted.`);

/** Learn which kinds the deny-list declares, and offer them where one is chosen. */
export function learn(kinds, selects) {
  own = new Map(kinds.filter((one) => !one.built_in).map((one) => [one.kind, one.unconditional]));
  for (const select of selects) {
    for (const option of [...select.options]) if (option.dataset.own) option.remove();
    select.append(...[...own.keys()].map((kind) => h("option", { value: kind, "data-own": "true" }, kind)));
  }
}

/** What a dry run says, as a sentence. */
export function hits(kind, wouldEnd) {
  if (kind === "token" || kind === "key") return "It ends no session.";
  if (own.has(kind)) return "It ends no session of this service. How many tokens name it is not known here.";
  if (wouldEnd.sessions === 0) return "It ends no session that lives now.";
  return `It ends ${count(wouldEnd.sessions, "session")} of ${count(wouldEnd.subjects, "user")}.`;
}

/** How much has to be done to confirm: 1 a click, 2 a second click, 3 to type a word. */
export function level(kind, wouldEnd) {
  if (kind === "issuer" || kind === "key" || own.has(kind) || wouldEnd.subjects > 1) return 3;
  if (kind === "subject" || kind === "client" || wouldEnd.sessions > 1) return 2;
  return 1;
}

/** The word to type. */
export function word(handle) {
  if (handle.kind === "issuer") return new URL(handle.issuer, "https://x.invalid").host || handle.issuer;
  if (handle.kind === "key") return handle.value.slice(0, 8);
  return handle.value;
}

/** What a receipt says. */
export function receipt({ enforced, followers, elapsed_seconds: seconds }) {
  const took = seconds < 1 ? `${Math.max(1, Math.round(seconds * 1000))} ms` : `${seconds.toFixed(1)} s`;
  if (enforced) return followers.total ? `Enforced by ${followers.confirmed} of ${followers.total} processes in ${took}.` : `Enforced in ${took}.`;
  return `${followers.confirmed} of ${followers.total} processes confirmed it after ${took}. The others refuse it as soon as they read it, and by the end of their bound at the latest.`;
}
