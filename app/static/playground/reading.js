/** A token as people read it: its parts in colours, its members with what they are for. */

import { element } from "../element.js";
import { PARTS } from "./token.js";

/** What the service's claims are for, in the order in which they are shown. */
const MEANINGS = {
  alg: "how it is signed",
  typ: "what kind of token it is",
  kid: "which key signed it",
  sub: "who it speaks for",
  scope: "what it may do",
  exp: "when it dies by itself",
  iat: "when it was made",
  iat_ms: "the same, to the millisecond",
  jti: "its own number, by which it can be taken back",
  sid: "the session it belongs to",
  client_id: "the client it was given to",
  iss: "who made it",
  aud: "which API it is for",
};

/** The three parts, each in its colour; the character at one place marked. */
export function coloured(token, at = -1) {
  let start = 0;
  return token.split(".").flatMap((text, index) => {
    const place = at - start;
    start += text.length + 1;
    const isHere = place >= 0 && place < text.length;
    const content = isHere ? [text.slice(0, place), element("mark", {}, text[place]), text.slice(place + 1)] : [text];
    return [...(index ? ["."] : []), element("span", { class: PARTS[index] }, ...content)];
  });
}

/** The header's or the claims' members, for a description list. */
export function explained(object) {
  return members(object).map(([name, value]) => element("div", {},
    element("dt", { class: "mono" }, name),
    element("dd", {},
      element("span", { class: "mono" }, written(name, value)), " ",
      element("span", { class: "meaning quiet" }, MEANINGS[name] ?? ""))));
}

/** Names and values of an object, the ones we can explain first. */
function members(object) {
  const known = Object.keys(MEANINGS).filter((name) => name in object);
  const others = Object.keys(object).filter((name) => !(name in MEANINGS));
  return [...known, ...others].map((name) => [name, object[name]]);
}

/** Instants as the clock on the wall shows them, beside the number in the token. */
function written(name, value) {
  if (typeof value === "object") return JSON.stringify(value);
  if ((name !== "exp" && name !== "iat") || typeof value !== "number") return String(value);
  return `${value} (${new Date(value * 1000).toLocaleTimeString()})`;
}
